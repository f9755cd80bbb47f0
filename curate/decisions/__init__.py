"""People's decisions: an append-only SQLite file in an audit, imports into it, labels out of it."""

from curate.decisions.adding import Added
from curate.decisions.agreement import Agreement
from curate.decisions.importing import Imported, import_file
from curate.decisions.reviews import Reviews, has_reviews, open_reviews

__all__ = [
    "Added",
    "Agreement",
    "Imported",
    "Reviews",
    "has_reviews",
    "import_file",
    "open_reviews",
]
