"""Files that go out to people, for whatever tool they use, and what they did, coming back."""

from curate.people.exchange.importing import Imported, import_file, take_back_file
from curate.people.exchange.queue_writing import (
    check_pictured,
    check_target,
    left_out,
    rows_for,
    write_queue,
)

__all__ = [
    "Imported",
    "check_pictured",
    "check_target",
    "import_file",
    "left_out",
    "rows_for",
    "take_back_file",
    "write_queue",
]
