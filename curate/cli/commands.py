"""The application with all its commands."""

from curate.cli import auditing, comparing, models, people, reviewing, writing
from curate.cli.common import app

__all__ = ["app", "auditing", "comparing", "models", "people", "reviewing", "writing"]
