"""An alphabet as arrays, for the functions of `population.py`."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .alphabets import Alphabet, LivClass
from .operators import STRUCTURES, TOEPLITZ
from .validity import NOT_SHARED

Genes = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

STRATEGIES = 1 + max(
    max(structure.sharing) for structure in STRUCTURES.values()
)  # columns of a table by strategy


@dataclass(frozen=True)
class Tables:
    """An alphabet as arrays, most by class id; ids that are no class have False or 0."""

    ids: Genes  # (classes,): all class ids, ascending
    place: Genes  # (ids,): a class' place in `ids`, counted from 1
    strategies: Booleans  # (ids, strategies): which strategies a class has, 1 included
    choices: Genes  # (ids, strategies): the same as a list, 1 first
    count: Genes  # (ids,): how many there are
    parts: Genes  # (ids, 2 ** strategies, strategies): see `_weight_parts`
    toeplitz: Booleans  # (ids,)


@lru_cache(maxsize=1024)
def _weight_parts(liv_class: LivClass) -> Genes:
    """(2 ** strategies, strategies): which members of a featurizer group really have weights in
    common.

    First index: bit set of the strategies that members borrow by, 1 being not to borrow. Value:
    members whose strategies have equal values are connected by feature groups that they compute
    themselves; no strategy borrows all of them.
    """
    operator = liv_class.operator
    everything = frozenset(group.name for group in operator.groups)
    computed = {NOT_SHARED: everything}
    computed |= {
        number: everything - set(borrowed)
        for number, borrowed in operator.structure.sharing.items()
    }
    parts = np.zeros((2**STRATEGIES, STRATEGIES), dtype=np.int64)
    for present in range(2**STRATEGIES):
        blocks: list[tuple[int, frozenset[str]]] = []
        for strategy in (number for number in computed if present >> number & 1):
            touching = [block for block in blocks if block[1] & computed[strategy]]
            blocks = [block for block in blocks if block not in touching]
            joined = computed[strategy].union(*(names for _, names in touching))
            blocks.append((min([strategy, *(number for number, _ in touching)]), joined))
        for number, names in blocks:
            for strategy, own in computed.items():
                if present >> strategy & 1 and own & names:
                    parts[present, strategy] = number
    return parts


@lru_cache(maxsize=16)
def tables(alphabet: Alphabet) -> Tables:
    """The arrays of an alphabet."""
    size = max(alphabet.ids) + 1
    place, count = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    strategies, toeplitz = np.zeros((size, STRATEGIES), dtype=bool), np.zeros(size, dtype=bool)
    choices = np.full((size, STRATEGIES), NOT_SHARED, dtype=np.int64)
    parts = np.zeros((size, 2**STRATEGIES, STRATEGIES), dtype=np.int64)
    for number, class_id in enumerate(alphabet.ids, start=1):
        operator = alphabet.by_id[class_id].operator
        valid = [NOT_SHARED, *operator.structure.sharing]
        place[class_id], count[class_id] = number, len(valid)
        strategies[class_id, valid] = True
        choices[class_id, : len(valid)] = valid
        parts[class_id] = _weight_parts(alphabet.by_id[class_id])
        toeplitz[class_id] = operator.token_mixing == TOEPLITZ
    return Tables(np.array(alphabet.ids), place, strategies, choices, count, parts, toeplitz)
