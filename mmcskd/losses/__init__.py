"""What compares the student with the teacher."""
