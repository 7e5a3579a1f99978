"""The grid against FACTS and the tasks' own checks; presets."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from star.base.errors import UserError
from star.evaluation.mad import BASELINES, PRESETS, TASKS, Setting, choose_preset, full_grid

# Poli et al., arXiv 2403.17844, and configs/tasks of athms/mad-lab: settings of each task.
PUBLISHED_COUNTS = {
    "in_context_recall": 11,
    "fuzzy_recall": 11,
    "noisy_recall": 14,
    "selective_copying": 13,
    "compression": 11,
    "memorization": 6,
}


def test_the_full_grid_has_the_published_settings() -> None:
    grid = full_grid()
    assert Counter(setting.task for setting in grid) == PUBLISHED_COUNTS
    assert len(set(grid)) == 66


def test_one_factor_departs_from_the_baseline_at_a_time() -> None:
    for setting in full_grid():
        baseline = BASELINES[setting.task]
        changed = [k for k, v in setting.factors.items() if v != baseline.factors[k]]
        assert len(changed) == (setting != baseline)


def test_every_setting_has_instances_of_its_length_and_vocabulary() -> None:
    for setting in {*full_grid(), *PRESETS["quick"].settings}:
        found = setting.instances(2, 0, "train")
        cut = setting.task in ("in_context_recall", "noisy_recall")  # the last token is no input
        assert found.inputs.shape == (2, setting.length - cut)
        assert found.inputs.max() < setting.vocabulary
        assert torch.equal(found.inputs, setting.instances(2, 0, "train").inputs)


def test_full_steps_are_those_of_mad_lab() -> None:
    """200 epochs of batches of 128; 897,000 steps or fewer for one pair of rates (FACTS A1)."""
    full = PRESETS["full"]
    assert full.steps_of(BASELINES["in_context_recall"]) == 20_000
    assert full.steps_of(BASELINES["memorization"]) == 400
    assert full.steps_of(replace(BASELINES["compression"], examples=800)) == 200 * 7
    total = sum(full.steps_of(setting) for setting in full.settings)
    assert total == pytest.approx(897_000, rel=0.01)
    assert len(full.settings) * len(full.learning_rates) * len(full.weight_decays) == 396


def test_presets_are_narrowed_to_tasks_in_the_order_of_the_tasks() -> None:
    assert [s.task for s in choose_preset("baseline").settings] == list(TASKS)
    chosen = choose_preset("full", ["memorization", "compression"])
    assert [s.task for s in chosen.settings] == ["compression"] * 11 + ["memorization"] * 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("quik",), "preset=quik: expected one of quick, baseline, full"),
        (("quick", ["recall"]), "tasks=recall: expected one of compression, fuzzy_recall, "),
    ],
)
def test_unknown_names_are_told(given: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_preset(*given)


def test_a_setting_that_no_sequence_has_names_task_and_key() -> None:
    setting = Setting("selective_copying", 16, 64, 100, copied=40)
    with pytest.raises(UserError, match="selective_copying: copied=40: expected 1 to 31"):
        setting.instances(1, 0, "train")
