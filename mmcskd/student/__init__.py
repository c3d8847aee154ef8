"""The vision transformer: its heads, its patch tokens and the connectors to the losses."""
