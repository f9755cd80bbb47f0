"""The studies of this folder, one after the other; each can be run alone."""

from __future__ import annotations

import crowd
import faults
import pictures


def main() -> None:
    """Run them all; hours."""
    faults.main()
    pictures.main()
    crowd.main()


if __name__ == "__main__":
    main()
