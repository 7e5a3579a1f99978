"""What the sharing genes mean: who owns which weights and features.

Costs and decoding read it here; genomes of which it says the same have one canonical form
(`arrays.py`). A LIV that borrows a feature group neither computes it nor holds weights for it.
Featurizer weights are tied group by group: among the members of a featurizer group that compute a
feature group themselves, the shallowest owns its weights. Expects valid genes
(`validity.find_problems` is empty).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .alphabets import Alphabet
from .genes import NOT_SHARED


@dataclass(frozen=True)
class LivSharing:
    """Sharing of one LIV: `borrowed` groups come from LIV `feature_owner`; `weight_owner` maps each
    group that this LIV computes to the LIV whose weights it uses (itself when they are its own)."""

    feature_owner: int
    borrowed: tuple[str, ...]
    weight_owner: dict[str, int]

    def tied(self, index: int) -> dict[int, list[str]]:
        """Groups whose weights are another LIV's, by that LIV. index: of this one."""
        found: dict[int, list[str]] = {}
        for group, owner in self.weight_owner.items():
            if owner != index:
                found.setdefault(owner, []).append(group)
        return found


def resolve_sharing(livs: Sequence[Sequence[int]], alphabet: Alphabet) -> tuple[LivSharing, ...]:
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
