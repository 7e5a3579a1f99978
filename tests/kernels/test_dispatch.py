"""Which implementation runs, on a GPU that is only claimed."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from star.kernels import dispatch


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAR_KERNELS", raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(dispatch, "_said", set())


def gpu_tensor(dtype: torch.dtype = torch.bfloat16) -> Any:
    return SimpleNamespace(is_cuda=True, dtype=dtype, device=torch.device("cuda", 0))


def test_cpu_tensors_take_pytorch() -> None:
    assert dispatch.choose("swiglu", torch.zeros(1)) == dispatch.TORCH


def test_auto_takes_triton_where_it_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(dispatch, "holds", lambda *question: asked.append(question) or True)
    assert dispatch.choose("swiglu", gpu_tensor()) == dispatch.TRITON
    assert asked == [("swiglu", torch.bfloat16, torch.device("cuda", 0))]


def test_auto_falls_back_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "holds", lambda *question: False)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert dispatch.choose("swiglu", gpu_tensor()) == dispatch.TORCH
    assert len(caplog.records) == 1 and "python -m star.kernels.certify" in caplog.text


def test_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "holds", lambda *question: False)
    monkeypatch.setenv("STAR_KERNELS", "triton")
    assert dispatch.choose("swiglu", gpu_tensor()) == dispatch.TRITON
    with pytest.raises(ValueError, match="expected a CUDA device or TRITON_INTERPRET=1"):
        dispatch.choose("swiglu", torch.zeros(1))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert dispatch.choose("swiglu", torch.zeros(1)) == dispatch.TRITON
    monkeypatch.setenv("STAR_KERNELS", "reference")
    assert dispatch.choose("swiglu", gpu_tensor()) == dispatch.REFERENCE
    monkeypatch.setenv("STAR_KERNELS", "fast")
    with pytest.raises(ValueError, match="expected one of auto, reference, triton"):
        dispatch.choose("swiglu", gpu_tensor())


@pytest.mark.parametrize("certified", [True, False])
def test_the_question_compiles_without_breaks(
    monkeypatch: pytest.MonkeyPatch, certified: bool
) -> None:
    def holds(*question: Any) -> bool:
        open(__file__).close()  # torch.compile cannot trace this
        return certified

    def double_where_certified(x: torch.Tensor) -> torch.Tensor:
        return 2 * x if dispatch._certified("swiglu", x.dtype, x.device) else x + 0

    monkeypatch.setattr(dispatch, "holds", holds)
    torch.compiler.reset()
    compiled = torch.compile(double_where_certified, fullgraph=True, backend="eager")
    assert compiled(torch.ones(2)).tolist() == ([2.0, 2.0] if certified else [1.0, 1.0])
