"""Which LIV classes a search works with."""

from star.base.errors import UserError
from star.genomes import ALPHABETS, Alphabet, GenomeError, get_alphabet, with_operators
from star.search.config import SearchConfig


def base_alphabet(config: SearchConfig) -> Alphabet:
    """The classes that random genomes are made of: those of `search.alphabet`, or those in
    `search.classes`.

    Raises `UserError` for an unknown alphabet or class.
    """
    try:
        alphabet = get_alphabet(config.alphabet)
    except GenomeError:
        raise UserError(
            f"search.alphabet={config.alphabet}: expected one of {', '.join(ALPHABETS)}"
        ) from None
    try:
        return alphabet.restricted(config.classes)
    except GenomeError as error:
        raise UserError(f"search.classes={config.classes}: {error}") from None


def search_alphabet(config: SearchConfig) -> Alphabet:
    """All classes that candidates may have: with `search.operator_probability`, every valid
    operator's.

    Raises `UserError` as `base_alphabet`.
    """
    base = base_alphabet(config)
    return with_operators(base) if config.operator_probability > 0 else base
