"""One design of the best of a search: the aggregator of Composer (arXiv 2510.00379).

Candidates are clustered by quality, the members of the best cluster vote at each position, and what
they choose is made a valid genome. Composer found that positions that vote by themselves (N_0) beat
votes among those who agree with what was chosen before (N_1), and the best candidate alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from star.base.errors import UserError
from star.evaluation.pareto import Values, pareto_ranks
from star.genomes import NOT_SHARED, Alphabet, Backbone, Genome, Liv

CLUSTERS = 5  # Composer's
MOST_CLUSTERS = 10  # that the silhouette chooses from
BEST = "best"
RULES = ("0", "1", "2", BEST)


@dataclass(frozen=True)
class Vote:
    """What the members of the top cluster say of one position."""

    liv: int
    voters: int  # members who agree with what was chosen at the positions before that count
    counts: dict[str, int]  # by class
    chosen: str


@dataclass(frozen=True)
class Aggregated:
    """A design made of several, and how."""

    genome: Genome
    votes: Sequence[Vote]
    members: Sequence[int]  # numbers of the candidates that voted
    labels: Sequence[int]  # cluster of each candidate, 0 the best


def clusters(qualities: Values, count: int | None, seed: int = 0) -> list[int]:
    """The cluster of each candidate by K-means, 0 the one of the lowest mean.

    Args:
        qualities: (candidates, quantities), each to be minimised; quantities are standardised.
        count: of clusters; None chooses 2 to `MOST_CLUSTERS` by the silhouette.
        seed: of the first centres.

    Raises:
        UserError: for fewer different candidates than clusters.
    """
    deviations = qualities.std(axis=0)
    scaled = (qualities - qualities.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    different = len(np.unique(scaled, axis=0))
    if different < (count or 2):
        raise UserError(
            f"clusters={count or 'auto'}: expected at most as many as there are candidates of "
            f"different quality, which are {different}"
        )
    if count is None:
        choices = range(2, min(MOST_CLUSTERS, different - 1) + 1)
        found = [_k_means(scaled, k, seed) for k in choices] or [_k_means(scaled, 2, seed)]
        scores = [
            silhouette_score(scaled, labels) if 1 < len({*labels}) < len(labels) else -1.0
            for labels in found
        ]
        labels = found[int(np.argmax(scores))]
    else:
        labels = _k_means(scaled, count, seed)
    means = {label: float(scaled[labels == label].mean()) for label in np.unique(labels)}
    order = sorted(means, key=lambda label: means[label])
    return [order.index(label) for label in labels]


def _k_means(values: Values, count: int, seed: int) -> Values:
    means = KMeans(n_clusters=count, n_init=10, random_state=seed)  # type: ignore[arg-type]
    return means.fit_predict(values)


def knee(values: Values) -> int:
    """The row of the front that is farthest below the line, or plane, through its extremes, which
    stand at 1 on their own axis and at 0 on the others once each axis is scaled.

    Args:
        values: (candidates, objectives), to be minimised.
    """
    front = np.flatnonzero(pareto_ranks(values) == 0)
    own = values[front]
    low, high = own.min(axis=0), own.max(axis=0)
    scaled = (own - low) / np.where(high > low, high - low, 1.0)
    return int(front[int(np.argmin(scaled.sum(axis=1)))])


def aggregate(
    genomes: Sequence[Genome], labels: Sequence[int], ranking: Sequence[float], rule: str = "0"
) -> Aggregated:
    """The design that the members of cluster 0 vote for.

    Rule `c`: at each position the class that is most frequent among the members whose last c
    classes are those that were chosen before it; where nobody's are, among those whose last c - 1
    are, and so on. Of equal counts the class of the better members counts. Sharing genes are voted
    for by the members that have the chosen class at a position, and left out where the result would
    not be valid; each gene of the backbone by all members. `best` is the best candidate as it is.

    Args:
        genomes: candidates of one depth and alphabet; their canonical forms vote.
        labels: cluster of each; 0 votes.
        ranking: quality of each, to be minimised.
        rule: one of `RULES`.

    Raises:
        UserError: for genomes of several depths or alphabets.
    """
    depths = sorted({genome.depth for genome in genomes})
    if len(depths) > 1:
        raise UserError(
            f"run: genomes have {depths[0]} to {depths[-1]} LIVs; expected one depth, since "
            "positions vote"
        )
    alphabets = sorted({genome.alphabet.name for genome in genomes})
    if len(alphabets) > 1:
        raise UserError(f"run: expected one alphabet, found {' and '.join(alphabets)}")
    canonical = [genome.canonical() for genome in genomes]
    members = sorted((n for n, label in enumerate(labels) if label == 0), key=lambda n: ranking[n])
    if rule == BEST:
        members = members[:1]
    voters = [canonical[n] for n in members]
    votes = _vote(voters, 0 if rule == BEST else int(rule))
    genome = _shared(voters, [vote.chosen for vote in votes])
    return Aggregated(genome, votes, members, labels)


def _vote(voters: Sequence[Genome], remembered: int) -> list[Vote]:
    """Classes by position. voters: the best first."""
    names = [[liv_class.name for liv_class in genome.classes()] for genome in voters]
    votes: list[Vote] = []
    for liv in range(voters[0].depth):
        chosen = [vote.chosen for vote in votes]
        agreeing = next(
            found
            for back in range(min(remembered, liv), -1, -1)
            if (found := [row for row in names if row[liv - back : liv] == chosen[liv - back :]])
        )
        counts = Counter(row[liv] for row in agreeing)  # in order of the best who has it
        name = max(counts, key=lambda name: counts[name])
        votes.append(Vote(liv, len(agreeing), dict(counts), name))
    return votes


def _shared(voters: Sequence[Genome], chosen: Sequence[str]) -> Genome:
    """A valid genome of these classes, with the sharing that their owners vote for."""
    alphabet = voters[0].alphabet
    ids = {liv_class.name: liv_class.id for liv_class in alphabet.classes}
    livs: list[Liv] = []
    for position, name in enumerate(chosen):
        number = ids[name]
        own = [g.livs[position] for g in voters if g.livs[position].liv_class == number]
        wanted = Counter(own).most_common(1)[0][0]
        livs.append(_valid(livs, wanted, len(chosen), alphabet))
    genes = zip(*(genome.backbone for genome in voters), strict=True)
    backbone = Backbone(*(Counter(values).most_common(1)[0][0] for values in genes))
    return Genome(tuple(livs), alphabet, backbone).check().canonical()


def _valid(before: Sequence[Liv], wanted: Liv, depth: int, alphabet: Alphabet) -> Liv:
    """The wanted genes of the next LIV, or without the sharing that does not fit those before.

    Args:
        before: LIVs that are chosen already.
        wanted: what members vote for.
        depth: of the whole genome.
        alphabet: of its classes.
    """
    plain = Liv(wanted.liv_class)
    tied = wanted._replace(feature_group=1, feature_sharing=NOT_SHARED)
    rest = [plain] * (depth - len(before) - 1)
    fitting = (
        liv for liv in (wanted, tied) if not Genome((*before, liv, *rest), alphabet).validate()
    )
    return next(fitting, plain)
