"""CSKD inside dense tasks, and distilled backbones in detectors and segmentors.

Nothing here imports MMDetection or MMSegmentation: their models are met as configured.
"""
