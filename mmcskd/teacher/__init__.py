"""The frozen CNN: its spatial and global response, how it sees an image, how it runs fast."""
