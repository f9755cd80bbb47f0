"""How much memory do hostile pictures take: in an audit, in its report, and in the review server?

    python reports/reliability/pictures.py [--only WORD] [--keep FOLDER]

Writes pictures.csv, a row a picture or mask file: peak memory, and what was said of it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIDE = 13_000
GOAL_MB = 600


def rectangle(x: int, y: int, w: int, h: int) -> list[list[int]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


MASKS = [(1000, 1000, 1000, 1000), (900, 5100, 40, 30), (100, 100, 12_800, 12_800)]


def dataset(folder: Path, pictures: list[Path]) -> Path:
    """Write a COCO file of three masks a picture, and the pictures beside it."""
    (folder / "images").mkdir(parents=True)
    images, masks = [], []
    for k, path in enumerate(pictures, 1):
        os.link(path, folder / "images" / path.name)
        images.append({"id": k, "file_name": path.name, "height": SIDE, "width": SIDE})
        for box in MASKS:
            one = {"id": len(masks) + 1, "image_id": k, "category_id": 1, "iscrowd": 0}
            area = box[2] * box[3]
            masks.append({**one, "bbox": box, "area": area, "segmentation": rectangle(*box)})
    made = {"images": images, "annotations": masks, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "a.json").write_text(json.dumps(made))
    return folder / "a.json"


def measured(command: list[str]) -> tuple[int, float, float, str]:
    """Run a command; return its exit code, peak memory in MB, seconds, and what it printed last.

    The peak is that of the largest process; this one is small, as a child begins as its copy.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
    seconds = time.perf_counter() - start
    return process.returncode, used.ru_maxrss * 1024 / 1e6, seconds, lines[-1] if lines else ""


ASKED = """
import sys, json, duckdb
out = sys.argv[1]
found = duckdb.sql(f"select * from '{out}/images/*.parquet' order by image_id").df()
masks = duckdb.sql(f"select * from '{out}/masks/*.parquet'").df()
said = []
for row in found.to_dict("records"):
    own = masks[masks.image_id == row["image_id"]]
    scored = own.edge_score.notna().sum() if "edge_score" in own else 0
    status = row.get("picture_status") or row.get("status")
    detail = row.get("picture_status_detail") or row.get("status_detail") or ""
    said.append([row["file_name"], str(status), str(detail), len(own), int(scored)])
bad = masks[masks.status != "ok"]
said += [["", s, d, 1, 0] for s, d in zip(bad.status, bad.status_detail)]
print(json.dumps(said))
"""


def audited(work: Path, source: Path, *options: str) -> list[dict[str, object]]:
    """Audit a dataset with one worker; return a row an image."""
    out = work / "audit"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "curate", "audit", str(source), "--out", str(out), *options]
    code, peak, seconds, last = measured(command)
    base = {"exit": code, "peak_mb": round(peak), "seconds": round(seconds, 1)}
    if code:
        return [{"file": source.name, **base, "status": "", "said": last}]
    done = subprocess.run([sys.executable, "-c", ASKED, str(out)], capture_output=True, check=True)
    keys = ("file", "status", "said", "masks", "edge_scores")
    return [{**base, **dict(zip(keys, row, strict=True))} for row in json.loads(done.stdout)]


def reviewed(audit: Path, masks: int) -> dict[str, object]:
    """Ask the review server for two views of every picture; return its peak memory."""
    command = [sys.executable, "-m", "curate", "review", str(audit), "--no-open", "--port", "0"]
    env = os.environ | {"XDG_STATE_HOME": str(audit.parent / "state")}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as server:
        assert server.stdout is not None
        url = server.stdout.readline().removeprefix("review: ").strip().rstrip("/")
        shown = missing = 0
        for mask in range(1, masks + 1, len(MASKS)):
            for asked in (f"{mask}?view=card", f"{mask + len(MASKS) - 1}?view=whole"):
                try:
                    with urllib.request.urlopen(f"{url}/api/picture/{asked}", timeout=300) as one:
                        shown += len(one.read()) > 0
                except urllib.error.HTTPError as error:
                    missing += error.code == 404
        text = Path(f"/proc/{server.pid}/status").read_text()
        peak = int(text.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
        server.terminate()
    seconds = round(time.perf_counter() - start, 1)
    said = f"{shown} views shown, {missing} answered with 404"
    return {"file": "(review server)", "exit": 0, "peak_mb": round(peak), "seconds": seconds} | {
        "status": "",
        "said": said,
        "masks": masks,
        "edge_scores": "",
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--hostile", type=Path, help="made before")
    asked = parser.parse_args()
    work = asked.keep or Path(tempfile.mkdtemp(dir=HERE.parents[1]))
    work.mkdir(exist_ok=True)
    hostile = asked.hostile or work / "hostile"
    if not hostile.exists():
        subprocess.run(
            [sys.executable, str(HERE / "hostile_pictures.py"), str(hostile)], check=True
        )
    rows: list[dict[str, object]] = []

    def add(more: list[dict[str, object]], what: str) -> None:
        for row in more:
            rows.append({"what": what, **row})
            print(*rows[-1].values(), sep=" | ", flush=True)

    pictures = sorted((hostile / "pictures").iterdir())
    for path in [one for one in pictures if asked.only in one.name]:
        shutil.rmtree(work / "set", ignore_errors=True)
        source = dataset(work / "set", [path])
        add(audited(work, source, "--images", str(work / "set" / "images")), "picture")
    for path in [one for one in sorted((hostile / "masks").iterdir()) if asked.only in one.name]:
        how = ("--format", "label-png") if path.name.startswith("label") else ()
        add(audited(work, path, "--images", "none", *how), "masks")
    if not asked.only or asked.only == "folder":
        shutil.rmtree(work / "set", ignore_errors=True)
        source = dataset(work / "set", pictures)
        add(audited(work, source, "--images", str(work / "set" / "images")), "folder")
        add([reviewed(work / "audit", 3 * len(pictures))], "folder")
    fields = [
        "what",
        "file",
        "exit",
        "peak_mb",
        "seconds",
        "status",
        "said",
        "masks",
        "edge_scores",
    ]
    if not asked.only:
        with (HERE / "pictures.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(rows)
    most = max(float(str(row["peak_mb"])) for row in rows)
    print(f"highest peak {most:.0f} MB; the goal is {GOAL_MB}")
    if asked.keep is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
