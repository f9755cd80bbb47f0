"""File lookup: a folder's file for a file name of a dataset (:mod:`curate.dataset.image_join`)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from curate.dataset.image_join import REASONS, Listing, join
from curate.dataset.image_names import BESIDE_SUFFIXES, stem, without_upload_prefix

NONE = "the folder has no file of this name"
ESCAPES = "its file is a link that leads out of the folder"
BROKEN = "its file is a link that leads nowhere"
SHARED = "another image of the dataset has its file, or a name that means the same"
NAMELESS = "the dataset names no file for it"
OTHER_SPLIT = "its file is in the folder of another split (train, val, test)"

FEW = 2_000
"""Up to so many names are looked up one by one before the whole folder is listed."""


class Finder:
    """Finds files in a folder of pictures; nothing outside of it is found.

    Args:
        root: The folder.
        known: Paths under it by file name, found before by :meth:`find_all`; "" for none.
        suffixes: Suffixes of the files that count, in lower case; None for all but those of files
            that only stand beside pictures.
    """

    def __init__(
        self,
        root: Path,
        known: Mapping[str, str] | None = None,
        suffixes: Collection[str] | None = None,
    ) -> None:
        self.path = root
        self._suffixes = suffixes
        self._root = root.resolve()
        self._listed: Finder | None = None
        self._exact = False
        self.known = dict(known or {})

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_by_")}

    def knowing(self, known: Mapping[str, str]) -> Finder:
        """Return one that knows some names, and lists the folder no second time."""
        made = Finder(self.path, known, self._suffixes)
        made._listed = self._listed or self
        return made

    def exactly(
        self, file_names: Iterable[object], exclude: AbstractSet[str] = frozenset()
    ) -> Finder:
        """Return one for which each name is a path under the folder; the folder is never listed."""
        names = {n for n in file_names if isinstance(n, str) and n.strip()}
        made = Finder(self.path, {n: self._direct_path(n, exclude) for n in names}, self._suffixes)
        made._exact = True
        return made

    def find(self, file_name: object) -> tuple[Path | None, str]:
        """Return the file that a name means, or None and the reason.

        What was not :attr:`known` is looked up alone: then it counts only that no other file of the
        folder could be meant.
        """
        if not isinstance(file_name, str) or not file_name.strip() or "\0" in file_name:
            return None, NAMELESS
        if file_name in self.known:
            path = self.known[file_name]
            found, linked = self._inside(PurePosixPath(path)) if path else (None, "")
            return (found, "") if found else (None, linked or self._why(file_name))
        found, linked = self._direct(file_name)
        if found:
            return found, ""
        candidates = self._candidates(file_name)
        if not candidates:
            return None, linked or NONE
        joined = join(Listing([file_name]), Listing(candidates))
        for row in np.flatnonzero(joined.rows >= 0).tolist():
            found, linked = self._inside(PurePosixPath(candidates[row]))
            return (found, "") if found else (None, linked or NONE)
        return None, self._why(file_name)

    def find_all(
        self, file_names: Iterable[object], exclude: AbstractSet[str] = frozenset()
    ) -> dict[str, str]:
        """Find the files of all images of a dataset, each file for one name only.

        Args:
            file_names: All the names.
            exclude: Paths of files, resolved, that are no pictures of it, as its own masks.

        Returns:
            The path under the folder by name, "" for none.
        """
        names = [n for n in dict.fromkeys(file_names) if isinstance(n, str) and n.strip()]
        direct = {}
        if len(names) <= FEW:
            direct = {name: self._direct_path(name, exclude) for name in names}
            if all(direct.values()):
                return direct
        files = [name for name in self.files if str(self._root / name) not in exclude]
        joined = join(Listing(names), Listing(files))
        made = dict.fromkeys(names, "")
        for row in np.flatnonzero(joined.rows >= 0).tolist():
            made[names[joined.rows[row]]] = files[row]
        for name in names:
            if not made[name]:
                made[name] = direct.get(name) or self._direct_path(name, exclude)
        return made

    @cached_property
    def files(self) -> list[str]:
        """Files in the folder and below, as paths under it; links to folders are not followed."""
        return [name for names in self._by_stem.values() for name in names]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        if self._listed is not None:
            return self._listed._by_stem
        stems: dict[str, list[str]] = {}
        for folder, below, files in os.walk(self._root):
            below.sort()
            relative = Path(folder).relative_to(self._root).as_posix()
            start = "" if relative == "." else f"{relative}/"
            for file in sorted(files):
                if self._counts(file):
                    stems.setdefault(stem(file).casefold(), []).append(start + file)
        return stems

    def _counts(self, file: str) -> bool:
        suffix = os.path.splitext(file)[1].lower()
        return suffix not in BESIDE_SUFFIXES if self._suffixes is None else suffix in self._suffixes

    @cached_property
    def _by_uploaded_stem(self) -> dict[str, list[str]]:
        """Files by their stems without the prefix of an upload."""
        if self._listed is not None:
            return self._listed._by_uploaded_stem
        stems: dict[str, list[str]] = {}
        for name, files in self._by_stem.items():
            stems.setdefault(without_upload_prefix(name), []).extend(files)
        return stems

    def _candidates(self, file_name: str) -> list[str]:
        return self._by_uploaded_stem.get(without_upload_prefix(stem(file_name).casefold()), [])

    def _why(self, file_name: str) -> str:
        """Return why a name that means no file means none."""
        _, linked = self._direct(file_name)
        if linked or self._exact:
            return linked or NONE
        candidates = self._candidates(file_name)
        if not candidates:
            return NONE
        reasons = {REASONS[k] for k in join(Listing([file_name]), Listing(candidates)).reasons}
        if "split" in reasons:
            return OTHER_SPLIT
        if len(candidates) > 1:
            return f"{len(candidates)} files in the folder have this name"
        return SHARED

    def _direct(self, file_name: str) -> tuple[Path | None, str]:
        name = PurePosixPath(file_name.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or not self._counts(name.name):
            return None, ""
        return self._inside(name)

    def _direct_path(self, file_name: str, exclude: Collection[str]) -> str:
        if "\0" in file_name:
            return ""
        found, _ = self._direct(file_name)
        if found is None or str(found.resolve()) in exclude:
            return ""
        return found.relative_to(self.path).as_posix()

    def _inside(self, name: PurePosixPath) -> tuple[Path | None, str]:
        """Return an ordinary file of the folder, or None and what is wrong with a link there."""
        path = self.path / name
        try:
            real = path.resolve()
            if not real.is_relative_to(self._root):
                return None, ESCAPES
            if real.is_file():
                return path, ""
            return None, BROKEN if os.path.islink(path) and not real.exists() else ""
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long
            return None, BROKEN if os.path.islink(path) else ""
