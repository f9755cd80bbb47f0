"""The server against a plain model: several people, kills, lost answers, clocks that jump."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asgi import App
from hand_clock import HandClock
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from machine import LEASE_S, Model, Page, mask_of
from random_cases import draws
from scenes import write_scenes

from curate.common import files
from curate.people.reviews import open_reviews
from curate.people.reviews.outcomes import resolve_outcomes
from curate.rle import encode_counts, from_dense
from curate.store.audit import open_audit

PEOPLE = ("ann", "bea", "cid")
people = st.integers(0, len(PEOPLE) - 1)
choice = st.integers(0, 10**6)


class Killed(BaseException):
    """The process ended here."""


class Reviewing(RuleBasedStateMachine):
    """People at one or two servers on one audit.

    Clocks: every page's own is right; the servers' is set forward and back. It is set only while
    no event waits that no server has seen: how old such an event is, nobody could tell.
    """

    template: Path
    servers = 1

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="curate-machine-"))
        shutil.copytree(self.template, self.folder / "audit")
        self.audit = open_audit(self.folder / "audit")
        self.hands, self.model = HandClock(), Model()
        self.pages = [Page(name, k % self.servers) for k, name in enumerate(PEOPLE)]
        self.apps: list[App] = []
        self.changed = True

    @initialize(overlap=st.sampled_from([0, 0, 4]))
    def begin(self, overlap: int) -> None:
        """Show the ranking, or a draw of which two people see some masks."""
        self.twice: set[int] = set()
        masks = self.audit.query("select mask_id from masks order by 1")["mask_id"].tolist()
        if overlap:
            twice = masks[:overlap]
            slots = [0] * len(masks) + [1] * overlap
            drawn = pd.DataFrame({"mask_id": masks + twice, "slot": slots})
            reviews = open_reviews(self.audit, create=True, clock=self.hands.clock)
            reviews.record_draw("learn", drawn.assign(place=range(1, len(drawn) + 1)), {})
            self.twice = set(twice)
        self.kind = "learn" if overlap else None
        self.masks = masks
        self.apps = [self.opened() for _ in range(self.servers)]

    def opened(self) -> App:
        return App(self.audit, self.hands.clock, kind=self.kind)

    # --- what a page does on its own ------------------------------------------------------------

    def held(self, page: Page, which: int) -> str | None:
        """Return an item on the screen; a page that has none asks for some."""
        if not page.held:
            self.ask_for(page, 3)
        items = list(page.held)
        return items[which % len(items)] if items else None

    @rule(
        person=people,
        which=choice,
        action=st.sampled_from(["accept", "reject", "fix"]),
        at_once=st.booleans(),
    )
    def decide(self, person: int, which: int, action: str, at_once: bool) -> None:
        page = self.pages[person]
        if (item := self.held(page, which)) is None:
            return
        fix = {"counts": None, "category": "another"} if action == "fix" else {}
        page.steps.append(page.put(self.hands, "decide", item=item, action=action, **fix))
        del page.held[item]
        self.send_all(page, at_once)

    @rule(person=people, which=choice)
    def skip(self, person: int, which: int) -> None:
        page = self.pages[person]
        if (item := self.held(page, which)) is not None:
            page.steps.append(page.put(self.hands, "skip", item=item))
            del page.held[item]

    @rule(person=people, image=st.integers(0, 1), category=st.sampled_from(["a", "b"]))
    def add_missing(self, person: int, image: int, category: str) -> None:
        page = self.pages[person]
        place = (page.reviewer, image, category)
        waiting = [e for _, e in page.outbox if "missing" in e["type"]]
        if not waiting and not self.model.missing.get(place):  # each is drawn once
            more = {"image_id": str(image), "category": category, "counts": small_mask(image)}
            page.steps.append(page.put(self.hands, "missing", **more))

    @precondition(lambda self: any(page.steps for page in self.pages))
    @rule(which=choice, at_once=st.booleans())
    def undo(self, which: int, at_once: bool) -> None:
        able = [page for page in self.pages if page.steps]
        page = able[which % len(able)]
        self.take_back(page, page.steps.pop())
        self.send_all(page, at_once)

    def take_back(self, page: Page, step: dict[str, Any]) -> None:
        if step["type"] == "missing":
            same = {name: step[name] for name in ("image_id", "category", "counts")}
            page.put(self.hands, "withdraw_missing", of=step["key"], **same)
            return
        item = step["item"]
        if step["type"] == "skip":
            page.put(self.hands, "unskip", item=item)
        else:
            page.put(self.hands, "withdraw", of=step["key"], item=item)
        page.held = {item: 0.0} | page.held  # whether it is still its own, the server says

    # --- what is asked of the server ------------------------------------------------------------

    def send_all(self, page: Page, at_once: bool) -> None:
        while at_once and page.outbox:
            self.send(page, lost=False)

    @rule(
        person=people,
        count=st.integers(1, 6),
        narrow=st.sampled_from([None, None, None, "x" * 5, "blob 1"]),
        lost=st.sampled_from([False, False, False, True]),
    )
    def ask(self, person: int, count: int, narrow: str | None, lost: bool) -> None:
        self.ask_for(self.pages[person], count, narrow, lost=lost)

    def ask_for(
        self, page: Page, count: int, narrow: str | None = None, *, lost: bool = False
    ) -> None:
        more = {} if narrow is None else {"filter": {"category": narrow}}
        holding = [*page.held, *page.pending()]
        app = self.apps[page.server]
        status, answer = page.ask(app, "/api/next", count=count, holding=holding, **more)
        assert status == 200, answer
        if lost:
            return
        for item in answer["gone"]:
            if item not in page.pending():
                page.held.pop(item, None)
        now = self.hands.passed_us / 1e6
        for card in answer["cards"]:
            self.check_nobody_else_has(card["item"], page, now)
        fresh = [card["item"] for card in answer["cards"]]
        page.held |= dict.fromkeys([*page.held, *fresh], now + LEASE_S)
        self.check_progress(answer["progress"])

    def check_nobody_else_has(self, item: str, page: Page, now: float) -> None:
        """A mask goes to one person at a time, or to two where two are to see it."""
        others = [x for x in self.pages if x is not page and x.held.get(item, 0) > now]
        most = 2 if mask_of(item) in self.twice else 1
        assert len(others) < most, (item, page.reviewer, [x.reviewer for x in others])

    def check_progress(self, progress: dict[str, int]) -> None:
        if not self.twice:
            settled = [mask for mask, what in self.model.changes().items() if what != "unsettled"]
            assert progress["decided"] == len(settled)
            assert progress["total"] == len(self.masks)

    def send(self, page: Page, *, lost: bool) -> None:
        client, events = page.batch()
        app, now = self.apps[page.server], page.now_ms(self.hands)
        status, answer = page.ask(app, "/api/events", client, now=now, events=events)
        assert status == 200, answer
        assert answer["refused"] == [], answer["refused"]
        assert answer["done"] == [event["key"] for event in events]
        until = self.hands.passed_us / 1e6 + LEASE_S
        for event in events:
            self.model.carry_out(page.reviewer, event)
            # A mask whose decision is taken back is leased to the page that made it.
            if event["type"] == "withdraw" and event["item"] in page.held and client == page.client:
                page.held[event["item"]] = until
        self.changed = True
        if not lost:
            page.outbox = page.outbox[len(events) :]

    def waiting(self, which: int) -> Page:
        able = [page for page in self.pages if page.outbox]
        return able[which % len(able)]

    @precondition(lambda self: any(page.outbox for page in self.pages))
    @rule(which=choice, lost=st.sampled_from([False, False, True]))
    def send_some(self, which: int, lost: bool) -> None:
        self.send(self.waiting(which), lost=lost)

    # --- what goes wrong ------------------------------------------------------------------------

    @rule(which=choice)
    def kill_server(self, which: int) -> None:
        """Nothing that a server has in memory outlives it; its files do."""
        at = which % self.servers
        self.apps[at].close()
        self.apps[at] = self.opened()

    @precondition(lambda self: any(page.outbox for page in self.pages))
    @rule(which=choice, nth=st.integers(0, 4))
    def kill_server_while_it_writes(self, which: int, nth: int) -> None:
        """The n-th commit of a request is its last deed, or is not done; nobody is answered."""
        page = self.waiting(which)
        left = [nth]

        def hook(operation: str, path: Path) -> None:
            if operation == "commit":
                left[0] -= 1
                if left[0] < 0:
                    raise Killed(str(path))

        client, events = page.batch()
        body = {"now": page.now_ms(self.hands), "events": events}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(files, "_hook", hook)
            with suppress(Killed):
                page.ask(self.apps[page.server], "/api/events", client, **body)
        self.apps[page.server].close()
        self.apps[page.server] = self.opened()
        self.carry_out_what_stands(page, events)

    def carry_out_what_stands(self, page: Page, events: list[dict[str, Any]]) -> None:
        """Bring the model to what a killed server has written: a first part of what was sent."""
        with open_reviews(self.audit).connect() as connection:
            kept = {
                key
                for table in ("decisions", "withdrawn", "missing")
                for (key,) in connection.execute(f"select key from {table}")
            }
        rows = [e for e in events if e["type"] not in ("skip", "unskip")]
        stand = [e["key"] in kept for e in rows]
        assert stand == sorted(stand, reverse=True)  # never a later one without an earlier one
        for event, is_kept in zip(rows, stand, strict=True):
            if is_kept:
                self.model.carry_out(page.reviewer, event)
        self.changed = True

    @rule(person=people)
    def kill_browser(self, person: int) -> None:
        """What the store holds is there again; the screen and what undo knew are not."""
        page = self.pages[person]
        server = (page.server + 1) % self.servers
        self.pages[person] = Page(page.reviewer, server, outbox=page.outbox)

    @precondition(lambda self: any(page.outbox for page in self.pages))
    @rule(which=choice)
    def move_the_file_away_and_back(self, which: int) -> None:
        page, path = self.waiting(which), self.audit.path / "reviews.sqlite"
        aside = path.with_name("aside")
        path.rename(aside)
        client, events = page.batch()
        body = {"now": page.now_ms(self.hands), "events": events}
        assert page.ask(self.apps[page.server], "/api/events", client, **body)[0] == 503
        assert page.ask(self.apps[page.server], "/api/next", count=1, holding=[])[0] == 503
        assert not path.exists()
        aside.rename(path)

    @rule(seconds=st.sampled_from([1, 89, 120, 599, 700]))
    def wait(self, seconds: int) -> None:
        self.hands.wait(seconds)

    @rule(seconds=st.sampled_from([-400 * 86400, -3600, -1, 1, 3600, 400 * 86400]))
    def set_clock(self, seconds: int) -> None:
        waiting = [event["key"] for page in self.pages for _, event in page.outbox]
        past = self.hands.wall_us / 1e6 + seconds < 365 * 86400
        if self.model.done.issuperset(waiting) and not past:
            self.hands.jump(seconds)

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def what_stands_is_what_the_model_says(self) -> None:
        if not self.apps or not self.changed:
            return
        self.changed = False
        reviews = open_reviews(self.audit)
        kept = reviews.decisions()
        said = {row.key: (row.mask_id, row.reviewer, row.action) for row in kept.itertuples()}
        assert len(said) == len(kept)
        assert said == self.model.standing()
        missing = reviews.missing()
        rows = zip(missing["reviewer"], missing["image_id"], missing["category"], strict=True)
        assert sorted(rows) == sorted(k for k, stands in self.model.missing.items() if stands)
        with reviews.connect() as connection:
            found = resolve_outcomes(connection, "majority")["change"].to_dict()
        assert found == self.model.changes()

    def teardown(self) -> None:
        try:
            if self.apps:
                self.finish()
        finally:
            for app in self.apps:
                app.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self) -> None:
        """All is sent in the end, and every mask that is open goes to somebody who may have it."""
        for page in self.pages:
            while page.outbox:
                self.send(page, lost=False)
        self.what_stands_is_what_the_model_says()
        self.hands.wait(LEASE_S + 1)
        changes = self.model.changes()
        open_ = {mask for mask in self.masks if changes.get(mask, "unsettled") == "unsettled"}
        late = Page("dan", 0)
        status, answer = late.ask(self.apps[0], "/api/next", count=48, holding=[])
        given = {mask_of(card["item"]) for card in answer["cards"]}
        assert status == 200
        assert given >= open_ if self.twice else given == open_


def small_mask(image: int) -> str:
    """Return the compressed counts of a mask on one of the two images."""
    pixels = np.zeros((240, 320 + 40 * image), bool)
    pixels[9:14, 9:14] = True
    return str(encode_counts(from_dense(pixels)).to_pylist()[0].decode())


@pytest.fixture(scope="module")
def few_masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of two images, all masks of which people are to review; it has no pictures."""
    audit, _ = write_scenes(tmp_path_factory.mktemp("machine"), images=2, masks_each=6)
    part = audit.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    masks["action"] = "review"
    masks.to_parquet(part, index=False)
    info = audit.info.as_dict()
    info["source"]["fingerprint"] = "0123456789abcdef0123456789abcdef"
    (audit.path / "audit.json").write_text(json.dumps(info))
    return audit.path


@pytest.mark.hypothesis
@pytest.mark.parametrize("servers", [1, 2])
def test_the_server_does_what_the_model_says(few_masks: Path, servers: int) -> None:
    machine = type("Reviewing", (Reviewing,), {"template": few_masks, "servers": servers})
    run_state_machine_as_test(machine, settings=draws(4))
