# DeiT-S on iNaturalist 2019, by the recipe of iNaturalist 2018.
_base_ = './deit-s_inat18.py'

model = dict(head=dict(num_classes=1010))
data_preprocessor = dict(num_classes=1010)
train_dataloader = dict(dataset=dict(data_root='data/inat2019', year=2019))
val_dataloader = dict(dataset=dict(data_root='data/inat2019', year=2019))
test_dataloader = val_dataloader
