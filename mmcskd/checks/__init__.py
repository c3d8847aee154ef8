"""Wrong arguments and configs, told by name."""
