# DeiT-S on Flowers-102, trained on its 2,040 images for training and validation together.
# Its hyper-parameters are not published; they are those of CIFAR-10 and Cars.
_base_ = '../_base_/finetune_deit-s.py'

model = dict(head=dict(num_classes=102))
data_preprocessor = dict(num_classes=102)
train_dataloader = dict(
    dataset=dict(type='Flowers102', data_root='data/flowers102', split='trainval')
)
val_dataloader = dict(dataset=dict(type='Flowers102', data_root='data/flowers102', split='test'))
test_dataloader = val_dataloader
