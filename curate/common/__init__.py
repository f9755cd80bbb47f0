"""Shared ground of all rooms: files, locks, processes, progress, clock, ranges of options."""
