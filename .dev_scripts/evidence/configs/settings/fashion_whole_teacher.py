# The teacher of fashion.py, trained on all of its students' images, each a few times.
_base_ = './fashion_teacher.py'

train_dataloader = dict(dataset=dict(length=55000))
train_cfg = dict(max_epochs=4)
