"""CSKD for detection and segmentation, and parts for distilled backbones there.

No module imports MMDetection or MMSegmentation; configs name their models.
"""
