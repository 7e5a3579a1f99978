"""Tables are kept for real tensors, and for nobody else."""

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from star.kernels.tables import kept_table
from star.testing.structures import build, tokens
from tests.models.test_cache import MIXED


def made(count: int = 4) -> tuple[list[int], torch.Tensor]:
    return [count], torch.arange(count)


def test_a_table_is_made_once_and_fit_for_training() -> None:
    table = kept_table(4)(made)
    with torch.inference_mode():
        first = table(3)
    assert table(3)[1] is first[1] and not first[1].is_inference()


def test_a_fake_table_is_neither_kept_nor_a_real_one_given_to_a_fake() -> None:
    table = kept_table(4)(made)
    with FakeTensorMode():
        assert isinstance(table(3)[1], FakeTensor)
    real = table(3)[1]
    assert not isinstance(real, FakeTensor) and real.tolist() == [0, 1, 2]
    with FakeTensorMode():
        assert isinstance(table(3)[1], FakeTensor)


def test_a_model_traced_with_fake_tensors_leaves_nothing_to_the_next() -> None:
    length = 37  # of no other test, so that no table is there yet
    with FakeTensorMode():
        fake = build(MIXED)(torch.zeros(2, length, dtype=torch.int64))
        assert isinstance(fake, FakeTensor)
    with torch.device("meta"):
        assert build(MIXED)(torch.zeros(2, length, dtype=torch.int64)).is_meta
    model = build(MIXED)
    y = model(tokens(length))
    assert type(y) is torch.Tensor and torch.isfinite(y).all()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert isinstance(model(torch.zeros(2, length, dtype=torch.int64)), FakeTensor)
