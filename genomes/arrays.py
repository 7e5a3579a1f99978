"""Many genomes at once, as int64 arrays (genomes, depth, 5): sampling, repair, canonical form and
ids without Python loops over genomes.

What the genes mean is said in `sharing.py` and `validity.py`; `tests/genomes/definition.py` defines
the same functions for one genome at a time. Groups of LIVs are named by their shallowest member, so
that "the group of each LIV" is an array (genomes, depth) of indices: where LIVs 0 and 2 of four are
a group, it is 0 1 0 3.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .alphabet_arrays import Tables as Tables
from .alphabet_arrays import tables as tables
from .alphabets import Alphabet
from .backbone import USUAL
from .genes import (
    CLASS,
    FEATURE_GROUP,
    FEATURE_SHARING,
    FEATURIZER_GROUP,
    FEATURIZER_SHARING,
    GENES_PER_LIV,
    NOT_SHARED,
    SHARED,
    Booleans,
    Genes,
)
from .genes import STRATEGIES as STRATEGIES
from .identity import content_id

CHUNK = 512  # genomes whose temporaries stay in the processor's cache


def _planes(genes: Genes) -> tuple[Genes, ...]:
    """The five genes as contiguous arrays (genomes, depth)."""
    return tuple(np.ascontiguousarray(genes.transpose(2, 0, 1), dtype=np.int64))


def _rows(count: int, stride: int) -> Genes:
    """(count, 1): where each genome starts in a flat array with `stride` entries a genome."""
    return np.arange(0, count * stride, stride)[:, None]


def _first(keys: Genes, limit: int) -> Genes:
    """(genomes, depth): the shallowest LIV with the same key; keys are 0 to limit - 1.

    Each LIV writes its position into a cell of its genome and key, the deepest LIV first, so that
    the shallowest position stays. Keys 7 3 7 of one genome: cell 7 gets 2, cell 3 gets 1, cell 7
    gets 0; read back by key that is 0 1 0.
    """
    depth = keys.shape[1]
    cells = keys + _rows(len(keys), limit)
    positions = np.arange(keys.size)  # in the flat array
    shallowest = np.empty(len(keys) * limit, dtype=np.int64)  # only what is written is read
    shallowest[cells.reshape(-1)[::-1]] = positions[::-1]  # of equal cells, the last value stays
    return shallowest.take(cells) - _rows(len(keys), depth)


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


def _group_keys(place: Genes, number: Genes, active: Booleans, table: Tables) -> tuple[Genes, int]:
    """Keys for `_first`, equal for active LIVs of one class and group number and for no others, and
    their limit. place: each LIV's class, as `Tables.place` counts them."""
    depth = place.shape[1]
    private = (len(table.ids) + 1) * (depth + 1)  # behind the keys of groups, one a LIV
    keys = np.where(active, place * (depth + 1) + number, private + np.arange(depth))
    return keys, private + depth


def _has_strategy(classes: Genes, strategy: Genes, table: Tables) -> Booleans:
    within = (strategy > 0) & (strategy < STRATEGIES)
    return table.strategies[classes, np.where(within, strategy, 0)]


def _own_ranges(genes: Genes, table: Tables) -> Booleans:
    """(genomes, depth, 5): whether genes 1 to 4 are valid, and whether the class has the strategy
    of gene 5."""
    depth = genes.shape[1]
    classes = genes[:, :, CLASS]
    known = (classes > 0) & (classes < len(table.place))
    classes = np.where(known, classes, 0)
    result = (genes >= 1) & (genes <= np.array([len(table.place), depth, 2, depth, STRATEGIES]))
    result[:, :, CLASS] = table.place[classes] > 0
    result[:, :, FEATURE_SHARING] = _has_strategy(classes, genes[:, :, FEATURE_SHARING], table)
    return result


def valid(genes: Genes, alphabet: Alphabet) -> Booleans:
    """(genomes,): which of genes (genomes, depth, 5) are valid genomes."""
    table = tables(alphabet)
    result = np.logical_and.reduce(_own_ranges(genes, table), axis=(1, 2))
    classes, _, _, number, strategy = _planes(genes[result])
    active = strategy != NOT_SHARED
    owner = _first(*_group_keys(table.place[classes], number, active, table))
    result[result] = (~active | (_of(strategy, owner) == strategy)).all(axis=1)
    return result


def _draw(highest: int | Genes, size: int | tuple[int, ...], rng: np.random.Generator) -> Genes:
    """Integers from 0 to highest - 1, uniformly."""
    return (rng.random(size) * highest).astype(np.int64)


def repair(genes: Genes, rng: np.random.Generator, alphabet: Alphabet) -> tuple[Genes, Booleans]:
    """Resample each offending gene of genes (genomes, depth, 5); returns valid genes and which were
    changed.

    It walks from the shallowest LIV and gene, and draws uniformly among the values valid there
    given the genes before.
    """
    table, depth = tables(alphabet), genes.shape[1]
    fixed = np.array(genes, dtype=np.int64)
    row, liv, gene = np.nonzero(~_own_ranges(fixed, table))
    highest = np.array([len(table.ids), depth, 2, depth, 1])
    fixed[row, liv, gene] = np.where(
        gene == FEATURE_SHARING, fixed[row, liv, gene], 1 + _draw(highest[gene], len(gene), rng)
    )
    unknown = gene == CLASS  # a place has been drawn, which becomes its id
    row, liv = row[unknown], liv[unknown]
    fixed[row, liv, CLASS] = table.ids[fixed[row, liv, CLASS] - 1]
    offending = ~valid(fixed, alphabet)
    if offending.any():
        fixed[offending, :, FEATURE_SHARING] = _repaired_strategies(fixed[offending], rng, table)
    return fixed, fixed != genes


def _repaired_strategies(genes: Genes, rng: np.random.Generator, table: Tables) -> Genes:
    """(genomes, depth): feature-sharing strategies that agree in each group; the other genes are
    valid."""
    count, depth = genes.shape[:2]
    classes, _, _, number, strategy = _planes(genes)
    groups = (len(table.ids) + 1) * (depth + 1)
    cells = table.place[classes] * (depth + 1) + number + _rows(count, groups)
    held = np.zeros(count * groups, dtype=np.int64)  # strategy of each group, 0 for none yet
    for liv in range(depth):
        own, agreed, liv_class = strategy[:, liv], held[cells[:, liv]], classes[:, liv]
        agrees = np.where(agreed > 0, own == agreed, _has_strategy(liv_class, own, table))
        wrong = np.flatnonzero(~(agrees | (own == NOT_SHARED)))
        fraction, agreed_there, class_there = (
            rng.random(len(wrong)),
            agreed[wrong],
            liv_class[wrong],
        )
        choice = (fraction * table.count[class_there]).astype(np.int64)
        of_class = table.choices[class_there, choice]
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
    genes[:, :, CLASS] = classes
    genes[:, :, FEATURIZER_GROUP] = 1 + _draw(max(1, depth // 2), shape, rng)
    genes[:, :, FEATURE_GROUP] = 1 + _draw(max(1, depth // 2), shape, rng)
    tied = rng.random(shape) < sharing_probability
    genes[:, :, FEATURIZER_SHARING] = np.where(tied, SHARED, NOT_SHARED)
    strategy = table.choices[classes, 1 + _draw(table.count[classes] - 1, shape, rng)]
    shared = rng.random(shape) < sharing_probability
    genes[:, :, FEATURE_SHARING] = np.where(shared, strategy, NOT_SHARED)
    return canonical(repair(genes, rng, alphabet)[0], alphabet)


def fit_depth(genes: Genes, depth: int, alphabet: Alphabet) -> Genes:
    """Valid genomes (genomes, own depth, 5) repeated or cut to (genomes, depth, 5), in canonical
    form.

    Each repetition shares within itself only: group numbers of the n-th one are raised by n times
    the own depth. Sharing that a cut leaves with one member is inert.
    """
    own = genes.shape[1]
    repetitions = -(-depth // own)
    repeated = np.tile(genes, (1, repetitions, 1)).astype(np.int64)
    raised = np.repeat(np.arange(repetitions) * own, own)[:, None]
    repeated[:, :, (FEATURIZER_GROUP, FEATURE_GROUP)] += raised
    # Numbers may exceed the depth after a cut, so the whole is made canonical before and after.
    return canonical(canonical(repeated, alphabet)[:, :depth], alphabet)


def canonical(genes: Genes, alphabet: Alphabet) -> Genes:
    """The canonical genes of valid genomes, (genomes, depth, 5).

    Inert sharing becomes strategy 1, unshared LIVs get group number 1, and groups are renumbered
    per class by first appearance. Two genomes have equal canonical genes exactly when they are the
    same architecture.
    """
    table = tables(alphabet)
    if len(genes) <= CHUNK:
        return _canonical(genes, table)
    chunks = (genes[start : start + CHUNK] for start in range(0, len(genes), CHUNK))
    return np.concatenate([_canonical(chunk, table) for chunk in chunks])


def _canonical(genes: Genes, table: Tables) -> Genes:
    depth = genes.shape[1]
    classes, featurizer, tying, feature, strategy = _planes(genes)
    place = table.place[classes]
    owner = _first(*_group_keys(place, feature, strategy != NOT_SHARED, table))
    strategy = np.where(_of_several(owner), strategy, NOT_SHARED)
    borrowed = np.where(owner != np.arange(depth), strategy, NOT_SHARED)
    ties = (tying != NOT_SHARED) & table.has_weights[place]
    root = _first(*_group_keys(place, featurizer, ties, table))
    root = _split_by_weights(root, place, borrowed, table)
    tied = _of_several(root)
    strategy, group = _fold_input_free(strategy, owner, root, place, table)
    shared = strategy != NOT_SHARED
    # Strategy beside the group: a folded group and another group may have the same owner's number.
    group = _first(
        np.where(shared, strategy, 0) * depth + np.where(shared, group, np.arange(depth)),
        STRATEGIES * depth,
    )
    result = np.empty_like(genes, dtype=np.int64)
    result[:, :, CLASS] = classes
    result[:, :, FEATURIZER_GROUP] = _numbered(root, tied, place, table)
    result[:, :, FEATURIZER_SHARING] = np.where(tied, SHARED, NOT_SHARED)
    result[:, :, FEATURE_GROUP] = _numbered(group, shared, place, table)
    result[:, :, FEATURE_SHARING] = strategy
    return result


def _split_by_weights(root: Genes, place: Genes, borrowed: Genes, table: Tables) -> Genes:
    """Featurizer groups (genomes, depth) split into the sets of LIVs that really have weights in
    common: those whose strategies, of all strategies in the group, are in the same part."""
    present = np.zeros((root.size, 8), dtype=bool)  # of each group, as bits of one byte
    present[(root + _rows(*root.shape)).reshape(-1), borrowed.reshape(-1)] = True
    strategies = np.packbits(present, axis=1, bitorder="little").reshape(root.shape)
    part = table.parts[place, _of(strategies, root), borrowed]
    return _first(root * STRATEGIES + part, root.shape[1] * STRATEGIES)


def _fold_input_free(
    strategy: Genes, owner: Genes, root: Genes, place: Genes, table: Tables
) -> tuple[Genes, Genes]:
    """One form for sharing of input-free groups, where borrowing and tying weights are the same.

    K of the convolutions is such a group: strategy 3 borrows K, 4 borrows B, C and K, 2 borrows B
    and C. The shallowest member of a tie owns its weights, K's among them. So

    - borrowing by 4 within one tie is borrowing by 2, since K is the owner's already;
    - groups by 3 whose owners are in one tie are one group, which every member of that tie joins
      that shares no other features, and which is none at all when the tie holds all of it.

    Four LIVs of GConv-1: 0 and 1 tie their weights, 2 and 3 borrow K from 0 and 1, in two groups
    (owner 0 1 0 1, root 0 0 2 3). Their K is that of LIV 0 in any case, so they are one group:
    strategy 3 3 3 3, group 0 0 0 0. Were 2 and 3 in the tie too (root 0 0 0 0), nothing would be
    left to borrow: strategy 1 1 1 1.

    Returns the strategies and, for shared LIVs, a number that the members of a group have in
    common, both (genomes, depth).
    """
    alone, without = table.input_free[place], table.without_input_free[place, strategy]
    is_alone = (strategy == alone) & (strategy > 0)
    if not (is_alone | (without > 0)).any():
        return strategy, owner
    leaving = (root != _of(root, owner)) & (without > 0)
    leaves = _of(_any_member(leaving, owner), owner)
    strategy = np.where((without > 0) & ~leaves, without, strategy)

    tie = np.where(is_alone, _of(root, owner), root)  # whose K it uses
    has_borrowers = _of(_any_member(is_alone, tie), root)
    together = is_alone | ((alone > 0) & (strategy == NOT_SHARED) & has_borrowers)
    kept = _of(_any_member(together & (root != tie), tie), tie)
    strategy = np.where(together, np.where(kept, alone, NOT_SHARED), strategy)
    return strategy, np.where(together, tie, owner)


def _numbered(group: Genes, active: Booleans, place: Genes, table: Tables) -> Genes:
    """(genomes, depth): the number of each active LIV's group, counted per class by its shallowest
    member; else 1.

    Shallowest members are sorted by genome and class, and numbered within each: sorted keys 4 4 4 9
    first appear at 0 0 0 3, so the four groups are 1 + 0 1 2 3 - 0 0 0 3 = 1 2 3 1.
    """
    row, liv = np.nonzero(active & (group == np.arange(group.shape[1])))
    keys = row * (len(table.ids) + 1) + place[row, liv]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    numbers = np.ones_like(group)
    numbers[row[order], liv[order]] = 1 + np.arange(len(keys)) - np.searchsorted(keys, keys)
    return np.where(active, _of(numbers, group), 1)


def ids(
    canonical_genes: Genes, alphabet: Alphabet, backbones: Sequence[Sequence[int]] = ()
) -> list[str]:
    """The ids of genomes in canonical form, genes (genomes, depth, 5).

    An id is a hash over operator codes, not class ids, so that alphabets which agree on the classes
    used agree on it: `content_id` of, for example, `12123.1.1.1.1-91142.1.1.1.1`. Genes of the
    backbone stand behind the LIVs, `-4.1`, unless both are 1. Different LIVs are few, so each is
    written once.

    backbones: these two genes of each genome, or none; empty where none has any.
    """
    if not canonical_genes.size:
        return []
    genes = canonical_genes.transpose(2, 0, 1)
    keys = np.ravel_multi_index(tuple(genes), tuple(genes.max(axis=(1, 2)) + 1))
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    livs = canonical_genes.reshape(-1, GENES_PER_LIV)[first].tolist()
    texts = np.array([_liv_text(alphabet, *liv) for liv in livs], dtype=object)
    contents = map("-".join, texts[which.reshape(keys.shape)].tolist())
    if not len(backbones):
        return [content_id(content) for content in contents]
    pairs = zip(contents, backbones, strict=True)
    return [content_id(content + _backbone_text(genes)) for content, genes in pairs]


def _backbone_text(genes: Sequence[int]) -> str:
    return "" if tuple(genes) in ((), USUAL) else f"-{'.'.join(map(str, genes))}"


def _liv_text(alphabet: Alphabet, liv_class: int, *sharing: int) -> str:
    return ".".join([alphabet.by_id[liv_class].code, *map(str, sharing)])
