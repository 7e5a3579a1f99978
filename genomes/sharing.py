"""What the sharing genes mean: who owns which weights and features, and when two genomes are the
same.

`resolve_sharing` is the one place that interprets genes 2 to 5; costs, decoding and the canonical
form all use it. A LIV that borrows a feature group neither computes it nor holds weights for it.
Featurizer weights are tied group by group: among the members of a featurizer group that compute a
feature group themselves, the shallowest owns its weights. Expects valid genes
(`validity.find_problems` is empty).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .alphabets import Alphabet
from .operators import TOEPLITZ, OperatorGenome
from .validity import NOT_SHARED, Genes

KERNEL, KERNEL_WITH_GATES, GATES = 3, 4, 2  # Toeplitz strategies that decide who owns K


@dataclass(frozen=True)
class LivSharing:
    """Sharing of one LIV: `borrowed` groups come from LIV `feature_owner`; `weight_owner` maps each
    group that this LIV computes to the LIV whose weights it uses (itself when they are its own)."""

    feature_owner: int
    borrowed: tuple[str, ...]
    weight_owner: dict[str, int]


def resolve_sharing(livs: Sequence[Genes], alphabet: Alphabet) -> tuple[LivSharing, ...]:
    """Owners of features and weights for every LIV of a valid backbone."""
    feature_owners: dict[tuple[int, int], int] = {}
    weight_owners: dict[tuple[int, int, str], int] = {}
    resolved: list[LivSharing] = []
    for index, (
        liv_class,
        featurizer_group,
        featurizer_sharing,
        feature_group,
        strategy,
    ) in enumerate(livs):
        operator = alphabet.by_id[liv_class].operator
        owner = index
        if strategy != NOT_SHARED:
            owner = feature_owners.setdefault((liv_class, feature_group), index)
        borrowed = operator.structure.sharing[strategy] if owner != index else ()
        weights: dict[str, int] = {}
        for group in operator.groups:
            if group.name in borrowed:
                continue
            weights[group.name] = index
            if featurizer_sharing != NOT_SHARED:
                key = (liv_class, featurizer_group, group.name)
                weights[group.name] = weight_owners.setdefault(key, index)
        resolved.append(LivSharing(owner, borrowed, weights))
    return tuple(resolved)


def _groups(
    indices: Sequence[int], livs: Sequence[Genes], number: int, sharing: int
) -> list[list[int]]:
    """Members of each sharing group with at least two members, in order of first appearance."""
    members: dict[int, list[int]] = defaultdict(list)
    for index in indices:
        if livs[index][sharing] != NOT_SHARED:
            members[livs[index][number]].append(index)
    return [group for group in members.values() if len(group) > 1]


def _weight_ties(
    groups: list[list[int]], features: list[tuple[int, list[int]]], operator: OperatorGenome
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


def _fold_kernel_sharing(
    ties: list[list[int]], features: list[tuple[int, list[int]]], unshared: set[int]
) -> list[tuple[int, list[int]]]:
    """Toeplitz only: K does not depend on the input, so borrowing it and tying its weights are the
    same thing.

    Strategy 4 among LIVs that tie their weights is strategy 2; strategy 3 groups whose owners tie
    their weights are one group, joined by every member of that tie that shares no other features,
    and none at all when the tie holds all of them.
    """
    tie_of = {index: tuple(tie) for tie in ties for index in tie}
    kept: list[tuple[int, list[int]]] = []
    kernels: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for strategy, members in features:
        tie = tie_of.get(members[0], (members[0],))
        if strategy == KERNEL:
            kernels[tie].update(members, (index for index in tie if index in unshared))
        elif strategy == KERNEL_WITH_GATES and set(members) <= set(tie):
            kept.append((GATES, members))
        else:
            kept.append((strategy, members))
    kept += [
        (KERNEL, sorted(members)) for tie, members in kernels.items() if not members <= set(tie)
    ]
    return kept


def canonical_livs(livs: Sequence[Genes], alphabet: Alphabet) -> tuple[tuple[int, ...], ...]:
    """The canonical genes of a valid backbone.

    Inert sharing becomes strategy 1, unshared LIVs get group number 1, and groups are renumbered
    per class by first appearance. Two backbones have equal canonical genes exactly when they are
    the same architecture.
    """
    by_class: dict[int, list[int]] = defaultdict(list)
    for index, genes in enumerate(livs):
        by_class[genes[0]].append(index)
    result = [[genes[0], 1, NOT_SHARED, 1, NOT_SHARED] for genes in livs]
    for liv_class, indices in by_class.items():
        operator = alphabet.by_id[liv_class].operator
        features = [(livs[group[0]][4], group) for group in _groups(indices, livs, 3, 4)]
        ties = _weight_ties(_groups(indices, livs, 1, 2), features, operator)
        if operator.token_mixing == TOEPLITZ:
            unshared = set(indices) - {index for _, members in features for index in members}
            features = _fold_kernel_sharing(ties, features, unshared)
        for number, tie in enumerate(sorted(ties), start=1):
            for index in tie:
                result[index][1:3] = [number, 2]
        for number, (strategy, members) in enumerate(sorted(features, key=lambda f: f[1]), start=1):
            for index in members:
                result[index][3:5] = [number, strategy]
    return tuple(tuple(genes) for genes in result)
