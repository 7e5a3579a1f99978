"""One notation for quantities: every whole number on a command line takes units."""

from dataclasses import fields
from operator import attrgetter

import pytest

from star.base.command_line import compose_config
from star.base.counts import in_digits
from star.base.errors import UserError
from star.search.config import EvolveConfig
from star.training import TrainingConfig

COUNTS = [f"training.{field.name}" for field in fields(TrainingConfig) if field.type is int]
COUNTS += ["depth", "width", "context", "seed", "cache.batch", "model.window"]
COUNTS += ["search.population", "search.generations", "search.stop.evaluations"]
COUNTS += ["search.stop.patience", "search.space.motif", "training.micro_batch_size"]
COUNTS += ["limits.retries", "executor.workers_per_gpu", "executor.threads_per_worker"]


@pytest.mark.parametrize("key", COUNTS)
def test_every_count_takes_units(key: str) -> None:
    assert attrgetter(key)(compose_config("evolve", [f"{key}=2k"])) == 2000


@pytest.mark.parametrize(
    ("given", "digits"),
    [
        ("training.steps=5k", "training.steps=5000"),
        ("training.steps=1e3", "training.steps=1000"),
        ("++training.steps=1.5k", "++training.steps=1500"),
        ("search.halving.rungs=[1k,2e3]", "search.halving.rungs=[1000,2000]"),
        ("search.space.depths=[4, 8]", "search.space.depths=[4, 8]"),
        ("executor.in_flight=1k", "executor.in_flight=1000"),  # of one executor only
        *((text, text) for text in ("seed=9223372036854775807", "training.steps=007")),
        *((text, text) for text in ("training.steps=1.5", "training.steps=5x", "training.steps=")),
        ("training.steps=1B", "training.steps=1B"),  # bytes, or a billion: refused later
        *((text, text) for text in ("experiment_name=5k", "run_dir=1e3", "~search.seeds", "=5k")),
        *((text, text) for text in ("data.path=5k", "training.learning_rate=1e-3", "a.b=5k")),
        *((text, text) for text in ("training.steps.x=5k", "training=5k", "search.seeds=[5k]")),
    ],
)
def test_only_whole_numbers_change(given: str, digits: str) -> None:
    assert in_digits([given], EvolveConfig) == [digits]


def test_other_settings_read_the_same_text() -> None:
    given = ["limits.seconds=1h30m", "limits.memory=64kB", "search.stop.wall_time=90s"]
    given += ["search.stop.training_tokens=350M", "constraints.cache_bytes=1MiB"]
    config = compose_config("evolve", given)
    config.check()
    assert config.limits.fixed_seconds() == 5400 and config.limits.memory_bytes() == 64000
    assert config.search.stop.limits() == {"wall_time": 90, "training_tokens": 350e6}


def test_of_a_command_without_groups_too() -> None:
    config = compose_config("train", ["genome=lfm2", "steps=2k", "checkpoint_every=1e2"])
    assert (config.training.steps, config.checkpoint_every) == (2000, 100)


@pytest.mark.parametrize("given", ["training.steps=1.5", "training.steps=5kk"])
def test_what_is_no_count_is_named(given: str) -> None:
    with pytest.raises(UserError, match=given):
        compose_config("evolve", [given])
