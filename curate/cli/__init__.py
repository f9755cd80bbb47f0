"""Command line: parsing, calls of verbs, printing; no logic, and no heavy import at start."""

from __future__ import annotations

import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from curate.cli.commands import app as app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line, and end with one of the codes of :mod:`curate.cli.exit_codes`."""
    try:
        # Loading the commands takes a while, in which Ctrl-C is to be as quiet as later.
        from curate.cli.stopping import end, install, restore

        replaced = install(end)
        try:
            from curate.cli.exit_codes import run
        finally:
            restore(replaced)
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("stopped before anything was done", file=sys.stderr)
        code = 130
    raise SystemExit(code)


def __getattr__(name: str) -> Any:
    """Load the application when it is first asked for."""
    if name == "app":
        from curate.cli.commands import app

        return app
    raise AttributeError(f"module 'curate.cli' has no attribute {name!r}")
