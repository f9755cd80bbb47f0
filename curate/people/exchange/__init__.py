"""Exchange with annotation tools: review queues out, decisions in."""

from curate.people.exchange.importing import ImportResult, import_file, take_back_file
from curate.people.exchange.queue_writing import (
    check_options,
    check_target,
    count_left_out,
    select_slot,
    write_queue,
)

__all__ = [
    "ImportResult",
    "check_options",
    "check_target",
    "count_left_out",
    "import_file",
    "select_slot",
    "take_back_file",
    "write_queue",
]
