"""Triton's kernels compile for a GPU that is not here, compute capability 9.0: the interpreter runs
what the compiler refuses."""

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from star.kernels.harness.operation import Operation
from star.kernels.harness.registry import OPERATIONS

triton = pytest.importorskip("triton")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="needs the compiler"),
]

CPU = torch.device("cpu")
FAST_MEMORY = 227 * 1024  # bytes of a block at most, of that capability
TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
Launch = tuple[Any, dict[str, Any]]  # a kernel, and its arguments and options by name


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Launch]:
    """What is launched, which is not run."""
    for operation in OPERATIONS.values():
        folder = operation.reference.__module__.rpartition(".")[0]
        importlib.import_module(f"{folder}.triton")  # not yet for the interpreter
    found: list[Launch] = []

    def run(kernel: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        found.append((kernel, {**dict(zip(kernel.arg_names, arguments, strict=False)), **options}))

    monkeypatch.setattr(triton.runtime.jit.JITFunction, "run", run)
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # else Triton is refused on a CPU
    monkeypatch.setenv("STAR_KERNELS", "triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return found


def compiled(kernel: Any, given: dict[str, Any]) -> Any:
    """The kernel as Triton would make it for these arguments."""
    signature, constants, multiples = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[(place,)] = "constexpr", value
            continue
        if torch.is_tensor(value):
            signature[parameter.name] = TYPES[value.dtype]
        else:
            signature[parameter.name] = "i32" if isinstance(value, int) else "fp32"
        if torch.is_tensor(value) or (isinstance(value, int) and value % 16 == 0):
            multiples[(place,)] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(kernel, signature, constants, multiples)
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    options = {name: given[name] for name in ("num_warps", "num_stages") if name in given}
    return triton.compile(source, target=target, options=options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_every_kernel_compiles_and_fits(
    operation: Operation, dtype: torch.dtype, launches: list[Launch]
) -> None:
    inputs = operation.inputs(operation.quick[-1], dtype, CPU, torch.Generator().manual_seed(0))
    leaves = {name: x.requires_grad_() if torch.is_tensor(x) else x for name, x in inputs.items()}
    outputs = operation.run(**leaves)
    torch.autograd.backward(outputs, [torch.ones_like(y) for y in outputs])
    kernels = {kernel.__name__: (kernel, given) for kernel, given in launches}
    assert kernels
    for name, (kernel, given) in kernels.items():
        assert compiled(kernel, given).metadata.shared <= FAST_MEMORY, name
