"""Many genomes at once, as int64 arrays (genomes, depth, 5): sampling, repair, canonical form and
ids without Python loops over genomes.

What the genes mean is said in `sharing.py` and `validity.py`; here the same rules are written for
arrays. Groups of LIVs are named by their shallowest member, so that "the group of each LIV" is an
array (genomes, depth) of indices.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .alphabet_arrays import STRATEGIES as STRATEGIES
from .alphabet_arrays import Booleans, Genes
from .alphabet_arrays import Tables as Tables
from .alphabet_arrays import tables as tables
from .alphabets import Alphabet
from .sharing import GATES, KERNEL, KERNEL_WITH_GATES
from .validity import GENES_PER_LIV, NOT_SHARED

CHUNK = 512  # genomes whose temporaries stay in the processor's cache


def _planes(genes: Genes) -> tuple[Genes, ...]:
    """The five genes as contiguous arrays (genomes, depth)."""
    return tuple(np.ascontiguousarray(genes.transpose(2, 0, 1), dtype=np.int64))


def _by_chunks(function: Callable[[Genes], Genes], genes: Genes) -> Genes:
    return np.concatenate(
        [function(genes[start : start + CHUNK]) for start in range(0, max(len(genes), 1), CHUNK)]
    )


def _rows(count: int, stride: int) -> Genes:
    """(count, 1): where each genome starts in a flat array with `stride` entries a genome."""
    return np.arange(0, count * stride, stride)[:, None]


def _first(keys: Genes, limit: int) -> Genes:
    """(genomes, depth): the shallowest LIV with the same key; keys are 0 to limit - 1."""
    depth = keys.shape[1]
    cells = keys + _rows(len(keys), limit)
    shallowest = np.empty(len(keys) * limit, dtype=np.int32)  # only what is written is read
    deepest_first = np.ascontiguousarray(cells[:, ::-1]).reshape(-1)
    shallowest[deepest_first] = np.tile(
        np.arange(depth - 1, -1, -1, dtype=np.int32), len(keys)
    )  # the last one stays
    return shallowest.take(cells).astype(np.int64)


def _any_member(marked: Booleans, group: Genes) -> Booleans:
    """(genomes, depth): whether any LIV named as a member by `group` is marked, by the LIV that
    names the group."""
    flags = np.zeros(group.shape, dtype=bool)
    row, liv = np.nonzero(marked)
    flags[row, group[row, liv]] = True
    return flags


def _of(values: npt.NDArray, group: Genes) -> npt.NDArray:
    """values (genomes, depth) of the LIV that names each LIV's group."""
    return values.take(group + _rows(*group.shape))


def _of_several(group: Genes) -> Booleans:
    """(genomes, depth): whether the LIV's group has other members."""
    return _of(_any_member(group != np.arange(group.shape[1]), group), group)


def _group_keys(
    classes: Genes, number: Genes, active: Booleans, table: Tables
) -> tuple[Genes, int]:
    """Keys for `_first`, equal for active LIVs of one class and group number and for no others, and
    their limit."""
    depth = classes.shape[1]
    private = len(table.place) * (depth + 1)
    return np.where(
        active, classes * (depth + 1) + number, private + np.arange(depth)
    ), private + depth


def _has_strategy(classes: Genes, strategy: Genes, table: Tables) -> Booleans:
    within = (strategy > 0) & (strategy < STRATEGIES)
    return table.strategies[classes, np.where(within, strategy, 0)]


def _own_ranges(genes: Genes, table: Tables) -> Booleans:
    """(genomes, depth, 5): whether genes 1 to 4 are valid, and whether the class has the strategy
    of gene 5."""
    depth = genes.shape[1]
    classes = genes[:, :, 0]
    known = (classes > 0) & (classes < len(table.place))
    classes = np.where(known, classes, 0)
    result = (genes >= 1) & (genes <= np.array([len(table.place), depth, 2, depth, STRATEGIES]))
    result[:, :, 0] = table.place[classes] > 0
    result[:, :, 4] = _has_strategy(classes, genes[:, :, 4], table)
    return result


def valid(genes: Genes, alphabet: Alphabet) -> Booleans:
    """(genomes,): which of genes (genomes, depth, 5) are valid genomes."""
    table = tables(alphabet)
    result = np.logical_and.reduce(_own_ranges(genes, table), axis=(1, 2))
    classes, _, _, number, strategy = _planes(genes[result])
    active = strategy != NOT_SHARED
    owner = _first(*_group_keys(classes, number, active, table))
    result[result] = (~active | (_of(strategy, owner) == strategy)).all(axis=1)
    return result


def _draw(highest: int | Genes, size: int | tuple[int, ...], rng: np.random.Generator) -> Genes:
    """Integers from 0 to highest - 1, uniformly."""
    return (rng.random(size) * highest).astype(np.int64)


def repair(genes: Genes, rng: np.random.Generator, alphabet: Alphabet) -> tuple[Genes, Booleans]:
    """Resample each offending gene of genes (genomes, depth, 5); returns valid genes and which were
    changed.

    It walks like `validity.repair_livs`, from the shallowest LIV and gene, and draws uniformly
    among the values valid there given the genes before.
    """
    table, depth = tables(alphabet), genes.shape[1]
    fixed = np.array(genes, dtype=np.int64)
    row, liv, gene = np.nonzero(~_own_ranges(fixed, table))
    highest = np.array([len(table.ids), depth, 2, depth, 1])
    fixed[row, liv, gene] = np.where(
        gene == 4, fixed[row, liv, gene], 1 + _draw(highest[gene], len(gene), rng)
    )
    unknown = gene == 0
    fixed[row[unknown], liv[unknown], 0] = table.ids[fixed[row[unknown], liv[unknown], 0] - 1]
    offending = ~valid(fixed, alphabet)
    if offending.any():
        fixed[offending, :, 4] = _repaired_strategies(fixed[offending], rng, table)
    return fixed, fixed != genes


def _repaired_strategies(genes: Genes, rng: np.random.Generator, table: Tables) -> Genes:
    """(genomes, depth): feature-sharing strategies that agree in each group; the other genes are
    valid."""
    count, depth = genes.shape[:2]
    classes, _, _, number, strategy = _planes(genes)
    cells = classes * (depth + 1) + number + _rows(count, len(table.place) * (depth + 1))
    held = np.zeros(
        count * len(table.place) * (depth + 1), dtype=np.int64
    )  # strategy of each group, 0 for none yet
    for liv in range(depth):
        own, agreed, liv_class = strategy[:, liv], held[cells[:, liv]], classes[:, liv]
        agrees = np.where(agreed > 0, own == agreed, _has_strategy(liv_class, own, table)) | (
            own == NOT_SHARED
        )
        wrong = np.flatnonzero(~agrees)
        fraction, agreed_there, class_there = (
            rng.random(len(wrong)),
            agreed[wrong],
            liv_class[wrong],
        )
        of_class = table.choices[
            class_there, (fraction * table.count[class_there]).astype(np.int64)
        ]
        of_group = np.where(fraction < 0.5, NOT_SHARED, agreed_there)
        own[wrong] = np.where(agreed_there > 0, of_group, of_class)
        held[cells[:, liv]] = np.where(own == NOT_SHARED, agreed, own)
    return strategy


def sample(
    count: int,
    depth: int,
    rng: np.random.Generator,
    alphabet: Alphabet,
    sharing_probability: float = 0.25,
) -> Genes:
    """Random valid genomes in canonical form, (count, depth, 5); `sampling.random_genome` says how
    they are drawn."""
    table, shape = tables(alphabet), (count, depth)
    genes = np.empty((*shape, GENES_PER_LIV), dtype=np.int64)
    palettes = table.ids[_draw(len(table.ids), shape, rng)]
    chosen = _draw(1 + _draw(depth, (count, 1), rng), shape, rng)
    classes = palettes.take(chosen + _rows(*shape))
    genes[:, :, 0] = classes
    genes[:, :, 1] = 1 + _draw(max(1, depth // 2), shape, rng)
    genes[:, :, 3] = 1 + _draw(max(1, depth // 2), shape, rng)
    genes[:, :, 2] = np.where(rng.random(shape) < sharing_probability, 2, NOT_SHARED)
    strategy = table.choices[classes, 1 + _draw(table.count[classes] - 1, shape, rng)]
    genes[:, :, 4] = np.where(rng.random(shape) < sharing_probability, strategy, NOT_SHARED)
    return canonical(repair(genes, rng, alphabet)[0], alphabet)


def fit_depth(genes: Genes, depth: int, alphabet: Alphabet) -> Genes:
    """Valid genomes (genomes, own depth, 5) repeated or cut to (genomes, depth, 5), in canonical
    form.

    As `genome.fit_depth`: each repetition shares within itself only.
    """
    own = genes.shape[1]
    repetitions = -(-depth // own)
    repeated = np.tile(genes, (1, repetitions, 1)).astype(np.int64)
    repeated[:, :, (1, 3)] += np.repeat(np.arange(repetitions) * own, own)[:, None]
    return canonical(
        canonical(repeated, alphabet)[:, :depth], alphabet
    )  # whose numbers fit into the depth after a cut


def canonical(genes: Genes, alphabet: Alphabet) -> Genes:
    """The canonical genes of valid genomes, (genomes, depth, 5).

    Inert sharing becomes strategy 1, unshared LIVs get group number 1, and groups are renumbered
    per class by first appearance. Two genomes have equal canonical genes exactly when they are the
    same architecture.
    """
    table = tables(alphabet)
    return _by_chunks(lambda chunk: _canonical(chunk, table), genes)


def _canonical(genes: Genes, table: Tables) -> Genes:
    depth = genes.shape[1]
    classes, featurizer, tying, feature, strategy = _planes(genes)
    owner = _first(*_group_keys(classes, feature, strategy != NOT_SHARED, table))
    strategy = np.where(_of_several(owner), strategy, NOT_SHARED)
    borrowed = np.where(owner != np.arange(depth), strategy, NOT_SHARED)
    root = _first(*_group_keys(classes, featurizer, tying != NOT_SHARED, table))
    root = _split_by_weights(root, classes, borrowed, table)
    tied = _of_several(root)
    strategy, group = _fold_kernel_sharing(strategy, owner, root, table.toeplitz[classes])
    shared = strategy != NOT_SHARED
    # Strategy beside the group: a folded kernel group and another group may have the same owner's
    # number.
    group = _first(
        np.where(shared, strategy, 0) * depth + np.where(shared, group, np.arange(depth)),
        STRATEGIES * depth,
    )
    result = np.empty_like(genes, dtype=np.int64)
    result[:, :, 0] = classes
    result[:, :, 1] = _numbered(root, tied, classes, len(table.place))
    result[:, :, 2] = np.where(tied, 2, NOT_SHARED)
    result[:, :, 3] = _numbered(group, shared, classes, len(table.place))
    result[:, :, 4] = strategy
    return result


def _split_by_weights(root: Genes, classes: Genes, borrowed: Genes, table: Tables) -> Genes:
    """Featurizer groups (genomes, depth) split into the sets of LIVs that really have weights in
    common."""
    present = np.zeros((root.size, 8), dtype=bool)
    present[(root + _rows(*root.shape)).reshape(-1), borrowed.reshape(-1)] = True
    strategies = np.packbits(present, axis=1, bitorder="little").reshape(root.shape)
    part = table.parts[classes, _of(strategies, root), borrowed]
    return _first(root * STRATEGIES + part, root.shape[1] * STRATEGIES)


def _fold_kernel_sharing(
    strategy: Genes, owner: Genes, root: Genes, toeplitz: Booleans
) -> tuple[Genes, Genes]:
    """Toeplitz only: K does not depend on the input, so borrowing it and tying its weights are the
    same thing.

    Strategy 4 among LIVs that tie their weights is strategy 2; strategy 3 groups whose owners tie
    their weights are one group, joined by every member of that tie that shares no other features,
    and none at all when the tie holds all of them. Returns the strategies and, for shared LIVs, a
    number that the members of a group have in common.
    """
    folding = toeplitz & ((strategy == KERNEL) | (strategy == KERNEL_WITH_GATES))
    if not folding.any():
        return strategy, owner
    root_of_owner = _of(root, owner)
    leaves = _of(_any_member(folding & (root != root_of_owner), owner), owner)
    strategy = np.where(folding & (strategy == KERNEL_WITH_GATES) & ~leaves, GATES, strategy)

    kernel = folding & (strategy == KERNEL)
    kernel_ties = _of(_any_member(kernel, root_of_owner), root)
    joins = toeplitz & (strategy == NOT_SHARED) & kernel_ties
    target = np.where(kernel, root_of_owner, root)
    together = kernel | joins
    kept = _of(_any_member(together & (root != target), target), target)
    strategy = np.where(together, np.where(kept, KERNEL, NOT_SHARED), strategy)
    return strategy, np.where(together, target, owner)


def _numbered(group: Genes, active: Booleans, classes: Genes, limit: int) -> Genes:
    """(genomes, depth): the number of each active LIV's group, counted per class by its shallowest
    member; else 1."""
    row, liv = np.nonzero(active & (group == np.arange(group.shape[1])))
    keys = row * limit + classes[row, liv]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    numbers = np.ones_like(group)
    numbers[row[order], liv[order]] = 1 + np.arange(len(keys)) - np.searchsorted(keys, keys)
    return np.where(active, _of(numbers, group), 1)


class _LivTexts(dict[int, str]):
    """LIVs, as one number each, as they enter a genome's id: operator code and sharing genes; made
    when asked for."""

    SHIFTS = np.array(
        [52, 29, 26, 3, 0]
    )  # of the five genes: classes below 2048, groups below 2 ** 23, sharing below 8

    def __init__(self, alphabet: Alphabet) -> None:
        super().__init__()
        self.kinds = {liv_class.id: liv_class.code for liv_class in alphabet.classes}

    @classmethod
    def keys_of(cls, genes: Genes) -> list[list[int]]:
        """The numbers of the LIVs of genomes (genomes, depth, 5)."""
        return (genes << cls.SHIFTS).sum(axis=2).tolist()

    def __missing__(self, key: int) -> str:
        widths = np.diff(self.SHIFTS, prepend=63) * -1
        liv_class, *sharing = (key >> self.SHIFTS & (1 << widths) - 1).tolist()
        self[key] = ".".join([self.kinds[liv_class], *map(str, sharing)])
        return self[key]


@lru_cache(maxsize=16)
def _liv_texts(alphabet: Alphabet) -> _LivTexts:
    return _LivTexts(alphabet)


def ids(canonical_genes: Genes, alphabet: Alphabet) -> list[str]:
    """The ids of genomes in canonical form, genes (genomes, depth, 5): the same as `Genome.id`.

    An id is a hash over operator codes, not class ids, so that alphabets which agree on the classes
    used agree on it.
    """
    texts = _liv_texts(alphabet)
    contents = (
        "-".join(map(texts.__getitem__, livs)) for livs in _LivTexts.keys_of(canonical_genes)
    )
    return [hashlib.sha256(content.encode()).hexdigest()[:12] for content in contents]
