"""Devices, optional packages, and the files of models."""
