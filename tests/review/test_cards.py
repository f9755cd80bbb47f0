"""What a card marks: the prompt that a mask misses, the box that it does not have; its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from server import Client, Server

from curate.people.webapp.cards import find_marks
from curate.people.webapp.filters import is_low
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.quality.label_free import signals
from curate.reporting.methods import column_terms
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths
from curate.store.audit_records import References, TailReference

BOX = {"bbox_x": 10.0, "bbox_y": 20.0, "bbox_w": 30.0, "bbox_h": 40.0}
DECLARED = {f"declared_{side}": value for side, value in zip("xywh", (5, 20, 30, 40), strict=True)}


def test_marks_are_what_a_mask_does_not_agree_with() -> None:
    prompt: dict[str, Any] = {"prompt_x": 3.0, "prompt_y": 4.0}
    assert find_marks(BOX | prompt | {"prompt_score": 0.4})["point"] == (3.0, 4.0)
    assert find_marks(BOX | prompt | {"prompt_score": 1.0})["point"] is None
    assert find_marks(BOX | prompt)["point"] is None
    assert find_marks(BOX | DECLARED)["declared"] == (5.0, 20.0, 30.0, 40.0)
    assert find_marks(BOX | {f"declared_{s}": BOX[f"bbox_{s}"] for s in "xywh"})["declared"] is None


def test_cards_mark_in_pixels_of_their_window(
    audit: StoredAudit, serve: Callable[[], Server]
) -> None:
    for path in part_paths(audit.path, "masks"):
        table = pq.read_table(path)
        score = [0.5 if k % 2 else 1.0 for k in range(len(table))]
        pq.write_table(table.append_column("prompt_score", pa.array(score)), path)
    client = Client(serve())
    asked = audit.query("select mask_id, prompt_x, prompt_score from masks").set_index("mask_id")
    seen = 0
    for card in client.next(48)["cards"]:
        row = asked.loc[int(card["mask_id"])]
        point = card["marks"]["point"]
        assert (point is not None) == (row["prompt_score"] < 1)
        if point is not None:
            assert point[0] + card["window"]["x"] == row["prompt_x"]
            assert 0 <= point[0] <= card["window"]["w"]
            seen += 1
    assert seen > 0


def test_a_blind_queue_marks_nothing(audit: StoredAudit) -> None:
    server = Server(audit.path, "--kind", "estimate", "--budget", "12").start()
    try:
        cards = Client(server).next(12)["cards"]
        assert len(cards) == 12
        assert all(card["marks"] == {"point": None, "declared": None} for card in cards)
    finally:
        server.kill()


def usual(values: dict[str, float]) -> References:
    """References of an audit by which these values are usual."""
    tails: dict[str, TailReference] = {
        name: {"value": [0.0], "share": [1.0], "usual": value, "median": value}
        for name, value in values.items()
    }
    return {"quality": tails, "quality_quantiles": {"values": []}}


def test_what_a_low_score_means_is_said_of_low_scores_only(audit: StoredAudit) -> None:
    names = audit.query("describe masks")["column_name"].tolist()
    column = next(name for name in signals() if name in names and column_terms()[name].low_means)
    for path in part_paths(audit.path, "masks"):
        table = pq.read_table(path)
        at = table.schema.names.index(column)
        values = pa.array([(0.6, 0.85, 1.0)[k % 3] for k in range(len(table))])
        pq.write_table(table.set_column(at, column, values), path)
    audit = replace(audit, info=replace(audit.info, references=usual({column: 0.8})))
    review = ReviewSession(audit, ReviewSettings())
    try:
        cards = [review.cards.card(row) for row in range(len(review.queue))]
    finally:
        review.close()
    said = {
        each["shown"]: each["words"]
        for card in cards
        for each in card["scores"]
        if each["column"] == column
    }
    means = column_terms()[column].low_means
    assert said == {"0.60": f"{means}; nine masks in ten reach 0.80", "0.85": "", "1.00": ""}


def test_what_a_judge_says_stands_once_on_a_card(audit: StoredAudit) -> None:
    """Its reason stands beside its score, unless a policy's reason says it already."""
    told = {
        ("a leg is missing, and “more”", 'the VLM rejects it: a leg is missing, and "more"'): "",
        ("a leg is missing", "it has holes (3 px in all)"): "a leg is missing",
        (None, "the judge rejects it"): "",
        (None, "too small"): "a judge that was asked about it finds it bad",
    }
    for path in part_paths(audit.path, "masks"):
        table = pq.read_table(path)
        rows = [list(told)[k % len(told)] for k in range(len(table))]
        reasons = table.schema.names.index("reasons")
        table = table.set_column(reasons, "reasons", pa.array([row[1] for row in rows]))
        table = table.append_column("judge_score", pa.array([0.2] * len(rows)))
        table = table.append_column("judge_answer", pa.array(["reject"] * len(rows)))
        table = table.append_column("judge_reason", pa.array([one for one, _ in rows], pa.string()))
        pq.write_table(table, path)
    review = ReviewSession(audit, ReviewSettings())
    try:
        cards = [review.cards.card(row) for row in range(len(review.queue))]
    finally:
        review.close()
    said = {
        (one["words"], "; ".join(reason["words"] for reason in card["reasons"]))
        for card in cards
        for one in card["scores"]
        if one["column"] == "judge_score"
    }
    assert said == {(words, reasons) for (_, reasons), words in told.items()}
    assert len(said) == len(told)


def test_a_classifier_names_a_category_where_no_detector_does(audit: StoredAudit) -> None:
    for path in part_paths(audit.path, "masks"):
        table = pq.read_table(path)
        n = len(table)
        for name, values in {
            "category_suggested": [["blob", None][k % 2] for k in range(n)],
            "category_suggested_probability": [[0.75, None][k % 2] for k in range(n)],
        }.items():
            table = table.append_column(name, pa.array(values))
        pq.write_table(table, path)
    ids = audit.query("select mask_id from masks where category_suggested is not null")["mask_id"]
    server = Server(audit.path).start()
    try:
        cards = Client(server).next(48)["cards"]
    finally:
        server.stop()
    for card in cards:
        named = {"name": "blob", "confidence": 0.75, "by": "classifier", "accuracy": None}
        assert card["detected"] == (named if int(card["mask_id"]) in set(ids) else None)
    assert 0 < sum(card["detected"] is not None for card in cards) < len(cards)


@pytest.mark.parametrize(
    ("value", "usual", "low"),
    [
        (0.49, None, True),
        (0.5, None, False),
        (0.993, None, False),
        (0.993, 1.0, True),
        (0.9761, 0.9799, False),
        (0.974, 0.976, True),
        (0.9996, 1.0, False),
        (0.7, 0.6, False),
    ],
)
def test_low_is_below_what_is_usual(value: float, usual: float | None, low: bool) -> None:
    assert is_low(value, usual) == low
