"""The stages of a hybrid's making: what gradients reach, what is rewound, what is left behind."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from star.base.console import make_console
from star.base.errors import UserError
from star.base.files import named_weights, read_tensors
from star.genomes import CacheSetting, read_genome_file
from star.genomes.hybrids import Hybrid
from star.hybrids.config import HybridConfig, HybridizeConfig
from star.hybrids.programming import Programming, small_hybrid
from star.hybrids.stages import (
    MIXTURE,
    PROJECTOR_STATE,
    SEARCH_LOG,
    SEARCH_STATE,
    Making,
    distinct_names,
    find_mixture,
    freeze_all_but_projectors,
    read_mixture,
    settle,
    train_projectors,
)
from star.models import decode
from star.models.hybrid import HybridModel
from star.models.hybrid.mixture import PROJECTORS_FILE
from star.training.loop import token_loss
from tests.mixtures import write

from .tiny import alike, corpus, fresh, training, uniform_model

TOKENS = torch.randint(256, (2, 9), generator=torch.Generator().manual_seed(0))


def making(folder: Path, hybrid: Hybrid | None = None, **changes: object) -> Making:
    """In a folder with components that were drawn with the seeds 5 and 6."""
    one = hybrid or alike()
    own = HybridConfig(projector_steps=2, search_steps=3, **changes)  # type: ignore[arg-type]
    config = HybridizeConfig(
        hybrid=own, training=training(learning_rate=1e-2), cache=CacheSetting(context=32)
    )
    models = [fresh(c, seed) for seed, c in enumerate(one.components, start=5)]  # type: ignore[arg-type]
    one = write(folder, one, models).hybrid
    return Making(config, folder, one, corpus(), make_console())


@pytest.mark.parametrize("projector", ["linear", "identity", "two_layer", "skip"])
def test_gradients_reach_projectors_only(projector: str) -> None:
    model = uniform_model(alike(projector=projector))
    freeze_all_but_projectors(model)
    token_loss(model, TOKENS).backward()
    for name, weight in named_weights(model).items():
        is_projector = name.startswith(("into.", "out."))
        assert (weight.grad is not None and weight.grad.abs().max() > 0) == is_projector, name


def test_zero_projectors_begin_as_nothing_and_get_gradients() -> None:
    """A skip is `x` and a linear map that begins at zero: the hybrid begins as the average of
    components whose streams are joined in each block, and only the map's weights change."""
    model = uniform_model(alike(projector="skip"))
    zero = [w for n, w in named_weights(model).items() if n.startswith(("into.", "out."))]
    assert zero and not any(weight.any() for weight in zero)
    freeze_all_but_projectors(model)
    before = {name: weight.clone() for name, weight in named_weights(model).items()}
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], 1.0)
    token_loss(model, TOKENS).backward()
    optimizer.step()
    changed = {n for n, w in named_weights(model).items() if not torch.equal(w, before[n])}
    assert changed == {name for name in before if name.startswith(("into.", "out."))}


def test_projectors_are_trained_and_components_stay(tmp_path: Path) -> None:
    one = making(tmp_path / "one")
    before = {name: weight.clone() for name, weight in named_weights(one.model()).items()}
    train_projectors(one)
    left, _ = read_tensors(one.folder / PROJECTORS_FILE)
    assert left.keys() == {name for name in before if name.startswith(("into.", "out."))}
    assert all(not torch.equal(weight, before[name]) for name, weight in left.items())
    after = named_weights(one.model())
    for name, weight in before.items():
        assert torch.equal(after[name], left.get(name, weight)), name
    assert not (one.folder / PROJECTOR_STATE).exists()


def test_without_steps_projectors_are_those_that_the_seed_draws(tmp_path: Path) -> None:
    one = making(tmp_path / "one")
    settings = replace(one.config, hybrid=replace(one.config.hybrid, projector_steps=0))
    one = replace(one, config=settings)
    drawn = named_weights(one.model())
    train_projectors(one)
    for name, weight in read_tensors(one.folder / PROJECTORS_FILE)[0].items():
        assert torch.equal(weight, drawn[name])


@pytest.mark.parametrize("discretise", ["none", "one_hot", "parts"])
def test_weights_are_rewound_bit_for_bit(tmp_path: Path, discretise: str) -> None:
    one = making(tmp_path / "one", discretise=discretise)
    train_projectors(one)
    pretrained = {name: weight.clone() for name, weight in named_weights(one.model()).items()}
    rows = find_mixture(one)
    genome, weights = settle(one, rows)
    assert read_mixture(one.folder / MIXTURE, one.hybrid) == rows
    assert (one.folder / SEARCH_LOG).read_text().count("\n") == 1 + 3
    assert not (one.folder / SEARCH_STATE).exists()
    model = decode(genome, one.hybrid.sizes)
    assert isinstance(model, HybridModel) and tuple(map(tuple, model.weights)) == weights
    for name, weight in named_weights(model).items():
        assert torch.equal(weight, pretrained[name]), name
    if discretise != "none":
        assert all(4 * share in range(5) for row in weights for share in row)
        assert all(sum(row) == 1 for row in weights)
    read = read_genome_file(one.folder / "genome.yaml")
    assert read.genome == genome and read.settings["model"]["width"] == 32


def test_projectors_are_part_of_what_a_letter_stands_for(tmp_path: Path) -> None:
    """Genomes of equal components and mixtures begin otherwise where projectors do."""
    ids = set()
    for steps in (0, 1):
        one = making(tmp_path / str(steps), method="uniform", discretise="parts")
        one.config.hybrid.projector_steps = steps
        train_projectors(one)
        ids.add(settle(one, find_mixture(one))[0].id)
    assert len(ids) == 2


def test_a_finished_stage_is_not_done_again(tmp_path: Path) -> None:
    one = making(tmp_path / "one", method="given", mixture="[[0.5,0.5],[1,0]]")
    train_projectors(one)
    stamp = (one.folder / PROJECTORS_FILE).stat().st_mtime_ns
    settle(one, find_mixture(one))
    train_projectors(one)
    assert (one.folder / PROJECTORS_FILE).stat().st_mtime_ns == stamp
    assert find_mixture(one) == ((0.5, 0.5), (1.0, 0.0))


def test_components_are_named_apart() -> None:
    given = ["runs/one", "runs/two/", "other/one", "letter", "found_x", "org/gpt2"]
    expected = ["one_0", "two", "one_2", "letter_3", "found_x_4", "gpt2"]
    assert distinct_names(given) == expected


def test_a_damaged_mixture_is_named(tmp_path: Path) -> None:
    one = making(tmp_path / "one")
    (one.folder / MIXTURE).write_text("block,found_narrow\n0,1\n")
    with pytest.raises(UserError, match="mixture.csv: not readable as a mixture"):
        find_mixture(one)


@pytest.mark.parametrize("task", ["in_context_recall", "selective_copying"])
def test_programming_finds_a_mixture_on_a_task(tmp_path: Path, task: str) -> None:
    own = HybridConfig(method="mad")
    own.programming.tasks, own.programming.steps, own.programming.width = [task], 2, 16
    own.programming.seeds, own.programming.depth = [0, 1], 2
    found, losses = [], [0.0]
    for _ in range(2):  # the second one reads what the first has left
        programming = Programming(alike(), own.programming, training(), tmp_path)
        assert programming.total == 4
        losses = list(programming.losses())
        found.append(programming.mean())
    assert losses == [] and found[0] == found[1]
    assert all(sum(row) == pytest.approx(1) and row[0] != 0.5 for row in found[0])


def test_what_stands_for_a_component_is_the_beginning_of_its_genome() -> None:
    own = HybridConfig().programming
    own.depth, own.width = 3, 16
    small = small_hybrid(alike(), own, 40)
    for one in small.components:
        assert (one.layers, one.width, one.vocabulary) == (3, 16, 40)
        assert one.genome.to_text() == "31111-91111-31111"  # type: ignore[attr-defined]
