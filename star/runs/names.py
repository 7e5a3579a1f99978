"""Names that people read: of a backbone by its classes, of baselines by their designs."""

from collections.abc import Collection, Mapping
from typing import Any

from star.genomes import Genome, GenomeError, get_alphabet, hybrids, load_genome
from star.genomes.alphabets import HYBRID

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
    there = [(weight, component.name) for weight, component in weights if weight]
    if len(there) == 1:
        return f"{there[0][1]} alone"
    return ", ".join(f"{weight:.2g} {name}" for weight, name in there)


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
    for name, genome in _components_of(settings).items():
        if genome.canonical().id in there:
            names[name] = genome.canonical().id
    given = settings.get("search", {}).get("baselines")
    for name in filter(_is_text, given if isinstance(given, list) else ()):
        genome_id = _design_id(name, depth)
        if genome_id in there:
            names[name] = genome_id
    rest = [genome_id for genome_id in there if genome_id not in names.values()]
    return {**names, **dict(zip(rest, rest, strict=True))}


def components_alone(alphabet_name: str) -> dict[str, Genome]:
    """Each component of a hybrid by itself, by its name; none of an alphabet that is no hybrid.

    Raises `GenomeError` for a folder that holds no hybrid.
    """
    if not alphabet_name.startswith(HYBRID):
        return {}
    alphabet = get_alphabet(alphabet_name)
    hybrid = alphabet.hybrid
    assert hybrid is not None
    found: dict[str, Genome] = {}
    for number, component in enumerate(hybrid.components):
        letter = alphabet.alone(number)  # type: ignore[attr-defined]
        name = component.name if component.name not in found else f"{component.name}_{number}"
        found[name] = Genome.from_genes([[letter.id, 1, 1, 1, 1]] * hybrid.blocks, alphabet)
    return found


def alphabet_of(settings: Mapping[str, Any]) -> str:
    """The name of the alphabet that a run searched; empty where its settings have none."""
    for key in ("search", "space", "alphabet"):
        found = settings.get(key)
        settings = found if isinstance(found, Mapping) else {}
    return found if isinstance(found, str) else ""


def is_over_hybrid(settings: Mapping[str, Any]) -> bool:
    """Whether a run searched the mixtures of a hybrid."""
    return alphabet_of(settings).startswith(HYBRID)


def _components_of(settings: Mapping[str, Any]) -> dict[str, Genome]:
    """The components that a run compared with, where their hybrid is still there."""
    try:
        return components_alone(alphabet_of(settings))
    except GenomeError:
        return {}


def letters_in_words(alphabet_name: str) -> str:
    """What the letters of a hybrid's alphabet mean: `Mix-a-b: of 4 parts, a of lfm2, b of mamba`;
    empty for an alphabet that is no hybrid. Raises `GenomeError` as `components_alone`."""
    if not alphabet_name.startswith(HYBRID):
        return ""
    hybrid = get_alphabet(alphabet_name).hybrid
    assert hybrid is not None
    places = "abcdefgh"[: len(hybrid.components)]
    shares = (f"{place} of {c.name}" for place, c in zip(places, hybrid.components, strict=True))
    words = f"Mix-{'-'.join(places)}: of {hybrid.parts} parts, {', '.join(shares)}"
    return f"{words}; found: the mixture that was searched" if hybrid.mixture else words


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _design_id(name: str, depth: int) -> str:
    """The id of a design of the library at a depth; empty for what is none."""
    try:
        genome = load_genome(name, depth)[0]
    except GenomeError:
        return ""
    return genome.canonical().id
