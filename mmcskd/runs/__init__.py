"""Running anything well under MMEngine: checkpoints, resume, preemption, precision, data checks."""
