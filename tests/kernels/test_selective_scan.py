"""Selective scan: the fast paths against the definition, states, errors, compilation."""

import importlib.util
from typing import Any

import pytest
import torch

from star.kernels.harness.measure import peak_bytes
from star.kernels.selective_scan import cpu, selective_scan
from star.kernels.selective_scan import operator as operators
from star.kernels.selective_scan.cases import hugging_face_slow, log_step_scan
from star.kernels.selective_scan.cpu import block_length
from star.kernels.selective_scan.operator import selective_scan_from
from star.kernels.selective_scan.reference import selective_scan_reference

ROUNDING = 1e-4  # float32 against float64, relative to the largest value
BLOCK = block_length(3)
TINY = 1e-30  # what float32 cannot hold counts as zero
NAMES = ("v", "step", "rate", "b", "c", "skip", "gate", "state")

HAS_NUMBA = importlib.util.find_spec("numba") is not None
NUMBA = pytest.param(
    "numba", marks=pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
)
PATHS = pytest.mark.parametrize("path", ["torch", NUMBA], indirect=True)


@pytest.fixture
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "torch":
        monkeypatch.setattr(operators, "_compiled", lambda: None)


def inputs(
    batch: int, length: int, channels: int, states: int, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tensors = (
        normal(batch, length, channels),
        normal(batch, length, channels).exp() * 0.1,
        -normal(channels, states).exp(),
        normal(batch, length, states),
        normal(batch, length, states),
        normal(channels),
        normal(batch, length, channels),
        normal(batch, channels, states),
    )
    return {
        name: tensor.to(dtype).requires_grad_() for name, tensor in zip(NAMES, tensors, strict=True)
    }


def without(tensors: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


def compare(found: Any, wanted: Any, given: dict[str, torch.Tensor]) -> None:
    """Outputs and gradients of two functions of the same inputs, the second one in float64."""
    wide = {name: tensor.detach().double().requires_grad_() for name, tensor in given.items()}
    pairs = list(zip(found(**given), wanted(**wide), strict=True))
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(b.shape, dtype=torch.float64, generator=generator) for _, b in pairs]
    losses = [
        torch.stack([(pair[i] * w).sum() for pair, w in zip(pairs, weights, strict=True)]).sum()
        for i in (0, 1)
    ]
    grads = [
        torch.autograd.grad(loss, list(t.values()))
        for loss, t in zip(losses, (given, wide), strict=True)
    ]
    for a, b in [*pairs, *zip(*grads, strict=True)]:
        torch.testing.assert_close(
            a.double(), b, rtol=0, atol=max(TINY, ROUNDING * b.abs().max().item())
        )


@pytest.mark.parametrize("missing", [(), ("skip", "gate", "state"), ("gate",), ("skip", "state")])
def test_gradients_are_exact_in_float64(
    missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "block_length", lambda states: 4)
    given = without(inputs(2, 7, 2, 2, torch.float64), *missing)

    def function(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return selective_scan_from(**dict(zip(given, tensors, strict=True)))

    assert torch.autograd.gradcheck(function, list(given.values()))


@PATHS
@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_outputs_and_gradients_match_the_definition(path: None, length: int) -> None:
    compare(selective_scan_from, selective_scan_reference, inputs(2, length, 5, 3))
    compare(
        lambda **t: (selective_scan(**t),),
        lambda **t: selective_scan_reference(**t)[:1],
        without(inputs(1, length, 5, 3), "state"),
    )


@PATHS
@pytest.mark.parametrize("missing", [("skip",), ("gate",), ("state",), ("skip", "gate", "state")])
def test_skip_gate_and_state_may_be_left_out(path: None, missing: tuple[str, ...]) -> None:
    compare(selective_scan_from, selective_scan_reference, without(inputs(2, 40, 20, 16), *missing))


@PATHS
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 5, 1, 2), (2, 5, 33, 64), (1, 9, 4, 70)])
def test_odd_shapes(path: None, shape: tuple[int, int, int, int]) -> None:
    compare(selective_scan_from, selective_scan_reference, inputs(*shape))


@PATHS
def test_the_gradient_of_the_last_state_alone(path: None) -> None:
    given = inputs(2, 20, 3, 4)
    given = without(given, "c", "gate", "skip")
    c = torch.zeros_like(given["b"])
    compare(
        lambda **t: selective_scan_from(c=c, **t)[1:],
        lambda **t: selective_scan_reference(c=c, **t)[1:],
        given,
    )


@PATHS
def test_two_parts_joined_by_the_state_are_the_whole(path: None) -> None:
    given = inputs(2, 50, 6, 4)
    whole, last = selective_scan_from(**given)
    timeless = ("rate", "skip", "state")
    first = {name: t if name in timeless else t[:, :21] for name, t in given.items()}
    second = {name: t if name in timeless else t[:, 21:] for name, t in given.items()}
    start, middle = selective_scan_from(**first)
    end, final = selective_scan_from(**{**second, "state": middle})
    torch.testing.assert_close(torch.cat([start, end], dim=1), whole)
    torch.testing.assert_close(final, last)


def test_nothing_of_size_length_times_state_is_kept_for_the_backward_pass() -> None:
    batch, length, channels, states = 2, 256, 16, 16
    saved: list[int] = []

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        selective_scan(**without(inputs(batch, length, channels, states), "state"))
    assert saved and sum(saved) < batch * length * channels * states / 2


@PATHS
def test_low_and_mixed_precision_accumulate_in_float32(path: None) -> None:
    given = inputs(1, 40, 3, 4)
    mixed = {name: t.bfloat16() if name in ("v", "b", "gate") else t for name, t in given.items()}
    y, last = selective_scan_from(**mixed)
    expected, _ = selective_scan_reference(**{name: t.double() for name, t in mixed.items()})
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=2**-7, atol=2**-7)
    (y.sum() + last.sum()).backward()
    assert all(
        tensor.grad is not None and tensor.grad.dtype == tensor.dtype for tensor in given.values()
    )


@PATHS
def test_autocast_does_not_lower_the_precision(path: None) -> None:
    given = without(inputs(1, 40, 3, 4), "state")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = selective_scan(**given)
    assert torch.equal(found, selective_scan(**given))


@PATHS
def test_a_value_that_is_not_finite_is_shown(path: None) -> None:
    given = {name: tensor.detach() for name, tensor in inputs(1, 9, 3, 2).items()}
    for name in ("step", "rate", "v"):
        broken = {**given, name: torch.full_like(given[name], float("nan"))}
        assert selective_scan(**broken).isnan().any()


@PATHS
def test_strong_decay_forgets(path: None) -> None:
    given = inputs(1, 9, 3, 2)
    given["rate"] = torch.full_like(given["rate"], -1e4).requires_grad_()
    compare(selective_scan_from, selective_scan_reference, given)


def test_the_peers_agree() -> None:
    given = inputs(2, 21, 5, 3)
    compare(log_step_scan, selective_scan_reference, given)
    compare(hugging_face_slow, selective_scan_reference, given)


@pytest.mark.slow
def test_the_operator_is_registered_rightly() -> None:
    checks = (
        "test_schema",
        "test_autograd_registration",
        "test_faketensor",
        "test_aot_dispatch_dynamic",
    )
    for missing in [(), ("skip", "gate", "state")]:
        given = {**dict.fromkeys(NAMES), **without(inputs(2, 5, 3, 2), *missing)}
        torch.library.opcheck(
            torch.ops.star.selective_scan.default, tuple(given.values()), test_utils=checks
        )


def test_it_compiles_whole() -> None:
    given = without(inputs(2, 5, 3, 2), "state")

    def function(**tensors: torch.Tensor) -> torch.Tensor:
        return selective_scan(**tensors) * 2

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    compare(
        lambda **t: (compiled(**t),), lambda **t: (2 * selective_scan_reference(**t)[0],), given
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("b", lambda t: t[:, :3], r"b has shape \(1, 3, 2\), expected \(1, 4, 2\)"),
        ("skip", lambda t: t[:2], r"skip has shape \(2,\), expected \(3,\)"),
        ("gate", lambda t: t[..., :1], r"gate has shape \(1, 4, 1\), expected \(1, 4, 3\)"),
        ("state", lambda t: t.mT, r"state has shape \(1, 2, 3\), expected \(1, 3, 2\)"),
        (
            "step",
            lambda t: t.detach().long(),
            "step has dtype torch.int64, expected one of float32",
        ),
        ("c", lambda t: t.to("meta"), "c is on meta, expected cpu"),
        (
            "v",
            lambda t: t[0],
            r"v has shape \(4, 3\) and rate \(3, 2\), expected \(batch, length, channels\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(name: str, change: Any, message: str) -> None:
    given = inputs(1, 4, 3, 2)
    with pytest.raises(ValueError, match=message):
        selective_scan(**{**given, name: change(given[name])})


@pytest.mark.slow
def test_peak_memory_is_a_quarter_of_the_log_step_scans_at_most() -> None:
    given = without(inputs(1, 4096, 32, 16), "skip", "gate", "state")

    def peak(function: Any) -> int:
        def call() -> None:
            y = function(**given)
            torch.autograd.grad((y[0] if isinstance(y, tuple) else y).sum(), list(given.values()))

        call()
        return peak_bytes(call, torch.device("cpu"))

    assert 4 * peak(selective_scan) <= peak(log_step_scan)


@pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
def test_several_threads_share_the_batch() -> None:
    from star.kernels.selective_scan import cpu_numba

    given = inputs(3, 128, 64, 16)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = selective_scan_from(**given)
    torch.set_num_threads(2)
    try:
        assert cpu_numba.LEAST_ELEMENTS_PER_THREAD <= 3 * 128 * 64 * 16
        together = selective_scan_from(**given)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
