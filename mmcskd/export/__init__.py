"""Export of a trained student to other libraries."""
