"""Files of a run: written whole, read safely, resumed exactly, exported."""
