"""Writing datasets: without the rejected masks, or as people left them."""

from curate.writing.pruning import PruneResult, prune
from curate.writing.write_result import WriteResult
from curate.writing.writer import write

__all__ = ["PruneResult", "WriteResult", "prune", "write"]
