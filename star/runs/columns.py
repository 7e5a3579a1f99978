"""The columns of `population.csv` and `pareto.csv`, and the parts of the column `variation`."""

from collections.abc import Sequence

BEFORE = (
    *("genome_id", "composition", "generation", "origin", "parents", "variation", "genome"),
    *("status", "reason"),
)
# `seed` and so many `seeds` from it on: metrics are means over them (`search.replication`).
AFTER = ("train_tokens", "train_seconds", "seed", "seeds", "rank")
TIMING_COLUMNS = ("train_seconds",)

# Parts of `variation`, in the order in which they were applied; those that changed nothing are left
# out. LIVs count from 0; genes are the individual's own, before the canonical form. Where depths
# vary, group numbers above the depth become the smallest free ones after crossover, movement and
# deletion (`search.space.depths.fit_group_numbers`).
CROSSOVER = "crossover"  # the cuts, ascending. A cut c lies before LIV c, where the child goes on
# with the other parent; it begins with its first parent, so a cut 0 is beginning with the second.
MOVEMENT = "movement"  # [liv, parent] for each LIV that a firefly took, `parent` an index
BACKBONE = "backbone"  # [gene name, parent] for each gene of the backbone that is another parent's
# than the one that the child begins with
DEPTH = "depth"  # ["insert", liv, genes], ["delete", liv], ["duplicate", liv]: the copy behind it
MUTATION = "mutation"  # [liv, gene name, old, new] for each gene; null is the LIV of a backbone's
GROWN = "grown"  # LIVs that are those of the parent, which is fixed; the others are new
ROUNDS = "rounds"  # how often it was varied before it was measured, with all parents (bayes)
REPAIR = "repair"  # the same; also what was changed to keep a static constraint. Zeros are no LIV.


def columns(metrics: Sequence[str]) -> tuple[str, ...]:
    """All columns. metrics: names of the measured objectives, in order."""
    return (*BEFORE, *metrics, *AFTER)
