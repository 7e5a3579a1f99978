"""Lineage: where a genome of a run came from, step by step, from the run's `population.csv`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.markup import escape
from rich.tree import Tree

from star.base.errors import UserError
from star.genomes import GENE_NAMES, Genome, get_alphabet, with_operators
from star.runs.provenance import CONFIGURATION
from star.search.variation.history import CROSSOVER, DEPTH, MOVEMENT, MUTATION, REPAIR
from star.runs.folder import POPULATION

METRICS = {"validation_loss": "loss", "cache_bytes": "cache", "parameters": "params"}


@dataclass(frozen=True)
class Ancestor:
    """One candidate of a run: its genome, origin, generation, parents' ids and the metrics that
    were measured.

    variation: what made it of its parents, see `search/records.py`; empty also in runs of before it
    was recorded.
    """

    genome_id: str
    genome: Genome
    origin: str
    generation: int
    parents: tuple[str, ...]
    metrics: dict[str, float]
    variation: Mapping[str, Sequence[Any]]


def split_reference(reference: str) -> tuple[Path, str] | None:
    """`<run>/<id>` or `<run>/genomes/<id>.yaml` as run folder and genome id, where that folder is a
    run; else None."""
    path = Path(reference)
    for folder in (path.parent, path.parent.parent):
        if (folder / POPULATION).is_file():
            return folder, path.name.removesuffix(".yaml")
    return None


def read_run(folder: Path) -> dict[str, Ancestor]:
    """Every candidate of a run by id. Raises `UserError` when its files cannot be read."""
    try:
        table = pd.read_csv(folder / POPULATION, dtype=str, keep_default_na=False)
        settings = yaml.safe_load((folder / CONFIGURATION).read_text(encoding="utf-8"))
        search = settings["search"]
        alphabet = get_alphabet(search["alphabet"])
        if search.get("operator_probability"):
            alphabet = with_operators(alphabet)
        return {
            row["genome_id"]: Ancestor(
                row["genome_id"],
                Genome.from_text(row["genome"], alphabet),
                row["origin"],
                int(row["generation"]),
                tuple(row["parents"].split()),
                {name: float(row[name]) for name in METRICS if row[name]},
                json.loads(row.get("variation") or "{}"),
            )
            for row in table.to_dict("records")
        }
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{folder}: not a readable run ({' '.join(str(error).split())})") from None


def find(run: dict[str, Ancestor], folder: Path, genome_id: str) -> Ancestor:
    """A candidate of the run. Raises `UserError` when there is none of that id."""
    if genome_id not in run:
        raise UserError(
            f"genome={folder}/{genome_id}: no candidate of that id in {folder / POPULATION}"
        )
    return run[genome_id]


def changes(child: Genome, parent: Genome) -> Iterator[str]:
    """What differs between two genomes of equal depth, LIV by LIV, in words."""
    if child.depth != parent.depth:
        yield f"depth {parent.depth} -> {child.depth}"
        return
    pairs = zip(child.livs, parent.livs, child.classes(), parent.classes(), strict=True)
    for index, (liv, before, new, old) in enumerate(pairs):
        if new.id != old.id:
            yield f"LIV {index} {old.name} -> {new.name}"
        elif liv != before:
            genes = (
                f"{name} {a} -> {b}"
                for name, a, b in zip(GENE_NAMES, before, liv, strict=True)
                if a != b
            )
            yield f"LIV {index} {', '.join(genes)}"


def _crossed(cuts: Sequence[int]) -> str:
    inside = [str(cut) for cut in cuts if cut]
    return f"crossed at {', '.join(inside)}" if inside else "copied from the second parent"


def _resized(edits: Sequence[Sequence[Any]]) -> str:
    past = {"insert": "inserted", "delete": "deleted", "duplicate": "duplicated"}
    return ", ".join(f"{past[kind]} LIV {liv}" for kind, liv, *_ in edits)


def _genes(changes: Sequence[Sequence[Any]]) -> str:
    return ", ".join(f"LIV {liv} {gene} {old} -> {new}" for liv, gene, old, new in changes)


WORDS: dict[str, Callable[[Sequence[Any]], str]] = {
    CROSSOVER: _crossed,
    MOVEMENT: lambda copied: (
        "took " + ", ".join(f"LIV {liv} of parent {parent}" for liv, parent in copied)
    ),
    DEPTH: _resized,
    MUTATION: lambda changes: f"mutated {_genes(changes)}",
    REPAIR: lambda changes: f"repaired {_genes(changes)}",
}


def variation_text(variation: Mapping[str, Sequence[Any]]) -> str:
    """What made a genome of its parents, in words and in order; parents count from 0. The LIVs and
    genes are those before the canonical form."""
    return "; ".join(
        WORDS[part](entries) if part in WORDS else part for part, entries in variation.items()
    )


def _label(ancestor: Ancestor) -> str:
    metrics = ", ".join(f"{METRICS[name]} {value:,.4g}" for name, value in ancestor.metrics.items())
    origin = ancestor.origin if ancestor.parents else f"{ancestor.origin}, no parents"
    line = f"{ancestor.genome_id}  generation {ancestor.generation}, {origin}  {metrics or 'not measured'}"
    return f"{line}\n{variation_text(ancestor.variation)}" if ancestor.variation else line


def _step(child: Ancestor, parent: Ancestor) -> str:
    """What was changed from a parent, and what that gained."""
    what = "; ".join(changes(child.genome, parent.genome)) or "nothing"
    gains = (
        f"{METRICS[name]} {child.metrics[name] - value:+,.4g}"
        for name, value in parent.metrics.items()
        if name in child.metrics
    )
    return f"changed {what}  ({', '.join(gains) or 'not comparable'})"


def lineage_tree(run: dict[str, Ancestor], ancestor: Ancestor) -> Tree:
    """The ancestry as a tree; an ancestor that was shown before is only named again."""
    tree, shown = Tree(escape(_label(ancestor))), set()

    def grow(branch: Tree, child: Ancestor) -> None:
        shown.add(child.genome_id)
        for genome_id in dict.fromkeys(child.parents):
            parent = run.get(genome_id)
            if parent is None:
                branch.add(escape(f"{genome_id}  not among the candidates of this run"))
            elif genome_id in shown:
                branch.add(escape(f"{genome_id}  see above; {_step(child, parent)}"))
            else:
                grow(branch.add(escape(f"{_label(parent)}\n{_step(child, parent)}")), parent)

    grow(tree, ancestor)
    return tree
