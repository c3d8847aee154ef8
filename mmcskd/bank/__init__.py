"""A bank of a teacher's responses: written once, read in place of the teacher."""
