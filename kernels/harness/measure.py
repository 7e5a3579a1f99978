"""Time, peak memory and a device's ceilings, measured."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

FLUSH_BYTES = 512 * 2**20  # several times the largest L2 there is
Call = Callable[[], object]


class Clock:
    """Milliseconds that one call takes on a device.

    On a GPU by CUDA events, with the L2 cache emptied before; the emptying keeps the GPU busy while
    the host queues the call, so that small kernels are not charged for the host's time. On the CPU
    by the wall clock, with warm caches.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.flush = (
            torch.empty(FLUSH_BYTES, dtype=torch.int8, device=device)
            if device.type == "cuda"
            else None
        )
        self._copy_rates: dict[int, float] = {}
        self._matrix_rates: dict[torch.dtype, float] = {}

    def milliseconds(self, call: Call) -> float:
        """Time one call."""
        if self.flush is None:
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) * 1e3
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        for _ in range(4):
            self.flush.zero_()
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize(self.device)
        return begin.elapsed_time(end)

    def medians(
        self, calls: Mapping[str, Call], seconds: float, most: int = 100
    ) -> dict[str, float]:
        """Median time of each call; they run in turn for about `seconds` in all, in three rounds at
        least.

        Slow ones run fewer rounds, once ten times the seconds have passed. The calls must have been
        run before, so that no compilation is measured.
        """
        times: dict[str, list[float]] = {name: [] for name in calls}
        start = time.perf_counter()
        for done in range(most):
            passed = time.perf_counter() - start
            if passed > (seconds if done >= 3 else 10 * seconds):
                break
            for name, call in calls.items():
                times[name].append(self.milliseconds(call))
        return {name: statistics.median(values) for name, values in times.items()}

    def copy_rate(self, size: int) -> float:
        """Bytes per second by copying a tensor, read and written counted, `size` bytes in both
        together.

        On a GPU two gigabytes at least, since its caches are empty; on the CPU the size itself, and
        caches may hold it.
        """
        size = max(size, 2**31) if self.device.type == "cuda" else max(size, 2**16)
        if size not in self._copy_rates:
            source = torch.zeros(size // 2, dtype=torch.int8, device=self.device)
            target = torch.empty_like(source)
            target.copy_(source)
            taken = self.medians({"copy": lambda: target.copy_(source)}, seconds=0.05)["copy"]
            self._copy_rates[size] = size / (taken * 1e-3)
        return self._copy_rates[size]

    def matrix_rate(self, dtype: torch.dtype) -> float:
        """Operations per second of a large matrix product of random numbers in the dtype, measured
        once."""
        if dtype not in self._matrix_rates:
            side = 8192 if self.device.type == "cuda" else 512
            a, b = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
            out = torch.mm(a, b)
            taken = self.medians({"product": lambda: torch.mm(a, b, out=out)}, seconds=0.2)[
                "product"
            ]
            self._matrix_rates[dtype] = 2 * side**3 / (taken * 1e-3)
        return self._matrix_rates[dtype]


def peak_bytes(call: Call, device: torch.device) -> int:
    """Most memory that tensors held at once during a call, beyond what they held before.

    From torch's allocators: on a GPU its statistics, on the CPU the allocations and frees that the
    profiler saw.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Otherwise the profiler tells of every start and stop.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    steps = sorted(
        (event for event in events if event.get("name") == "[memory]"),
        key=lambda event: event["ts"],
    )
    held = peak = 0
    for step in steps:
        held += step["args"]["Bytes"]
        peak = max(peak, held)
    return peak
