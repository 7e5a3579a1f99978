"""A run read back: its settings, candidates, front and lineage, from the files that it left."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from star.base.csv_files import read_csv
from star.base.errors import UserError, plain, shown
from star.base.reading import expanded, is_file, look, read_text
from star.genomes import (
    WIDEST,
    Alphabet,
    Genome,
    GenomeError,
    current_id,
    get_alphabet,
    with_operators,
)
from star.runs.columns import AFTER, BEFORE
from star.runs.folder import LEDGER, PARETO, POPULATION
from star.runs.names import BASELINE
from star.runs.provenance import ENVIRONMENT, read_command, read_configuration
from star.runs.validated import COLUMN, VALIDATED

TEXT = (
    *("genome_id", "composition", "parents", "variation", "genome", "status", "reason", "origin"),
    *("name", "role", COLUMN),
)
IDS = {"genome_id", "parents"}
# What a damaged file raises.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, GenomeError)


@dataclass(frozen=True)
class RunCandidate:
    """One candidate of a run."""

    genome_id: str
    genome: Genome
    origin: str  # baseline, seed, random or offspring
    generation: int  # from 0
    parents: tuple[str, ...]  # genome ids
    status: str  # ok, stopped or infeasible
    reason: str  # of a failure, empty otherwise
    metrics: Mapping[str, float]  # what was measured
    variation: Mapping[str, Sequence[Any]]  # what made it of its parents, see `columns.py`
    rank: int | None  # over the whole run, 0 for the front; None when not measured to the end


class Run:
    """The folder of a search, also while it goes on. Open one with `Run.open`."""

    is_validated = False  # whether its metrics are those of `star.validate`, not of the search

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in a folder. Raises `UserError` when there is none."""
        path = expanded(folder)
        if not is_file(path / POPULATION, "run"):
            raise UserError(f"{path}: not a run, it has no {POPULATION}")
        return cls(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {len(self.population)} candidates)"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved configuration, as nested mappings."""
        return read_configuration(self.path)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, hardware and the data's fingerprint. Raises `UserError` when they cannot be
        read."""
        try:
            return json.loads(read_text(self.path / ENVIRONMENT))
        except (ValueError, RecursionError) as error:
            raise self._unreadable(error) from None

    @property
    def command(self) -> str:
        """The command that repeats it, the last where it was resumed by others; empty for a run
        that was started from Python."""
        return read_command(self.path)

    @property
    def ledger_path(self) -> Path:
        """Where its own ledger lies, if `ledger=run`."""
        return self.path / LEDGER

    @property
    def population(self) -> pd.DataFrame:
        """Every candidate, a row each, in order of proposal; as it is on disk now."""
        return self._read(POPULATION)

    @property
    def front(self) -> pd.DataFrame:
        """The non-dominated candidates, baselines included; as they are on disk now."""
        return self._read(PARETO)

    @property
    def validated(self) -> pd.DataFrame | None:
        """What longer trainings gave (`star.validate`), a row each design; None before there were
        any."""
        return self._read(VALIDATED) if is_file(self.path / VALIDATED, "run") else None

    def _read(self, name: str) -> pd.DataFrame:
        try:
            frame = read_csv(
                self.path / name, dtype=dict.fromkeys(TEXT, str), keep_default_na=False,
                na_values={column: [""] for column in self._numbers(name)},
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None
        for column in IDS & set(frame.columns):  # of a run of before; several stand in one cell
            frame[column] = [" ".join(map(current_id, cell.split())) for cell in frame[column]]
        return frame

    def _numbers(self, name: str) -> list[str]:
        header = pd.read_csv(self.path / name, nrows=0).columns
        return [column for column in header if column not in TEXT]

    def _unreadable(self, error: Exception) -> UserError:
        return UserError(f"{self.path}: not a readable run ({plain(error)})")

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the objectives that have a column."""
        named = {*BEFORE, *AFTER}
        return tuple(column for column in self.population.columns if column not in named)

    @cached_property
    def alphabet(self) -> Alphabet:
        """The LIV classes that its genomes are written with."""
        search = self.settings["search"]
        space, variation = search.get("space", search), search.get("variation", search)
        alphabet = get_alphabet(space["alphabet"])
        return with_operators(alphabet) if variation.get("operator_probability") else alphabet

    @cached_property
    def candidates(self) -> dict[str, RunCandidate]:
        """Every candidate by genome id. Raises `UserError` when its files cannot be read."""
        try:
            rows = self.population.to_dict("records")
            return {row["genome_id"]: self._candidate(row) for row in rows}
        except UNREADABLE as error:
            raise self._unreadable(error) from None

    def _candidate(self, row: Mapping[Any, Any]) -> RunCandidate:
        rank = row.get("rank")
        return RunCandidate(
            genome_id=row["genome_id"],
            genome=self._genome(row["genome"], row["origin"]),
            origin=row["origin"],
            generation=int(row["generation"]),
            parents=tuple(row["parents"].split()),
            status=row.get("status", ""),
            reason=row.get("reason", ""),
            metrics={n: float(row[n]) for n in self.metrics if not pd.isna(row[n])},
            variation=_mapping(json.loads(row.get("variation") or "{}")),
            rank=None if rank is None or pd.isna(rank) else int(rank),
        )

    def _genome(self, text: str, origin: str) -> Genome:
        """Of a text. Only a baseline may hold classes outside of the search's alphabet."""
        own = Genome.from_text(text, self.alphabet)
        if origin != BASELINE or not own.validate():
            return own
        names = ("extended", WIDEST)
        wider = (Genome(own.livs, get_alphabet(name), own.backbone) for name in names)
        return next((genome for genome in wider if not genome.validate()), own)

    def candidate(self, genome_id: str) -> RunCandidate:
        """The candidate of that id. Raises `UserError` when there is none."""
        found = self.candidates.get(current_id(genome_id))
        if found is None:
            where = self.path / POPULATION
            raise UserError(f"genome={self.path}/{genome_id}: no candidate of that id in {where}")
        return found

    def genome(self, genome_id: str) -> Genome:
        """The genome of that id. Raises `UserError` when there is none."""
        return self.candidate(genome_id).genome


def _mapping(value: Any) -> dict[str, Any]:
    """Raises `ValueError` for anything else."""
    if not isinstance(value, dict):
        raise ValueError(f"variation {shown(repr(value), 60)}: expected a mapping")
    return value


def split_reference(reference: str) -> tuple[Path, str] | None:
    """`<run>/<id>` or `<run>/genomes/<id>.yaml` as run folder and genome id, else None.

    A name alone, or a text, is neither, also where the current folder is a run.
    """
    path = expanded(reference)
    if path.name == reference:
        return None
    for folder in (path.parent, path.parent.parent):
        try:
            is_run = is_file(folder / POPULATION, "genome")
        except UserError:  # a folder that may not be entered: what was asked for is better named
            look(path, "genome")
            raise
        if is_run:
            return folder, path.name.removesuffix(".yaml")
    return None
