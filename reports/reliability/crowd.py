"""Twenty people and two servers on one audit, all of them killed again and again: what is lost?

    python reports/reliability/crowd.py [--seconds 300]

Writes crowd.csv. The last of the people is a real Chromium, killed and opened again on its profile.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / name) for name in ("review", "performance", "_common")]

import pandas as pd  # noqa: E402
from person import read  # noqa: E402
from server import Server  # noqa: E402
from shapes import write_coco  # noqa: E402

from curate import audit  # noqa: E402
from curate.people.reviews import open_reviews  # noqa: E402
from curate.store.audit import open_audit  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = "chromium"
KILLS = 10
MASKS, COPIES = 1000, 30
LAST_S = 1.0
"""How long before its kill a browser may not have written down what was pressed."""


POLICY = {
    "accept": {"quality_at_least": 1.0},
    "rule": [
        {"when": "area_px > 0", "action": "review", "reason": "everything is shown", "p_bad": 0.5}
    ],
}


def queue_of(work: Path) -> Path:
    """Make an audit with all its masks in the queue; it holds each of some many times over."""
    write_coco(work / "masks.json", MASKS)
    path = audit(work / "masks.json", work / "audit", policy=POLICY).path
    for kind, names in (("masks", ("mask_id", "image_id")), ("images", ("image_id",))):
        (part,) = sorted((path / kind).glob("part-*.parquet"))
        own = pd.read_parquet(part).reset_index()
        copies = [
            own.assign(**{name: own[name] + k * MASKS * 10 for name in names})
            for k in range(COPIES)
        ]
        made = pd.concat(copies, ignore_index=True)
        if kind == "masks":
            made["rank"] = range(1, len(made) + 1)
        made.to_parquet(part, index=False)
    return path


class Browser:
    """A person's browser as a process of its own, and its store."""

    def __init__(self, work: Path, number: int, server: Server) -> None:
        self.name, self.server, self.number = f"person {number}", server, number
        self.store = work / f"person_{number}.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Open it, on the store that it had."""
        command = [sys.executable, str(HERE / "person.py"), str(self.store), self.name]
        self.process = subprocess.Popen([*command, str(self.server.port), str(self.number)])

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        """Let it send what it has, and end."""
        self.store.with_suffix(".stop").touch()
        assert self.process is not None
        if self.process.wait(120):
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}")


class Chromium(threading.Thread):
    """A person at a real browser, which kills it now and then and opens it again."""

    def __init__(self, work: Path, server: Server, seconds: float, kills: int) -> None:
        super().__init__()
        self.profile, self.server = work / "profile", server
        self.until, self.kills = time.monotonic() + seconds, kills
        self.each = seconds / (kills + 1)
        self.pressed: list[tuple[int, str]] = []
        self.times: list[float] = []
        self.kill_times: list[float] = []
        self.failed: Exception | None = None

    def run(self) -> None:
        """Review until it is time, then wait until all is saved."""
        from playwright.sync_api import sync_playwright

        try:
            with sync_playwright() as playwright:
                for k in range(self.kills + 1):
                    self._sit_down(playwright, last=k == self.kills)
        except Exception as error:
            self.failed = error

    def _sit_down(self, playwright: Any, *, last: bool) -> None:
        process, port = self._opened()
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        page = browser.contexts[0].pages[0]
        page.set_default_timeout(60_000)
        page.add_init_script(f"localStorage['curate-reviewer'] ??= {CHROMIUM!r}")
        self._visit(page)
        end = self.until if last else time.monotonic() + self.each
        chance = random.Random(len(self.pressed))
        while time.monotonic() < end:
            self._press(page, chance.choice("ar"))
        if last:
            page.wait_for_selector('#saved[data-state="saved"]')
            browser.close()
        else:
            self.kill_times.append(time.monotonic())
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def lost(self, kept: Counter[tuple[int, str]]) -> tuple[int, int]:
        """Return how many decisions are not on the disk: of the last second before a kill, others.

        A browser hands what a page keeps to another of its processes, which takes a moment.
        """
        gone = self.pressed_counts() - kept
        late = sum(
            gone[said] > 0 and any(0 <= end - at < LAST_S for end in self.kill_times)
            for said, at in zip(self.pressed, self.times, strict=True)
        )
        return late, gone.total() - late

    def pressed_counts(self) -> Counter[tuple[int, str]]:
        """Return how often each decision was made."""
        return Counter(self.pressed)

    def _opened(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start Chromium on its profile; return it and the port of its tools."""
        path = next(found for name in BROWSERS if (found := shutil.which(name)))
        named = self.profile / "DevToolsActivePort"
        named.unlink(missing_ok=True)
        for lock in self.profile.glob("Singleton*"):
            lock.unlink()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        flags += ["--disable-background-networking", "--no-first-run"]
        process = subprocess.Popen(
            [path, *flags, f"--user-data-dir={self.profile}", "about:blank"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (named.exists() and named.read_text().strip()):
            time.sleep(0.1)
        return process, int(named.read_text().split()[0])

    def _visit(self, page: Any) -> None:
        """Open the page; its server may just have been killed."""
        while True:
            with suppress(Exception):
                page.goto(f"http://127.0.0.1:{self.server.port}")
                return
            time.sleep(0.5)

    def _press(self, page: Any, key: str) -> None:
        """Decide on the mask that is shown, if there is one that can be seen."""
        shown = page.locator('#view-single:not([hidden]) #stage[data-ready="true"]')
        if shown.count():
            item = shown.get_attribute("data-item")
            page.keyboard.press(key)
            self.times.append(time.monotonic())
            self.pressed.append((int(item.partition(".")[0]), {"a": "accept", "r": "reject"}[key]))
        time.sleep(0.2)


def together(path: Path, work: Path, people: int, seconds: float) -> dict[str, float]:
    """Let all work, kill servers and browsers meanwhile, and compare what stands."""
    begin = time.monotonic()
    servers = [Server(path), Server(path)]
    for server in servers:
        server.start()
    browsers = [Browser(work, k, servers[k % 2]) for k in range(people - 1)]
    for browser in browsers:
        browser.start()
    real = Chromium(work, servers[0], seconds, KILLS // 2)
    real.start()
    chance = random.Random(0)
    for k in range(KILLS):
        time.sleep(seconds / (KILLS + 1) / 2)
        kill(servers[k % 2])
        time.sleep(seconds / (KILLS + 1) / 2)
        kill(chance.choice(browsers))
    time.sleep(seconds / (KILLS + 1))
    real.join(180)
    took = round(time.monotonic() - begin)
    for browser in browsers:
        browser.finish()
    for server in servers:
        server.kill()
    if real.failed:
        raise real.failed
    found = compared(path, [browser.store for browser in browsers], real)
    return {"people": people, "seconds": took, "servers killed": KILLS} | found


def kill(one: Server | Browser) -> None:
    """Kill a process and start it again a moment later."""
    one.kill()
    time.sleep(1.0)
    one.start()


def compared(path: Path, stores: list[Path], real: Chromium) -> dict[str, float]:
    """Hold what people's stores say against the file of decisions."""
    reviews = open_reviews(open_audit(path))
    with reviews.connect() as connection:
        rows = [key for (key,) in connection.execute("select key from decisions")]
        rows += [key for (key,) in connection.execute("select key from withdrawn")]
        own = "select mask_id, action from decisions where reviewer = ?"
        of_real = connection.execute(own, (CHROMIUM,)).fetchall()
    standing = reviews.decisions()
    lines = {store.stem: read(store) for store in stores}
    every = [line for some in lines.values() for line in some]
    put = {line["put"]["key"] for line in every if "put" in line}
    told = {key for line in every for key in line.get("done", [])}
    refused = [key for line in every for key in line.get("refused", [])]
    receivers: defaultdict[str, set[str]] = defaultdict(set)
    for name, some in lines.items():
        for line in some:
            for item in line.get("given", []):
                receivers[item].add(name)
    kept = Counter(of_real)
    late, lost = real.lost(kept)
    return {
        "browsers killed": sum("began" in line for line in every)
        - len(stores)
        + len(real.kill_times),
        "of them Chromium": len(real.kill_times),
        "decisions and takings back made": len(put) + len(real.pressed),
        "on the disk": len(rows),
        "decisions that stand": len(standing),
        "lost: made, not on the disk": len(put - set(rows)) + lost,
        "lost: pressed in Chromium within a second of its kill": late,
        "lost: acknowledged, not on the disk": len(told - set(rows)),
        "doubled: on the disk twice": len(rows)
        - len(set(rows))
        + (kept - real.pressed_counts()).total(),
        "doubled: a mask decided by two": int(standing["mask_id"].duplicated().sum()),
        "masks given to two people": sum(len(names) > 1 for names in receivers.values()),
        "refused": len(refused),
        "times without a server": sum("away" in line for line in every),
        "pressed in Chromium": len(real.pressed),
    }


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        found = together(queue_of(work), work, 20, given.seconds)
    rows = [{"what": what, "value": value} for what, value in found.items()]
    pd.DataFrame(rows).to_csv(HERE / "crowd.csv", index=False)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
