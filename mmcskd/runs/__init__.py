"""Hooks for any MMEngine run: checkpoints, resume, preemption, precision, data checks."""
