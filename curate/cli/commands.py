"""The Typer application with all commands registered."""

from curate.cli import (
    audit_commands,
    compare_commands,
    network_commands,
    people_commands,
    review_command,
    write_commands,
)
from curate.cli.shared_options import app

__all__ = [
    "app",
    "audit_commands",
    "compare_commands",
    "network_commands",
    "people_commands",
    "review_command",
    "write_commands",
]
