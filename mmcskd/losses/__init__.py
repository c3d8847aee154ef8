"""The losses between student and teacher, as registered classes."""
