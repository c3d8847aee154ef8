"""Cumulative Knowledge Fusion: schedules of the fusion weight and the hook that applies them."""
