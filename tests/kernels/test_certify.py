"""Certification finds what is wrong with a kernel, and certificates speak for exactly what was
checked."""

import dataclasses
import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from star.kernels import certify
from star.kernels.dispatch import certificates
from star.kernels.dispatch.sources import source_digest
from star.kernels.harness import certification
from star.kernels.harness.comparison import compare, poisoned
from star.kernels.harness.operation import Operation
from star.kernels.harness.registry import OPERATIONS
from star.kernels.swiglu.cases import SWIGLU

CPU = torch.device("cpu")
H200 = {"device": "NVIDIA H200", "triton": "3.6.0", "torch": "2.11.0"}
GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    certificates.forget()
    yield tmp_path / "cache"
    certificates.forget()


def like_swiglu(run: Any) -> Operation:
    return dataclasses.replace(SWIGLU, run=run, dtypes=[torch.float32], quick=[SWIGLU.quick[-1]])


def failures(run: Any) -> list[str]:
    operation = like_swiglu(run)
    return certification.check(operation, torch.float32, CPU, operation.quick, seed=0).failures


def test_new_memory_is_poisoned_and_then_no_more() -> None:
    with poisoned(CPU):
        assert torch.empty(3, 5, dtype=torch.bfloat16).isnan().all()
    assert torch.get_deterministic_debug_mode() == 0


def test_a_correct_operation_passes() -> None:
    assert failures(lambda c, v: (torch.nn.functional.silu(c) * v,)) == []


def test_a_wrong_output_fails() -> None:
    (first, *_) = failures(lambda c, v: (1.001 * torch.nn.functional.silu(c) * v,))
    assert "swiglu float32 batch=2 length=257 width=96: output 0 is off by 0.001" in first


def test_a_wrong_gradient_fails_by_its_name() -> None:
    def run(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.nn.functional.silu(c) * (v - 0.5 * (v - v.detach())),)

    assert [failure.split(": ")[1] for failure in failures(run)] == ["gradient of v is off by 0.5"]


def test_an_output_not_written_fails() -> None:
    def run(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
        y = torch.empty_like(v)
        y[:, :-1] = (torch.nn.functional.silu(c) * v)[:, :-1]
        return (y,)

    assert "output 0 is off by inf" in failures(run)[0]


def test_reading_past_an_input_fails() -> None:
    def run(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
        past = v.detach().as_strided((1,), (1,), v.storage_offset() + v.numel())
        return (torch.nn.functional.silu(c) * v + past,)

    assert "output 0 is off by inf" in failures(run)[0]


def test_changing_an_input_fails() -> None:
    def run(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
        y = SWIGLU.run(c, v)
        v.data.mul_(2.0)
        return y  # type: ignore[return-value]

    assert "changed its inputs v" in failures(run)[0]


def test_gradients_that_cancel_by_chance_do_not_fail() -> None:
    """The gradient of one factor is a sum of random signs; an error small beside its terms must not
    fail it."""

    def inputs(
        sizes: Any, dtype: torch.dtype, device: torch.device, generator: torch.Generator
    ) -> Any:
        return {"w": torch.ones(1), "x": torch.randn(64, generator=generator)}

    def run(w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor]:
        noisy = x + 1e-5 * torch.sin(1e3 * x).detach()
        return (noisy * w,)

    operation = dataclasses.replace(SWIGLU, inputs=inputs, run=run, reference=lambda w, x: (x * w,))
    errors = [
        compare(operation, {"case": case}, torch.float32, CPU, 0)["gradient of w"]
        for case in range(100)
    ]
    assert max(errors) < 3e-5 and sorted(errors)[-10] > 1e-7


def test_each_seed_draws_other_numbers() -> None:
    def once(seed: int) -> dict[str, float]:
        return compare(SWIGLU, SWIGLU.quick[-1], torch.bfloat16, CPU, seed)

    assert once(1) == once(1) != once(2)


def test_a_run_prints_a_table_and_writes_a_certificate(
    capsys: pytest.CaptureFixture[str], own_cache: Path
) -> None:
    assert certify.main(["--quick", "--operation", "swiglu", "--seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("passed") == 3 and "seed 7" in printed
    (path,) = own_cache.rglob("*.json")
    content = json.loads(path.read_text())
    assert content["device"] == "CPU" and path.name.endswith(f"_torch-{content['torch']}.json")
    entry = content["operations"]["swiglu"]["bfloat16"]
    assert entry["passed"] and entry["seed"] == 7 and entry["cases"] == len(SWIGLU.quick)
    assert 0 < entry["worst_error"] <= entry["tolerance"]


def test_a_case_that_raises_fails_with_its_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
        raise ZeroDivisionError("no such kernel")

    monkeypatch.setitem(OPERATIONS, "swiglu", like_swiglu(run))
    path = tmp_path / "certificate.json"
    assert certify.main(["--quick", "--operation", "swiglu", "--output", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError: no such kernel" in printed and "FAILED" in printed
    assert json.loads(path.read_text())["operations"]["swiglu"]["float32"]["passed"] is False


def test_a_broken_gpu_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setitem(OPERATIONS, "swiglu", dataclasses.replace(SWIGLU, run=run))
    monkeypatch.setattr(certification, "lost", lambda device: True)
    path = tmp_path / "certificate.json"
    assert certify.main(["--quick", "--operation", "swiglu", "--output", str(path)]) == 1
    assert list(json.loads(path.read_text())["operations"]["swiglu"]) == ["float32"]


@pytest.mark.parametrize("arguments", [["--operation", "none"], ["--seed", "x"], ["--slow"]])
def test_bad_arguments_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        certify.main(arguments)
    assert exit.value.code == 2


def test_a_place_that_cannot_be_written_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert certify.main(["--output", str(tmp_path / "file" / "certificate.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def entry(
    passed: bool = True, sizes: str = "full", source: str | None = None
) -> certificates.Entry:
    return {
        "passed": passed,
        "sizes": sizes,
        "source": source or source_digest("swiglu"),
    }


def put(folder: Path, found: certificates.Entry, **other: str) -> Path:
    path = folder / certificates.file_name({**H200, **other})
    certificates.write(path, {**H200, **other}, {"swiglu": {"bfloat16": found}})
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An H200 that is not there, and a folder in the place of the package's certificates."""
    monkeypatch.setattr(certificates, "environment", lambda device: H200)
    monkeypatch.setattr(certificates, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


def test_a_certificate_holds_for_what_was_checked_alone(shipped: Path) -> None:
    put(shipped, entry())
    assert certificates.holds("swiglu", torch.bfloat16, GPU)
    assert not certificates.holds("swiglu", torch.float32, GPU)
    assert not certificates.holds("another", torch.bfloat16, GPU)


@pytest.mark.parametrize(
    "other", [{"device": "NVIDIA H100"}, {"triton": "3.6.1"}, {"torch": "2.12.0"}]
)
def test_a_certificate_of_another_environment_does_not_hold(
    shipped: Path, other: dict[str, str]
) -> None:
    put(shipped, entry(), **other)
    assert not certificates.holds("swiglu", torch.bfloat16, GPU)


def test_failures_and_other_sources_do_not_hold(shipped: Path) -> None:
    put(shipped, entry(passed=False))
    assert not certificates.holds("swiglu", torch.bfloat16, GPU)
    put(shipped, entry(source="another"))
    certificates.forget()
    assert not certificates.holds("swiglu", torch.bfloat16, GPU)


def test_the_users_certificate_outranks_the_shipped_one(shipped: Path) -> None:
    put(shipped, entry())
    put(certificates.user_folder(), entry(passed=False))
    assert not certificates.holds("swiglu", torch.bfloat16, GPU)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"format": 1}', pickle.dumps({}), b'{"format": 2}']
)
def test_foreign_files_are_ignored_with_one_warning(
    shipped: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    put(shipped, entry()).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        for dtype in (torch.bfloat16, torch.float32):
            assert not certificates.holds("swiglu", dtype, GPU)
    assert len(caplog.records) == 1 and "is ignored" in caplog.text


def test_a_renamed_certificate_is_ignored(shipped: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(shipped, entry(), device="NVIDIA H100").rename(shipped / certificates.file_name(H200))
    assert not certificates.holds("swiglu", torch.bfloat16, GPU)
    assert "its device is 'NVIDIA H100', expected 'NVIDIA H200'" in caplog.text


def test_a_quick_pass_does_not_hide_what_a_full_run_found(shipped: Path) -> None:
    path = put(shipped, entry(passed=False, sizes="full"))
    put(shipped, entry(passed=True, sizes="quick"))
    assert certificates.read(path, H200)["swiglu"]["bfloat16"]["passed"] is False
    put(shipped, entry(passed=True, sizes="full"))
    put(shipped, entry(passed=False, sizes="quick"))
    assert certificates.read(path, H200)["swiglu"]["bfloat16"]["passed"] is False
