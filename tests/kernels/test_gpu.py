"""Triton's kernels on a GPU: every registered operation in every dtype, and their choice by
`auto`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from star.kernels import dispatch
from star.kernels.dispatch import certificates
from star.kernels.dispatch.sources import source_digest
from star.kernels.harness.certification import Outcome, check, entry
from star.kernels.harness.comparison import dtype_name
from star.kernels.harness.operation import Operation
from star.kernels.harness.registry import OPERATIONS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def gpu() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


@EVERY_OPERATION
def test_triton_kernels_match_the_definition(operation: Operation) -> None:
    for dtype in operation.dtypes:
        assert check(operation, dtype, gpu(), operation.quick, seed=0).failures == []


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A certificate for everything, of this GPU and these versions."""
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("STAR_KERNELS", "auto")
    valid_for = certificates.environment(gpu())
    entries = {
        operation.name: {
            dtype_name(dtype): entry(Outcome(0.1), "full", 0, source_digest(operation.name))
            for dtype in operation.dtypes
        }
        for operation in OPERATIONS.values()
    }
    certificates.write(
        certificates.user_folder() / certificates.file_name(valid_for), valid_for, entries
    )
    certificates.forget()
    yield
    certificates.forget()


@EVERY_OPERATION
def test_auto_takes_triton_when_certified(operation: Operation, certified: None) -> None:
    for dtype in operation.dtypes:
        assert (
            dispatch.choose(operation.name, torch.empty(0, dtype=dtype, device=gpu()))
            == dispatch.TRITON
        )


@EVERY_OPERATION
def test_certified_operations_compile_without_breaks(operation: Operation, certified: None) -> None:
    inputs = operation.inputs(
        operation.quick[-1], torch.float32, gpu(), torch.Generator().manual_seed(0)
    )
    compiled = torch.compile(
        lambda arguments: operation.run(**arguments), fullgraph=True, backend="aot_eager"
    )
    for a, b in zip(compiled(inputs), operation.run(**inputs), strict=True):
        torch.testing.assert_close(a, b)
