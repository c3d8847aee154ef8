"""Datasets that the shipped configs name."""
