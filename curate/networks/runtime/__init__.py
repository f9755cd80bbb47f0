"""Devices, optional packages, and where the files of models are."""
