"""The studies of this folder, one after the other; each can be run alone."""

from __future__ import annotations

import faults


def main() -> None:
    """Run them all; hours."""
    faults.main()


if __name__ == "__main__":
    main()
