"""Data for the figures of the tools: responses of teacher and student, curves of runs."""
