"""Names that people read: of a backbone by its classes, of baselines by their designs."""

from collections.abc import Collection, Mapping
from typing import Any

from star.genomes import Genome, GenomeError, hybrids, load_genome

BASELINE = "baseline"  # the origin of one
HEADINGS = {
    "transformer_pp": "Transformer++",
    "striped_mamba": "StripedMamba",
    "gqa_transformer": "GQA Transformer",
    "lfm2": "LFM2",
    "mamba": "Mamba",
    "hyena": "Hyena",
    "gated_deltanet": "Gated DeltaNet",
}


def composition(genome: Genome) -> str:
    """Class names in order, runs counted: `2xGConv-1 GMemless SA-3`; behind them what genes of the
    backbone say: `SA-1 GMemless (sandwich x1/sqrt(2))`."""
    runs: list[list[str]] = []
    for liv_class in genome.classes():
        if runs and runs[-1][0] == liv_class.name:
            runs[-1].append(liv_class.name)
        else:
            runs.append([liv_class.name])
    names = [f"{len(run)}x{run[0]}" if len(run) > 1 else run[0] for run in runs]
    said = genome.backbone.short()
    return " ".join([*names, f"({said})"] if said else names)


def what_it_is(genome: Genome, index: int) -> str:
    """In words, what one LIV is; of a block of a hybrid, which components it mixes: `0.62 lfm2,
    0.38 mamba`."""
    liv_class, hybrid = genome.classes()[index], genome.alphabet.hybrid
    if hybrid is None or not isinstance(liv_class, hybrids.Mixture):
        return liv_class.description
    weights = zip(liv_class.weights(hybrid, index), hybrid.components, strict=True)
    return ", ".join(f"{weight:.2g} {component.name}" for weight, component in weights if weight)


def baseline_ids(settings: Mapping[str, Any], there: Collection[str]) -> dict[str, str]:
    """Genome ids of a run's baselines by the names of their designs, or by the ids themselves.

    Args:
        settings: of the run.
        there: ids of its candidates that are baselines.
    """
    names: dict[str, str] = {}
    depth = settings.get("depth")
    if not isinstance(depth, int):
        return dict(zip(there, there, strict=True))
    given = settings.get("search", {}).get("baselines")
    for name in filter(_is_text, given if isinstance(given, list) else ()):
        genome_id = _design_id(name, depth)
        if genome_id in there:
            names[name] = genome_id
    rest = [genome_id for genome_id in there if genome_id not in names.values()]
    return {**names, **dict(zip(rest, rest, strict=True))}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _design_id(name: str, depth: int) -> str:
    """The id of a design of the library at a depth; empty for what is none."""
    try:
        genome = load_genome(name, depth)[0]
    except GenomeError:
        return ""
    return genome.canonical().id
