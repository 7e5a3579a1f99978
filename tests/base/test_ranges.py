"""Numbers out of range, in every setting of every command: one line that names the key."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from star.base.command_line import compose_config, load_schema
from star.base.errors import UserError
from star.base.imports import import_object
from star.base.ranges import Range
from star.evaluation.executors import EXECUTORS
from star.evaluation.objectives import NAMED, load_objective
from star.genomes import GenomeError
from star.runs.origin import load_reference
from star.search.recipe import make_recipe

TRAINED = Path(__file__).parents[1] / "runs" / "before" / "trained"  # a run, of an older version
FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e9, 1e18, 1e308)
WHOLES = (-(10**18), -1, 0, 10**9, 10**18, 10**400)
REQUIRED = {
    "evolve": ["search.objectives=[validation_loss]"],
    "train": ["genome=lfm2"],
    "hybridize": ["models=[a,b]"],
    "generate": ["checkpoint=x"],
    "front": [f"run={TRAINED}"],
    "validate": [f"run={TRAINED}"],
    "mad": ["genome=lfm2"],
    "linearise": ["checkpoint=x", "to=y"],
}
# Where a value that is hardly meant does no harm.
# of other keys, once a command is composed
ALIASES = ("width", "context", "batch", "steps", "distil.steps")
HUGE = {1e9, 1e18, 10**400}
HARMLESS: dict[str, set[float]] = {
    "seed": {0, 1e9, 1e18},
    "limits.retries": {0, *HUGE},
    "shots": {0},
    **dict.fromkeys(("checkpoint_every", "validate_every", "tokens", "context", "top_k"), HUGE),
    "training.learning_rate": {1e18, 1e308},
    "training.matrix_learning_rate": {1e18, 1e308},
    "training.gradient_clip": {1e9, 1e18, 1e308, math.inf},
    "temperature": {0, 1e9, 1e18, 1e308, math.inf},
    "limits.seconds": {1e18, 1e308},
    "executor.gpus": {0},
    "data.documents": HUGE,
    "search.halving.rungs": {0},  # twice the same is once
    "seeds": {0, 1e18},  # a list of them
    "hybrid.programming.seeds": {0, 1e9, 1e18},
    "hybrid.learning_rate": {1e18, 1e308},
    "hybrid.programming.learning_rate": {1e18, 1e308},
    "hybrid.programming.mixture_learning_rate": {1e18, 1e308},
    "learning_rates": {1e18, 1e308},
}
SMALLEST_IS_0 = {
    *(
        "training.betas",
        "training.weight_decay",
        "training.warmup_steps",
        "training.final_fraction",
    ),
    *(f"search.variation.{name}_probability" for name in ("crossover", "mutation", "depth")),
    *(f"search.variation.{name}_probability" for name in ("sharing", "sharing_mutation")),
    "search.variation.operator_probability",
    *("search.replication.most", "validation.sample", "weight_decays"),
    *("hybrid.projector_steps", "hybrid.cost_weight"),
    *("align.steps", "align.recall", "gates.language", "gates.penalty", "distil.teacher"),
    "distil.recall",
}


def number_keys(schema: Any, prefix: str = "") -> Iterator[tuple[str, type]]:
    """The dotted keys of the numbers of a dataclass, and whether they are int or float."""
    for name, kind in get_type_hints(schema).items():
        members = set(get_args(kind) or (kind,)) - {NoneType}
        for member in members & {int, float}:
            yield f"{prefix}{name}", member
        if is_dataclass(kind):
            yield from number_keys(kind, f"{prefix}{name}.")


def judge_evolve(config: Any) -> None:
    config.check()
    _, recipe = make_recipe(config)
    config.executor.check(recipe)


def judge_describe(config: Any) -> None:
    module = import_module("star.describe")
    genome, name, _ = load_reference(config.genome, config.depth, config.alphabet)
    module.description(genome, config.model, config.cache, name)


def judge_front(config: Any) -> None:
    config.model.check()
    config.cache.check()


def judge_validate(config: Any) -> None:
    config.check()
    _, recipe = make_recipe(compose_config("evolve", REQUIRED["evolve"]))
    config.executor.check(recipe)


def judge_mad(config: Any) -> None:
    config.check()
    config.chosen_preset()


JUDGES: dict[str, Callable[[Any], None]] = {
    "evolve": judge_evolve,
    "train": lambda config: config.check(),
    "hybridize": lambda config: config.check(),
    "generate": lambda config: config.check(),
    "linearise": lambda config: config.check(),
    "describe": judge_describe,
    "front": judge_front,
    "validate": judge_validate,
    "mad": judge_mad,
}


def setting(config: Any, key: str, value: float) -> Any:
    changed = deepcopy(config)
    *path, name = key.split(".")
    holder = changed
    for part in path:
        holder = getattr(holder, part)
    is_list = isinstance(getattr(holder, name), list)
    setattr(holder, name, [value, value] if is_list else value)
    return changed


def refused(judge: Callable[[Any], None], config: Any, key: str) -> bool:
    """Whether the settings are refused, with one short line that names the key."""
    try:
        judge(config)
    except (UserError, GenomeError) as error:
        message = str(error)
        assert message.startswith((f"{key}=", f"{key}:")), (key, message)
        assert "\n" not in message and len(message) < 500
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("verb", list(JUDGES))
def test_every_number_out_of_range_is_named(verb: str) -> None:
    base = compose_config(verb, REQUIRED.get(verb, []))
    wrong = []
    for key, kind in number_keys(load_schema(verb)):
        if verb != "generate" and key in ALIASES:
            continue
        for value in WHOLES if kind is int else FLOATS:
            is_refused = refused(JUDGES[verb], setting(base, key, value), key)
            is_sensible = (value == 0 and key in SMALLEST_IS_0) or (
                0 < value <= 1e9 and math.isfinite(value)
            )
            if not is_refused and not is_sensible and value not in HARMLESS.get(key, set()):
                wrong.append((key, value))
    assert wrong == []


@pytest.mark.parametrize("name", list(EXECUTORS))
def test_every_number_of_an_executor(name: str) -> None:
    base = compose_config("evolve", [f"executor={name}", *REQUIRED["evolve"]])
    keys = [key for key, _ in number_keys(EXECUTORS[name], "executor.")]
    for key in keys:
        for value in (-1, 0, 10**18):
            is_refused = refused(judge_evolve, setting(base, key, value), key)
            assert is_refused or value in HARMLESS.get(key, set()), (key, value)


@pytest.mark.parametrize("name", NAMED)
def test_every_number_of_an_objective(name: str) -> None:
    kind, wrong = import_object("objectives", NAMED[name]), []

    def judge(settings: Any) -> None:
        load_objective(name, settings)

    for key, number in number_keys(kind) if is_dataclass(kind) else ():
        is_list = isinstance(getattr(load_objective(name), key), list)
        for value in WHOLES if number is int else FLOATS:
            given, full = [value] if is_list else value, f"objectives.{name}.{key}"
            is_refused = refused(judge, {key: given}, full)
            is_sensible = 0 < value <= 1e9 and math.isfinite(value)
            if not is_refused and not is_sensible and value not in HARMLESS.get(key, set()):
                wrong.append((full, value))
    assert wrong == []


@pytest.mark.parametrize(
    ("verb", "override", "message"),
    [
        ("evolve", "training.steps=0", "error: training.steps=0: expected at least 1"),
        ("evolve", "depth=1000000000", "error: depth=1000000000: expected 1 to 10,000 LIVs"),
        ("train", "depth=1000000000", "error: depth=1000000000: expected 1 to 10,000 LIVs"),
        ("train", "steps=0", "error: steps=0: expected at least 1"),
        ("train", "width=1048576", "error: width=1048576: expected at most 65,536"),
        ("train", "model.width=1048576", "error: model.width=1048576: expected at most"),
        ("train", "training.learning_rate=nan", "error: training.learning_rate=nan: expected a"),
        ("describe", "context=1000000000000", "error: context=1000000000000: expected at most"),
        ("describe", "depth=-5", "error: depth=-5: expected 1 to"),
        ("front", "context=0", "error: context=0: expected at least 1"),
        ("front", "width=17", "error: width=17: expected a multiple of 16"),
        ("validate", "validation.seeds=0", "error: validation.seeds=0: expected at least 1"),
        ("validate", "limits.retries=-1", "error: limits.retries=-1: expected a whole number"),
        ("mad", "seeds=[0,-1]", "error: seeds=-1: expected a whole number from 0"),
        ("mad", "learning_rates=[0]", "error: learning_rates=[0.0]: expected numbers, each above"),
        ("evolve", "search.population=1000000000", "error: search.population=1000000000: expect"),
        ("evolve", "search.space.depths=[1,1000000000]", "error: search.space.depths=[1, 100000"),
        ("evolve", "executor.workers=1000000000", "error: executor.workers=1000000000: expected"),
        ("evolve", "search.algorithm.tournament_size=1000000000", "size=1000000000: expected at"),
        ("evolve", "seed=nan", "error: seed=nan: Value 'nan'"),
        ("evolve", "training.steps=" + "9" * 5000, "error: training.steps=999"),
        ("evolve", "search.algorithm.x=" + "[" * 900 + "]" * 900, "error: search.algorithm.x=[[["),
        ("evolve", "run_dir=caf\udce9", "error: run_dir=caf\\udce9: expected a name in UTF-8"),
        ("train", "run_dir=caf\udce9", "error: run_dir=caf\\udce9: expected a name in UTF-8"),
        ("evolve", "experiment_name=caf\udce9", "error: experiment_name=caf\\udce9: expected a"),
        ("evolve", "training.steps=1e400", "error: training.steps=1e400"),
        ("evolve", "training.betas=[0.9,nan]", "error: training.betas=[0.9, nan]: expected two"),
        ("evolve", "data.held_out=nan", "error: data.held_out=nan: expected a share"),
    ],
    ids=lambda text: text[:30],
)
def test_commands_name_the_key_that_was_typed(
    verb: str, override: str, message: str, command: Callable[..., Any]
) -> None:
    given = ["+experiment=smoke", "scale=cpu"] if verb == "evolve" else REQUIRED.get(verb, [])
    result = command(verb, *given, override)
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 700


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, ""),
        (1000, ""),
        (0, "at least 1"),
        (1001, "at most 1,000"),
        (math.nan, "a number"),
        (math.inf, "at most 1,000"),
        (True, "a number"),
        ("1", "a number"),
    ],
)
def test_what_a_range_expects(value: object, expected: str) -> None:
    assert Range(1, 1000).expected(value) == expected
    assert Range(0, 1, above=True).expected(0) == "above 0"
