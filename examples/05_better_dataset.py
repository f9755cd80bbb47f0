"""Let people decide on the likeliest errors, and write the dataset as they left it.

python examples/05_better_dataset.py WORK
"""

import sys
from pathlib import Path

import pandas as pd

import curate
from curate.demo_dataset import make_demo


def main(work: Path) -> None:
    data = make_demo(work / "dataset", images=8)
    audit = curate.audit(data.source, work / "audit", images=data.pictures)

    queue = work / "queue.csv"
    curate.write_queue(audit.path, queue, budget=12)
    rows = pd.read_csv(queue)  # people fill the column `decision`; here the truth does
    bad = data.masks["kind"].reindex(rows["source_key"]).to_numpy() != ""
    rows["decision"] = ["reject" if b else "accept" for b in bad]
    rows.to_csv(work / "done.csv", index=False)
    print(curate.import_decisions(work / "done.csv", audit.path, reviewer="ann").text())

    print(audit.masks(["decided_by"])["decided_by"].value_counts().to_string())
    print(curate.write(audit, work / "better.json").text())
    print(curate.diff(data.source, work / "better.json").text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
