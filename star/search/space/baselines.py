"""Designs that a search trains for comparison: of the library, genome files, folders of them, and
the fronts of runs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from star.base.errors import UserError
from star.base.reading import expanded, is_file, is_folder
from star.genomes import Genome, GenomeError, at_depth, check_fits, load_genome
from star.genomes.files import is_genome_text
from star.runs.folder import POPULATION
from star.runs.genome_files import genome_paths
from star.runs.names import components_alone
from star.runs.run import Run
from star.search.config import EvolveConfig

KEY = "search.baselines"


@dataclass(frozen=True)
class Design:
    """A genome at the search's depth."""

    name: str  # that a table shows
    source: str  # that tells it from another of the same name
    genome: Genome
    notices: tuple[str, ...] = ()


def read_baselines(config: EvolveConfig) -> tuple[dict[str, Genome], list[str]]:
    """The designs by name, at the search's depth, and notices about those repeated or cut.

    Components of a hybrid that is searched are always among them. A file's name is its own without
    the suffix, and of a run each genome's is its id; where two designs have one name, the second is
    called by its path.

    Raises:
        UserError: for one that is missing, malformed or invalid.
        GenomeError: for one that cannot be built at the model's sizes.
    """
    alphabet = config.search.alphabet().name
    baselines = components_alone(alphabet)
    notices: list[str] = []
    for reference in config.search.baselines:
        for design in _read(reference, config.depth, alphabet):
            genome = design.genome.canonical()
            check_fits(genome, config.model)
            check_fits(genome, config.model.when_trained())
            taken = baselines.get(design.name, genome) != genome
            baselines[design.source if taken else design.name] = genome
            notices += [f"baseline {notice}" for notice in design.notices]
    return baselines, notices


def _read(reference: str, depth: int, alphabet: str) -> Iterator[Design]:
    path = expanded(reference)
    if is_genome_text(reference) and not os.path.lexists(path):  # a path cannot be that long
        yield _design(reference, reference, depth, alphabet)
    elif not is_folder(path, KEY):
        is_path = path.suffix in (".yaml", ".yml") or is_file(path, KEY)
        yield _design(str(path), path.stem if is_path else reference, depth, alphabet)
    elif is_file(path / POPULATION, KEY):
        yield from _front(Run.open(path), depth)
    else:
        for file in genome_paths(path, KEY):
            yield _design(str(file), file.stem, depth, alphabet)


def _design(reference: str, name: str, depth: int, alphabet: str) -> Design:
    try:
        genome, _, notices = load_genome(reference, depth, alphabet)
    except GenomeError as error:
        raise UserError(f"{KEY}: {error}") from None
    return Design(name, reference, genome, tuple(notices))


def _front(run: Run, depth: int) -> Iterator[Design]:
    found = [run.candidate(genome_id) for genome_id in run.front["genome_id"]]
    if not found:
        raise UserError(f"{KEY}: the front of {run.path} is empty; choose a run with results")
    for candidate in found:
        source = f"{run.path}/{candidate.genome_id}"
        genome, notices = at_depth(candidate.genome, depth, source)
        yield Design(candidate.genome_id, source, genome, tuple(notices))
