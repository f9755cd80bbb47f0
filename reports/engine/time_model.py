"""The study's time model: where its constants come from, how they are varied, and a check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from curate.demo_dataset import AnnotationTimes

FACTORS = (0.5, 1.0, 2.0)
"""By which each constant is multiplied, one at a time."""

SOURCES: dict[str, tuple[str, str]] = {
    "judge_s": (
        "yes or no to a proposed box, 1.6 s",
        "Papadopoulos et al. 2016, We don't need no bounding-boxes (arXiv 1602.08405)",
    ),
    "search_s": (
        "median of an image's coverage verification (is every object covered?), 7.8 s",
        "Su, Deng and Fei-Fei 2012, Crowdsourcing annotations for visual object detection",
    ),
    "locate_s": (
        "the click on the first object of a class in an image, median 2.4 s",
        "Bearman et al. 2016, What's the point (arXiv 1506.02106)",
    ),
    "click_s": (
        "the click on each further object of that class, median 0.9 s; taken for a further click",
        "Bearman et al. 2016, What's the point (arXiv 1506.02106)",
    ),
    "draw_s_per_px": (
        "22 worker hours for 1,000 polygons are 79.2 s a mask; less locate_s, over 375 px: the "
        "mean outline of 911 COCO masks in images whose longest side is 640 px",
        "Lin et al. 2014, Microsoft COCO (arXiv 1405.0312)",
    ),
}
"""What each constant was measured as, and by whom; none with the help of a segmenter."""

OTHERS = (
    ("54 s: an exact outline of the one object of an image", "Jain and Grauman 2013 (ICCV)"),
    ("20 s: a sloppy outline of it", "Jain and Grauman 2013 (ICCV)"),
    ("7 s: four extreme points", "Papadopoulos et al. 2017 (arXiv 1708.02750)"),
    ("25.5 s: a box, median", "Su, Deng and Fei-Fei 2012"),
)
"""Published times that the model does not use: a drawing rate half as high is within them."""

SAM_FIRST_S, SAM_LAST_S = 34.0, 14.0
"""Seconds a mask at the start and the end of SAM's first stage (arXiv 2304.02643): for a check
afterwards only, nothing is fitted to them."""


def variations() -> Iterator[tuple[str, float, AnnotationTimes]]:
    """Yield the times as published ("", 1), and with each constant at half and at double."""
    times = AnnotationTimes()
    yield "", 1.0, times
    for field in fields(times):
        for factor in FACTORS:
            if factor != 1:
                yield field.name, factor, times.scaled(field.name, factor)
