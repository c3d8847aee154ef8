"""The trained student in the forms that others load."""
