"""Random numbers from a seed, and those of the caller."""

import pytest
import torch

from star.base.random_numbers import seeded

CPU = torch.device("cpu")


def test_within_they_are_those_of_the_seed_and_after_it_those_of_the_caller() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(7)
    first, second = torch.rand(2), torch.rand(2)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(2), first)
    with seeded(3, CPU):
        assert torch.equal(torch.rand(2), expected)
    assert torch.equal(torch.rand(2), second)


def test_an_error_restores_them_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError), seeded(3, CPU):
        raise ValueError
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_is_seeded_where_it_is_the_device_only() -> None:
    cuda = torch.device("cuda")
    before = torch.cuda.get_rng_state()
    with seeded(3, CPU):
        assert torch.equal(torch.cuda.get_rng_state(), before)
    with seeded(3, cuda):
        first = torch.rand(2, device=cuda)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2, device=cuda), first)
