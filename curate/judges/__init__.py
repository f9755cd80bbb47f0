"""Judges: programs of others, a process or an HTTP address, that are asked about masks."""
