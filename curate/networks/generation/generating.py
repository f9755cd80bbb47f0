"""Mask generation for a folder of images, and reselection from stored candidates."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from curate import __version__
from curate.common import files
from curate.common.json_values import JsonObject
from curate.common.locks import hold_directory, refuse_locked
from curate.common.progress import Progress
from curate.common.readable_result import ReadableResult
from curate.errors import AuditError, CallError, SourceError
from curate.formats.sa1b.sa1b_files import CANDIDATES
from curate.images import ImageFolder
from curate.images.image_folder import SUFFIXES
from curate.networks.generation.generation_folder import (
    GenerationIdentity,
    GenerationRecord,
    ImageSummary,
    InputImage,
    claim_folder,
    hash_selection,
    list_pictures,
    part_path,
    read_candidates,
    read_info,
    read_pictures,
    read_summary,
    write_image,
    write_info,
)
from curate.networks.generation.mask_candidates import ImageTimings, PromptRun, propose
from curate.networks.generation.mask_choice import REASONS, select_masks
from curate.networks.generation.recipe import Recipe, load_recipe
from curate.networks.loading import load_segmenter
from curate.networks.runtime.devices import AdaptiveBatches
from curate.networks.segmenters.segmenter import Segmenter

AnyRecipe = str | Path | JsonObject | Recipe

POINT_BATCH = 64
_MAX_LISTED = 1000


@dataclass(frozen=True, repr=False)
class Generation(ReadableResult):
    """A finished generation on disk, an SA-1B dataset.

    Attributes:
        path: The directory.
        about: ``generation.json``: recipe, segmenter, counts by reason, timings, findings.
    """

    path: Path
    about: GenerationRecord = field(repr=False)

    @property
    def recipe(self) -> Recipe:
        """Recipe by which its masks were selected."""
        return Recipe(**self.about["recipe"])

    @property
    def counts(self) -> dict[str, int]:
        """Candidates by reason; "kept" are the masks, and the sum is the number of candidates."""
        return dict(self.about["counts"])

    def candidates(self) -> Iterator[pa.Table]:
        """Yield each image's candidates, with the reason why each is a mask or not."""
        for picture in read_pictures(self.path):
            if part_path(self.path, picture).exists():
                yield read_candidates(self.path, picture)

    def text(self) -> str:
        """Return a summary as lines of text."""
        about, counts, recipe = self.about, self.counts, self.recipe
        images = f"{about['images']['done']:,} images"
        if about["images"]["not_opened"]:
            images += f", {about['images']['not_opened']:,} could not be opened"
        segmenter, seconds = about["segmenter"], about["timings"]
        lines = [
            f"{images}; {segmenter['name']} on {segmenter['device']}, {segmenter['precision']}",
            *(f"  {f['file_name']}: {f['detail']}" for f in about["findings"][:5]),
            f"{sum(counts.values()):>12,}  candidates",
            *(
                f"{counts[reason]:>12,}  {reason}: {words.format(**vars(recipe))}"
                for reason, words in REASONS.items()
                if counts[reason] or reason == "kept"
            ),
            f"network {seconds['network_s']:.1f} s, all that follows {seconds['rest_s']:.1f} s",
        ]
        return "\n".join(lines)


def generate(
    images: str | Path,
    out: str | Path,
    *,
    segmenter: str | Segmenter,
    recipe: AnyRecipe = "sa1b",
    settings: Mapping[str, object] | None = None,
    device: str | None = None,
    batch: int = POINT_BATCH,
    restart: bool = False,
    only: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Generation:
    """Generate masks for the pictures of a folder, as an SA-1B dataset.

    What an earlier, interrupted run with the same arguments has done is kept.

    Args:
        images: A folder of pictures, with or without folders in it; or one picture.
        out: The directory to write; see :mod:`curate.networks.generation.generation_folder`.
        segmenter: A folder or hub name, or a loaded segmenter.
        recipe: A preset's name, a TOML file, a mapping of settings, or a recipe.
        settings: Settings over the recipe's, by their names in :class:`Recipe`.
        device: Where to run; the first GPU, else the CPU, if None.
        batch: Points answered together; halved where memory runs out.
        restart: Delete an earlier generation.
        only: Paths of some pictures under the folder, with ``/``; None for all. What the directory
            holds of others stays.
        progress: Called with (stage, images done, images in all, masks just written).

    Returns:
        The finished generation. Pictures that do not open are findings of it.

    Raises:
        CurateError: The recipe, the segmenter, ``images`` or ``out`` cannot be used.
    """
    chosen = load_recipe(recipe, settings)
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise CallError(f"batch is {batch!r}", "generate", "give a whole number from 1")
    source = Path(images)
    names = list_pictures_below(source) if only is None else list(only)
    model = _load(segmenter, device)
    run = _GenerationRun(Path(out), chosen, progress)
    folder = ImageFolder(source if source.is_dir() else source.parent)
    identity: GenerationIdentity = {
        "folder of images": str(source.resolve()),
        "segmenter": model.fingerprint,
        "recipe": chosen.prompt_settings,
        "selection": chosen.selection_settings,
    }
    with hold_directory(run.out, "generate"):
        _remove_abandoned(run.out)
        run.begin(identity, model, restart)
        crops = 1 if model.device == "cpu" else 4
        asking = PromptRun(model, chosen, AdaptiveBatches(crops), AdaptiveBatches(batch))
        run.all(list_pictures(run.out, run.readable(names)), folder, asking)
        return run.end()


def reselect(
    out: str | Path,
    *,
    recipe: AnyRecipe | None = None,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> Generation:
    """Select masks again from the stored candidates, without the network.

    Args:
        out: The directory of a generation.
        recipe: What to choose by; what the directory was last chosen by if None.
        settings: Settings over the recipe's.
        progress: As in :func:`generate`.

    Raises:
        AuditError: There is no generation, or it was interrupted.
        CallError: A setting is not one that can be moved afterwards, or a cut lies under what was
            kept.
    """
    _open(Path(out), ("choosing", "complete"))
    with hold_directory(Path(out), "generate --again"):
        _remove_abandoned(Path(out))
        before = _open(Path(out), ("choosing", "complete"))
        wanted = load_recipe(before.recipe if recipe is None else recipe, settings)
        wanted = _change_cuts(wanted, before, settings or {})
        run = _GenerationRun(before.path, wanted, progress, before.about)
        run.identity["selection"] = wanted.selection_settings
        run.note("choosing")
        run.all(read_pictures(before.path))
        return run.end()


def _remove_abandoned(out: Path) -> None:
    """Remove unfinished files of killed runs."""
    for folder in (out, out / CANDIDATES):
        if folder.is_dir():
            files.remove_abandoned(folder)


def _change_cuts(wanted: Recipe, before: Generation, settings: Mapping[str, object]) -> Recipe:
    """Return a recipe that differs from the stored one in its cuts only."""
    kept = before.recipe
    for cut in ("pred_iou", "stability"):
        floor, value = getattr(kept, f"keep_{cut}"), getattr(wanted, cut)
        if value < floor:
            raise CallError(
                f"{cut} {value:g} is under {floor:g}, and what lies lower was only counted",
                str(before.path),
                f"give {floor:g} or more, or generate again with a lower keep_{cut}",
            )
        if f"keep_{cut}" not in settings:
            wanted = replace(wanted, **{f"keep_{cut}": floor})
    for name, value in kept.prompt_settings.items():
        if value != wanted.prompt_settings[name]:
            what = f"{name} was {value} when the network was asked"
            raise CallError(what, str(before.path), "generate into another directory")
    return wanted


def open_generation(out: str | Path) -> Generation:
    """Open a finished generation.

    Raises:
        AuditError: There is none, or it was interrupted.
    """
    return _open(Path(out), ("complete",))


def _open(out: Path, states: tuple[str, ...]) -> Generation:
    about = read_info(out) if out.is_dir() else None
    if about is None:
        raise AuditError("there is no generation here", str(out), "run `curate generate` first")
    if about["state"] not in states:
        refuse_locked(out)
        raise AuditError(
            "the generation was interrupted", str(out), "run the same `curate generate` again"
        )
    return Generation(out, about)


def _load(segmenter: str | Segmenter, device: str | None) -> Segmenter:
    if not isinstance(segmenter, str | Path):
        return segmenter
    return load_segmenter(str(segmenter), device=device)


def list_pictures_below(source: Path) -> list[str]:
    """List the pictures of a folder, in order; a name that is no text is left to be found missing.

    Args:
        source: The folder, or one picture. Hidden files and folders are left out.

    Returns:
        Paths under the folder, with ``/``.

    Raises:
        SourceError: There are none.
    """
    if source.is_file():
        return [source.name]
    if not source.is_dir():
        raise SourceError("there is no such folder of images", str(source), "check the path")
    names = []
    for folder, below, listed in os.walk(source):
        below[:] = sorted(name for name in below if not name.startswith("."))
        parent = Path(folder).relative_to(source)
        names += [
            (parent / name).as_posix()
            for name in sorted(listed)
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
        ]
    if not names:
        raise SourceError("it holds no pictures", str(source), "check the path")
    return names


class _GenerationRun:
    """A run that brings every image of a directory up to one recipe, and counts the results."""

    def __init__(
        self,
        out: Path,
        recipe: Recipe,
        progress: Progress | None,
        before: GenerationRecord | None = None,
    ) -> None:
        self.out, self.recipe, self.progress = out, recipe, progress
        self.findings: list[dict[str, str]] = list(before["findings"]) if before else []
        self.not_opened: int = before["images"]["not_opened"] if before else 0
        if before:
            self.identity, self.segmenter = before["identity"], before["segmenter"]
        self.counts: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self.seconds: Counter[str] = Counter({"network_s": 0.0, "rest_s": 0.0})
        self.done = 0

    def begin(self, identity: GenerationIdentity, model: Segmenter, restart: bool) -> None:
        claim_folder(self.out, identity, restart)
        self.identity = identity
        self.segmenter = {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "device": model.device,
            "precision": model.precision,
        }
        self.note("generating")

    def note(self, state: str) -> None:
        record: GenerationRecord = {
            "curate_version": __version__,
            "state": state,
            "identity": self.identity,
            "segmenter": self.segmenter,
            "recipe": vars(self.recipe),
            "images": {"done": self.done, "not_opened": self.not_opened},
            "counts": dict(self.counts),
            "timings": dict(self.seconds),
            "findings": self.findings[:_MAX_LISTED],
        }
        write_info(self.out, record)

    def all(
        self,
        pictures: list[InputImage],
        folder: ImageFolder | None = None,
        asking: PromptRun | None = None,
    ) -> None:
        """Bring every image up to date; generate missing ones if ``asking`` is given."""
        for number, picture in enumerate(pictures, 1):
            facts = read_summary(self.out, picture)
            if facts is not None:
                facts = self._select_again(picture, facts)
            elif folder is not None and asking is not None:
                facts = self._run_network(picture, folder, asking)
            if facts is not None:
                self.done += 1
                self.counts.update(facts.counts)
                self.seconds.update({"network_s": facts.network_s, "rest_s": facts.rest_s})
            if self.progress:
                masks = facts.counts["kept"] if facts else 0
                self.progress("generating", number, len(pictures), masks)

    def end(self) -> Generation:
        self.note("complete")
        return _open(self.out, ("complete",))

    def readable(self, names: list[str]) -> list[str]:
        """Return the names that are valid text; record the others as findings."""
        good = []
        for name in names:
            shown = name.encode("utf-8", "backslashreplace").decode()
            if shown == name:
                good.append(name)
            else:
                self._miss(shown, "unreadable", "its name is no text in UTF-8")
        return good

    def _miss(self, file_name: str, status: str, detail: str) -> None:
        self.not_opened += 1
        self.findings.append({"file_name": file_name, "status": status, "detail": detail})

    def _select_again(self, picture: InputImage, facts: ImageSummary) -> ImageSummary:
        """Choose again where another choice was made, or the JSON is gone."""
        if facts.choice == hash_selection(self.recipe) and (self.out / picture.document).exists():
            return facts
        candidates = read_candidates(self.out, picture)
        chosen = select_masks(candidates, facts.height, facts.width, self.recipe)
        facts = replace(facts, choice=hash_selection(self.recipe), counts=chosen.counts())
        write_image(self.out, picture, candidates, chosen, facts)
        return facts

    def _run_network(
        self, picture: InputImage, folder: ImageFolder, asking: PromptRun
    ) -> ImageSummary | None:
        """Ask the network; None where the picture does not open, which is noted."""
        name = picture.file_name
        found = folder.find(name)
        if found is not None and found != folder.path / name:
            self._miss(name, "missing", "its file went away")  # another one is called alike
            return None
        image = folder.load(name)
        if image is None:
            seen = folder.inspect(name, (0, 0))
            self._miss(name, seen.status, seen.detail)
            return None
        height, width = image.shape[:2]
        clock = ImageTimings()
        candidates = propose(image, picture.image_id, asking, clock)
        chosen = select_masks(candidates, height, width, self.recipe)
        clock.rest_s += clock.lap()
        facts = ImageSummary(
            hash_selection(self.recipe),
            height,
            width,
            chosen.counts(),
            clock.network_s,
            clock.rest_s,
        )
        write_image(self.out, picture, candidates, chosen, facts)
        return facts
