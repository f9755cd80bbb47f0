"""Result of pruning or of its dry run: counts, JSON, text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, plural, short_version
from curate.subsets.effect import Effect
from curate.subsets.subset import Subset
from curate.writing.format_losses import FormLoss

LISTS_MASKS_ONLY = "coco-results"
"""A format in which an image without masks is not named."""


@dataclass(frozen=True, repr=False)
class PruneResult(ReadableResult):
    """Result of pruning, or of its dry run.

    Attributes:
        source: The dataset that was audited.
        format: The name of its format.
        effect: What stays and what goes, by category, size and image.
        form: What of it goes for format errors.
        subset: How the masks were chosen; None where only their actions count.
        out: What was written, read back and compared; None for a dry run.
        version: Content id of what was written; "" for a dry run.
        weights: The file of weights that was written instead; the effect is then that of these.
        provenance: The file that says what happened to each mask; None for a dry run.
        ignores: How the format marks ignore regions: "crowd", "void", "" where it has none.
    """

    source: Path
    format: str
    effect: Effect
    form: FormLoss
    subset: Subset | None = field(default=None, repr=False)
    out: Path | None = None
    version: str = ""
    weights: Path | None = None
    provenance: Path | None = None
    ignores: str = ""

    @property
    def kept(self) -> int:
        """Masks that stay, crowd regions among them."""
        return self.effect.masks.after + self.effect.crowds.after

    @property
    def dropped(self) -> int:
        """Masks that go, crowd regions among them; those that become ignore regions do not."""
        return self._before - self.kept - self.effect.ignored

    @property
    def _before(self) -> int:
        return self.effect.masks.before + self.effect.crowds.before

    @property
    def emptied_images(self) -> int:
        """Images that lose all their masks.

        They stay in the dataset, but for results lists, which name an image only where it has
        masks.
        """
        return self.effect.emptied_images

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "source": str(self.source),
            "format": self.format,
            "kept": self.kept,
            "dropped": self.dropped,
            "ignored": self.effect.ignored,
            "emptied_images": self.emptied_images,
            "effect": self.effect.as_dict(),
            "subset": None if self.subset is None else self.subset.as_dict(),
            "form": self.form.as_dict(),
            "out": None if self.out is None else str(self.out),
            "version": self.version or None,
            "provenance": None if self.provenance is None else str(self.provenance),
            "weights": None if self.weights is None else str(self.weights),
            "dry_run": self.out is None and self.weights is None,
        }

    def effect_text(self) -> str:
        """Return the effect as a table and in sentences."""
        return describe_effect(self.effect, self.subset, self.format, self.ignores)

    def text(self) -> str:
        """Return the result in a few lines; that of a dry run with its effect.

        Where something is written, the effect is shown before (:meth:`effect_text`).
        """
        if self.weights is not None:
            some = count_noun(self._before, "mask")
            total = f"{self.effect.masks.after:,} in all"
            return f"{self.effect_text()}\nwrote weights of {some}, {total}: {self.weights}"
        counts = f"{self.dropped:,} of {count_noun(self._before, 'mask')}"
        if self.out is None:
            lines = [f"would drop {counts}; nothing is written without --out", self.effect_text()]
            return "\n".join([*lines, *self.form.warnings()])
        ignored = self.effect.ignored
        regions = f" and {count_noun(ignored, 'ignore region')}" if ignored else ""
        lines = [
            f"dropped {counts}",
            f"wrote {self.out}, read it back: {count_noun(self.kept, 'mask')}{regions}, all equal",
            f"version {short_version(self.version)}",
            f"provenance: {self.provenance}",
        ]
        return "\n".join(lines)


def describe_effect(effect: Effect, subset: Subset | None, format: str, ignores: str) -> str:
    """Return the effect of a choice as a table and in sentences.

    Args:
        effect: What stays and what goes.
        subset: How the masks were chosen; None where only their actions count.
        format: The name of the format that is written.
        ignores: How it marks ignore regions; see :attr:`PruneResult.ignores`.
    """
    lines = [effect.text(), *emptied_text(effect.emptied_images, format)]
    if effect.ignored:
        some = count_noun(effect.ignored, "mask")
        become = plural(effect.ignored, "becomes an ignore region", "become ignore regions")
        how = {"crowd": "iscrowd 1", "void": "the void id"}.get(ignores, ignores)
        deleted = effect.masks.before - effect.masks.after - effect.ignored
        deleted += effect.crowds.before - effect.crowds.after
        lines.append(f"{some} that would leave {become} ({how}); {deleted:,} are deleted")
    if subset is not None:
        lines += [*subset.lines(), *_partial_text(effect.partial_images, ignores)]
    return "\n".join(lines)


def _partial_text(images: int, ignores: str) -> list[str]:
    if not images:
        return []
    some = f"{count_noun(images, 'image')} {plural(images, 'keeps', 'keep')} some masks only"
    see = "--ignore" if ignores else "--weights"
    return [f"{some}: training may take the objects without one for background (see {see})"]


def emptied_text(images: int, format: str) -> list[str]:
    """Say how many images have no mask any more; nothing where there are none."""
    if not images:
        return []
    some = f"{count_noun(images, 'image')} {plural(images, 'has', 'have')} no masks left"
    if format == LISTS_MASKS_ONLY:
        return [f"{some} and {plural(images, 'is', 'are')} not listed in it"]
    as_what = plural(images, "it as an image", "them as images")
    return [f"{some}: training will treat {as_what} without objects"]
