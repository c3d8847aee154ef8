# The plain setting's canvases and teacher, until students without a teacher have long overfitted.
train_cfg = dict(max_epochs=24)
