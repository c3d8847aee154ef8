# The teacher of the crowded setting sees as many canvases and as many epochs as the plain one's.
train_dataloader = dict(dataset=dict(canvas=20, fragments=4))
