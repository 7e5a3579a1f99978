"""Objectives of the device: what they build and count, and what they refuse. No test asserts a
time."""

from typing import Any, ClassVar

import pytest
import torch

from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation import Context, Recipe
from star.evaluation.measuring import machine_name
from star.evaluation.objectives import load_objective
from star.evaluation.objectives.device import OnDevice
from star.genomes import CacheSetting, Genome, ModelConfig, cache_bytes, load_genome
from star.models import LanguageModel, decode
from star.training import TrainingConfig

CPU = torch.device("cpu")
SMALL = {"context": 24, "tokens": 3, "repeats": 2}
NAMES = ("decode_latency", "prefill_throughput", "peak_memory")
RECIPE = Recipe(
    ModelConfig(width=32), CacheSetting(), TrainingConfig(device="cpu"), DataConfig(), 0
)


def objective(name: str, **settings: Any) -> OnDevice:
    found = load_objective(name, {**SMALL, **settings})
    assert isinstance(found, OnDevice)
    return found


def measured(name: str, genome: Genome, **settings: Any) -> dict[str, float]:
    return dict(objective(name, **settings).measure(Context(genome, RECIPE)))


@pytest.mark.parametrize("name", ["decode_latency", "prefill_throughput"])
def test_a_timing_comes_with_its_tail_and_its_spread(name: str) -> None:
    found = measured(name, load_genome("lfm2", 4)[0])
    assert found.keys() == {name, f"{name}_p95", f"{name}_spread"}
    assert found[name] > 0 and found[f"{name}_spread"] >= 0
    slower = found[f"{name}_p95"] < found[name]
    assert slower == (name == "prefill_throughput")


@pytest.mark.parametrize("design", ["transformer_pp", "mamba", "lfm2", "hyena"])
def test_peak_memory_is_weights_cache_and_little_more(design: str) -> None:
    genome, sizes = load_genome(design, 4)[0], ModelConfig(width=32)
    weights = sum(parameter.nbytes for parameter in decode(genome, sizes).parameters())
    cache = cache_bytes(genome, sizes, CacheSetting(2000, 2, "float32"))
    found = measured("peak_memory", genome, context=2000, batch=2)["peak_memory"]
    activations = 60 * 2 * 512 * 4 * 100  # sixty tensors of a part of the prompt, 100 channels each
    scores = 2 * 4 * 512 * 2000 * 4 * 3  # of all heads of one part
    assert weights + cache < found < weights + cache + activations + scores


def test_peak_memory_grows_with_the_cache_alone() -> None:
    """One token at a time, activations are the same whatever the context."""
    genome = load_genome("mamba", 4)[0]
    short, long = (measured("peak_memory", genome, context=n) for n in (600, 1200))
    assert long["peak_memory"] - short["peak_memory"] == 600 * 8  # the prompt's tokens, int64


class Looking(OnDevice):
    """Keeps what was built."""

    name = "looking"
    built: ClassVar[list[LanguageModel]] = []

    def measure_model(self, model: LanguageModel, device: torch.device) -> dict[str, float]:
        assert not model.training and torch.get_num_threads() == self.threads
        self.built.append(model)
        return {self.name: 1.0}


def test_the_model_has_the_width_and_dtype_of_the_settings() -> None:
    genome = Genome.from_text("91111-11111")
    for settings, width, dtype in (
        ({}, 32, torch.float32),
        ({"width": 64, "dtype": "bfloat16", "threads": 2}, 64, torch.bfloat16),
    ):
        Looking(**settings).measure(Context(genome, RECIPE))
        model = Looking.built.pop()
        assert (model.embedding.weight.shape[1], model.dtype) == (width, dtype)


def test_the_same_weights_whatever_was_drawn_before() -> None:
    genome = Genome.from_text("91111")
    for seed in (1, 2):
        torch.manual_seed(seed)
        Looking().measure(Context(genome, RECIPE))
    first, second = Looking.built.pop(), Looking.built.pop()
    assert torch.equal(first.embedding.weight, second.embedding.weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": 1}, "context=1: expected at least 2"),
        ({"tokens": 24}, "tokens=24: expected less than context=24, since they are its last"),
        ({"repeats": 1}, "repeats=1: expected at least 2"),
        ({"warmup": 0}, "warmup=0: expected at least 1"),
        ({"batch": 0}, "batch=0: expected at least 1"),
        ({"threads": 0}, "threads=0: expected at least 1"),
        ({"dtype": "int3"}, "dtype=int3: expected one of float32, bfloat16"),
        ({"width": 40}, "width=40: expected a multiple of 16"),
        ({"contest": 7}, "contest: unknown; its settings are context, batch, width, dtype"),
        ({"context": "long"}, "context.*long"),
    ],
)
def test_impossible_settings_are_one_line(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=rf"objectives.{name}.*{message}") as caught:
        load_objective(name, {**SMALL, **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_another_device_than_the_search_began_on_is_refused(name: str) -> None:
    context = Context(Genome.from_text("91111"), RECIPE)
    here = machine_name(CPU)
    assert objective(name, device=here).measure(context)
    with pytest.raises(UserError, match=rf"{name}.device=NVIDIA H1000: this worker runs on") as e:
        objective(name, device="NVIDIA H1000").measure(context)
    assert here in str(e.value) and "\n" not in str(e.value)


def test_the_name_of_a_cpu_tells_its_model_and_its_cores() -> None:
    name = machine_name(CPU)
    assert name.endswith(" cores") and len(name) > len("1 cores") and "\n" not in name
