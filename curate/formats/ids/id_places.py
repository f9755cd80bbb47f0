"""Places of files of instance ids, and the layout that a dataset of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from curate.formats.ids.id_codes import IdCode


class IdPlace(NamedTuple):
    """A file of instance ids. Plain values.

    Attributes:
        name: Its path under the source.
        size: Its size in bytes.
        image: What its image is called: the picture's path where that is known, else ``name``.
        classes: Path of a PNG that has the class of each pixel; "" where there is none.
        subset: The split that the dataset says it is of; None where it says none.
        about: Path of a file that names the classes of its ids; "" where there is none.
        category: The class of all its masks; None where its place says none.
    """

    name: str
    size: int
    image: str
    classes: str = ""
    subset: str | None = None
    about: str = ""
    category: str | None = None


@dataclass(frozen=True)
class IdLayout:
    """Layout of a source.

    Attributes:
        title: What people call it; "" for no layout that has a name.
        folders: Paths under the source in which the ids are; those under them, too.
        code: How the ids are to be understood.
        of_classes: What the ids of :attr:`IdPlace.classes` are called.
    """

    title: str = ""
    folders: tuple[str, ...] = ("",)
    code: IdCode = field(default_factory=IdCode)
    of_classes: Mapping[int, str] = field(default_factory=dict)
