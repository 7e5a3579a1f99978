"""Muon in stacks of equal shape gives what PyTorch's own gives one matrix at a time."""

from typing import Any

import pytest
import torch

from star.training.muon import Muon

pytestmark = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon is of torch 2.9")
# Products of stacks may round the last bits of bfloat16 otherwise; a step is of entries up to 1.
ROUNDING = 0.02 * 2**-7
SHAPES = [(8, 8), (24, 8), (8, 24), (8, 8), (24, 8), (1, 8), (8, 1)]


@pytest.mark.parametrize("nesterov", [True, False])
def test_every_step_is_that_of_torch(nesterov: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    mine = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in SHAPES]
    theirs = [torch.nn.Parameter(weight.detach().clone()) for weight in mine]
    settings: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9}
    settings["nesterov"] = nesterov
    stacked, single = Muon(mine, **settings), torch.optim.Muon(theirs, **settings)
    for step in range(6):
        for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            gradient = torch.randn(a.shape, generator=generator)
            is_used = step % 2 or number != 3  # one has a gradient in every second step only
            a.grad, b.grad = (gradient.clone() if is_used else None for _ in "ab")
        stacked.step()
        single.step()
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=0.0, atol=ROUNDING)
    buffers = stacked.state_dict()["state"], single.state_dict()["state"]
    for number in range(len(SHAPES)):
        assert torch.equal(*(found[number]["momentum_buffer"] for found in buffers))


def test_a_state_of_torch_goes_on() -> None:
    weight = torch.nn.Parameter(torch.eye(4))
    single = torch.optim.Muon([weight], lr=0.02)
    weight.grad = torch.ones(4, 4)
    single.step()
    copy = torch.nn.Parameter(weight.detach().clone())
    stacked = Muon([copy], lr=0.02)
    stacked.load_state_dict(single.state_dict())
    copy.grad = weight.grad.clone()
    single.step()
    assert stacked.step(lambda: 3.0) == 3.0
    torch.testing.assert_close(copy, weight, rtol=0.0, atol=ROUNDING)
