"""Stability of tensors: the definition, in one pass, on whatever device they lie."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from curate.errors import CallError
from curate.networks.segmenters import gpu_stability
from curate.networks.segmenters.gpu_stability import compute_stability

torch = pytest.importorskip("torch")

TYPES = ("float32", "float16", "bfloat16")


def defined(logits: Any, threshold: float, offset: float) -> Any:
    """The definition, in float64, mask by mask."""
    found = []
    for mask in logits.to(torch.float64).numpy():
        under = (mask > threshold - offset).sum()
        over = (mask > threshold + offset).sum()
        good = np.isfinite(mask).all() and under > 0
        found.append(over / under if good else np.nan)
    return np.array(found)


def fields(shape: tuple[int, int, int], kind: str) -> Any:
    """Logits with masks of all sorts: full, empty, uncertain, on the cut, broken."""
    torch.manual_seed(3)
    logits = torch.randn(shape) * 3
    for k, change in enumerate((20.0, -20.0, 0.0)):
        if k < len(logits):
            logits[k] += change
    if len(logits) > 7:
        logits[3] = logits[3].round()  # many values exactly at a cut, which are not over it
        logits[4, -1, -1] = torch.nan
        logits[5, 0, 0] = torch.inf
        logits[6, -1, 0] = -torch.inf
    return logits.to(getattr(torch, kind))


SHAPES = [(9, 40, 37), (8, 200, 301), (1, 1, 1), (2, 64, 64), (0, 5, 5), (3, 0, 4)]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("threshold", "offset"), [(0.0, 1.0), (0.5, 0.05), (-2.0, 0.0)])
def test_it_is_the_definition(
    shape: tuple[int, int, int], kind: str, threshold: float, offset: float
) -> None:
    logits = fields(shape, kind)
    wanted = defined(logits, threshold, offset)
    found = compute_stability(logits, threshold=threshold, offset=offset)
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found.numpy(), wanted)
    low, high = threshold - offset, threshold + offset
    counts = gpu_stability._by_torch(logits.flatten(1), low, high).double()
    ratio = torch.where(counts[:, 2] == 0, counts[:, 1] / counts[:, 0], torch.nan)
    np.testing.assert_array_equal(ratio.numpy(), wanted)


def test_layouts_and_gradients() -> None:
    logits = fields((4, 30, 50), "float32")
    wanted = compute_stability(logits)
    turned = logits.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    assert not turned.is_contiguous()
    torch.testing.assert_close(compute_stability(turned), wanted, rtol=0, atol=0, equal_nan=True)
    assert not compute_stability(turned).requires_grad


def test_bad_calls() -> None:
    with pytest.raises(CallError, match=r"of shape \(3, 4\)"):
        compute_stability(torch.zeros(3, 4))
    with pytest.raises(CallError, match=r"of torch\.int64"):
        compute_stability(torch.zeros((1, 2, 2), dtype=torch.int64))
    for cuts in ({"offset": -1.0}, {"offset": float("nan")}, {"threshold": float("inf")}):
        with pytest.raises(CallError, match="are no cuts"):
            compute_stability(torch.zeros(1, 2, 2), **cuts)


needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton comes with torch's CUDA builds"
)

BY_INTERPRETER = """
import sys
import torch
sys.path.insert(0, sys.argv[1])
from test_gpu_stability import SHAPES, TYPES, fields
from curate.networks.segmenters.gpu_stability import _by_torch
from curate.networks.segmenters.stability_kernel import count_on_gpu
for kind in TYPES:
    for shape in (*SHAPES, (2, 128, 512), (2, 32769, 1)):
        for low, high in ((-1.0, 1.0), (0.45, 0.55), (-2.0, -2.0)):
            flat = fields(shape, kind).flatten(1)
            found, wanted = count_on_gpu(flat, low, high), _by_torch(flat, low, high)
            good = wanted[:, 2] == 0
            assert torch.equal(found[:, 2] == 0, good), (kind, shape)
            assert torch.equal(found[good, :2].long(), wanted[good, :2]), (kind, shape)
"""

COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import triton
from curate.networks.segmenters.stability_kernel import _OPTIONS, _kernel
sizes = {name: _OPTIONS[name] for name in ("BLOCK", "STEPS")}
plain = {"counts": "*i32", "pixels": "i32", "chunks": "i32", "low": "fp32", "high": "fp32"}
for kind in ("fp32", "fp16", "bf16"):
    signature = {"values": "*" + kind, **plain, **dict.fromkeys(sizes, "constexpr")}
    aligned = {(k,): [["tt.divisibility", 16]] for k in range(3)}
    source = ASTSource(fn=_kernel, signature=signature, constexprs=sizes, attrs=aligned)
    ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
    assert "fma.rn.f32" in ptx, "value * 0 is taken for 0, and NaN goes unseen"
    assert "ld.global.v4" in ptx, "values are read one at a time"
"""


def run_script(script: str, **environment: str) -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(
        [sys.executable, "-c", script, here],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_triton
def test_the_kernel_counts_as_torch_does() -> None:
    """In Triton's interpreter, which needs no GPU."""
    run_script(BY_INTERPRETER, TRITON_INTERPRET="1")


@needs_triton
def test_the_kernel_compiles_for_a_gpu() -> None:
    """The interpreter takes what the compiler does not."""
    run_script(COMPILE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", TYPES)
def test_on_a_gpu(kind: str) -> None:
    for shape in (*SHAPES, (5, 1024, 1024)):
        logits = fields(shape, kind)
        found = compute_stability(logits.cuda())
        assert found.device.type == "cuda"
        np.testing.assert_array_equal(found.cpu().numpy(), defined(logits, 0.0, 1.0))


def test_without_triton_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = fields((9, 40, 37), "float16").flatten(1)

    def no_compiler(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler.")

    wanted = gpu_stability._by_torch(flat, -1.0, 1.0)
    for kernel in (None, no_compiler):
        monkeypatch.setattr(gpu_stability, "_kernel", lambda kernel=kernel: kernel)
        found = gpu_stability._on_gpu(flat, -1.0, 1.0)
        assert torch.equal(found, wanted)
