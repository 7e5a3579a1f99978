"""Timing that other work on the machine disturbs as little as can be.

On one core of a CPU the time of the process counts, which leaves out what other processes take of
that core; on an idle machine it is the time that passes. Whatever else runs only adds time, by
caches and memory that are shared, so repeats of the same work count by their fastest; how far the
samples lie apart says how much was added.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work."""

    fastest: float  # of the repeats, and of several pieces the median
    p95: float  # the 95th percentile of all samples, disturbed ones included
    spread: float  # from their 5th to their 95th percentile, as a share of their median


@contextmanager
def quiet(threads: int) -> Iterator[None]:
    """No garbage collection, and so many threads of PyTorch, as before when it ends."""
    collects, before = gc.isenabled(), torch.get_num_threads()
    gc.collect()
    gc.disable()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if collects:
            gc.enable()


def seconds(work: Callable[[], object], device: torch.device, threads: int) -> float:
    """Time of one call, everything that it started on the device finished: of this process on one
    thread of a CPU, else what passes."""
    is_alone = device.type == "cpu" and threads == 1
    clock = time.process_time if is_alone else time.perf_counter
    _finish(device)
    begin = clock()
    work()
    _finish(device)
    return clock() - begin


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summarise(samples: np.ndarray) -> Timing:
    """From samples in seconds, (repeats, pieces): each repeat does the same pieces again."""
    early, middle, late = np.percentile(samples, [5, 50, 95])
    fastest = float(np.median(samples.min(axis=0)))
    return Timing(fastest, float(late), float((late - early) / middle))
