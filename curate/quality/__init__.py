"""The quality of masks: label-free, learned, which of them is in force, explanations."""
