"""Signals that stop a command: Ctrl-C, SIGTERM, a closed terminal. Nothing else is loaded here."""

from __future__ import annotations

import signal

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Those of them that this system has."""
