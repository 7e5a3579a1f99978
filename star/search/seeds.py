"""Genomes that a search starts from: library names, genome files, folders of them, and CSVs of earlier runs."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from star.errors import UserError
from star.genomes import Genome, GenomeError, fit_depth, load_genome


def _fitted(genome: Genome, depth: int, source: str, notices: list[str]) -> Genome:
    if genome.depth != depth:
        change = "repeated" if depth > genome.depth else "cut"
        notices.append(f"seed {source}: {change} from depth {genome.depth} to {depth}")
    return fit_depth(genome, depth)


def _read_csv(path: Path, depth: int, alphabet: str, notices: list[str]) -> list[Genome]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"search.seeds: {path} cannot be read as CSV ({' '.join(str(error).split())})") from None
    if "genome" not in table.columns:
        raise UserError(f"search.seeds: {path} has no column 'genome'; expected a pareto.csv or population.csv")
    if "status" in table.columns:
        table = table[table["status"] == "ok"]
    if table.empty:
        raise UserError(f"search.seeds: {path} holds no measured genome; expected a CSV of a run that has results")
    genomes = []
    for line, text in zip(table.index + 2, table["genome"], strict=True):
        try:
            genome = Genome.from_text(text, alphabet).check()
        except GenomeError as error:
            raise UserError(f"search.seeds: {path} line {line}: {error}") from None
        genomes.append(_fitted(genome, depth, f"{path} line {line}", notices))
    return genomes


def _read_seed(reference: str, depth: int, alphabet: str, notices: list[str]) -> list[Genome]:
    path = Path(reference)
    if path.is_dir():
        files = sorted(path.glob("*.yaml"))
        if not files:
            raise UserError(f"search.seeds: the folder {reference} holds no genome files (*.yaml)")
        return [genome for file in files for genome in _read_seed(str(file), depth, alphabet, notices)]
    if path.suffix == ".csv":
        return _read_csv(path, depth, alphabet, notices)
    try:
        genome, _, notes = load_genome(reference, depth, alphabet)
    except GenomeError as error:
        raise UserError(f"search.seeds: {error}") from None
    notices += [f"seed {note}" for note in notes]
    return [genome]


def read_seeds(references: Sequence[str], depth: int, alphabet: str) -> tuple[list[Genome], list[str]]:
    """The seed genomes at the wanted depth, without repetition, and notices about those repeated or cut.

    Raises `UserError` naming the file, LIV and gene of a seed that is missing, malformed or invalid, or whose classes
    the search's alphabet does not have.
    """
    notices: list[str] = []
    seeds: dict[str, Genome] = {}
    for reference in references:
        for genome in _read_seed(reference, depth, alphabet, notices):
            try:
                adopted = Genome.from_genes(genome.livs, alphabet).check()
            except GenomeError as error:
                raise UserError(f"search.seeds: {reference}: {error} (search.alphabet={alphabet})") from None
            seeds.setdefault(adopted.id, adopted.canonical())
    return list(seeds.values()), notices
