"""Which objectives there are, and which of them a search measures.

Those in `OBJECTIVES` are measured for every candidate. Others, those in `NAMED` and those of users,
which are named by import path, only while they are in use; their settings are part of the recipe
then, so that adding one changes no ledger key.
"""

import hashlib
import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from star.base.errors import UserError
from star.base.imports import import_object, is_import_path
from star.base.settings import expect
from star.evaluation.objectives.base import COSTLY, OWN, STATIC, Context, Objective
from star.evaluation.objectives.quality import (
    BitsPerByte,
    LateLoss,
    Perplexity,
    RepeatLoss,
    ValidationLoss,
)
from star.evaluation.objectives.static import CacheBytes, Parameters
from star.evaluation.recipe import DEVIATION, LEARNING_RATE, Recipe
from star.genomes import Genome

# Columns of population.csv that are no metrics (`star/runs/columns.py`).
RESERVED = {
    *("genome_id", "composition", "generation", "origin", "parents", "variation", "genome"),
    *("status", "reason"),
    *("train_tokens", "train_seconds", "seed", "seeds", "rank", "validated"),
    *(LEARNING_RATE, DEVIATION),
}
KEY, ALSO = "search.objectives", "search.also_measure"  # settings that hold references

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        *(ValidationLoss(), BitsPerByte(), Perplexity(), RepeatLoss(), LateLoss()),
        *(Parameters(), CacheBytes()),
    )
}

# Measured while they are in use: where each is, imported when it is asked for.
NAMED: dict[str, str] = {
    "recall_error": "star.evaluation.objectives.recall:RecallError",
    "state_bytes": "star.evaluation.objectives.static:StateBytes",
    "footprint": "star.evaluation.objectives.static:Footprint",
    "flops_per_token": "star.evaluation.objectives.static:FlopsPerToken",
    "decode_latency": "star.evaluation.objectives.device:DecodeLatency",
    "prefill_throughput": "star.evaluation.objectives.device:PrefillThroughput",
    "peak_memory": "star.evaluation.objectives.device:PeakMemory",
    "harness_accuracy": "star.evaluation.objectives.harness:HarnessAccuracy",
    "mad_score": "star.evaluation.objectives.mad:MadScore",
}


def available() -> str:
    """Names of all that can be used, with commas between."""
    return ", ".join((*OBJECTIVES, *NAMED))


def load_objective(
    reference: str, settings: Mapping[str, Any] | None = None, key: str = KEY
) -> Objective:
    """An objective by its name or import path, with its settings.

    Args:
        reference: the name or path.
        settings: by name.
        key: the setting that holds the reference, for errors.

    Raises:
        UserError: for what is unknown, is no objective, or does not take the settings.
    """
    if reference in OBJECTIVES:
        return OBJECTIVES[reference]
    if reference not in NAMED and not is_import_path(reference):
        raise UserError(
            f"{key}: {reference!r} is unknown; available: {available()}, or one of your own as "
            "module:Class"
        )
    kind = import_object(key, NAMED.get(reference, reference))
    if not (isinstance(kind, type) and issubclass(kind, Objective)):
        raise UserError(f"{key}={reference}: expected a subclass of Objective")
    if reference not in NAMED:
        _check_words(f"{key}={reference}", kind)
    return _with_settings(kind, dict(settings or {}))


def _check_words(key: str, kind: type[Objective]) -> None:
    """Raise `UserError` for a name that no column can have, or an unknown cost."""
    name = getattr(kind, "name", "")
    if not isinstance(name, str) or not name.isidentifier():
        raise UserError(f"{key}: its name is {name!r}; set `name` to a word such as 'my_error'")
    if name in OBJECTIVES or name in NAMED or name in RESERVED:
        raise UserError(f"{key}: its name is {name!r}, which another column has; choose another")
    if kind.cost not in (STATIC, *COSTLY):
        raise UserError(f"{key}: cost is {kind.cost!r}, expected STATIC, TRAINED or OWN")
    if not isinstance(kind.unit, str):
        raise UserError(f"{key}: unit is {kind.unit!r}, expected a text such as 'bytes'")
    try:
        least, most = kind.bounds
        whole = least < most
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{key}: bounds is {kind.bounds!r}, expected two numbers such as (0, 1)")


def _with_settings(kind: type[Objective], settings: dict[str, Any]) -> Objective:
    """The objective, its dataclass filled. Raises `UserError` for a setting that does not fit."""
    key = f"objectives.{kind.name}"
    if not is_dataclass(kind):
        if settings:
            raise UserError(f"{key}={settings}: it has no settings; a @dataclass has its fields")
        return kind()
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            raise UserError(f"{key}.{name}: unknown; its settings are {', '.join(known) or 'none'}")
    try:
        typed = OmegaConf.merge(OmegaConf.structured(kind), settings)
        return kind(**{name: OmegaConf.to_container(typed)[name] for name in known})  # type: ignore
    except OmegaConfBaseException as error:
        raise UserError(f"{key}={settings}: {str(error).splitlines()[0]}") from None


def select_objectives(references: Sequence[str]) -> list[Objective]:
    """The named objectives, in order, without settings of their own.

    Raises `UserError` for an unknown or repeated name, or for none.
    """
    return Measured.of(references).selected(references)


@dataclass(frozen=True)
class Measured:
    """The quantities that a search measures of every candidate, by name."""

    objectives: Mapping[str, Objective]
    # how those that are not in `OBJECTIVES` are named in settings, by name: ours by their names,
    # others by import paths
    references: Mapping[str, str]

    @classmethod
    def of(
        cls,
        references: Sequence[str],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        also: Sequence[str] = (),
    ) -> "Measured":
        """Those of `OBJECTIVES` and the referenced ones.

        Args:
            references: names or import paths of those to minimise.
            settings: by objective name.
            also: of further ones, `search.also_measure`.

        Raises:
            UserError: for a reference or a setting that cannot be used.
        """
        settings = settings or {}
        for name, given in settings.items():
            expected = "its settings by name, such as {context: 64}"
            expect(f"objectives.{name}", given, isinstance(given, Mapping), expected)
        extra: dict[str, Objective] = {}
        paths: dict[str, str] = {}
        keys = {**dict.fromkeys(also, ALSO), **dict.fromkeys(references, KEY)}
        for reference in dict.fromkeys((*references, *also)):
            if reference in OBJECTIVES:
                continue
            key = keys[reference]
            name = load_name(reference, key)
            if paths.get(name, reference) != reference:
                raise UserError(f"{key}={reference}: {paths[name]} is called {name} too")
            extra[name] = load_objective(reference, settings.get(name), key)
            paths[name] = reference
        for name in settings:
            if name not in extra:
                raise UserError(f"objectives.{name}: no objective in use has settings of that name")
        return cls({**OBJECTIVES, **extra}, paths)

    def selected(self, references: Sequence[str]) -> list[Objective]:
        """The objectives to minimise. Raises `UserError` for repeated names, or for none."""
        by_path = {path: name for name, path in self.references.items()}
        names = [by_path.get(reference, reference) for reference in references]
        if not names or len(set(names)) < len(names):
            raise UserError(
                f"search.objectives={list(references)}: expected one or more different names of "
                f"{available()}; +experiment=cache_frontier names three"
            )
        return [self.objectives[name] for name in names]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all, in the order of their columns."""
        return tuple(self.objectives)

    @cached_property
    def static(self) -> tuple[Objective, ...]:
        """Those that need no training."""
        return tuple(o for o in self.objectives.values() if o.cost == STATIC)

    @cached_property
    def trained(self) -> tuple[Objective, ...]:
        """Those that need the trained model, or trainings of their own."""
        return tuple(o for o in self.objectives.values() if o.cost != STATIC)

    def content(self) -> dict[str, dict[str, Any]]:
        """Settings by name of what is not measured always and is no function of the genome
        alone."""
        extra = [o for o in self.trained if o.name in self.references]
        return {
            o.name: {
                "objective": self.references[o.name],
                **_code(o),
                **o.settings(),
            }
            for o in extra
        }

    def sources(self) -> dict[str, str]:
        """Digests of the code of users' own, by name."""
        own = (name for name in self.references if name not in NAMED)
        return {name: source_digest(type(self.objectives[name])) for name in own}

    def measure_static(self, genome: Genome, recipe: Recipe) -> dict[str, float]:
        """All static quantities. Raises `GenomeError` for a genome that is invalid or does not
        fit."""
        return measure(self.static, Context(genome, recipe.of(genome)))

    def measure_trained(
        self, context: Context, costs: Collection[str] = COSTLY
    ) -> dict[str, float]:
        """All quantities of these cost classes, of the trained model that the context holds."""
        return measure([o for o in self.trained if o.cost in costs], context)

    def prepare(self) -> None:
        """Prepare all. Raises `UserError` for one that cannot be measured here."""
        for objective in self.objectives.values():
            objective.prepare()

    def before_training(self) -> list[Objective]:
        """Those that train models of their own: known before a candidate is trained on text."""
        return [o for o in self.trained if o.cost == OWN]


def _code(objective: Objective) -> dict[str, Any]:
    """What tells the code of an objective from that of before."""
    if objective.name in NAMED:
        return {"version": objective.version}
    return {"source": source_digest(type(objective))}


def source_digest(kind: type) -> str:
    """A digest of the file that a class is written in: what was measured by other code differs."""
    try:
        source = Path(inspect.getfile(kind)).read_bytes()
    except (OSError, TypeError):  # typed in a notebook
        return ""
    return hashlib.sha256(source).hexdigest()[:16]


def load_name(reference: str, key: str = KEY) -> str:
    """The name of the objective at an import path. Raises `UserError` as `load_objective`."""
    if not is_import_path(reference):
        return load_objective(reference, key=key).name
    return getattr(import_object(key, reference), "name", reference)


def measure(objectives: Sequence[Objective], context: Context) -> dict[str, float]:
    """All of them; raises RuntimeError for one that does not give a number under its name, unless
    it is optional."""
    metrics: dict[str, float] = {}
    for objective in objectives:
        if objective.name not in metrics:
            found = objective.measure(context)
            is_there = isinstance(found, Mapping) and (
                objective.optional or objective.name in found
            )
            if not is_there:
                raise RuntimeError(
                    f"objective {objective.name} gave {shorten(repr(found), 80)}, expected "
                    f"{{{objective.name!r}: number}}"
                )
            metrics.update({name: _number(objective, value) for name, value in found.items()})
    return metrics


def _number(objective: Objective, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value)  # of numpy, or a tensor of one element
    except (TypeError, ValueError):
        given = shorten(repr(value), 80)
        raise RuntimeError(f"objective {objective.name} gave {given}, expected a number") from None
