"""The Typer application with all commands registered."""

from curate.cli import (
    audit_commands,
    bulk_commands,
    comparing_commands,
    engine_commands,
    engine_repeating,
    engine_writing,
    judge_commands,
    learning_commands,
    network_commands,
    people_commands,
    reading_commands,
    write_commands,
)
from curate.cli.shared_options import app

__all__ = [
    "app",
    "audit_commands",
    "bulk_commands",
    "comparing_commands",
    "engine_commands",
    "engine_repeating",
    "engine_writing",
    "judge_commands",
    "learning_commands",
    "network_commands",
    "people_commands",
    "reading_commands",
    "write_commands",
]
