"""Time model of annotation: seconds that people take, from published annotation times."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from curate.errors import CallError

VIEW_PX = 640.0
"""Longest side of an image as people see it, in screen pixels: that of COCO's images."""


@dataclass(frozen=True)
class AnnotationTimes:
    """Seconds of each action of a person; none of them was measured with a segmenter's help.

    The time of drawing goes with the length of the outline on the screen. COCO's polygons took 22
    worker hours for 1,000 masks; less the first click that is 0.205 s a pixel, as the outlines of
    COCO's masks are 375 px long on average in images whose longest side is 640 px. Freehand
    outlines of single large objects were measured at 54 s by others, a half of that a pixel.

    Attributes:
        judge_s: A mask is looked at and accepted, or rejected. 1.6 s: yes or no to a box
            (Papadopoulos et al. 2016, arXiv 1602.08405).
        search_s: An image is searched for objects without a mask. 7.8 s: median of the coverage
            verification of an image (Su, Deng and Fei-Fei 2012).
        locate_s: The first click on an object. 2.4 s: the median click on the first object of a
            class in an image (Bearman et al. 2016, arXiv 1506.02106).
        click_s: A further click. 0.9 s: the median click on each further object of that class
            (Bearman et al. 2016).
        draw_s_per_px: Drawing, a screen pixel of outline. From 79.2 s a mask (Lin et al. 2014,
            arXiv 1405.0312); 54 s: Jain and Grauman 2013, "Predicting sufficient annotation
            strength for interactive foreground segmentation".
    """

    judge_s: float = 1.6
    search_s: float = 7.8
    locate_s: float = 2.4
    click_s: float = 0.9
    draw_s_per_px: float = 0.205

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                what = f"{field.name} is {value:g}"
                raise CallError(what, "annotation times", "give 0 seconds or more")

    def scaled(self, name: str, factor: float) -> AnnotationTimes:
        """Return the times with one of them multiplied.

        Args:
            name: An attribute of these times.
            factor: 0 or more.

        Raises:
            CallError: There is no such time, or the product is out of range.
        """
        known = [field.name for field in fields(self)]
        if name not in known:
            what = f"there is no time {name!r}"
            raise CallError(what, "annotation times", "use " + ", ".join(known))
        return replace(self, **{name: factor * getattr(self, name)})

    def draw(self, outline_px: float) -> float:
        """Return the seconds in which an outline of so many screen pixels is drawn."""
        return self.locate_s + self.draw_s_per_px * outline_px

    def fix(self, changed_px: float, outline_px: float) -> float:
        """Return the seconds in which a mask is looked at and made right.

        Args:
            changed_px: Length of the outline that is drawn anew, in screen pixels.
            outline_px: Length of the right outline; a mask is drawn from nothing where that is
                faster.
        """
        changed = self.click_s + self.draw_s_per_px * changed_px
        return self.judge_s + min(changed, self.draw(outline_px))
