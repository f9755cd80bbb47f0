"""People's decisions: an append-only SQLite file in an audit, and labels out of it."""

from curate.decisions.adding import Added
from curate.decisions.agreement import Agreement
from curate.decisions.reviews import Reviews, has_reviews, open_reviews

__all__ = [
    "Added",
    "Agreement",
    "Reviews",
    "has_reviews",
    "open_reviews",
]
