"""report.html: one file that says what a dataset is, what is wrong with it and how sure we are."""

from curate.report.collect import AuditLike
from curate.report.page import write_report

__all__ = ["AuditLike", "write_report"]
