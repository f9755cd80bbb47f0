"""Masks as PNGs: one mask a file, or ids of instances in pixels."""
