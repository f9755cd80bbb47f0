"""People's decisions: an append-only SQLite file in an audit, and labels from it."""

from curate.people.reviews.annotator_agreement import Agreement
from curate.people.reviews.append_decisions import WriteCounts
from curate.people.reviews.review_file import Reviews, has_reviews, open_reviews

__all__ = ["Agreement", "Reviews", "WriteCounts", "has_reviews", "open_reviews"]
