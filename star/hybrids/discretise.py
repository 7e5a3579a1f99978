"""A mixture that was found, as a genome over its hybrid's letters."""

import math
from collections.abc import Sequence

from star.base.errors import UserError
from star.genomes import CacheSetting, Genome
from star.genomes.hybrids import FOUND, Hybrid, HybridAlphabet, Mixture, hybrid_alphabet

from .config import NONE, ONE_HOT, HybridConfig
from .costs import exact_cost, in_words
from .within import Limit, Option, nearest_within

Rows = Sequence[Sequence[float]]  # (blocks, components)


def limit_of(config: HybridConfig, cache: CacheSetting) -> Limit | None:
    """What the settings let a genome cost; None without a budget."""
    budget = config.budget_number
    if config.cost is None or budget is None:
        return None
    return Limit(config.cost, budget, cache, config.budget or "")


def check_budget(hybrid: Hybrid, config: HybridConfig, cache: CacheSetting) -> None:
    """Raise `UserError` where the mixture is to be discretised and no letters keep the budget."""
    limit = limit_of(config, cache)
    if limit is not None and config.discretise != NONE:
        alphabet = hybrid_alphabet(hybrid.name, hybrid, "")
        rows = [[0.0] * len(hybrid.components)] * hybrid.blocks  # whatever they are
        nearest_letters(alphabet, rows, config.discretise, limit)


def found_letters(alphabet: HybridAlphabet) -> list[int]:
    """The id of the letter `found` for each block, of a hybrid that has a mixture."""
    number = next(letter.id for letter in alphabet.classes if letter.name == FOUND)
    return [number] * alphabet.hybrid.blocks


def nearest_letters(
    alphabet: HybridAlphabet, rows: Rows, kind: str, limit: Limit | None = None
) -> list[int]:
    """For each block the letter that is nearest by squared distance, of equally near ones the
    first; with a limit the ones that are nearest together and keep it.

    Args:
        alphabet: of the hybrid.
        rows: the mixture, (blocks, components).
        kind: `one_hot`: letters of one component, so that the heaviest is the nearest; `parts`: all
            letters but `found`.
        limit: of the genome's exact cost; None: none.

    Raises:
        UserError: no letters keep the limit.
    """
    options = [_options(alphabet, row, kind) for row in rows]
    if limit is None:
        return [min(some).letter for some in options]
    letters = nearest_within(alphabet.hybrid, options, limit)
    if letters is None:
        cheapest = _cheapest(alphabet, options, limit)
        raise UserError(
            f"hybrid.budget={limit.given}: the cheapest mixture of these components costs "
            f"{in_words(cheapest, limit.name)}; expected at least that"
        )
    return list(letters)


def _cheapest(alphabet: HybridAlphabet, options: list[list[Option]], limit: Limit) -> int:
    """The exact cost of the cheapest letters."""
    alike = [[option._replace(distance=0.0) for option in some] for some in options]
    letters = nearest_within(alphabet.hybrid, alike, limit._replace(most=math.inf))
    assert letters is not None
    return exact_cost(genome_of(alphabet, letters), limit.name, limit.cache)


def _options(alphabet: HybridAlphabet, row: Sequence[float], kind: str) -> list[Option]:
    """The nearest letter for each set of components."""
    nearest: dict[frozenset[int], Option] = {}
    for letter in alphabet.classes:
        if not isinstance(letter, Mixture) or not letter.shares:
            continue
        own = letter.weights(alphabet.hybrid, 0)
        present = frozenset(number for number, weight in enumerate(own) if weight)
        if kind == ONE_HOT and len(present) > 1:
            continue
        # Rounded, so that what is equally near on paper is so here.
        distance = round(sum((a - b) ** 2 for a, b in zip(own, row, strict=True)), 12)
        option = Option(distance, letter.id, present)
        nearest[present] = min(option, nearest.get(present, option))
    return list(nearest.values())


def genome_of(alphabet: HybridAlphabet, letters: Sequence[int]) -> Genome:
    """The genome with these letters, one a block."""
    return Genome.from_genes([[letter, 1, 1, 1, 1] for letter in letters], alphabet)
