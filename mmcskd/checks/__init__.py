"""Checks of arguments and configs, with errors that name the key."""
