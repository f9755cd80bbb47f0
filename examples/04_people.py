"""Let people review a random sample, learn from what they decide, and certify an acceptance.

python examples/04_people.py WORK
"""

import sys
from pathlib import Path

import pandas as pd

import curate
from curate.demo_dataset import make_demo


def main(work: Path) -> None:
    data = make_demo(work / "dataset", images=24)
    audit = curate.audit(data.source, work / "audit", images=data.pictures)
    kinds = data.masks["kind"]
    bad = set(kinds.index[kinds != ""])

    for kind, masks in (("estimate", 150), ("errors", 60), ("learn", 60)):
        queue = work / f"{kind}.csv"
        print(curate.write_queue(audit.path, queue, kind=kind, budget=masks))
        rows = pd.read_csv(queue)  # people fill the column `decision`; here the truth does
        rows["decision"] = ["reject" if key in bad else "accept" for key in rows["source_key"]]
        rows.to_csv(work / f"{kind}.done.csv", index=False)
        done = curate.import_decisions(work / f"{kind}.done.csv", audit.path, reviewer="ann")
        print(done.text())

    print(curate.learn(audit.path).text())
    found = curate.certify(audit.path, max_bad=0.1, confidence=0.9)
    print(f"certified: {found.share:.0%} of the masks")
    print(curate.estimate(audit.path).frame().to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
