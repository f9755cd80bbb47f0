"""The command line: parse, call a verb, print. No logic, and nothing heavy before it is needed."""

from __future__ import annotations

import sys

from curate.cli import auditing, comparing, models, people, reviewing, writing
from curate.cli.common import app, print_what_cannot_be_encoded
from curate.errors import CurateError

__all__ = ["app", "auditing", "comparing", "main", "models", "people", "reviewing", "writing"]


def main() -> None:
    """Run the command line: 0 done, 1 a gate failed, 2 the input or the call is wrong."""
    print_what_cannot_be_encoded()
    try:
        app()
    except CurateError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped; the same command again goes on from here", file=sys.stderr)
        raise SystemExit(130) from None
