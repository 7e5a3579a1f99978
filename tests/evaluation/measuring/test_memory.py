"""The peak of tensors on a CPU, against sums that anyone can do."""

import torch

from star.evaluation.measuring import StoragePeak, peak_of

MEGABYTE = 2**20
CPU = torch.device("cpu")


def megabyte() -> torch.Tensor:
    return torch.zeros(MEGABYTE, dtype=torch.uint8)


def test_what_lives_at_once_is_counted_and_what_ended_is_not() -> None:
    with StoragePeak() as counted:
        first = megabyte()
        second = first + 1  # two
        del first
        third = second + 1  # two again
        del second
        assert counted.peak == 2 * MEGABYTE
        kept = [third, third + 1, third + 1]
    assert counted.peak == 3 * MEGABYTE and len(kept) == 3


def test_views_and_what_is_written_in_place_take_no_more() -> None:
    with StoragePeak() as counted:
        x = megabyte()
        x.view(2, -1)[0].add_(1)
        x[:100].mul_(2)
    assert counted.peak == MEGABYTE


def test_what_an_operator_gives_within_inference_mode_counts() -> None:
    with StoragePeak() as counted, torch.inference_mode():
        x = megabyte()
        assert (x + x).numel() == MEGABYTE
    assert counted.peak == 2 * MEGABYTE


def test_only_what_belongs_to_the_work_counts() -> None:
    held, other = megabyte(), megabyte()
    assert peak_of(lambda: held + 1, [held], CPU) == 2 * MEGABYTE
    assert peak_of(lambda: None, [held, other, held.view(2, -1)], CPU) == 2 * MEGABYTE


def test_tensors_that_outlive_the_count_do_no_harm() -> None:
    with StoragePeak() as counted:
        x = megabyte()
    del x
    assert counted.peak == MEGABYTE
