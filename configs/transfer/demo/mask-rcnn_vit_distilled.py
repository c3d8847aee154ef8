# Mask R-CNN on the demo's ViT, from the backbone that CSKD distilled on single digits.
_base_ = ['./mask-rcnn_vit.py', './distilled.py']
