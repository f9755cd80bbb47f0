"""Allowed values of options, said once, so that a wrong one is refused before all else."""

from __future__ import annotations

ACTIONS = ("accept", "review", "reject")
"""What a plan says of a mask."""

CROWDS = ("auto", "objects", "regions")
"""How masks with ``iscrowd`` 1 are judged: as objects only where nearly all masks are crowd; as
objects like others; or as regions, which means not at all."""

RULES = ("majority", "latest", "strictest")
"""How people who disagree are resolved."""

KINDS = ("errors", "learn", "estimate")
"""What a queue is for."""

PRESETS = ("default", "sa1b")
"""The policies that curate brings."""

DUPLICATES = ("keep", "drop")
"""What to do with an added mask whose object has a mask already."""
