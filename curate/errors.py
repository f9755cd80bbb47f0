"""The exception tree: every error a caller can meet says what, where and what to do."""

import errno

MOST = 800
"""Most characters of what is wrong, and half of it for where and what to do.

What is quoted of an input may be of any length.
"""


def shorten(text: str, most: int = MOST) -> str:
    """Return a text with its middle left out where it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    left = f" ... {len(text) - most:,} characters ... "
    return f"{text[: most - most // 3]}{left}{text[len(text) - most // 3 :]}"


def on_one_line(text: str) -> str:
    """Return a text with line ends, and whatever else could steer a terminal, as escapes."""
    return "".join(c if c.isprintable() or _is_byte(c) else _escape(c) for c in text)


def _is_byte(character: str) -> bool:
    """Return whether a character stands for a byte of a file name that is no UTF-8."""
    return 0xDC80 <= ord(character) <= 0xDCFF


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class CurateError(Exception):
    """Base of all errors that curate raises on purpose; its message is one line of bounded length.

    Args:
        what: What is wrong, as a clause without a full stop.
        where: File, id or byte at which it is wrong; empty where there is no place to name.
        do: What the caller can do about it; empty where nothing helps but fixing ``where``.
    """

    def __init__(self, what: str, where: str = "", do: str = "") -> None:
        what = shorten(on_one_line(what))
        where, do = (shorten(on_one_line(text), MOST // 2) for text in (where, do))
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


def check_utf8(path: object) -> None:
    """Check that a path is text: tables, queries and pages cannot hold other bytes of file names.

    Raises:
        CallError: It is not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise CallError("its name is no UTF-8 text", str(path), "rename it") from None


class ReportWarning(UserWarning):
    """All was done and kept, but the report could not be written again; says why."""


class Stopped(KeyboardInterrupt):
    """The process was told to stop: by Ctrl-C, or by another signal that means the same.

    It is no :class:`Exception`, so that what goes on after errors does not go on after this.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)

    @property
    def code(self) -> int:
        """The exit code that says so."""
        return 128 + self.number


class WorkerFault(Exception):
    """An unexpected error in a worker process, of a type that cannot be sent from there."""


_ADVICE = {
    ("ENOSPC", "EDQUOT"): "make room on the disk and run the same command again",
    ("EFBIG",): "choose a disk that holds larger files",
    ("EROFS",): "the disk is read-only: choose another place",
    ("EACCES", "EPERM"): "ask for the right to do it, or choose another place",
    ("ENAMETOOLONG",): "choose a shorter name",
    ("EIO", "ESTALE", "ENODEV", "ENXIO", "ETIMEDOUT"): "check the disk, or choose another place",
    ("EMFILE", "ENFILE"): "allow more open files (ulimit -n)",
    ("ENOMEM",): "run it with fewer --workers, or on a larger machine",
    ("EBUSY", "ETXTBSY"): "end what uses it, or choose another place",
    ("ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "ENOTEMPTY", "ELOOP"): "check the path",
}
"""What can be done by the name of an error's number; not every system has all of them."""


def unwritable_advice(error: OSError) -> str:
    """Return advice about a place that the operating system refuses to write."""
    name = errno.errorcode.get(error.errno or 0, "")
    advice = (text for names, text in _ADVICE.items() if name in names)
    return next(advice, "choose another place")


def unwritable(error: OSError, place: object) -> AuditError:
    """Return the error that the operating system refuses to write at a place."""
    reason = (error.strerror or str(error)).lower()
    return AuditError(f"it cannot be written ({reason})", str(place), unwritable_advice(error))


class DuplicateError(CallError):
    """An added mask covers an object that has a mask already: somebody has to say what counts."""
