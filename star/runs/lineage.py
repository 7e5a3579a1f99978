"""Lineage: where a genome of a run came from, step by step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.tree import Tree

from star.evaluation.objectives import OBJECTIVES, TRAINED
from star.evaluation.result import STOPPED
from star.genomes import BACKBONE_GENE_NAMES, GENE_NAMES, Genome
from star.genomes.backbone import gene_words
from star.runs.columns import BACKBONE, CROSSOVER, DEPTH, GROWN, MOVEMENT, MUTATION, REPAIR, ROUNDS
from star.runs.names import composition
from star.runs.run import Run, RunCandidate

# And what else the search minimised, and any objective of the user's own.
SHOWN = ("validation_loss", "cache_bytes", "parameters")
# of the training on text, so that they depend on its length
LEARNT = {name for name, objective in OBJECTIVES.items() if objective.cost == TRAINED}


def changes(child: Genome, parent: Genome) -> Iterator[str]:
    """What differs between two genomes, in words: genes of the backbone, and at equal depth LIV by
    LIV."""
    for name, before, now in zip(BACKBONE_GENE_NAMES, parent.backbone, child.backbone, strict=True):
        if before != now:
            yield _backbone_change(name, before, now)
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


def _backbone_change(name: str, before: int, now: int) -> str:
    return f"{name} {gene_words(name, before)} -> {gene_words(name, now)}"


def _crossed(cuts: Sequence[int]) -> str:
    inside = [str(cut) for cut in cuts if cut]
    return f"crossed at {', '.join(inside)}" if inside else "copied from the second parent"


def _resized(edits: Sequence[Sequence[Any]]) -> str:
    past = {"insert": "inserted", "delete": "deleted", "duplicate": "duplicated"}
    return ", ".join(f"{past[kind]} LIV {liv}" for kind, liv, *_ in edits)


def _genes(changes: Sequence[Sequence[Any]]) -> str:
    return ", ".join(
        _backbone_change(gene, old, new) if liv is None else f"LIV {liv} {gene} {old} -> {new}"
        for liv, gene, old, new in changes
    )


WORDS: dict[str, Callable[[Sequence[Any]], str]] = {
    CROSSOVER: _crossed,
    MOVEMENT: lambda copied: (
        "took " + ", ".join(f"LIV {liv} of parent {parent}" for liv, parent in copied)
    ),
    BACKBONE: lambda taken: (
        "took " + ", ".join(f"{name} of parent {parent}" for name, parent in taken)
    ),
    DEPTH: _resized,
    MUTATION: lambda changes: f"mutated {_genes(changes)}",
    GROWN: lambda livs: f"grown around LIVs {', '.join(map(str, livs))} of the parent",
    ROUNDS: lambda rounds: f"varied {rounds[0]} times before it was measured",
    REPAIR: lambda changes: f"repaired {_genes(changes)}",
}


def variation_text(variation: Mapping[str, Sequence[Any]]) -> str:
    """What made a genome of its parents, in words and in order; parents count from 0. The LIVs and
    genes are those before the canonical form."""
    return "; ".join(
        WORDS[part](entries) if part in WORDS else part for part, entries in variation.items()
    )


class Lineage:
    """The ancestry of candidates of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        named = run.settings.get("search", {}).get("objectives", [])
        minimised = [name for name in named if name in OBJECTIVES]
        own = [name for name in run.metrics if name not in OBJECTIVES]  # settings hold their paths
        self.shown = dict.fromkeys((*SHOWN, *minimised, *own))

    def _metrics(self, candidate: RunCandidate) -> Iterator[tuple[str, str, float]]:
        """Name, heading and value of what is shown of a candidate."""
        for name in self.shown:
            if name in candidate.metrics:
                heading = OBJECTIVES[name].heading if name in OBJECTIVES else name
                yield name, heading, candidate.metrics[name]

    def _label(self, candidate: RunCandidate) -> str:
        metrics = ", ".join(f"{label} {value:,.4g}" for _, label, value in self._metrics(candidate))
        origin = candidate.origin if candidate.parents else f"{candidate.origin}, no parents"
        where = f"{candidate.genome_id}  generation {candidate.generation}, {origin}"
        line = f"{where}  {metrics or 'not measured'}"
        if candidate.status == STOPPED:
            line += f" (stopped {candidate.reason})"
        line += f"  [{composition(candidate.genome)}]"
        words = variation_text(candidate.variation)
        return f"{line}\n{words}" if words else line

    def step(self, child: RunCandidate, parent: RunCandidate) -> str:
        """What was changed from a parent, and what that gained; nothing of losses after trainings
        of different lengths."""
        what = "; ".join(changes(child.genome, parent.genome)) or "nothing"
        ends = [(c.status == STOPPED and c.reason) for c in (child, parent)]
        is_alike = ends[0] == ends[1]
        gains = ", ".join(
            f"{label} {child.metrics[name] - value:+,.4g}"
            for name, label, value in self._metrics(parent)
            if name in child.metrics and (is_alike or name not in LEARNT)
        )
        return f"changed {what}  ({gains or 'not comparable'})"

    def tree(self, candidate: RunCandidate) -> Tree:
        """The ancestry as a tree, for a console without markup (`star.base.console`).

        An ancestor that was shown before is only named again.
        """
        tree, shown = Tree(self._label(candidate)), set()

        def grow(branch: Tree, child: RunCandidate) -> None:
            shown.add(child.genome_id)
            for genome_id in dict.fromkeys(child.parents):
                parent = self.run.candidates.get(genome_id)
                if parent is None:
                    missing = f"{genome_id}  not among the candidates of this run"
                    branch.add(missing)
                elif genome_id in shown:
                    branch.add(f"{genome_id}  see above; {self.step(child, parent)}")
                else:
                    step = f"{self._label(parent)}\n{self.step(child, parent)}"
                    grow(branch.add(step), parent)

        grow(tree, candidate)
        return tree
