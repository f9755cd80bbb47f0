"""Writing of an audited dataset in any format that can be exported: losses, pictures, check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.common import files
from curate.formats.edits import Edits
from curate.formats.format import Format
from curate.store.audit import Audit
from curate.writing.exports import export_by_name
from curate.writing.exports.common_losses import find_losses, written_images
from curate.writing.exports.export import Export, Writer, WriterOptions
from curate.writing.exports.export_check import ExpectedExport, check_export, meant_images
from curate.writing.exports.losses import Losses
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
        dataset = FinalDataset(audit, form, edits)
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
            writer.write(meant_images(images, writer, export.holds, meant), made)
        found = check_export(self.dataset, export, writer, meant, made, out)
        lost = self.losses
        return Made(found.version, writer.stored, found.places, lost.left_out, lost.renumbered)
