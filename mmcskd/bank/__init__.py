"""A bank of teacher responses: written once, read in place of the teacher."""
