# RetinaNet on the demo's ViT, from the backbone that CSKD distilled on single digits.
_base_ = ['./retinanet_vit.py', './distilled.py']
