"""Plots with matplotlib: pure functions from small values to axes, one style, light and dark."""
