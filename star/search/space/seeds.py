"""Genomes that a search starts from: designs, genome files, folders of them, CSVs and run
folders."""

import os
from collections.abc import Sequence, Set
from io import BytesIO
from pathlib import Path

import pandas as pd

from star.base.errors import UserError, plain, shown
from star.base.reading import expanded, is_file, is_folder, read_bytes
from star.genomes import WIDEST, Alphabet, Genome, GenomeError, at_depth, library_names, load_genome
from star.genomes.files import genome_path, is_genome_text
from star.runs.folder import GENOMES, PARETO, POPULATION
from star.runs.genome_files import genome_paths, written_genomes
from star.runs.names import BASELINE
from star.search.config import ONE_SHOT, EvolveConfig
from star.search.space.fitting import Fitting
from star.search.space.problem import GenomeProblem

Bounds = tuple[int, int]  # least and most LIVs


def _within(depth: int, bounds: Bounds) -> int:
    return min(max(depth, bounds[0]), bounds[1])


def _fitted(genome: Genome, bounds: Bounds, source: str, notices: list[str]) -> Genome:
    fitted, found = at_depth(genome, _within(genome.depth, bounds), source)
    notices += [f"seed {notice}" for notice in found]
    return fitted


def _read_csv(
    path: Path, bounds: Bounds, problem: GenomeProblem, notices: list[str]
) -> list[Genome]:
    try:
        table = pd.read_csv(BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)
    except UserError as error:
        raise UserError(f"search.seeds: {error}") from None
    except ValueError as error:
        reason = shown(plain(error))
        raise UserError(f"search.seeds: {path} cannot be read as CSV ({reason})") from None
    if "genome" not in table.columns:
        raise UserError(
            f"search.seeds: {path} has no column 'genome'; expected a pareto.csv or population.csv"
        )
    if "status" in table.columns:
        table = table[table["status"] == "ok"]
    if table.empty:
        raise UserError(
            f"search.seeds: {path} holds no measured genome; expected a CSV of a run that has "
            f"results"
        )
    genomes = []
    origins = table.get("origin", pd.Series("", table.index))
    for line, text, origin in zip(table.index + 2, table["genome"], origins, strict=True):
        try:
            name = WIDEST if origin == BASELINE else problem.alphabet.name
            genome = _adopted(Genome.from_text(text, name).check(), problem)
        except GenomeError as error:
            if origin != BASELINE:
                raise UserError(f"search.seeds: {path} line {line}: {error}") from None
            notices.append(f"seed {path} line {line} is left out: {error}")
            continue
        genomes.append(_fitted(genome, bounds, f"{path} line {line}", notices))
    return genomes


def _read_seed(
    reference: str,
    bounds: Bounds,
    problem: GenomeProblem,
    notices: list[str],
    left_out: Set[Path],
) -> list[Genome]:
    path = expanded(reference)
    if is_genome_text(reference) and not os.path.lexists(path):  # a path cannot be that long
        return [_read_genome(reference, bounds, problem.alphabet.name, notices)]
    if genome_path(reference) != path:
        return [_read_genome(reference, bounds, problem.alphabet.name, notices)]
    if is_folder(path, "search.seeds"):
        if is_file(path / POPULATION, "search.seeds"):
            return _read_csv(path / PARETO, bounds, problem, notices)
        return [
            genome
            for file in genome_paths(path, "search.seeds", left_out)
            for genome in _read_seed(str(file), bounds, problem, notices, left_out)
        ]
    if path.suffix == ".csv":
        return _read_csv(path, bounds, problem, notices)
    return [_read_genome(reference, bounds, problem.alphabet.name, notices)]


def _read_genome(reference: str, bounds: Bounds, alphabet: str, notices: list[str]) -> Genome:
    try:
        genome, _, _ = load_genome(reference, None, alphabet)
        # Again at the wanted depth: a pattern is repeated without a notice.
        fitted, _, notes = load_genome(reference, _within(genome.depth, bounds), alphabet)
    except GenomeError as error:
        raise UserError(f"search.seeds: {error}") from None
    notices += [f"seed {note}" for note in notes]
    return fitted


def _adopted(genome: Genome, problem: GenomeProblem) -> Genome:
    """The genome over the search's alphabet, and with its values of the genes of the backbone.

    Raises `GenomeError` for a class that is not in it, and for genes that the search does not vary.
    """
    return problem.backbone.adopted(_over(genome, problem.alphabet))


def _over(genome: Genome, alphabet: Alphabet) -> Genome:
    for index, liv_class in enumerate(genome.classes()):
        if alphabet.by_id.get(liv_class.id) != liv_class:
            names = ", ".join(allowed.name for allowed in alphabet.classes)
            raise GenomeError(
                f"LIV {index} is {liv_class.name}, expected one of {names} "
                f"(search.space.alphabet={alphabet.name}, "
                "search.space.classes; search.variation.operator_probability above 0 admits every "
                "operator)"
            )
    return Genome(genome.livs, alphabet, genome.backbone)


def read_seeds(
    references: Sequence[str], problem: GenomeProblem, left_out: Set[Path] = frozenset()
) -> tuple[list[Genome], list[str]]:
    """The seed genomes within the problem's depths, and notices about those repeated, cut or left
    out.

    None is repeated. Genomes of another depth are fitted to the nearest that the problem has.
    Designs of the library, and baselines of a run, whose classes or genes of the backbone the
    search does not have are left out.

    Args:
        references: library names, genome files, folders of them, CSVs and run folders.
        problem: the search space.
        left_out: absolute paths of files in such folders that are no seeds: those that the search
            itself wrote before it was resumed.

    Raises:
        UserError: naming the file, LIV and gene of a seed that is missing, malformed or invalid, or
            that is neither of those and has classes or genes that the search has not.
    """
    notices: list[str] = []
    seeds: dict[str, Genome] = {}
    bounds = problem.least_depth, problem.vector_depth
    for reference in references:
        for genome in _read_seed(reference, bounds, problem, notices, left_out):
            try:
                adopted = _adopted(genome, problem)
            except GenomeError as error:
                if reference not in library_names():
                    raise UserError(f"search.seeds: {reference}: {error}") from None
                notices.append(f"seed {reference} is left out: {error}")
                continue
            seeds.setdefault(adopted.id, adopted.canonical())
    return list(seeds.values()), notices


def read_first_genomes(
    config: EvolveConfig, problem: GenomeProblem, fitting: Fitting | None
) -> tuple[list[Genome], list[str]]:
    """The seeds that a search begins with, and notices about them and about classes that it leaves
    out; a search that grows begins with none.

    Args:
        config: its settings.
        problem: the search space.
        fitting: keeps genomes within the limits; None where there are none.

    Raises:
        UserError: as `read_seeds`, and where nothing is within the limits.
    """
    is_whole = config.search.space.mode == ONE_SHOT
    own = written_genomes(expanded(config.run_dir) / GENOMES) if config.run_dir else set()
    seeds, notices = read_seeds(config.search.seeds if is_whole else [], problem, own)
    if fitting is not None:
        notices += fitting.exclude()
        seeds, changed = fitting.fit_seeds(seeds)
        notices += changed
    used = config.search.population
    if len(seeds) > used:
        notices.append(
            f"search.population={used}: only the first {used} of {len(seeds)} seeds are used"
        )
    return seeds, notices
