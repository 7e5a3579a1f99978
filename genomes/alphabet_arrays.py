"""An alphabet as arrays, for the functions of `arrays.py`."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .alphabets import Alphabet, LivClass
from .genes import NOT_SHARED, STRATEGIES, Booleans, Genes


@dataclass(frozen=True)
class Tables:
    """An alphabet as arrays. Class ids may be large and far apart, so what is large is by *place*:
    that of a class in `ids`, counted from 1.

    Attributes:
        ids: (classes,), all class ids, ascending.
        place: (highest id + 1,), the place of each class; 0 for what is no class.
        strategies: (highest id + 1, strategies), which strategies a class has, 1 included.
        choices: (highest id + 1, strategies), the same as a list, 1 first.
        count: (highest id + 1,), how many there are.
        parts: (places, 2 ** strategies, strategies), see `_weight_parts`.
        input_free: (places,), the strategy that borrows the input-free groups alone, or 0.
        has_weights: (places,), whether the featurizer has any; the letters of a hybrid have none.
        without_input_free: (places, strategies), for a strategy that borrows them with others, the
            strategy that borrows only the others, or 0.
    """

    ids: Genes
    place: Genes
    strategies: Booleans
    choices: Genes
    count: Genes
    parts: Genes
    input_free: Genes
    has_weights: Booleans
    without_input_free: Genes


@lru_cache(maxsize=1024)
def _weight_parts(liv_class: LivClass) -> Genes:
    """(2 ** strategies, strategies): which members of a featurizer group really have weights in
    common.

    First index: bit set of the strategies that members borrow by, 1 being not to borrow. Value:
    members whose strategies have equal values are connected by feature groups that they compute
    themselves; no strategy borrows all of them.

    For example low-rank: strategy 2 borrows B and V and computes C, strategy 5 borrows C and B and
    computes V. Members by 2 and 5 alone (bits 2 and 5: set 36) have no weights in common:
    parts[36, 2] = 2, parts[36, 5] = 5. A member that borrows nothing (bit 1: set 38) computes all
    groups and connects them: parts[38, [1, 2, 5]] = 1, 1, 1.
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
    size, places = max(alphabet.ids) + 1, len(alphabet.ids) + 1
    table = Tables(
        ids=np.array(alphabet.ids),
        place=np.zeros(size, dtype=np.int64),
        strategies=np.zeros((size, STRATEGIES), dtype=bool),
        choices=np.full((size, STRATEGIES), NOT_SHARED, dtype=np.int64),
        count=np.zeros(size, dtype=np.int64),
        parts=np.zeros((places, 2**STRATEGIES, STRATEGIES), dtype=np.int64),
        input_free=np.zeros(places, dtype=np.int64),
        has_weights=np.zeros(places, dtype=bool),
        without_input_free=np.zeros((places, STRATEGIES), dtype=np.int64),
    )
    for place, class_id in enumerate(alphabet.ids, start=1):
        liv_class = alphabet.by_id[class_id]
        structure = liv_class.operator.structure
        valid = [NOT_SHARED, *structure.sharing]
        table.place[class_id], table.count[class_id] = place, len(valid)
        table.strategies[class_id, valid] = True
        table.choices[class_id, : len(valid)] = valid
        table.parts[place] = _weight_parts(liv_class)
        table.input_free[place] = structure.input_free_strategy
        table.has_weights[place] = len(liv_class.operator.groups) > 0
        for strategy, without in structure.without_input_free.items():
            table.without_input_free[place, strategy] = without
    return table
