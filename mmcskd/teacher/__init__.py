"""The frozen CNN: its spatial responses, its weights, how it runs."""
