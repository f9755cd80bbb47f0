"""Time of stability on a GPU beside a copy of the same logits; no rows where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

MASKS, SIDE, ROUNDS = 256, 2048, 20


def rows() -> list[dict[str, Any]]:
    """Measure the bytes a second that stability reads, as a share of what a copy moves."""
    import torch

    from curate.networks.segmenters.gpu_stability import compute_stability

    if not torch.cuda.is_available():
        print("gpu: there is none here, so nothing is measured")
        return []
    logits = torch.randn(MASKS, SIDE, SIDE, device="cuda") * 4
    target = torch.empty_like(logits)
    size = logits.numel() * logits.element_size()
    copied = 2 * size / seconds(lambda: target.copy_(logits))
    ours = size / seconds(lambda: compute_stability(logits))
    common = size / seconds(lambda: (logits > 1).sum((1, 2)) / (logits > -1).sum((1, 2)))
    name = torch.cuda.get_device_name()
    return [
        {
            "what": f"stability of full-resolution logits, GPU, {words}",
            "unit": "% of the measured copy bandwidth",
            "value": 100 * found / copied,
            "goal": goal,
            "detail": f"{name}: {found / 1e9:.0f} of {copied / 1e9:.0f} GB/s, "
            f"{MASKS} masks of {SIDE} x {SIDE} px",
        }
        for words, found, goal in (
            ("one pass", ours, "at least 60"),
            ("the common two comparisons", common, ""),
        )
    ]


def seconds(function: Callable[[], object]) -> float:
    """Return the median time of a call on the GPU."""
    import torch

    times = []
    for turn in range(ROUNDS + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        if turn >= 3:
            times.append(start.elapsed_time(end) / 1e3)
    return median(times)
