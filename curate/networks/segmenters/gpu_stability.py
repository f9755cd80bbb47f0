"""Stability scores of masks whose logits are tensors, in one pass on their device."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import CallError
from curate.networks.runtime.hub import import_optional
from curate.rle.logits import count_over

if TYPE_CHECKING:
    import torch

_MAX_PIXELS = 2**30
"""Pixels of a mask that the kernel's 32-bit positions reach."""


def compute_stability(
    logits: torch.Tensor, *, threshold: float = 0.0, offset: float = 1.0
) -> torch.Tensor:
    """Return the stability of each mask under a moving threshold (arXiv 2304.02643).

    It is the number of pixels over ``threshold + offset`` divided by the number over
    ``threshold - offset``. On a GPU one Triton kernel counts both in one pass over the values;
    where triton is missing or finds no compiler, torch compares twice. On the CPU it is the kernel
    of :func:`curate.rle.logits.count_over`.

    Args:
        logits: Shape (N, H, W), at full resolution, float16, bfloat16 or float32, on any device.
        threshold: A pixel strictly over it is in the mask.
        offset: How far it moves both ways, not negative.

    Returns:
        Shape (N,), float64, on the same device (on the CPU where a device has no float64), in
        [0, 1]; NaN where nothing lies over the lower cut, and where a value is NaN or infinite.

    Raises:
        CallError: The shape, the type or the offset is another one.
    """
    torch = import_optional("torch", "stability on a GPU")
    if logits.ndim != 3:
        raise CallError(f"logits are of shape {tuple(logits.shape)}", "stability", "give (N, H, W)")
    if logits.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise CallError(f"logits are of {logits.dtype}", "stability", "give float32 or half")
    if not offset >= 0 or not abs(threshold) + offset < float("inf"):
        raise CallError(
            f"threshold {threshold} and offset {offset} are no cuts",
            "stability",
            "give finite numbers, the offset not negative",
        )
    cuts = (threshold - offset, threshold + offset)
    counts = _on_cpu(logits, *cuts) if logits.device.type == "cpu" else _on_gpu(logits, *cuts)
    counts = counts.to(torch.float64)
    good = (counts[:, 2] == 0) & (counts[:, 0] > 0)
    return torch.where(good, counts[:, 1] / counts[:, 0], torch.nan)


def _on_cpu(logits: torch.Tensor, low: float, high: float) -> Any:
    torch = import_optional("torch", "stability on a GPU")
    logits = logits.detach()
    if logits.dtype == torch.bfloat16:  # numpy has none; a mask at a time keeps memory small
        parts = [count_over(one.float().numpy(), low, high) for one in logits.split(1)]
        counts = np.concatenate([np.zeros((0, 2), np.int64), *parts])
    else:
        counts = count_over(logits.numpy(), low, high)
    return torch.from_numpy(np.column_stack([counts, counts[:, 0] < 0]))


def _on_gpu(logits: torch.Tensor, low: float, high: float) -> Any:
    flat = logits.detach().contiguous().flatten(1)
    kernel = _kernel()
    counts = None
    if kernel is not None and flat.device.type == "cuda" and flat.shape[1] <= _MAX_PIXELS:
        try:
            counts = kernel(flat, low, high)
        except (RuntimeError, OSError):  # no compiler for its launcher; what is graver comes again
            counts = None
    counts = _by_torch(flat, low, high) if counts is None else counts
    return counts if flat.device.type == "cuda" else counts.cpu()


@cache
def _kernel() -> Any:
    """Return the Triton kernel, or None where triton is missing."""
    try:
        from curate.networks.segmenters.stability_kernel import count_on_gpu
    except ImportError:
        return None
    return count_on_gpu


def _by_torch(flat: torch.Tensor, low: float, high: float) -> Any:
    """The fallback without Triton: one pass for each comparison."""
    torch = import_optional("torch", "stability on a GPU")
    # A plain number would be rounded to half precision first, and the cut moved.
    cuts = torch.tensor([low, high], dtype=torch.float32, device=flat.device)
    odd = ~torch.isfinite(flat).all(dim=1)
    under, over = ((flat > cut).sum(dim=1) for cut in cuts.split(1))
    return torch.stack([under, over, odd.to(torch.int64)], dim=1)
