# The harder setting: larger canvases, more clutter, fewer of them.
train_dataloader = dict(dataset=dict(length=6000, canvas=20, fragments=4))
model = dict(architecture=dict(backbone=dict(img_size=20)))
train_cfg = dict(max_epochs=12)
