"""Searches under budgets, limits and with code of the user's own that fails."""

from collections.abc import Callable, Iterator, Mapping

import pandas as pd

from cases.case import (
    Case,
    Expected,
    Scratch,
    describe,
    done,
    either,
    failed,
    generate,
    refused,
    smoke,
    tabular,
    train,
)

DESIGN = 'schema: 1\nname: mine\ngenome: "11111-91111"\n'
_OBJECTIVE = """from star.evaluation.objectives import STATIC, TRAINED, Objective
class Mine(Objective):
    name, label, cost = "mine", "mine", {cost}
    def measure(self, context):
        {body}
"""
BODIES: Mapping[str, tuple[str, Expected]] = {
    # name: what `measure` does, and how a search that measures it ends
    "raises": ("raise RuntimeError('no')", failed()),
    "raises ten megabytes": ("raise RuntimeError('x' * 10**7)", failed()),
    "raises lines": ("raise RuntimeError('a\\nb\\nc')", failed()),
    "raises markup": ("raise RuntimeError('[/x]')", failed()),
    "raises a lone surrogate": ("raise RuntimeError('\\ud800')", failed()),
    "raises control characters": ("raise RuntimeError('\\x1b[2J\\0')", failed()),
    "raises an error without text": ("raise KeyError()", failed()),
    "ends the process": ("raise SystemExit(0)", failed()),
    "ends it at once": ("import os; os._exit(0)", failed()),
    "crashes": ("import ctypes; ctypes.string_at(0)", failed()),
    "recurses": ("return self.measure(context)", failed()),
    "interrupts": ("raise KeyboardInterrupt()", Expected((1, 2, 130))),
    "returns NaN": ("return {'mine': float('nan')}", failed()),
    "returns infinity": ("return {'mine': float('inf')}", failed()),
    "returns a text": ("return {'mine': 'a'}", failed()),
    "returns None": ("return None", failed()),
    "returns another name": ("return {'yours': 1}", failed()),
    "returns a huge number": ("return {'mine': 10**400}", failed()),
    "prints": ("print('hello'); return {'mine': 1}", done()),
}
PLUGINS: Mapping[str, str] = {
    "that raises": "raise RuntimeError('no')",
    "that raises lines": "raise RuntimeError('a\\nb')",
    "that raises markup": "raise RuntimeError('[/x]')",
    "that cannot be read": "def (",
    "with a NUL": "a = 1\0",
    "that ends the process": "raise SystemExit(3)",
    "that interrupts": "raise KeyboardInterrupt",
    "that imports itself": "import mine.mine",
    "that imports what is not there": "import none_such",
    "that recurses": "def f(): f()\nf()",
    "that is not UTF-8": "# caf\udce9",
    "with a class of a broken code": "from star import genomes\n"
    "genomes.register_class('X', 'abc', 'x', id=10_000)",
    "with a class of an id in use": "from star import genomes\n"
    "genomes.register_class('X', '1.1.1.1.1', 'x', id=1)",
    "with a structure that is none": "from star import genomes\ngenomes.register_structure(5)",
}
# An operator whose parts do not fit: the cache's arguments, the module's output.
OPERATOR = """import torch
from star import genomes, models
from star.genomes.operators import PER_CHANNEL, SEMI_SEPARABLE
from star.genomes.structures.structure import projections
from star.models.structures import Mixer
class Mine(Mixer):
    def memory_shapes(self, context):
        return {{"state": (self.channels, 1)}}
    def forward(self, features, memory=None):
        (c,), (v,) = features["C"], features["V"]
        return {output}
genomes.register_structure(genomes.Structure(
    "mine", SEMI_SEPARABLE, PER_CHANNEL, differential=False,
    groups=("C", "V"), sharing={{2: ("C",), 3: ("V",)}},
    featurizers={{100: genomes.Featurizer(projections("CV"))}},
    parameters=lambda {parameters}: 0,
    cache=lambda {cache}: model.width))
models.register_structure("mine", Mine)
genomes.register_class("X", "100.4.1.1.1", "x", id=10_000)
"""
CACHE, PARAMETERS = "liv_class, borrowed, model, context", "liv_class, model"
OPERATORS: Mapping[str, str] = {
    "whose cache takes nothing": OPERATOR.format(output="c*v", cache="", parameters=PARAMETERS),
    "whose parameters take nothing": OPERATOR.format(output="c*v", cache=CACHE, parameters=""),
    "of another width": OPERATOR.format(
        output="(c*v)[..., :3]", cache=CACHE, parameters=PARAMETERS
    ),
    "that gives None": OPERATOR.format(output="None", cache=CACHE, parameters=PARAMETERS),
    "that raises": OPERATOR.format(output="1 / 0", cache=CACHE, parameters=PARAMETERS),
}
SETTINGS: Mapping[str, tuple[tuple[str, ...], Expected]] = {
    "seeds of another alphabet": (
        ("search.seeds=['20.1.1.1.1-91111-91111']",), refused("search.seeds")),
    "a seed that is not valid": (("search.seeds=['11111-1111']",), refused("search.seeds")),
    "more seeds than the population": (
        ("search.seeds=[11111-91111-11111,91111-91111-91111]", "search.population=1"), done()),
    "the same seed twice": (("search.seeds=[11111-91111-11111,11111-91111-11111]",), done()),
    "a population of one": (("search.population=1", "search.generations=2"), done()),
    "a population of two": (("search.population=2", "search.generations=2"), done()),
    "random search": (("search=random", "search.generations=2"), done()),
    "a genetic algorithm": (("search=ga", "search.generations=2"), done()),
    "fireflies": (("search=firefly", "search.generations=2"), done()),
    "weights of another number": (
        ("search=ga", "search.algorithm.scalarisation=weights", "search.algorithm.weights=[1]"),
        refused("weights")),
    "an unknown scalarisation": (
        ("search=ga", "search.algorithm.scalarisation=none_such"), refused("scalarisation")),
    "an algorithm without its arguments": (
        ("search.algorithm._target_=pymoo.algorithms.moo.nsga3.NSGA3",), refused("algorithm")),
    "an algorithm of one objective": (
        ("search.algorithm._target_=pymoo.algorithms.soo.nonconvex.de.DE",), either("algorithm")),
    "one objective": (("search.objectives=[validation_loss]",), done()),
    "an objective twice": (
        ("search.objectives=[cache_bytes,cache_bytes]",), either("search.objectives")),
    "a stop at once": (("search.stop.evaluations=1", "search.generations=9"), done()),
    "a wall time of a millisecond": (
        ("search.stop.wall_time=0.001", "search.generations=9"), done("wall")),
    "patience": (("search.stop.patience=1", "search.generations=30"), done()),
    "settings that no table has": (("training.steps=81",), refused("executor.path")),
    "a seed of the search that the table lacks": (("seed=99",), either("seed")),
}  # fmt: skip


def _objectives() -> Iterator[Case]:
    for name, (body, expected) in BODIES.items():
        for cost in ("STATIC", "TRAINED"):
            if cost == "STATIC" and name in ("ends it at once", "crashes", "interrupts"):
                continue  # this process is the user's own to end
            code = _OBJECTIVE.format(cost=cost, body=body)
            yield Case(
                f"searches/an objective ({cost.lower()}) that {name}",
                smoke(
                    "search.objectives=[mine:Mine,cache_bytes]", "limits.retries=0", "run_dir=run"
                ),
                expected,
                lambda place, code=code: place.text("mine.py", code),
                check=_small,
                limit=150,
            )


def _small(place: Scratch) -> str:
    """Reasons of failures are short."""
    path = place / "run/population.csv"
    size = path.stat().st_size if path.exists() else 0
    return f"population.csv has {size:,} bytes" if size > 100_000 else ""


def _ending_of_plugin(name: str) -> Expected:
    """A plugin may end the process as it likes; what it raises else is the user's mistake."""
    if "ends" in name or "interrupts" in name:
        return Expected((1, 2, 3, 130))
    return either("plugins") if "not UTF-8" in name else refused("plugins")


def _plugins() -> Iterator[Case]:
    for name, code in PLUGINS.items():
        yield Case(
            f"searches/a plugin {name}",
            describe("plugins=[mine.py]", "genome=lfm2"),
            _ending_of_plugin(name),
            lambda place, code=code: place.text("mine.py", code.encode(errors="surrogateescape")),
        )
    genome = ("plugins=[mine.py]", "alphabet=extended", "genome=10000.1.1.1.1-9.1.1.1.1")
    for name, code in OPERATORS.items():
        for verb, command in (
            ("describe", describe(*genome)),
            ("train", train(*genome, "depth=null", "run_dir=run", steps=2)),
        ):
            harmless = verb == "describe" and ("gives" in name or "raises" in name or "of" in name)
            yield Case(
                f"searches/{verb} an operator {name}",
                command,
                either() if harmless else Expected((1, 2)),
                lambda place, code=code: place.text("mine.py", code),
            )


def _settings() -> Iterator[Case]:
    for name, (words, expected) in SETTINGS.items():
        yield Case(f"searches/{name}", tabular("run_dir=run", *words), expected)


def _population(place: Scratch) -> pd.DataFrame:
    return pd.read_csv(place / "run/population.csv", keep_default_na=False)


def _within(limit: float) -> Callable[[Scratch], str]:
    """Nothing on the front is above the budget, and no proposal was spent on what is."""

    def check(place: Scratch) -> str:
        front = pd.read_csv(place / "run/pareto.csv")
        if (front["cache_bytes"] > limit).any():
            return "the front holds what is above the constraint"
        table = _population(place)
        evolved = table[table["origin"] != "baseline"]
        over = evolved["reason"].str.contains("over_budget").sum()
        return f"{over} of {len(evolved)} proposals were over the budget" if over else ""

    return check


def _budgets() -> Iterator[Case]:
    yield Case(
        "searches/a budget below the baselines",
        smoke("constraints.cache_bytes=64kB", "search.baselines=[transformer_pp]", "run_dir=run"),
        done(),
        check=_within(64_000),
        limit=120,
    )
    yield Case(
        "searches/a budget that little fits",
        smoke("constraints.cache_bytes=2kB", "search.population=8", "run_dir=run"),
        done(),
        check=_within(2_000),
        limit=120,
    )
    yield Case(
        "searches/a budget that nothing fits",
        tabular("constraints.cache_bytes=1", "search.space.classes=[SA-1]", "run_dir=run"),
        refused(),
    )
    yield Case(
        "searches/a budget of one byte for attention alone",
        smoke("constraints.cache_bytes=1", "search.space.classes=[SA-1]", "run_dir=run"),
        failed("cache_bytes"),
        limit=120,
    )
    yield Case(
        "searches/a space of one architecture",
        smoke(
            *("search.space.classes=[GMemless]", "depth=1", "search.generations=3", "run_dir=run"),
            "training.steps=1",
        ),
        done(),
        limit=120,
    )


def _limits() -> Iterator[Case]:
    shared = "ledger=shared.sqlite"
    again = Case("", smoke("run_dir=second", shared), done(silent=("build_error",)), limit=150)
    yield Case(
        "searches/failures under a memory limit do not answer another run",
        smoke("limits.memory=20MB", "limits.retries=0", "run_dir=first", shared),
        Expected((0, 1, 2)),
        again=again,
        limit=150,
    )
    for limit in ("1kB", "1MB"):
        yield Case(
            f"searches/a memory limit of {limit}",
            smoke(f"limits.memory={limit}", "limits.retries=0", "run_dir=run"),
            Expected((1, 2)),
            limit=150,
        )
    yield Case(
        "searches/a time limit of a millisecond",
        smoke("limits.seconds=0.001", "limits.retries=0", "run_dir=run"),
        Expected((1, 2)),
        limit=150,
    )
    diverging = ("training.learning_rate=1e30", "training.gradient_clip=1e30")
    yield Case(
        "searches/trainings that diverge",
        smoke(*diverging, "run_dir=run"),
        Expected((0, 1, 2)),
        limit=150,
    )
    yield Case("searches/a training that diverges", train(*diverging, "run_dir=run"), failed())


def _baselines() -> Iterator[Case]:
    for name, reference in {
        "a file": "own/mine.yaml",
        "a folder": "own",
        "a run": "tabular",
    }.items():

        def prepare(place: Scratch) -> None:
            place.text("own/mine.yaml", DESIGN)
            place.copy("tabular")

        yield Case(
            f"searches/{name} as a baseline",
            smoke(f"search.baselines=[{reference}]", "training.steps=1", "run_dir=run"),
            done(),
            prepare,
            limit=120,
        )
    yield Case(
        "searches/an empty folder as a baseline",
        smoke("search.baselines=[own]", "run_dir=run"),
        refused("search.baselines", "own"),
        lambda place: (place / "own").mkdir(),
    )


def _sizes_of_a_run() -> Iterator[Case]:
    """A genome of a run brings its sizes and its text along."""

    def prepare(place: Scratch) -> None:
        run = place.copy("smoke")
        found = sorted((run / "genomes").glob("*.yaml"))[0]
        found.rename(run / "genomes/one.yaml")

    yield Case(
        "searches/describing a genome of a run takes its width",
        ("describe", "genome=smoke/genomes/one.yaml"),
        done("width 32"),
        prepare,
    )
    yield Case(
        "searches/training a genome of a run takes its width and text",
        ("train", "genome=smoke/genomes/one.yaml", "steps=1", "tensorboard=never", "run_dir=run"),
        done(),
        prepare,
        check=_taken,
    )
    yield Case(
        "searches/generating from a genome file",
        generate("checkpoint=smoke/genomes/one.yaml"),
        refused("checkpoint"),
        prepare,
    )


def _taken(place: Scratch) -> str:
    text = (place / "run/config.yaml").read_text()
    if "\nwidth: 32\n" not in text and "  width: 32\n" not in text:
        return "it was trained at another width"
    return "" if "kind: files" in text else "it was trained on other text"


CASES = (
    *_settings(),
    *_plugins(),
    *_objectives(),
    *_budgets(),
    *_limits(),
    *_baselines(),
    *_sizes_of_a_run(),
)
