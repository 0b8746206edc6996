"""The Triton kernels give what plain torch gives, and they compile for the GPUs in use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
if find_spec("triton") is None:
    pytest.skip(
        "Triton is not installed. torch for CUDA brings it; elsewhere: pip install triton",
        allow_module_level=True,
    )

from tests.support.compared_steps import results  # noqa: E402

ROOT = Path(__file__).parents[5]
TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
    torch.int32: "*i32",
}
"""Triton's names of pointers."""


@pytest.mark.parametrize(
    ("dtype", "bound"),
    [("float32", 2e-6), pytest.param("bfloat16", 0.02, marks=pytest.mark.slow)],
)
def test_kernels_equal_plain_torch(dtype: str, bound: float) -> None:
    """Interpreted on the CPU. The bound is relative to the largest value of a pass; in bfloat16 it is five
    roundings, because the interpreter cuts off what a GPU rounds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.compared_steps", dtype],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) == 25
    assert max(errors.values()) < bound, errors


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_kernels_compile(capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to machine code, without a GPU, in the variants and types that a frame uses."""
    from triton import compile as translated
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from sadtalker_service.engines.sadtalker.renderer.gpu.fused import FusedSteps

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    found: dict[str, bytes] = {}

    def run(kernel: Any, grid: Any, *arguments: Any, **constants: Any) -> None:
        given = dict(zip(kernel.arg_names, map(kind, arguments), strict=False))
        signature = {name: given.get(name, "constexpr") for name in kernel.arg_names}
        assert signature.keys() == given.keys() | constants.keys()
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        variant = f"{kernel.__name__} {signature} {constants}"
        if variant not in found:
            found[variant] = translated(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]

    list(results(FusedSteps(run), torch.bfloat16))
    assert len(found) == 20
    assert all(found.values())


def kind(argument: Any) -> str:
    """Triton's name of the type of an argument."""
    if isinstance(argument, torch.Tensor):
        return TYPES[argument.dtype]
    return "i32" if isinstance(argument, int) else "fp32"
