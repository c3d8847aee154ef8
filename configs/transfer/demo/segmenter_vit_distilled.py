# Segmenter on the demo's ViT, from the backbone that CSKD distilled on single digits.
_base_ = ['./segmenter_vit.py', './distilled.py']
