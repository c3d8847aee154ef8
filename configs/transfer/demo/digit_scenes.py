# The transfer demo's images: several real digits on a canvas, written by tools/make_digit_scenes.py.
scenes = dict(
    type='DigitScenes',
    out='data/digit_scenes',
    training=1600,
    validation=300,
    canvas=64,
    sides=(16, 24),
    digits=(1, 3),
    fragments=2,
    seed=0,
)
