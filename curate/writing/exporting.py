"""Writing of an audited dataset in any format that can be exported: losses, pictures, check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from curate.common import files
from curate.common.progress import MaskCounter, Progress
from curate.common.ranges import PICTURES
from curate.errors import CallError
from curate.formats.format import Format
from curate.policy.grammar import check_choice
from curate.store.audit import StoredAudit
from curate.writing.changes import Changes
from curate.writing.checked_write import Made
from curate.writing.exports import export_by_name
from curate.writing.exports.common_losses import find_losses, written_images
from curate.writing.exports.export import Export, Writer, WriterOptions
from curate.writing.exports.export_check import ExpectedExport, check_export, meant_images
from curate.writing.exports.losses import Losses
from curate.writing.exports.pictures import with_pictures
from curate.writing.final_dataset import FinalDataset
from curate.writing.naming import refuse_ending
from curate.writing.provenance import ExportNotes
from curate.writing.splitting import SplitOptions, SplitPlan, plan_split


@dataclass(frozen=True)
class ExportChoices:
    """What is asked of an export; each is an argument of :func:`curate.write`.

    Attributes:
        to: The name of the format.
        masks: How pixels are stored where the format has a choice.
        pictures: What is done with pictures; None: what is usual for the format.
        split: How it is split; None: not.
        lossy: Whether what the format cannot carry may be lost.
        folder: Whether the output is to be a folder, where one file would do.

    Raises:
        CallError: There is no such option.
    """

    to: str
    masks: str = "same"
    pictures: str | None = None
    split: SplitOptions | None = None
    lossy: bool = False
    folder: bool = False

    def __post_init__(self) -> None:
        check_choice(self.pictures, "--images", PICTURES)


@dataclass(frozen=True)
class Exporting:
    """An export that is about to be made.

    Attributes:
        choices: What was asked for.
        export: The format.
        dataset: What is to be written.
        writer: What writes it.
        losses: What will be lost.
        split: The split of each image; None for no splits.
    """

    choices: ExportChoices
    export: Export
    dataset: FinalDataset
    writer: Writer
    losses: Losses
    split: SplitPlan | None = None

    @classmethod
    def of(
        cls,
        audit: StoredAudit,
        read: tuple[Path, Format],
        found: Changes,
        choices: ExportChoices,
    ) -> Exporting:
        """Open an export and find its losses; nothing is written.

        Args:
            audit: The audit.
            read: Its source, and the format of that.
            found: What changes.
            choices: What is asked for.

        Raises:
            CallError: The format cannot hold this dataset, whatever may be lost, or an option
                cannot be used.
        """
        export, split = export_by_name(choices.to), None
        source, form = read
        dataset = FinalDataset(audit, form, found.edits, source)
        certified = None if found.plan is None else found.plan.certified
        if certified is not None and len(certified.images):
            dataset = replace(dataset, only=certified.keeps)
        if choices.split is not None:
            split = plan_split(dataset, choices.split)
            dataset = replace(dataset, split_of=split.split_of)
        usual = "copy" if export.needs_pictures else "none"
        options = WriterOptions(
            choices.masks,
            split.names if split else (),
            choices.pictures or usual,
            folder=choices.folder,
        )
        _check_pictures(export, dataset, options)
        writer = export.open(dataset, options)
        losses = find_losses(dataset, export, writer, choices.lossy)
        return cls(choices, export, dataset, writer, losses, split)

    def mark_left_out(self, found: Changes) -> Changes:
        """Return the changes with masks as removed that cannot be ignore regions in it."""
        gone = [one for one, text in self.losses.of_masks.items() if "ignored" in text.split("; ")]
        rows = found.rows.copy()
        rows.loc[rows["mask_id"].isin(gone) & (rows["change"] == "ignored"), "change"] = "removed"
        return replace(found, rows=rows)

    def lines(self) -> list[str]:
        """Return the lines for people: splits, losses."""
        lines = [] if self.split is None else self.split.lines()
        lines += self.losses.lines()
        ids = "" if self.export.holds.mask_ids else "; masks have no ids in it, or new ones"
        if self.writer.options.pictures == "none" and self.dataset.pictures is not None:
            lines.append("the pictures are not in it (see --images)")
        known = "images, masks, categories and scores"
        return [*lines, f"written anew: other fields of the source than {known} are not in it{ids}"]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON and the provenance."""
        return {
            "format": self.export.name,
            "images": self.writer.options.pictures,
            "split": None if self.split is None else self.split.as_dict(),
            "losses": self.losses.as_dict(),
        }

    def notes(self) -> ExportNotes:
        """Return the notes for the provenance."""
        split_of = None if self.split is None else self.split.split_of
        return ExportNotes(
            self.as_dict(), self.losses.of_masks, split_of, self.dataset.first_free_id
        )

    def refuse_ending(self, out: Path) -> None:
        """Check that the output's name is that of a folder, or of such a file.

        Raises:
            CallError: It is that of another kind of file.
        """
        folder = self.writer.is_folder(self.export)
        refuse_ending(out, "" if folder else self.export.suffix)

    def write(
        self, made: Path, out: Path, progress: Progress | None = None, masks: int = 0
    ) -> Made:
        """Write the dataset and read it back.

        Args:
            made: Where it is made.
            out: Where it will stand, for messages.
            progress: Called with progress.
            masks: About how many masks there are, for it; 0 where not known.

        Raises:
            CallError: Something would be lost and nobody said that it may be.
            AuditError: It cannot be written, or holds something else than what was meant.
        """
        self.losses.refuse(self.export.title, str(self.dataset.audit.path))
        export, writer, meant = self.export, self.writer, ExpectedExport()
        images = written_images(self.dataset, export, writer)
        with files.convert_write_errors(out):
            if writer.is_folder(export):
                files.mkdir(made)
            images = with_pictures(images, writer, made)
            written = MaskCounter(progress, "writing", masks)
            writer.write(meant_images(images, writer, export.holds, meant, written), made)
        found = check_export(self.dataset, export, writer, meant, made, out, progress)
        lost = self.losses
        return Made(found.version, writer.stored, found.places, lost.left_out, lost.renumbered)


def _check_pictures(export: Export, dataset: FinalDataset, options: WriterOptions) -> None:
    """Check that there are pictures where a format needs them, or they are asked for.

    Raises:
        CallError: There are none.
    """
    if export.needs_pictures and options.pictures == "none":
        what = f"{export.title} needs the pictures, and is of no use without them"
        raise CallError(what, "--images", "use --images copy or --images link")
    if dataset.pictures is not None or not options.puts_pictures:
        return
    known = "the audit has none, or not where they were"
    what = f"pictures are to be in it, and {known}"
    do = "audit the dataset with --images FOLDER (of a video its frames), or leave --images out"
    if export.needs_pictures:
        what = f"{export.title} needs the pictures, and {known}"
        do = "audit the dataset with --images FOLDER, or choose another format"
    raise CallError(what, str(dataset.audit.path), do)
