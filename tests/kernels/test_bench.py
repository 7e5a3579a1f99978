"""Benchmarks print what they promise; the GPU suite is tried in Triton's interpreter."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from star.kernels import bench
from star.kernels.harness import benchmarks
from star.kernels.harness.measure import Clock, peak_bytes
from star.kernels.harness.registry import OPERATIONS
from star.kernels.swiglu.cases import SWIGLU

CPU = torch.device("cpu")
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def same_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def with_peers(monkeypatch: pytest.MonkeyPatch, **peers: Any) -> None:
    monkeypatch.setitem(OPERATIONS, "swiglu", dataclasses.replace(SWIGLU, peers=peers))


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[benchmarks.Row]:
    assert bench.main(["--quick", "--json", "--operation", "swiglu", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def eager(c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor]:
    return (torch.nn.functional.silu(c) * v,)


def test_json_holds_times_and_ratios(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_peers(monkeypatch, eager=eager)
    found = rows(capsys)
    assert [row["pass"] for row in found] == ["forward", "forward+backward"]
    for row in found:
        assert (
            row["device"] == "cpu"
            and row["case"].startswith("swiglu float32 ")
            and row["peer"] == "eager"
        )
        assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"])
        assert row["peak_mib"] > 0 and row["share_of_ceiling"] > 0 and row["difference"] < 1e-5


def test_peers_that_cannot_run_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(**inputs: Any) -> Any:
        import a_package_that_is_not_there  # type: ignore[import-not-found]  # noqa: F401

    def refusing(**inputs: Any) -> Any:
        raise RuntimeError("needs a GPU")

    with_peers(monkeypatch, missing=missing, refusing=refusing)
    found = rows(capsys)
    assert [row["peer_reason"] for row in found[:2]] == ["not installed", "needs a GPU"]
    assert all(
        row["ratio"] is None and row["peer_ms"] is None and row["ours_ms"] > 0 for row in found
    )


def test_a_peer_that_computes_something_else_is_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_peers(monkeypatch, other=lambda c, v: (c * v,))
    assert bench.main(["--quick", "--operation", "swiglu"]) == 0
    assert "computes something else" in capsys.readouterr().out


def test_ours_that_cannot_run_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(**inputs: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setitem(OPERATIONS, "swiglu", dataclasses.replace(SWIGLU, run=run))
    assert bench.main(["--quick", "--json", "--operation", "swiglu"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["reason"] == "broken"


def test_lengths_grow_linearly_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--lengths")
    assert [row["length"] for row in found] == [512, 1024, 2048]
    assert found[-1]["peak_mib"] == pytest.approx(4 * found[0]["peak_mib"], rel=0.1)
    assert bench.main(["--quick", "--lengths", "--operation", "swiglu"]) == 0
    assert "x2.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--operation", "none"], ["--threads", "0"], ["--dtype", "int8"]]
)
def test_bad_arguments_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        bench.main(arguments)
    assert exit.value.code == 2


def test_triton_where_it_cannot_run_exits_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("STAR_KERNELS", "triton")
    monkeypatch.setattr(bench, "this_device", lambda: CPU)
    assert bench.main(["--quick"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "expected a CUDA device or TRITON_INTERPRET=1" in printed.err


def test_a_peer_without_backward_still_has_a_forward_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_peers(monkeypatch, cut=lambda c, v: (eager(c, v)[0].detach(),))
    forward, both = rows(capsys)
    assert (
        forward["ratio"] > 0
        and both["ratio"] is None
        and both["peer_reason"] == "it has no backward"
    )


def test_quadratic_operations_are_left_out_of_lengths() -> None:
    def cost(sizes: Any, dtype: torch.dtype) -> benchmarks.Cost:
        return benchmarks.Cost(0, 0, sizes["length"] ** 2, sizes["length"] ** 2)

    sizes = SWIGLU.quick[-1]
    assert benchmarks.subquadratic(SWIGLU, sizes, torch.float32)
    assert not benchmarks.subquadratic(dataclasses.replace(SWIGLU, cost=cost), sizes, torch.float32)


def test_share_of_ceiling_is_of_the_binding_limit() -> None:
    share = benchmarks.share_of_ceiling(
        moved=10, operations=100, seconds=2.0, copied=10.0, multiplied=1000.0
    )
    assert share == pytest.approx(0.5)
    share = benchmarks.share_of_ceiling(
        moved=10, operations=1000, seconds=2.0, copied=100.0, multiplied=1000.0
    )
    assert share == pytest.approx(0.5)


def test_peak_memory_counts_what_is_held_at_once() -> None:
    def call() -> None:
        for _ in range(3):
            torch.cat([torch.zeros(1000), torch.zeros(500)])

    assert peak_bytes(call, CPU) == pytest.approx(12000, abs=200)


def test_rates_are_work_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy reads and writes what is counted; a product of n x n matrices is 2 n^3 operations."""
    clock, ran = Clock(CPU), []

    def medians(calls: Any, seconds: float) -> dict[str, float]:
        ran.extend(call() for call in calls.values())
        return dict.fromkeys(calls, 2.0)

    monkeypatch.setattr(clock, "medians", medians)
    assert clock.copy_rate(10**6) == pytest.approx(10**6 / 2e-3)
    assert clock.matrix_rate(torch.float32) == pytest.approx(2 * 512**3 / 2e-3)
    copied, product = ran
    assert 2 * copied.nbytes == 10**6 and product.shape == (512, 512)
    clock.copy_rate(10**6)
    assert len(ran) == 2  # measured once


@pytest.mark.slow
def test_the_gpu_suite_in_the_interpreter(tmp_path: Path) -> None:
    script = CHECKOUT / "experiments" / "kernels" / "gpu_suite.py"
    command = [
        sys.executable,
        str(script),
        "--dry-run",
        "--operation",
        "swiglu",
        "--output",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ.copy(), timeout=300
    )
    (results,) = tmp_path.glob("results_*.json")
    content = json.loads(results.read_text())
    assert done.returncode == 0, (content["notes"], done.stderr)
    assert set(content["certificates"]) == {"swiglu"} and all(
        e["passed"] for e in content["certificates"]["swiglu"].values()
    )
    assert {row["implementation"] for row in content["bench"]} == {"triton"} and len(
        content["lengths"]
    ) == 2
    assert "## Certificates" in results.with_suffix(".md").read_text()
    assert len(list(tmp_path.glob("CPU-with-Triton-s-interpreter_*.json"))) == 1
