"""Subsets for training: which masks to keep, what that changes, weights instead of deletion."""
