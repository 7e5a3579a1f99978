"""Measure operations: against their peers side by side, against the device's ceilings, and over
growing lengths."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..dispatch import choose
from .comparison import describe, dtype_name, floating, in_interpreter, relative_error
from .measure import Call, Clock, peak_bytes
from .operation import Cost, Inputs, Operation, Sizes

FORWARD, BOTH = "forward", "forward+backward"
OURS = "ours"
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
Row = dict[str, Any]
Function = Callable[..., tuple[Tensor, ...]]


def cases(operation: Operation, device: torch.device, quick: bool) -> Sequence[Sizes]:
    """The sizes to measure here: a GPU's `bench`, a CPU's `cpu`, the interpreter's own; quick: the
    largest alone."""
    if in_interpreter():
        return operation.interpreter[-1:]
    all_sizes = operation.bench if device.type == "cuda" else operation.cpu
    if not quick:
        return all_sizes
    return [max(all_sizes, key=lambda sizes: operation.cost(sizes, torch.float32).both_bytes)]


def draw(operation: Operation, sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Inputs:
    """Arguments of which the floating tensors are leaves."""
    inputs = operation.inputs(sizes, dtype, device, torch.Generator(device).manual_seed(0))
    return {
        name: value.detach().requires_grad_() if floating(value) else value
        for name, value in inputs.items()
    }


def prepare(function: Function, inputs: Inputs, part: str) -> Call:
    """Forward without gradients, or forward with backward to every floating input; it has been run
    twice.

    Raises whatever the function raises.
    """
    leaves = [value for value in inputs.values() if floating(value)]

    def forward() -> None:
        with torch.no_grad():
            function(**inputs)

    def both() -> None:
        pairs = [
            (y, g) for y, g in zip(function(**inputs), cotangents, strict=True) if y.requires_grad
        ]
        if not pairs:
            raise RuntimeError("it has no backward")
        torch.autograd.grad([y for y, _ in pairs], leaves, [g for _, g in pairs], allow_unused=True)

    if part == BOTH:
        with torch.no_grad():
            cotangents = [torch.ones_like(y) for y in function(**inputs)]
    call = forward if part == FORWARD else both
    for _ in range(2):
        call()
    return call


def why(problem: Exception) -> str:
    """Why an implementation cannot be measured, in few words."""
    if isinstance(problem, ImportError):
        return "not installed"
    told = problem if type(problem) is RuntimeError else f"{type(problem).__name__}: {problem}"
    return " ".join(str(told).split())[:160]


def difference(ours: Function, peer: Function, inputs: Inputs) -> float:
    """The largest relative difference of a peer's outputs; infinite where it returns others."""
    with torch.no_grad():
        a, b = ours(**inputs), peer(**inputs)
    if len(a) != len(b):
        return float("inf")
    return max(relative_error(y, x.double()) for x, y in zip(a, b, strict=True))


def share_of_ceiling(
    moved: int, operations: int, seconds: float, copied: float, multiplied: float
) -> float:
    """The time that the device's measured rates allow at least, over the time taken.

    copied, multiplied: bytes per second of a copy and operations per second of a matrix product.
    """
    return max(moved / copied, operations / multiplied) / seconds


def measure(
    operation: Operation, sizes: Sizes, dtype: torch.dtype, clock: Clock, seconds: float
) -> Iterator[Row]:
    """Rows for forward and for forward with backward, one per peer, or a single one without peers.

    An implementation that cannot run gives None for its times, and the reason.
    """
    device = clock.device
    shared: Row = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "operation": operation.name,
        "dtype": dtype_name(dtype),
        "sizes": dict(sizes),
        "implementation": choose(operation.name, torch.empty(0, dtype=dtype, device=device)),
    }
    inputs = draw(operation, sizes, dtype, device)
    for part in (FORWARD, BOTH):
        timed: dict[str, Call] = {}
        reasons: dict[str, str] = {}
        differences: dict[str, float] = {}
        for name, function in {OURS: operation.run, **operation.peers}.items():
            try:
                timed[name] = prepare(function, inputs, part)
                if name != OURS and OURS in timed:
                    differences[name] = difference(operation.run, function, inputs)
            except Exception as problem:  # a peer's trouble is told, not raised
                reasons[name] = why(problem)
            if name in reasons and device.type == "cuda":
                torch.cuda.empty_cache()
        times = clock.medians(timed, seconds * max(1, len(timed))) if timed else {}
        peaks = {name: peak_bytes(call, device) / 2**20 for name, call in timed.items()}
        ours = times.get(OURS)
        row = {
            "case": f"{describe(operation.name, dtype, sizes)} {part}",
            **shared,
            "pass": part,
            "ours_ms": ours,
        }
        row |= {
            "peak_mib": peaks.get(OURS),
            **rates(operation.cost(sizes, dtype), part, ours, clock, dtype),
        }
        row |= {"reason": reasons[OURS]} if OURS in reasons else {}
        for peer in operation.peers or (None,):
            theirs = times.get(peer) if peer else None
            told: Row = {
                "peer": peer,
                "peer_ms": theirs,
                "ratio": theirs / ours if theirs and ours else None,
            }
            if peer in peaks:
                far = differences.get(peer, 0.0)
                told |= {
                    "peer_peak_mib": peaks[peer],
                    "difference": far if far < float("inf") else None,
                }
            yield row | told | ({"peer_reason": reasons[peer]} if peer in reasons else {})


def rates(
    cost: Cost, part: str, milliseconds: float | None, clock: Clock, dtype: torch.dtype
) -> Row:
    """What was achieved, and its share of the ceiling measured here and now."""
    moved, done = (
        (cost.forward_bytes, cost.forward_flops)
        if part == FORWARD
        else (cost.both_bytes, cost.both_flops)
    )
    if milliseconds is None:
        return {
            "gigabytes_per_second": None,
            "teraflops_per_second": None,
            "share_of_ceiling": None,
        }
    seconds = milliseconds * 1e-3
    share = share_of_ceiling(moved, done, seconds, clock.copy_rate(moved), clock.matrix_rate(dtype))
    return {
        "gigabytes_per_second": moved / seconds / 1e9,
        "teraflops_per_second": done / seconds / 1e12,
        "share_of_ceiling": share,
    }


def subquadratic(operation: Operation, sizes: Sizes, dtype: torch.dtype) -> bool:
    """Whether the operation's declared cost about doubles with the length."""
    if "length" not in sizes:
        return False
    short, long = (operation.cost({**sizes, "length": length}, dtype) for length in LENGTHS[-2:])
    return long.both_flops <= 2.5 * short.both_flops and long.both_bytes <= 2.5 * short.both_bytes


def measure_lengths(
    operation: Operation, dtype: torch.dtype, clock: Clock, lengths: Sequence[int], seconds: float
) -> Iterator[Row]:
    """Time and peak memory for each length at batch 1; nothing for an operation that is not
    subquadratic."""
    base = {**cases(operation, clock.device, quick=True)[0]}
    if "batch" in base:
        base["batch"] = 1
    if not subquadratic(operation, base, dtype):
        return
    device = torch.cuda.get_device_name(clock.device) if clock.device.type == "cuda" else "cpu"
    for length in lengths:
        sizes = {**base, "length": length}
        row: Row = {
            "case": describe(operation.name, dtype, sizes),
            "device": device,
            "operation": operation.name,
        }
        row |= {"dtype": dtype_name(dtype), "sizes": sizes, "length": length}
        try:
            inputs = draw(operation, sizes, dtype, clock.device)
            made = {part: prepare(operation.run, inputs, part) for part in (FORWARD, BOTH)}
            times = clock.medians(made, 2 * seconds)
            row |= {"forward_ms": times[FORWARD], "both_ms": times[BOTH]}
            row |= {"peak_mib": peak_bytes(made[BOTH], clock.device) / 2**20}
        except Exception as problem:
            row |= {"forward_ms": None, "both_ms": None, "peak_mib": None, "reason": why(problem)}
        yield row


def usual_dtype(operation: Operation, device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU, float32 on the CPU, as models there do; the operation's first where it
    lacks that."""
    usual = torch.bfloat16 if device.type == "cuda" else torch.float32
    return usual if usual in operation.dtypes else operation.dtypes[0]
