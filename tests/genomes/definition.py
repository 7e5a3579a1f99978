"""What the arrays of `star.genomes.arrays` compute, defined for one genome at a time: the oracle of
the property tests. Slow and plain; shares with the product the tables of structures only."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from star.genomes import (
    GENE_NAMES,
    NOT_SHARED,
    Alphabet,
    LivClass,
    OperatorGenome,
    Structure,
)
from star.genomes.genes import (
    CLASS,
    FEATURE_GROUP,
    FEATURE_SHARING,
    FEATURIZER_GROUP,
    FEATURIZER_SHARING,
    SHARED,
)

Livs = Sequence[Sequence[int]]
Group = tuple[int, list[int]]  # strategy, members


class Repair(NamedTuple):
    """One gene changed by repair."""

    liv: int
    gene: str
    old: int
    new: int


def alphabet_of(operator: OperatorGenome, differential: bool = False) -> Alphabet:
    """An alphabet of one class, with id 1."""
    return Alphabet("one", (LivClass.unnamed(1, operator, differential),))


def canonical_livs(livs: Livs, alphabet: Alphabet) -> tuple[tuple[int, ...], ...]:
    """The canonical genes of a valid backbone."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for index, genes in enumerate(livs):
        by_class[genes[0]].append(index)
    result = [[genes[0], 1, NOT_SHARED, 1, NOT_SHARED] for genes in livs]
    for liv_class, indices in by_class.items():
        operator = alphabet.by_id[liv_class].operator
        features = [(livs[group[0]][4], group) for group in _groups(indices, livs, 3, 4)]
        tying = _groups(indices, livs, 1, 2) if operator.groups else []  # else there is no weight
        ties = _weight_ties(tying, features, operator)
        if operator.structure.input_free:
            unshared = set(indices) - {index for _, members in features for index in members}
            features = _fold_input_free(ties, features, unshared, operator.structure)
        for number, tie in enumerate(sorted(ties), start=1):
            for index in tie:
                result[index][1:3] = [number, 2]
        for number, (strategy, members) in enumerate(sorted(features, key=lambda f: f[1]), start=1):
            for index in members:
                result[index][3:5] = [number, strategy]
    return tuple(tuple(genes) for genes in result)


def _groups(indices: Sequence[int], livs: Livs, number: int, sharing: int) -> list[list[int]]:
    """Members of each sharing group with at least two members, in order of first appearance."""
    members: dict[int, list[int]] = defaultdict(list)
    for index in indices:
        if livs[index][sharing] != NOT_SHARED:
            members[livs[index][number]].append(index)
    return [group for group in members.values() if len(group) > 1]


def _weight_ties(
    groups: list[list[int]], features: list[Group], operator: OperatorGenome
) -> list[list[int]]:
    """Split featurizer groups into the sets of LIVs that really have weights in common."""
    computed = defaultdict(lambda: {group.name for group in operator.groups})
    for strategy, members in features:
        for borrower in members[1:]:
            computed[borrower] = computed[borrower] - set(operator.structure.sharing[strategy])
    ties: list[list[int]] = []
    for group in groups:
        parts: list[tuple[set[str], list[int]]] = []
        for index in group:
            touching = [part for part in parts if part[0] & computed[index]]
            parts = [part for part in parts if part not in touching]
            names = set.union(computed[index], *(part[0] for part in touching))
            parts.append((names, sorted([index, *(i for part in touching for i in part[1])])))
        ties += [part[1] for part in parts if len(part[1]) > 1]
    return ties


def _fold_input_free(
    ties: list[list[int]], features: list[Group], unshared: set[int], structure: Structure
) -> list[Group]:
    """Groups that do not depend on the input (K): borrowing and tying their weights are the same.

    Borrowing K with other groups, among LIVs that tie their weights, is borrowing the others;
    groups that borrow K alone and whose owners tie their weights are one group, joined by every
    member of that tie that shares no other features, and none at all when the tie holds all of
    them.
    """
    free = set(structure.input_free)
    number_of = {frozenset(names): number for number, names in structure.sharing.items()}
    tie_of = {index: tuple(tie) for tie in ties for index in tie}
    kept: list[Group] = []
    alone: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for strategy, members in features:
        tie = tie_of.get(members[0], (members[0],))
        names = set(structure.sharing[strategy])
        others = number_of.get(frozenset(names - free))
        if names == free:
            alone[tie].update(members, (index for index in tie if index in unshared))
        elif free & names and others is not None and set(members) <= set(tie):
            kept.append((others, members))
        else:
            kept.append((strategy, members))
    kept += [
        (number_of[frozenset(free)], sorted(members))
        for tie, members in alone.items()
        if not members <= set(tie)
    ]
    return kept


def fitted_livs(livs: Livs, depth: int, alphabet: Alphabet) -> tuple[tuple[int, ...], ...]:
    """A valid backbone repeated or cut to a depth; each repetition shares within itself only."""
    own = len(livs)
    repeated = []
    for n in range(depth):
        liv_class, featurizer_group, tied, feature_group, strategy = livs[n % own]
        raised = n // own * max(own, depth)
        repeated.append(
            (liv_class, featurizer_group + raised, tied, feature_group + raised, strategy)
        )
    return canonical_livs(repeated, alphabet)


def allowed_values(
    livs: Sequence[Sequence[int]], liv: int, gene: int, alphabet: Alphabet
) -> tuple[int, ...]:
    """Values valid for one gene given the LIV's earlier genes and all shallower LIVs (taken to be
    valid)."""
    if gene == CLASS:
        return alphabet.ids
    if gene in (FEATURIZER_GROUP, FEATURE_GROUP):
        return tuple(range(1, len(livs) + 1))
    if gene == FEATURIZER_SHARING:
        return (NOT_SHARED, SHARED)
    liv_class, _, _, number, _ = livs[liv]
    for other in livs[:liv]:
        if (
            other[CLASS] == liv_class
            and other[FEATURE_GROUP] == number
            and other[FEATURE_SHARING] != NOT_SHARED
        ):
            return (NOT_SHARED, other[FEATURE_SHARING])
    return (NOT_SHARED, *alphabet.by_id[liv_class].operator.structure.sharing)


def repair_livs(
    livs: Livs, rng: np.random.Generator, alphabet: Alphabet
) -> tuple[list[list[int]], list[Repair]]:
    """Resample every offending gene among the values valid there; returns the genes and what was
    changed."""
    fixed = [list(genes) for genes in livs]
    repairs: list[Repair] = []
    for liv, genes in enumerate(fixed):
        for gene, value in enumerate(genes):
            allowed = allowed_values(fixed, liv, gene, alphabet)
            if value not in allowed:
                genes[gene] = int(rng.choice(allowed))
                repairs.append(Repair(liv, GENE_NAMES[gene], int(value), genes[gene]))
    return fixed, repairs


def _agrees(livs: Livs, liv: int, candidate: Sequence[int], alphabet: Alphabet) -> bool:
    """Whether `candidate` at position `liv` has a strategy valid for its class and for its feature
    group."""
    liv_class, _, _, number, strategy = candidate
    if strategy == NOT_SHARED:
        return True
    if strategy not in alphabet.by_id[liv_class].operator.structure.sharing:
        return False
    return all(
        other[4] in (NOT_SHARED, strategy)
        for index, other in enumerate(livs)
        if index != liv and other[0] == liv_class and other[3] == number
    )


def valid_gene_values(livs: Livs, liv: int, gene: int, alphabet: Alphabet) -> set[int]:
    """Values that keep a valid backbone valid when this one gene takes them: the pool of
    constrained mutation."""
    if gene in (1, 2):
        return set(allowed_values(livs, liv, gene, alphabet))
    genes = list(livs[liv])
    strategies = (NOT_SHARED, *alphabet.by_id[genes[0]].operator.structure.sharing)
    pool = {0: alphabet.ids, 3: range(1, len(livs) + 1), 4: strategies}[gene]
    return {
        value
        for value in pool
        if _agrees(livs, liv, [*genes[:gene], value, *genes[gene + 1 :]], alphabet)
    }
