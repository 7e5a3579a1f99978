"""Triton's kernels in its interpreter, which must be chosen before Triton is imported, hence in a
process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("test_registry.py", "test_gated_short_conv.py", "test_swiglu.py")
# What does not ask for float64, which Triton's kernels do not compute in.
SELECTION = "fast_path_matches or rules_of or compile or mixed or triton"
SMALLEST_CASES = """
import torch
from star.kernels.harness.certification import check
from star.kernels.harness.registry import OPERATIONS
for operation in OPERATIONS.values():
    sizes, device = operation.interpreter[:1], torch.device("cpu")
    print(operation.name, check(operation, torch.float32, device, sizes, seed=0).failures)
"""

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="is the child process"
)


def in_interpreter(*arguments: str) -> str:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "STAR_KERNELS": "triton"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_smallest_case_of_every_operation() -> None:
    from star.kernels.harness.registry import OPERATIONS

    lines = in_interpreter("-c", SMALLEST_CASES).splitlines()
    assert lines == [f"{name} []" for name in OPERATIONS]


@pytest.mark.slow
def test_all_that_holds_for_the_fast_paths() -> None:
    files = [str(HERE / name) for name in FILES]
    options = ["-q", "-p", "no:cacheprovider", "-k", SELECTION, f"--rootdir={os.getcwd()}"]
    last = in_interpreter("-m", "pytest", *files, *options).strip().splitlines()[-1]
    assert " passed" in last and "failed" not in last
