"""Audit a dataset, look at the worst masks, and write it back without the rejected ones.

python examples/01_audit.py WORK
"""

import sys
from pathlib import Path

import curate
from curate.demo_dataset import make_demo


def main(work: Path) -> None:
    data = make_demo(work / "dataset", images=8)

    audit = curate.audit(
        data.source,
        work / "audit",
        images=data.pictures,
        detections=data.detections,
        compare={"second": data.second_annotator},
    )
    masks = audit.masks(["category", "action", "reasons", "quality_score", "rank"])
    print(masks.sort_values("rank").head(5).to_string())

    print(audit.query("select category, avg(quality_score) from masks group by 1").to_string())

    print(curate.queue(audit.path, minutes=5)[["rank", "mask_id", "reasons"]].to_string())
    print(curate.prune(audit.path, work / "pruned.json").text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
