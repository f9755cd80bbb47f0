"""NumPy arrays of masks: whole numbers as ids, booleans as a mask a layer."""
