"""Datumaro's own JSON."""
