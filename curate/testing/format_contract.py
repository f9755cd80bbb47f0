"""Contract suite of formats."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pytest

from curate import rle
from curate.common import files
from curate.dataset.table import MaskTable, concat
from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import Format, Part

STRANGERS = (
    b"",
    b"hello",
    b"{",
    b'{"images": 3}',
    b"\x89PNG\r\n\x1a\n",
    b"<annotations>",
    b"PK\3\4",
)
"""Contents of files that are of no format."""


class ListedMask(NamedTuple):
    """A mask as it can be found again whatever its number: its image, category and pixels."""

    image: str
    category: str | None
    size: tuple[int, int]
    counts: bytes | None


def read_parts(format: Format, source: Path, work: Path) -> list[tuple[Part, MaskTable]]:
    """Return the parts of a source, and the masks of each; ``work`` is an empty folder."""
    return [(part, format.load(source, part)) for part in format.plan(source, work)]


def list_masks(table: MaskTable) -> list[ListedMask]:
    """Return all masks of a table, in its order."""
    masks, images = table.masks, table.images
    names = images["file_name"].where(images["file_name"].notna(), images["source_key"])
    labels = masks.get("category", pd.Series(None, masks.index, object))
    return [
        ListedMask(
            str(names[image]),
            None if pd.isna(label) else str(label),
            (int(height), int(width)),
            None if pd.isna(counts) else bytes(counts),
        )
        for image, label, height, width, counts in zip(
            masks["image_id"],
            labels,
            masks["height"],
            masks["width"],
            masks["segmentation"],
            strict=True,
        )
    ]


def content(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file, or of every file of a folder, by name."""
    if path.is_file():
        return {"": path.read_bytes()}
    found = sorted(one for one in path.rglob("*") if one.is_file())
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in found}


class FormatContract:
    """Contract of a format; subclass it as ``Test...``, write a dataset, and run pytest.

    Attributes:
        format: The format.
    """

    format: ClassVar[Format]

    def write_dataset(self, folder: Path) -> Path:
        """Write a dataset of the format, not with the format's own code.

        It has two images or more and three masks or more, one of them with several pixels, and an
        image with a pixel that no mask covers.

        Args:
            folder: An empty folder.

        Returns:
            The path that is given to curate.
        """
        raise NotImplementedError("write_dataset writes a dataset and returns its path")

    @pytest.fixture
    def tested(self) -> Format:
        """Return the format; override it, and ``source``, to test several."""
        return self.format

    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[Path]:
        """Write the dataset; when a test is over it is byte for byte as it was."""
        files.mkdir(tmp_path / "source")
        path = self.write_dataset(tmp_path / "source")
        before = content(tmp_path / "source")
        yield path
        assert content(tmp_path / "source") == before, "the source was changed"

    @pytest.fixture
    def table(self, tested: Format, source: Path, tmp_path: Path) -> MaskTable:
        """Read the dataset whole."""
        return self.read_back(tested, source, tmp_path / "work")

    def read_back(self, format: Format, path: Path, work: Path) -> MaskTable:
        """Read a dataset whole, with ``work`` as the folder for an index."""
        files.mkdir(work, exist_ok=True)
        return concat([table for _, table in read_parts(format, path, work)])

    def test_it_is_known_by_its_content(self, tested: Format, source: Path, tmp_path: Path) -> None:
        """``matches`` says yes to the dataset and no, never an error, to what is something else."""
        assert tested.matches(source)
        nothing = tmp_path / "nothing"
        files.mkdir(nothing)
        assert not tested.matches(nothing)
        assert not tested.matches(nothing / "missing")
        for k, data in enumerate(STRANGERS):
            file = tmp_path / f"stranger-{k}"
            files.write_bytes(file, data)
            assert not tested.matches(file), f"it takes {data!r} for its own"
            renamed = tmp_path / f"stranger-{k}{source.suffix}"
            files.write_bytes(renamed, data)
            assert tested.matches(renamed) in (True, False)

    def test_parts_are_whole_images_in_a_stable_order(
        self, tested: Format, source: Path, tmp_path: Path
    ) -> None:
        """Parts are numbered from 0, can be sent to other processes, and share no image."""
        works = [tmp_path / name for name in ("work", "again")]
        for work in works:
            files.mkdir(work)
        found = read_parts(tested, source, works[0])
        parts = [part for part, _ in found]
        assert [part.index for part in parts] == list(range(len(parts)))
        assert [part.index for part in tested.plan(source, works[1])] == list(range(len(parts)))
        images = [set(table.images["source_key"].fillna("")) for _, table in found]
        assert sum(map(len, images)) == len(set().union(*images)), "two parts share an image"
        for part, table in found:
            sent = tested.load(source, pickle.loads(pickle.dumps(part)))  # noqa: S301 (our own)
            pd.testing.assert_frame_equal(sent.masks, table.masks, check_exact=True)
            pd.testing.assert_frame_equal(sent.images, table.images, check_exact=True)
            if tested.images is not None:
                alone = tested.images(source, part)
                pd.testing.assert_frame_equal(alone, table.images, check_exact=True)

    def test_masks_are_named_and_readable(self, table: MaskTable) -> None:
        """Each mask has a source key of its own; the dataset has what the contract asks for."""
        assert len(table.images) >= 2
        assert len(table) >= 3
        assert table.masks["source_key"].notna().all()
        assert table.masks["source_key"].is_unique
        assert table.images["source_key"].notna().all()
        assert (table.masks["area_px"] > 1).any()
        assert set(table.masks["image_id"]) <= set(table.images.index)

    def test_without_edits_it_is_copied(
        self, tested: Format, source: Path, table: MaskTable, tmp_path: Path
    ) -> None:
        """Every byte is as it was."""
        out = self.write_edits(tested, source, Edits(), tmp_path)
        assert content(out) == content(source)
        assert tested.check_unedited(source, out, Edits()) == ""
        assert Counter(list_masks(self.read_back(tested, out, tmp_path / "work"))) == Counter(
            list_masks(table)
        )

    def test_a_copy_that_is_not_equal_is_noticed(
        self, tested: Format, source: Path, tmp_path: Path
    ) -> None:
        """``check_unedited`` finds a byte that is not as it was."""
        out = self.write_edits(tested, source, Edits(), tmp_path)
        largest = max(content(out).items(), key=lambda file: len(file[1]))
        damaged = bytearray(largest[1])
        damaged[len(damaged) // 2] ^= 1
        files.write_bytes(out / largest[0] if largest[0] else out, bytes(damaged))
        assert tested.check_unedited(source, out, Edits())

    def write_edits(self, format: Format, source: Path, edits: Edits, folder: Path) -> Path:
        """Write a dataset with edits and return its path; a trial run foretells what is stored.

        Args:
            format: The format.
            source: The dataset.
            edits: What changes.
            folder: Where the output goes.
        """
        out = folder / f"out{source.suffix}"
        before = content(folder)
        foretold = format.write(source, None, edits)
        assert content(folder) == before, "a trial run writes nothing"
        assert format.write(source, out, edits) == foretold
        return out

    def test_a_dropped_mask_goes_and_nothing_else(
        self, tested: Format, source: Path, table: MaskTable, tmp_path: Path
    ) -> None:
        """The other masks are as they were, as is what stands beside them."""
        edits = Edits(drop=frozenset({str(table.masks["source_key"].iloc[0])}))
        out = self.write_edits(tested, source, edits, tmp_path)
        left = list_masks(self.read_back(tested, out, tmp_path / "work"))
        assert Counter(left) == Counter(list_masks(table)[1:])
        assert tested.check_unedited(source, out, edits) == ""

    def test_a_redrawn_mask_has_its_new_pixels(
        self, tested: Format, source: Path, table: MaskTable, tmp_path: Path
    ) -> None:
        """Or it is refused in a sentence; what cannot be held to the pixel is stated as held."""
        row = int(np.flatnonzero(table.masks["area_px"] > 1)[0])
        key = str(table.masks["source_key"].iloc[row])
        pixels = rle.to_dense(table.runs, row)
        pixels[tuple(np.argwhere(pixels)[-1])] = False
        counts = bytes(rle.encode_counts(rle.from_dense(pixels))[0].as_py())
        edits = Edits(change={key: Change(counts)})
        wanted = list_masks(table)
        wanted[row] = wanted[row]._replace(counts=counts)
        self.check_written(tested, source, edits, wanted, row, key, tmp_path)

    def test_an_added_mask_is_there(
        self, tested: Format, source: Path, table: MaskTable, tmp_path: Path
    ) -> None:
        """Or it is refused in a sentence; its image and the other masks stay as they are."""
        masks, images = table.masks, table.images
        for image in images.index:
            rows = np.flatnonzero(masks["image_id"] == image)
            if len(rows):
                free = np.argwhere(~rle.to_dense(rle.merge(table.runs[rows]), 0))
                if len(free):
                    break
        else:
            raise AssertionError("the dataset has no image with a pixel that no mask covers")
        first = list_masks(table)[rows[0]]
        pixels = np.zeros(first.size, bool)
        pixels[tuple(free[0])] = True
        counts = bytes(rle.encode_counts(rle.from_dense(pixels))[0].as_py())
        new = Addition(
            str(images["source_key"][image]), counts, first.size[0], first.size[1], first.category
        )
        wanted = [*list_masks(table), first._replace(counts=counts)]
        edits = Edits(add=[new])
        self.check_written(tested, source, edits, wanted, len(wanted) - 1, 0, tmp_path)

    def check_written(
        self,
        format: Format,
        source: Path,
        edits: Edits,
        wanted: list[ListedMask],
        row: int,
        place: str | int,
        folder: Path,
    ) -> None:
        """Write edits and see that the masks are those that are wanted.

        Args:
            format: The format.
            source: The dataset.
            edits: What changes.
            wanted: All masks that must be there.
            row: Which of them is edited.
            place: What :attr:`Stored.held` calls it.
            folder: Where the output goes.
        """
        try:
            stored = format.write(source, None, edits)
        except CallError:
            return
        if place in stored.held:
            wanted[row] = wanted[row]._replace(counts=stored.held[place])
        out = self.write_edits(format, source, edits, folder)
        found = list_masks(self.read_back(format, out, folder / "work"))
        assert Counter(found) == Counter(wanted)
        assert format.check_unedited(source, out, edits) == ""

    def test_what_cannot_be_written_is_refused(
        self, tested: Format, source: Path, table: MaskTable, tmp_path: Path
    ) -> None:
        """A key that names nothing, and an output that exists: a CallError, and nothing is left."""
        out = tmp_path / f"out{source.suffix}"
        for place in (None, out):
            with pytest.raises(CallError):
                tested.write(source, place, Edits(drop=frozenset({"no such mask"})))
        assert not out.exists()
        files.write_bytes(out, b"mine")
        with pytest.raises(CallError):
            tested.write(source, out, Edits())
        assert out.read_bytes() == b"mine"
