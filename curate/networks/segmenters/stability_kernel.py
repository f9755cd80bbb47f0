"""The Triton kernel behind :mod:`curate.networks.segmenters.gpu_stability`; imported only where
triton is."""

from __future__ import annotations

from typing import Any

import torch
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]

_BLOCK = 4096
_STEPS = 8
_OPTIONS = {"BLOCK": _BLOCK, "STEPS": _STEPS, "num_warps": 8, "enable_fp_fusion": True}


def _count(  # type: ignore[no-untyped-def] # Triton's compiler takes an annotation for code
    values,
    counts,
    pixels,
    chunks,
    low,
    high,
    BLOCK: tl.constexpr,
    STEPS: tl.constexpr,
):
    """Add one chunk of one mask to its counts: over ``low``, over ``high``, not finite."""
    program = tl.program_id(0)
    mask = program // chunks
    start = (program % chunks) * BLOCK * STEPS
    row = values + mask.to(tl.int64) * pixels
    lanes = tl.arange(0, BLOCK)
    under = tl.zeros([BLOCK], dtype=tl.int32)
    over = tl.zeros([BLOCK], dtype=tl.int32)
    odd = tl.zeros([BLOCK], dtype=tl.float32)
    for step in range(STEPS):
        at = start + step * BLOCK + lanes
        inside = at < pixels
        value = tl.load(row + at, mask=inside, other=0.0).to(tl.float32)
        value = tl.where(inside, value, low)  # not over either level
        under += (value > low).to(tl.int32)
        over += (value > high).to(tl.int32)
        odd += value * 0.0  # NaN from NaN and from infinity, and it stays
    tl.atomic_add(counts + mask * 3, tl.sum(under, axis=0))
    tl.atomic_add(counts + mask * 3 + 1, tl.sum(over, axis=0))
    tl.atomic_add(counts + mask * 3 + 2, tl.sum((odd != odd).to(tl.int32), axis=0))


_kernel = triton.jit(_count)


def count_on_gpu(logits: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Count the values over two levels, each read once.

    Args:
        logits: Shape (n, pixels), contiguous, float16, bfloat16 or float32, at most 2**30 pixels.
        low: The lower level, finite.
        high: The higher level.

    Returns:
        Shape (n, 3), int32, on the same device: over ``low``, over ``high``, and 0 where all
        values are finite.
    """
    n, pixels = logits.shape
    counts = torch.zeros((n, 3), dtype=torch.int32, device=logits.device)
    chunks = triton.cdiv(pixels, _BLOCK * _STEPS)
    if n * chunks:
        with _current_device(logits.device):
            _kernel[(n * chunks,)](logits, counts, pixels, chunks, low, high, **_OPTIONS)
    return counts


def _current_device(device: torch.device) -> Any:
    """Make a GPU the current one: that is where Triton starts its kernels."""
    return torch.cuda.device(device if device.type == "cuda" else -1)
