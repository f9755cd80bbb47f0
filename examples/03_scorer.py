"""A signal of your own: masks in, numbers out.

    python examples/03_scorer.py WORK

To have it in every audit, name it in your package's entry points:

    [project.entry-points."curate.scorers"]
    border = "my_package:BORDER"
"""

import sys
from pathlib import Path

import pandas as pd

import curate
from curate.demo_dataset import make_demo
from curate.scorers.scorer import Column, Scorer


def border(table: curate.MaskTable) -> pd.DataFrame:
    """Return 0 for masks that touch the image border, else 1; NaN for empty masks."""
    m = table.masks
    right, bottom = m["bbox_x"] + m["bbox_w"], m["bbox_y"] + m["bbox_h"]
    free = (m["bbox_x"] > 0) & (m["bbox_y"] > 0) & (right < m["width"]) & (bottom < m["height"])
    return pd.DataFrame({"border_score": free.astype("float64").where(m["area_px"] > 0)})


BORDER = Scorer("border", border, (Column("border_score", "Whole", low_means="it may go on"),))


def main(work: Path) -> None:
    table = curate.read(make_demo(work / "dataset", images=8).source)
    print(BORDER(table)["border_score"].value_counts(dropna=False).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
