"""The evaluation of one candidate: what is measured, and how it ends when something goes wrong."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import OBJECTIVES, Context, Evaluation, Measured, Objective, Recipe, evaluate
from star.evaluation.recipe import SearchModelConfig
from star.evaluation.result import LONGEST_REASON
from star.evaluation.states import StateStore
from star.genomes import CacheSetting, Genome
from star.training import TrainingConfig
from tests.search.objectives import Margin

TEXT = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 40, dtype=np.uint8)
CORPUS = Corpus(TEXT, TEXT, "test")
GENOME = Genome.from_text("11111-91111")
MARGIN = "tests.search.objectives:Margin"
RECIPE = Recipe(
    SearchModelConfig(width=16),
    CacheSetting(),
    TrainingConfig(steps=2, batch_size=2, length=16, device="cpu", validation_batches=1),
    DataConfig(),
    seed=0,
)


class Raising(Objective):
    """Raises what the test sets."""

    name = "raising"
    error: BaseException = RuntimeError()

    def measure(self, context: Context) -> Mapping[str, float]:
        raise self.error


class Infinite(Objective):
    """No number."""

    name = "infinite"
    value: float = float("inf")

    def measure(self, context: Context) -> Mapping[str, float]:
        return {self.name: self.value}


def evaluated(*objectives: str, **settings: Mapping[str, Any]) -> Evaluation:
    recipe = replace(RECIPE, objectives=objectives, settings=settings)
    return evaluate(GENOME, recipe, CORPUS)


def test_the_random_state_of_the_caller_is_kept_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for seed, error in ((1, None), (2, None), (3, RuntimeError("broken"))):
        if error is not None:
            monkeypatch.setattr(Raising, "error", error)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(evaluated(*(() if error is None else (f"{__name__}:Raising",))))
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0].metrics == found[1].metrics and not found[2].feasible


ALWAYS = set(OBJECTIVES) - {"repeat_loss"}  # no window of 17 bytes of this text repeats four


def test_everything_that_is_measured_always_is_measured() -> None:
    result = evaluated()
    assert result.feasible and set(result.metrics) == ALWAYS
    longer = replace(RECIPE, training=replace(RECIPE.training, validation_length=60))
    assert set(evaluate(GENOME, longer, CORPUS).metrics) == set(OBJECTIVES)
    assert result.train_seconds > 0 and result.peak_bytes > 0 and result.device == "cpu"
    static = Measured.of(()).measure_static(GENOME, RECIPE)
    assert {name: result.metrics[name] for name in static} == static


def test_a_users_own_are_measured_on_the_trained_model_with_their_settings() -> None:
    static = "tests.search.objectives:Attention"
    result = evaluated(MARGIN, static, margin={"below": 7.5})
    loss = result.metrics["validation_loss"]
    assert result.metrics["margin"] == 7.5 - loss and result.metrics["attention"] == 1
    assert evaluated().metrics["validation_loss"] == loss  # nothing else has changed
    assert evaluated(MARGIN).metrics["margin"] == Margin().below - loss


def test_the_same_candidate_gives_the_same_numbers_and_another_seed_others() -> None:
    first, again = evaluated(), evaluated()
    assert dict(first.metrics) == dict(again.metrics)
    other = evaluate(GENOME, replace(RECIPE, seed=1), CORPUS)
    assert other.metrics["validation_loss"] != first.metrics["validation_loss"]


def test_an_objective_that_raises_makes_the_candidate_infeasible_with_what_is_known() -> None:
    Raising.error = ValueError("no such thing")
    result = evaluated(f"{__name__}:Raising")
    assert (result.status, result.failure) == ("infeasible", "build_error")
    assert result.reason == "build_error: ValueError: no such thing"
    assert set(result.metrics) == {"parameters", "cache_bytes"}


def test_what_is_no_number_is_left_out_and_named() -> None:
    result = evaluated(f"{__name__}:Infinite")
    assert result.reason == "diverged: infinite is inf"
    assert set(result.metrics) == ALWAYS


def test_what_the_text_cannot_show_is_missing_unless_it_is_asked_for() -> None:
    """It is the text's matter, so no candidate would escape."""
    with pytest.raises(UserError, match="repeat_loss: .*no held-out window repeats 4 bytes; use"):
        evaluated("repeat_loss")


def test_a_mistake_of_the_user_is_passed_on() -> None:
    Raising.error = UserError("data.path=x: no such file")
    with pytest.raises(UserError, match="data.path=x"):
        evaluated(f"{__name__}:Raising")


def test_what_does_not_fit_the_sizes_is_invalid() -> None:
    recipe = replace(RECIPE, model=SearchModelConfig(width=320))
    result = evaluate(Genome.from_text("31111-91111"), recipe, CORPUS)
    assert result.reason.startswith("invalid: a model width of 320 gives 5 heads")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 10**7, "x" * 100),
        ("half \ud800 a pair", r"half \ud800 a pair"),
        ("\x1b[31mred\x07 \x00", "\ufffd[31mred\ufffd \ufffd"),  # as errors show them
        ("a\nb\r\n\tc\u2028d", "a b c d"),
        ("right\u202eleft", r"right\u202eleft"),
        ("naïve 文 😀", "naïve 文 😀"),
    ],
    ids=["long", "surrogate", "control", "lines", "direction", "plain"],
)
def test_a_reason_is_a_short_line_that_every_file_takes(text: str, shown: str) -> None:
    Raising.error = ValueError(text)
    reason = evaluated(f"{__name__}:Raising").reason
    assert reason.startswith(f"build_error: ValueError: {shown}") and len(reason) <= LONGEST_REASON
    assert reason.encode() and reason.isprintable()


def test_a_number_that_no_float_holds_is_infeasible() -> None:
    Infinite.value = 10**400
    try:
        result = evaluated(f"{__name__}:Infinite")
    finally:
        Infinite.value = float("inf")
    assert result.reason.startswith("diverged: infinite is 1000")
    assert "infinite" not in result.metrics


def test_a_full_disk_costs_the_state_of_a_rung_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    straight = evaluate(GENOME, RECIPE, CORPUS)
    monkeypatch.setattr("star.training.parts.save_state", full)
    states = StateStore(str(tmp_path / "states"))
    climbed = [evaluate(GENOME, RECIPE, CORPUS, steps, states) for steps in (1, 2)]
    assert climbed[0].feasible and climbed[1].metrics == straight.metrics
