# The harder setting: larger canvases, more clutter, fewer of them.
train_dataloader = dict(dataset=dict(length=1200, canvas=56, fragments=10))
model = dict(architecture=dict(backbone=dict(img_size=56)))
train_cfg = dict(max_epochs=60)
