"""A linearisation in its folder: a crash in any part costs steps, and changes no number."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from star.genomes import Genome, GenomeFile, cache_bytes
from star.hybrids.linearise import Linearisation, Plan
from star.hybrids.linearise.linearisation import RECALL, Result, genome_file
from star.hybrids.linearise.running import Running
from star.hybrids.linearise.stages import Alignment, Distillation, GateTraining
from star.models.checkpoint import Checkpoint
from star.training import Trainer
from star.training.loop import StepResult
from tests.hybrids.linearise.small import ALL, SIZES, config, corpus, model

TWO = Genome.from_text("11111-91111-21111")


class Crash(Exception):
    pass


def linearisation(folder: Path) -> Linearisation:
    settings = config()
    settings.budget = 0.6
    checkpoint = Checkpoint(model(TWO), GenomeFile("two", TWO), SIZES)
    plan = Plan.make(TWO, SIZES, ALL, "GatedDelta")
    running = Running(Console(quiet=True), checkpoint_every=1, validate_every=2)
    return Linearisation(settings, folder, checkpoint, corpus(), plan, running)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return linearisation(tmp_path_factory.mktemp("whole")).run()


def test_it_ends_within_the_budget(whole: Result, tmp_path: Path) -> None:
    work = linearisation(tmp_path)
    before, after = (cache_bytes(genome, SIZES, ALL) for genome in (TWO, whole.genome))
    assert sum(whole.kept) == 1 and after <= 0.6 * before
    assert whole.metrics["distilled"]["cache_bytes"] == after
    assert whole.metrics["original"]["cache_bytes"] == before
    assert all(0 <= metrics[RECALL] <= 1 for metrics in whole.metrics.values())
    content = genome_file(work, whole)
    assert content.parents == [TWO.id] and content.genome == whole.genome
    for gate, is_kept in zip(whole.gates, whole.kept, strict=True):
        assert f"gate {gate:.3f}, {'kept' if is_kept else 'replaced'}" in content.notes


@pytest.mark.parametrize("stage", [Alignment, GateTraining, Distillation])
def test_a_crash_costs_steps_only(
    stage: type[Trainer], whole: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance: Callable[[Trainer], StepResult] = Trainer.advance

    def crashing(trainer: Trainer) -> StepResult:
        if type(trainer) is stage and trainer.step == 2:
            raise Crash
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", crashing)
    with pytest.raises(Crash):
        linearisation(tmp_path).run()
    monkeypatch.setattr(Trainer, "advance", advance)
    found = linearisation(tmp_path).run()
    assert (found.gates, found.kept, found.metrics) == (whole.gates, whole.kept, whole.metrics)
    expected = whole.model.state_dict()
    assert all(torch.equal(x, expected[name]) for name, x in found.model.state_dict().items())
    rows = (tmp_path / "align" / "log.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["step", "1", "2", "3"]
