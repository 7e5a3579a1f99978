"""What tables say of recall: a low loss of a short training does not show that a design can look
things up, and no such design may seem better than one that can without a word about it."""

from collections.abc import Collection, Mapping

RECALL = "recall_error"  # the objective: 0 where everything is looked up, 1 where nothing is
CHANCE = 0.9  # from here on a design is as good as guessing
CHANCE_MARK = "*"  # behind its name


def is_at_chance(metrics: Mapping[str, float]) -> bool:
    """Whether a design was seen to look nothing up; not where its recall was not measured."""
    return metrics.get(RECALL, 0.0) >= CHANCE


def recall_lines(measured: Collection[str], can_be_asked: bool = True) -> list[str]:
    """What stands below a table.

    Args:
        measured: names of what its designs were measured by.
        can_be_asked: whether a search could measure recall; one over a hybrid cannot.
    """
    if RECALL in measured:
        return [
            f"{CHANCE_MARK} recall at chance ({RECALL} of {CHANCE:g} or more): looks nothing up"
        ]
    line = "recall was not measured: these losses do not show who can look things up"
    return [f"{line} (search.also_measure=[{RECALL}])" if can_be_asked else line]
