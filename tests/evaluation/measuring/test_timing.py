"""Timing: what is reported of samples, and that nothing of the process is changed for good."""

import gc
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.evaluation.measuring import quiet, seconds, summarise

SAMPLES = st.lists(st.lists(st.floats(1e-6, 10), min_size=5, max_size=5), min_size=2, max_size=9)


def test_each_piece_counts_by_its_fastest_repeat() -> None:
    timing = summarise(np.array([[1.0, 9.0, 3.0], [8.0, 2.0, 7.0]]))
    assert timing.fastest == 2.0  # of 1, 2 and 3
    assert timing.p95 == 8.75 and timing.spread == pytest.approx((8.75 - 1.25) / 5.0)


def test_disturbances_of_some_repeats_change_the_spread_alone() -> None:
    calm = np.tile(np.linspace(1.0, 1.2, 16), (8, 1))
    disturbed = calm.copy()
    disturbed[::2] *= 5
    assert summarise(disturbed).fastest == summarise(calm).fastest
    assert summarise(disturbed).spread > 1 > 5 * summarise(calm).spread


@given(SAMPLES, st.floats(0.1, 100))
def test_times_scale_and_the_spread_does_not(samples: list[list[float]], factor: float) -> None:
    once, scaled = summarise(np.array(samples)), summarise(factor * np.array(samples))
    assert scaled.fastest == pytest.approx(factor * once.fastest)
    assert scaled.p95 == pytest.approx(factor * once.p95)
    assert scaled.spread == pytest.approx(once.spread, rel=1e-6, abs=1e-9)
    assert once.fastest <= once.p95 * (1 + 1e-12) and once.spread >= 0


def test_quiet_leaves_everything_as_it_was() -> None:
    before = torch.get_num_threads()
    for collects in (True, False):
        (gc.enable if collects else gc.disable)()
        try:
            with pytest.raises(ZeroDivisionError), quiet(threads=before + 1):
                assert not gc.isenabled() and torch.get_num_threads() == before + 1
                raise ZeroDivisionError
            assert gc.isenabled() is collects and torch.get_num_threads() == before
        finally:
            gc.enable()


def test_seconds_of_one_thread_leave_out_those_that_it_waits() -> None:
    """Sleeping is time that passes, which the process does not take."""
    cpu = torch.device("cpu")
    assert seconds(lambda: time.sleep(0.05), cpu, threads=2) >= 0.05
    assert seconds(lambda: time.sleep(0.05), cpu, threads=1) < 0.05
