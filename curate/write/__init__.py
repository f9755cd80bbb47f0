"""Writing datasets: without the rejected masks, or as people left them."""

from curate.write.pruning import PruneResult, prune
from curate.write.writing import WriteResult, write

__all__ = [
    "PruneResult",
    "WriteResult",
    "prune",
    "write",
]
