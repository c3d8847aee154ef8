"""The algorithm and what MMEngine's runner needs to train it anywhere."""
