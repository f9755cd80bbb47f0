from decided_audit import audit, finished, reviews, said, source, write

__all__ = ["audit", "finished", "reviews", "said", "source", "write"]
