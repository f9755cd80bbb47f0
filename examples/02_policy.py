"""Decide an audit anew under a policy of your own: seconds, nothing is scored again.

python examples/02_policy.py WORK
"""

import sys
from pathlib import Path

import curate
from curate.demo_dataset import make_demo

POLICY = """
name = "strict about holes"
extends = "default"

[cost]
category = { cherry = 3.0 }

[[rule]]
when = "hole_area_px >= 20"
action = "reject"
reason = "has {hole_count:.0f} holes, {hole_area_px:.0f} px in all"
"""


def main(work: Path) -> None:
    audit = curate.audit(make_demo(work / "dataset", images=8).source, work / "audit")
    print(audit.info.counts["actions"])
    (work / "policy.toml").write_text(POLICY)
    again = curate.decide(audit.path, policy=work / "policy.toml")
    print(again.info.counts["actions"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
