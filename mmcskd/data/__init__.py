"""Datasets, transforms and reproducible views."""
