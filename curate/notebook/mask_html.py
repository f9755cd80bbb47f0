"""One mask, or a grid of them, as notebooks show them: HTML, PNG, and words."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from PIL import Image, ImageDraw

from curate.common.arrays import IntArray
from curate.dataset.notes import count_noun
from curate.images import Box, Rectangle
from curate.render.crops import data_uri
from curate.render.formatting import count, display_text, number, score

MINE, BESIDE, MARK, GROUND = "#ffdc4a", "#4bd7ff", "#ff7ad9", "#22272d"
"""Colours of the outline, of the second one, of declared boxes and prompts, and of the ground where
there is no picture."""

SIDE = 420
"""Longer side in pixels of a mask that stands alone."""

TILE = 190
"""Longer side in pixels of a mask in a grid."""

PICTURE_BYTES = 60_000
"""File size that the crop of one mask takes, about; in a grid a quarter of it."""

MOST_SCORES = 8

ACROSS = 4
"""Masks beside each other in a PNG of a grid."""


@dataclass(frozen=True, repr=False)
class MaskView:
    """A mask drawn on a crop of its picture, with what is known of it.

    Notebooks show it as a picture with its reasons and scores beside it.

    Attributes:
        mask_id: Which mask.
        row: Its columns in the audit, without the pixels.
        scores: (title, value) of its scores: the quality first, then the lowest first.
        box: The window of the image that is shown; None where the mask has no place.
        picture: The crop, at most 400 pixels wide and high; None where there is no picture.
        why: Why there is none.
        rings: Closed outlines along the edges of the pixels, holes too: corners (x, y) of shape
            (k, 2), in pixels of the image from the window's corner.
        beside: The same of the mask that it repeats or that people drew in its place.
        beside_is: What that is, in words; "" for none.
        declared: Box that the source declares, where it is not that of the pixels: XYWH from the
            window's corner.
        point: Where it was prompted: (x, y) from the window's corner.
    """

    mask_id: int
    row: Mapping[str, Any]
    scores: Sequence[tuple[str, float]]
    box: Box | None
    picture: Image.Image | None
    why: str
    rings: Sequence[IntArray] = field(default=())
    beside: Sequence[IntArray] = field(default=())
    beside_is: str = ""
    declared: Rectangle | None = None
    point: tuple[float, float] | None = None

    @property
    def reasons(self) -> list[str]:
        """Why it is not simply accepted, or what people decided."""
        return [r.strip() for r in str(self.row.get("reasons") or "").split("; ") if r.strip()]

    def __repr__(self) -> str:
        category = display_text(self.row.get("category"))
        lines = [f"mask {self.mask_id}, {category}: {self.row.get('action') or 'not decided'}"]
        lines += [f"  {display_text(reason)}" for reason in self.reasons]
        lines += [f"  {title}: {score(value)}" for title, value in self.scores[:MOST_SCORES]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = Markup("").join(
            Markup("<tr><th style='text-align:left'>{}</th><td>{}</td></tr>").format(*pair)
            for pair in self._facts()
        )
        page = Markup(
            "<div style='display:flex;gap:16px;flex-wrap:wrap;align-items:flex-start'>{}"
            "<table>{}</table></div>"
        )
        return str(page.format(self.svg(SIDE, PICTURE_BYTES), rows))

    def _facts(self) -> Iterator[tuple[str, str]]:
        row = self.row
        yield "mask", str(self.mask_id)
        yield "category", display_text(row.get("category"))
        by = f" (by {row['decided_by']})" if row.get("decided_by") else ""
        yield "action", f"{row.get('action') or 'not decided'}{by}"
        for reason in self.reasons:
            yield "reason", display_text(reason)
        if self.beside_is:
            yield "second outline", self.beside_is
        if self.declared:
            yield "dashed box", "as the source declares it"
        if self.point:
            yield "dot", "the point it was prompted with"
        for title, value in self.scores[:MOST_SCORES]:
            yield title, score(value)
        yield "area", f"{number(row.get('area_px'))} px"
        yield "image", display_text(row.get("file_name"))
        if self.picture is None:
            yield "picture", self.why

    def svg(self, side: int = SIDE, most_bytes: int = PICTURE_BYTES) -> Markup:
        """Return the drawing as SVG, for pages.

        Args:
            side: Longer side in pixels.
            most_bytes: File size that the crop takes, about.
        """
        if self.box is None:
            return Markup("<em>{}</em>").format(self.why)
        w, h = self.box.w, self.box.h
        scale = side / self.box.longest
        shown = Markup("<rect width='{}' height='{}' fill='{}'/>").format(w, h, GROUND)
        if self.picture is not None:
            shown = Markup(
                "<image href='{}' width='{}' height='{}' preserveAspectRatio='none' "
                "style='image-rendering:pixelated'/>"
            ).format(data_uri(self.picture, most_bytes), w, h)
        lines = Markup("").join(
            Markup(
                "<path d='{}' fill='none' stroke='{}' stroke-width='2' "
                "vector-effect='non-scaling-stroke'{}/>"
            ).format(_path(rings), colour, Markup(" stroke-dasharray='5 3'") if dashed else "")
            for rings, colour, dashed in ((self.beside, BESIDE, True), (self.rings, MINE, False))
            if len(rings)
        )
        return Markup(
            "<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='mask {}' "
            "viewBox='0 0 {} {}' width='{}' height='{}'>{}{}{}</svg>"
        ).format(
            self.mask_id, w, h, round(w * scale), round(h * scale), shown, lines, self._marks()
        )

    def _marks(self) -> Markup:
        """Return the declared box and the prompt as SVG."""
        marks = Markup("")
        if self.declared:
            marks += Markup(
                "<rect x='{}' y='{}' width='{}' height='{}' fill='none' stroke='{}' "
                "stroke-width='1.5' stroke-dasharray='4 3' vector-effect='non-scaling-stroke'/>"
            ).format(*self.declared, MARK)
        if self.point and self.box:
            radius = self.box.longest / 80
            marks += Markup("<circle cx='{}' cy='{}' r='{}' fill='{}'/>").format(
                *self.point, radius, MARK
            )
        return marks

    def image(self, side: int = SIDE) -> Image.Image:
        """Return the drawing as a picture in RGB, ``side`` pixels on its longer side."""
        if self.box is None:
            return Image.new("RGB", (side, side), GROUND)
        scale = side / self.box.longest
        size = (max(1, round(self.box.w * scale)), max(1, round(self.box.h * scale)))
        made = Image.new("RGB", size, GROUND)
        if self.picture is not None:
            grows = self.picture.width < size[0]
            how = Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS
            made = self.picture.convert("RGB").resize(size, how)
        pen = ImageDraw.Draw(made)
        for rings, colour in ((self.beside, BESIDE), (self.rings, MINE)):
            for ring in rings:
                points = [(x * scale, y * scale) for x, y in ring.tolist()]
                pen.line([*points, points[0]], fill=colour, width=2)
        if self.declared:
            x, y, w, h = (scale * v for v in self.declared)
            pen.rectangle((x, y, x + w, y + h), outline=MARK)
        if self.point:
            x, y = (scale * v for v in self.point)
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=MARK)
        return made

    def _repr_png_(self) -> bytes:
        return _png(self.image())


@dataclass(frozen=True, repr=False)
class MaskGallery:
    """Masks beside each other, the first of the queue first.

    Attributes:
        masks: Those that are drawn.
        total: Masks of which the condition holds.
        where: The condition; "" for all masks.
    """

    masks: Sequence[MaskView]
    total: int
    where: str = ""

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[MaskView]:
        return iter(self.masks)

    def __getitem__(self, index: int) -> MaskView:
        return self.masks[index]

    def __repr__(self) -> str:
        of = f" where {self.where}" if self.where else ""
        ids = ", ".join(str(one.mask_id) for one in self.masks)
        head = f"{len(self.masks):,} of {count_noun(self.total, 'mask')}{of}"
        return f"{head}: {ids}" if ids else head

    def _repr_html_(self) -> str:
        tiles = Markup("").join(
            Markup(
                "<figure style='margin:0;width:{}px'>{}<figcaption>{}</figcaption></figure>"
            ).format(TILE, one.svg(TILE, PICTURE_BYTES // 4), _caption(one))
            for one in self.masks
        )
        shown, total = count(len(self.masks)), count_noun(self.total, "mask")
        head = Markup("<p>{} of {}{}</p>").format(
            shown, total, f" where {self.where}" if self.where else ""
        )
        flow = Markup(
            "<div style='display:flex;gap:12px;flex-wrap:wrap;align-items:flex-start'>{}</div>"
        )
        return str(head + flow.format(tiles))

    def image(self, tile: int = TILE) -> Image.Image:
        """Return all as one picture in RGB, ``tile`` pixels for the longer side of each."""
        step = tile + 8
        across = max(1, min(ACROSS, len(self.masks)))
        down = max(1, -(-len(self.masks) // across))
        sheet = Image.new("RGB", (across * step, down * step), "white")
        for k, one in enumerate(self.masks):
            sheet.paste(one.image(tile), (k % across * step + 4, k // across * step + 4))
        return sheet

    def _repr_png_(self) -> bytes:
        return _png(self.image())


def _caption(one: MaskView) -> Markup:
    reasons = one.reasons
    first = display_text(reasons[0]) if reasons else ""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return Markup("<strong>{}</strong> {}, {}<br><small>{}{}</small>").format(
        one.mask_id,
        display_text(one.row.get("category"), 40),
        one.row.get("action") or "not decided",
        first,
        more,
    )


def _path(rings: Sequence[IntArray]) -> str:
    """Return rings as SVG path data."""
    return "".join("M" + "L".join(f"{x} {y}" for x, y in ring.tolist()) + "z" for ring in rings)


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
