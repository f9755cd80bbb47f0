"""Datasets in memory: mask table, notes, version ids, image names, differences."""
