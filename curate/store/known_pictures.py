"""Pictures of an audit's images, as found when it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pandas as pd

from curate.images import MAX_BYTES, ImageFolder
from curate.store.audit_info import AuditInfo

PICTURE = "picture_path"
"""Column of the images: where the picture stands in the folder given; missing where it was not."""


class PictureInfo(Protocol):
    """The part of an audit needed here."""

    @property
    def info(self) -> AuditInfo:
        """The content of ``audit.json``."""

    def query(self, sql: str) -> pd.DataFrame:
        """Run SQL over the view ``images``."""


def open_pictures(audit: PictureInfo, folder: Path, max_bytes: int = MAX_BYTES) -> ImageFolder:
    """Open a folder of pictures for an audit's images; see :func:`known_pictures`."""
    return ImageFolder(folder, known=known_pictures(audit, folder), max_bytes=max_bytes)


def known_pictures(audit: PictureInfo, folder: Path) -> dict[str, str]:
    """Return the paths of an audit's pictures under a folder by file name, "" for none.

    Each image has the picture that it had in the audit; in another folder, or where the audit was
    given none, the one that its name means among all names.

    Args:
        audit: The audit.
        folder: The folder.

    Raises:
        SourceError: There is no such folder.
    """
    given = audit.info.inputs.get("images")
    same = given is not None and Path(given) == folder.resolve()
    if same and PICTURE in audit.query("describe images")["column_name"].tolist():
        frame = audit.query(f"select file_name, {PICTURE} from images where file_name is not null")
        found = zip(frame["file_name"].tolist(), frame[PICTURE].tolist(), strict=True)
        return {name: path if isinstance(path, str) else "" for name, path in found}
    names = audit.query("select file_name from images")["file_name"]
    return ImageFolder(folder).find_all(names.to_numpy(object).tolist())
