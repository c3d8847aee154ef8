"""The front doors: what the commands share."""
