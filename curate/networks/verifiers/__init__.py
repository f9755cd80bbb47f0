"""Mask verifiers: networks that judge a mask by its picture."""
