# The harder setting: larger canvases, more clutter, fewer of them.
train_dataloader = dict(dataset=dict(length=1500, canvas=16, fragments=3))
model = dict(architecture=dict(backbone=dict(img_size=16)))
train_cfg = dict(max_epochs=24)
