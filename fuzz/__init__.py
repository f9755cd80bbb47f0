"""Mutated inputs for everything that curate reads: ``make fuzz SECONDS=60``; see the README."""
