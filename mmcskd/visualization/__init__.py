"""What the tools draw: responses of teacher and student, curves of runs."""
