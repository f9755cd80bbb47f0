"""Cases of what people do to an audit: import, certify, estimate, queue, report."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from boxes import HEIGHT, WIDTH, annotation, box, dataset
from fault_harness import Case, audit_content, content
from PIL import Image

import curate
from curate.api import bulk_decisions, certifying, external_judges, importing, learning
from curate.people.reviews.current_plan import open_audit


def prepare_audit(folder: Path, source: dict[str, Any] | None = None) -> None:
    """Audit three images with four boxes each."""
    (folder / "in.json").write_text(json.dumps(dataset() if source is None else source))
    curate.audit(folder / "in.json", folder / "out")


def seen(folder: Path) -> dict[str, Any]:
    """Return the audit, with what is in the plan by now."""
    found = audit_content(folder / "out")
    found.pop("people.parquet", None)  # made when it is needed; what it says stands below
    kept = found.get("reviews.sqlite")
    if kept is not None and not any(rows for table, rows in kept.items() if table != "about"):
        del found["reviews.sqlite"]  # made, and nothing in it
    opened = open_audit(folder / "out")
    plan = opened.masks(["action", "reasons", "decided_by"]).sort_index()
    return found | {"plan": plan.to_csv()}


def is_bad(mask_id: int) -> bool:
    return mask_id % 3 == 0


# --- import --------------------------------------------------------------------------------------


def prepare_import(folder: Path) -> None:
    prepare_audit(folder)
    rows = [f"{k},{'reject' if is_bad(k) else 'accept'}" for k in range(1, 9)]
    (folder / "done.csv").write_text("\n".join(["mask_id,decision", *rows]) + "\n")


def run_import(folder: Path) -> None:
    curate.import_decisions(folder / "done.csv", folder / "out", reviewer="ann")


def no_report(run: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a verb that writes no report: one case with it is enough, since it takes long."""

    def quick(folder: Path) -> None:
        for module in (bulk_decisions, certifying, external_judges, importing, learning):
            vars(module)["renew_report"] = lambda *_: None
        run(folder)

    return quick


def limited(run: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a verb for which no file may become larger than a file ``limit`` says, if it is there.

    The system refuses to write beyond that, whoever writes: also SQLite, of which
    :mod:`curate.common.files` sees no write. If the file says "kill" too, that kills the process.
    """

    def on_small_disk(folder: Path) -> None:
        said = folder / "limit"
        if not said.exists():
            return run(folder)
        size, _, deadly = said.read_text().partition(" ")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if deadly:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), before[1]))
        try:
            return run(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return on_small_disk


def prepare_import_again(folder: Path) -> None:
    """Import decisions where others stand, and a plan that knows them."""
    prepare_import(folder)
    run_import(folder)
    rows = [f"{k},{'accept' if is_bad(k) else 'reject'}" for k in range(5, 12)]
    (folder / "done.csv").write_text("\n".join(["mask_id,decision", *rows]) + "\n")


def prepare_corrected(folder: Path) -> None:
    """Give back a COCO file in which a mask is gone, one redrawn and one new."""
    prepare_audit(folder)
    changed = dataset()
    del changed["annotations"][2]
    changed["annotations"][0] = annotation(1, 1, box(2, 6, 10, 9))
    changed["annotations"].append(annotation(99, 3, box(20, 28, 9, 9)))
    (folder / "done.json").write_text(json.dumps(changed))


def run_corrected(folder: Path) -> None:
    curate.import_decisions(
        folder / "done.json", folder / "out", reviewer="ann", assume_reviewed=True
    )


def prepare_take_back(folder: Path) -> None:
    prepare_corrected(folder)
    run_corrected(folder)


def run_take_back(folder: Path) -> None:
    curate.take_back(folder / "done.json", folder / "out")


def run_bulk(folder: Path) -> None:
    curate.fix(folder / "out", where="mask_id < 9", reviewer="ann", restate=True)


def prepare_undo(folder: Path) -> None:
    prepare_audit(folder)
    run_bulk(folder)


def run_undo(folder: Path) -> None:
    curate.undo(folder / "out", 1)


# --- a random sample, and what is learned of it --------------------------------------------------


def many_boxes(images: int) -> dict[str, Any]:
    """Return images of four boxes each, of which some have a hole or a second piece."""
    source = dataset()
    source["images"] = [
        {"id": k, "file_name": f"{k}.png", "height": HEIGHT, "width": WIDTH} for k in range(images)
    ]
    source["annotations"] = []
    for number in range(4 * images):
        pixels = box(12 * (number % 4) + 1, 5, 8 + number % 2, 10 + number % 5)
        if is_bad(number):
            pixels[8:10, 12 * (number % 4) + 4] = False
            pixels[30:33, 12 * (number % 4) + 1 : 12 * (number % 4) + 4] = True
        source["annotations"].append(annotation(number, number // 4, pixels))
    return source


def prepare_sample(folder: Path) -> None:
    """Let people decide on a random sample of 60 of 160 masks."""
    prepare_audit(folder, many_boxes(40))
    opened = open_audit(folder / "out")
    drawn = folder / "queue.csv"
    curate.write_queue(opened.path, drawn, kind="estimate", budget=60, seed=1)
    rows = pd.read_csv(drawn)
    rows["decision"] = ["reject" if m % 6 == 0 else "accept" for m in rows["mask_id"]]
    rows.to_csv(folder / "done.csv", index=False)
    curate.import_decisions(folder / "done.csv", opened.path, reviewer="ann")


def run_certify(folder: Path) -> None:
    curate.certify(folder / "out", max_bad=0.4)


def run_estimate(folder: Path) -> None:
    curate.estimate(folder / "out")


def run_report(folder: Path) -> None:
    curate.report(folder / "out", folder / "page.html")


def seen_report(folder: Path) -> dict[str, Any]:
    return content(folder / "page.html") if (folder / "page.html").exists() else {}


# --- queues --------------------------------------------------------------------------------------


def prepare_pictures(folder: Path) -> None:
    """Audit images that have pictures."""
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for k in (1, 2, 3):
        pixels = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{k}.png")
    (folder / "in.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "in.json", folder / "out", images=folder / "images")


def queue_to(name: str, to: str | None, **options: Any) -> Callable[[Path], None]:
    """Return what draws a queue and writes it."""

    def run(folder: Path) -> None:
        curate.write_queue(folder / "out", folder / name, to=to, **options)

    return run


def seen_queue(folder: Path) -> dict[str, Any]:
    """Return the queue's files, and which draws are recorded."""
    found = seen(folder)
    if "reviews.sqlite" not in found:
        return found  # a file whose draw is not recorded is removed by the next run
    for path in sorted(folder.glob("queue*")):
        inside = content(path)
        found |= {f"{path.name}/{name}": data for name, data in inside.items()}
    return found


SAMPLE = {"kind": "estimate", "budget": 8, "seed": 1}
QUEUES = {
    "queue": queue_to("queue.csv", None, **SAMPLE),
    "queue for two": queue_to("queue.csv", None, **SAMPLE, overlap=0.5),
    "queue as JSON": queue_to("queue.json", None, **SAMPLE),
    "queue as COCO": queue_to("queue", "coco", **SAMPLE),
    "queue for CVAT": queue_to("queue.zip", "cvat", **SAMPLE),
    "queue for Label Studio": queue_to("queue", "label-studio", **SAMPLE),
    "queue for Hugging Face": queue_to("queue", "huggingface", **SAMPLE),
}

CASES = {
    "import": Case(prepare_import, run_import, seen),
    "import again": Case(prepare_import_again, limited(no_report(run_import)), seen),
    "import of a corrected file": Case(prepare_corrected, no_report(run_corrected), seen),
    "import taken back": Case(prepare_take_back, no_report(run_take_back), seen),
    "decision in bulk": Case(prepare_audit, no_report(run_bulk), seen),
    "decision in bulk undone": Case(prepare_undo, no_report(run_undo), seen),
    "certify": Case(prepare_sample, no_report(run_certify), seen),
    "estimate": Case(prepare_sample, no_report(run_estimate), seen),
    "report": Case(prepare_audit, run_report, seen_report),
    **{name: Case(prepare_pictures, run, seen_queue) for name, run in QUEUES.items()},
}
