"""Time of stability, beside one pass over the same logits and beside the common way."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

ROUNDS = 15


def rows() -> list[dict[str, Any]]:
    """Measure on full-resolution logits, and from low-res logits, which never become full ones."""
    import torch

    from curate.networks.segmenters.segmenter import Frame
    from curate.rle.logits import count_over, draw, stability_of

    masks, side = 48, 1024
    coarse = torch.randn(masks, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 6
    low = torch.nn.functional.interpolate(coarse, (256, 256), mode="bicubic")
    full = torch.nn.functional.interpolate(low, (side, side), mode="bilinear")[:, 0].contiguous()
    logits, small = full.numpy(), low[:, 0].numpy()
    taps = Frame.longest_side(side, side, side).taps(256)

    def ours() -> Any:
        counts = count_over(logits, -1.0, 1.0)
        return stability_of(counts[:, 1], counts[:, 0])

    def common() -> Any:
        return (full > 1).sum((-1, -2)) / (full > -1).sum((-1, -2))

    def upsampled() -> Any:
        return torch.nn.functional.interpolate(low, (side, side), mode="bilinear")

    np.testing.assert_allclose(ours(), common().numpy(), rtol=1e-6)
    times = in_turns([ours, full.sum, logits.sum, common])
    fused = in_turns([lambda: draw(small, taps).stability, upsampled])
    detail = ", ".join(
        f"{name} {t / masks * 1e3:.2f}"
        for name, t in zip(
            ("ours", "torch sum", "numpy sum", "two comparisons"), map(median, times), strict=True
        )
    )
    size = f"{masks} masks of {side} x {side} px, {torch.get_num_threads()} threads"
    goal = "at most 2"
    return [
        {
            "what": "stability of full-resolution logits, CPU",
            "unit": "times torch's logits.sum()",
            "value": ratio(times[0], times[1]),
            "goal": goal,
            "detail": f"{size}; ms a mask: {detail}",
        },
        {
            "what": "the same, beside numpy's sum",
            "unit": "times numpy's logits.sum() (one thread)",
            "value": ratio(times[0], times[2]),
            "goal": goal,
            "detail": "",
        },
        {
            "what": "the common two comparisons, CPU",
            "unit": "times torch's logits.sum()",
            "value": ratio(times[3], times[1]),
            "goal": "",
            "detail": "(x > 1).sum() / (x > -1).sum()",
        },
        {
            "what": "from low-res logits to stability, area and runs",
            "unit": "times torch's bilinear upsampling alone",
            "value": ratio(fused[0], fused[1]),
            "goal": "",
            "detail": f"{median(fused[0]) / masks * 1e3:.2f} against "
            f"{median(fused[1]) / masks * 1e3:.2f} ms a mask; logits that fill the image",
        },
    ]


def in_turns(functions: list[Callable[[], object]]) -> list[list[float]]:
    """Time functions in turns after a warm-up, in seconds."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(ROUNDS + 1):
        for function, found in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if turn:
                found.append(time.perf_counter() - start)
    return times


def ratio(first: list[float], second: list[float]) -> float:
    """Return the median ratio of pairs."""
    return median(a / b for a, b in zip(first, second, strict=True))
