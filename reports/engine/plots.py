"""The figure: mean IoU of the finished dataset over people's hours, an arm a line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from arms import ENGINE, MANUAL, NAMES, ONCE
from goals import Results, arm_curve

from curate.demo_dataset import AnnotationTimes

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from drawing import Panel, draw

STEPS = 200


def draw_hours(path: Path, results: Results) -> None:
    """Draw the mean over seeds of each arm's curve; after its end it stays where it is."""
    curves = {
        arm: [arm_curve(one, AnnotationTimes()) for one in results[arm].values()]
        for arm in (ENGINE, ONCE, MANUAL)
        if results.get(arm)
    }
    end = max(float(one.seconds[-1]) for some in curves.values() for one in some) / 3600
    hours = np.linspace(0, end, STEPS)
    lines = {
        NAMES[arm]: [
            (float(x), float(np.mean([np.interp(3600 * x, c.seconds, c.iou) for c in some])))
            for x in hours
        ]
        for arm, some in curves.items()
    }
    title = "What people's time brings"
    draw(path, [Panel(title, "people's hours", "mean IoU of the dataset", lines, x_end=end)])
