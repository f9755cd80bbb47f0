"""Verb that serves the review page: review."""

from __future__ import annotations

from curate.common.paths import AnyPath, as_path, check_folder
from curate.common.ranges import BY_PRIORITY, QUEUE_KINDS, QUEUE_ORDERS, check_numbers
from curate.errors import CallError
from curate.networks.segmenters.prompt_recipes import PromptsInUse
from curate.people.queues.audit_draw import past_reviews, record_drawn
from curate.people.queues.draw_queue import draw_queue
from curate.people.queues.missing_proposals import KIND as MISSING
from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.server import listen, serve
from curate.people.webapp.startup import ReviewSettings
from curate.policy.grammar import check_choice
from curate.store.audit import AnyAudit
from curate.store.engine_folder import (
    find_round_kind,
    find_round_prompts,
    find_round_segmenter,
    refuse_closed_round,
    resolve_audit,
)


def review(
    audit: AnyAudit,
    *,
    kind: str | None = None,
    draw: int | None = None,
    budget: int | None = None,
    minutes: float | None = None,
    seconds_per_mask: float = 14.0,
    order: str = BY_PRIORITY,
    reviewer: str = "",
    images: AnyPath | None = None,
    segmenter: str | None = None,
    device: str | None = None,
    guidelines: AnyPath | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    token_file: AnyPath | None = None,
    open_page: bool = False,
) -> None:
    """Serve the review page of an audit until the process is stopped.

    With a budget, a time or an order a queue is drawn anew, as :func:`curate.write_queue` does, and
    recorded. Else the latest recorded draw of the kind that is not finished is gone on with; of
    errors, where there is none, the ranking as it stands.

    Args:
        audit: The audit, or its directory; or that of an engine, whose open round is served.
        kind: "errors", "learn" or "estimate"; None for a given draw's own, else errors. "missing":
            the places where a detector or verifier sees an object and no mask is.
        draw: Number of a recorded draw.
        budget: How many masks people look at.
        minutes: How much time people have.
        seconds_per_mask: What one mask takes them.
        order: Of errors: "priority", the most likely and most costly first, or "seconds", the most
            expected finds per second of people's time first.
        reviewer: The name that the page begins with.
        images: Folder of the pictures; the audit's own if None.
        segmenter: A segmenter for clicks: a folder, or a hub name; of a round of an engine the one
            that proposed its masks, if None.
        device: Where it runs; the first GPU, else the CPU, if None.
        guidelines: The project's guidelines for people: a Markdown file, or a folder with one for
            each category; ``guidelines.md`` or ``guidelines/`` in the audit directory if None.
        host: The address to listen on; any but this machine's own loop demands a token.
        port: The port; 0 takes any free one.
        token_file: A file that holds the token.
        open_page: Open the page in a browser.

    Raises:
        CurateError: The port is taken, there is nothing to show, or an argument is wrong.
    """
    check_numbers(
        draw=draw, budget=budget, minutes=minutes, seconds_per_mask=seconds_per_mask, port=port
    )
    check_choice(kind, "--kind", QUEUE_KINDS)
    check_choice(order, "--order", QUEUE_ORDERS)
    anew = budget is not None or minutes is not None or order != BY_PRIORITY
    if kind == MISSING and (anew or draw is not None):
        what = "proposed missing masks are shown as they stand, the surest first"
        raise CallError(what, "--kind missing", "leave out --draw, --budget, --minutes and --order")
    check_folder(images)
    opened = open_audit(resolve_audit(audit))
    refuse_closed_round(opened.path)
    if anew:
        if draw is not None:
            what = "a draw and a budget for a new one, or its order, are both given"
            raise CallError(what, "--draw", "give one")
        listen(host, port).close()  # nothing is drawn for a server that cannot start
        drawn = draw_queue(
            opened,
            kind=kind or "errors",
            budget=budget,
            minutes=minutes,
            seconds_per_mask=seconds_per_mask,
            order=order,
            already=past_reviews(opened),
        )
        if not len(drawn.record):
            raise CallError("no mask is left to review", str(opened.path), "nothing is to be done")
        draw = record_drawn(opened, drawn)
    if kind is None and draw is None:
        kind = find_round_kind(opened.path)
    found = find_round_prompts(opened.path) if segmenter is None else None
    settings = ReviewSettings(
        kind=kind,
        draw_id=draw,
        reviewer=reviewer,
        seconds_per_mask=seconds_per_mask,
        minutes=minutes,
        images=as_path(images),
        segmenter=segmenter or find_round_segmenter(opened.path),
        device=device,
        prompts=None if found is None else PromptsInUse.from_dict(found),
        guidelines=as_path(guidelines),
    )
    file = as_path(token_file)
    serve(opened, settings, host=host, port=port, token_file=file, open_page=open_page)
