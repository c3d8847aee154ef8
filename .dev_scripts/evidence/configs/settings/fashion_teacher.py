# Trained on its students' images, cut and mixed as theirs: it has to answer for such views.
_base_ = './fashion.py'

model = dict(_delete_=True, **_base_.teacher)
data_preprocessor = dict(
    batch_augments=dict(_delete_=True, augments=[dict(type='CutMix', alpha=1.0)], probs=[0.5])
)
train_cfg = dict(max_epochs=20)
