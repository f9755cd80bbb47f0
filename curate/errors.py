"""The exception tree: every error a caller can meet says what, where and what to do."""

import errno


class CurateError(Exception):
    """Base of all errors that curate raises on purpose.

    Args:
        what: What is wrong, as a clause without a full stop.
        where: File, id or byte at which it is wrong; empty where there is no place to name.
        do: What the caller can do about it; empty where nothing helps but fixing ``where``.
    """

    def __init__(self, what: str, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(what, where, do)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.do}" if self.do else text


class SourceError(CurateError):
    """A source as a whole cannot be read: missing, cut off, not the format it claims to be."""


class CallError(CurateError):
    """The call is wrong: an unknown option, a policy that does not parse, a value out of range."""


class AuditError(CurateError):
    """An audit directory cannot be used: it holds something else, or belongs to another source."""


class ReportWarning(UserWarning):
    """All was done and kept, but the report could not be written again; says why."""


def unwritable_advice(error: OSError) -> str:
    """Return what can be done about a place that the operating system refuses to write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room on the disk and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "ask for the right to write there, or choose another place"
    return "choose another place"


class DuplicateError(CallError):
    """An added mask covers an object that has a mask already: somebody has to say what counts."""
