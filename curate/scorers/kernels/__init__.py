"""Compiled loops along the outlines of masks, shared by several signals."""
