# The transfer demo's images: several real digits on a canvas, written by demo/make_digit_scenes.py.
scenes = dict(
    type='DigitScenes',
    out='data/digit_scenes',
    training=2000,
    validation=300,
    canvas=48,
    sides=(24, 32),  # the backbone was distilled on digits of 24 pixels
    digits=(1, 2),
    fragments=2,
    seed=0,
)
