"""Queues: which masks people look at, and in which order."""
