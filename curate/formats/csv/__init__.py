"""Masks whose list is a CSV file."""
