"""The vision transformer: its heads, its patch tokens and what connects them to the teacher."""
