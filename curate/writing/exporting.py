"""Writing of an audited dataset in any format that can be exported: losses, pictures, check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from curate.common import files
from curate.errors import CallError
from curate.formats.edits import Edits
from curate.formats.format import Format
from curate.store.audit import Audit
from curate.writing.exports import export_by_name
from curate.writing.exports.common_losses import find_losses, written_images
from curate.writing.exports.export import Export, Writer, WriterOptions
from curate.writing.exports.export_check import ExpectedExport, check_export, meant_images
from curate.writing.exports.losses import Losses
from curate.writing.exports.pictures import with_pictures
from curate.writing.final_dataset import FinalDataset
from curate.writing.pruning import Made


@dataclass(frozen=True)
class Exporting:
    """An export that is about to be made.

    Attributes:
        export: The format.
        dataset: What is to be written.
        writer: What writes it.
        losses: What will be lost.
    """

    export: Export
    dataset: FinalDataset
    writer: Writer
    losses: Losses

    @classmethod
    def of(
        cls, audit: Audit, form: Format, edits: Edits, to: str, options: WriterOptions, lossy: bool
    ) -> Exporting:
        """Open an export and find its losses; nothing is written.

        Args:
            audit: The audit.
            form: The format of its source.
            edits: What changes.
            to: The name of the export.
            options: How it is made.
            lossy: Whether losses may be.

        Raises:
            CallError: The format cannot hold this dataset, whatever may be lost.
        """
        export = export_by_name(to)
        if options.pictures is None:
            usual = "copy" if export.needs_pictures else "none"
            options = replace(options, pictures=usual)
        dataset = FinalDataset(audit, form, edits)
        if export.needs_pictures:
            _check_pictures(export, dataset, options)
        writer = export.open(dataset, options)
        return cls(export, dataset, writer, find_losses(dataset, export, writer, lossy))

    def write(self, made: Path, out: Path) -> Made:
        """Write the dataset and read it back.

        Args:
            made: Where it is made.
            out: Where it will stand, for messages.

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
            writer.write(meant_images(images, writer, export.holds, meant), made)
        found = check_export(self.dataset, export, writer, meant, made, out)
        lost = self.losses
        return Made(found.version, writer.stored, found.places, lost.left_out, lost.renumbered)


def _check_pictures(export: Export, dataset: FinalDataset, options: WriterOptions) -> None:
    """Check that a format that needs pictures can have some.

    Raises:
        CallError: It cannot.
    """
    if options.pictures == "none":
        what = f"{export.title} needs the pictures: they tell the sizes of its images"
        raise CallError(what, "--images", "use --images copy or --images link")
    if dataset.pictures is None:
        what = f"{export.title} needs the pictures, and the audit has none, or not where they were"
        do = "audit the dataset with --images FOLDER, or choose another format"
        raise CallError(what, str(dataset.audit.path), do)
