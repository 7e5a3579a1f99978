"""Tasks of recall by names such as `pairs_8` and `adjacent_16_32`, each with its share of guesses.

`pairs_<keys>`: one-token pairs, which one look-up solves. `adjacent_<vocabulary>_<length>`:
in-context recall, where a key must first be joined with the value behind it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from star.base.errors import UserError, shown
from star.base.settings import expect
from star.data.mad import (
    IGNORED,
    Instances,
    in_context_recall,
    one_token_pairs,
    pair_vocabulary,
)

VALUES, FILLERS = 8, 8  # of one-token pairs
ANSWERS = "validation"  # the split whose only targets are answers
LARGEST = 1024  # number in a name


@dataclass(frozen=True)
class RecallTask:
    """One form at one size.

    Attributes:
        name: such as `pairs_8`.
        make: its generator, of `star.data.mad`.
        settings: of the generator.
        vocabulary: number of tokens.
        guessed: accuracy of a model that looks nothing up, on given instances.
    """

    name: str
    make: Callable[..., Instances]
    settings: Mapping[str, Any]
    vocabulary: int
    guessed: Callable[[Instances], float]

    @property
    def form(self) -> str:
        """The first word of its name."""
        return self.name.partition("_")[0]

    def instances(self, count: int, first: int = 0, seed: int = 0) -> Instances:
        """Instances `first` to `first + count` of the seed, with answers as their only targets."""
        return self.make(count, seed=seed, split=ANSWERS, first=first, **self.settings)

    def error(self, accuracy: float, chance: float) -> float:
        """0 for an accuracy of one, 1 for that of `chance` or less, linear between them."""
        return min(1.0, max(0.0, (1 - accuracy) / (1 - chance)))


def read_task(name: str) -> RecallTask:
    """The task of a name. Raises `UserError` for a form or size that there is none of."""
    form, *numbers = name.split("_")
    sizes = [int(number) for number in numbers if number.isdecimal() and int(number) <= LARGEST]
    build, words = FORMS.get(form, (None, ()))
    if build is None or len(sizes) != len(numbers) or len(sizes) != len(words):
        forms = " or ".join("_".join((form, *words)) for form, (_, words) in FORMS.items())
        raise UserError(
            f"{shown(name)!r} is unknown; expected {forms} with numbers up to {LARGEST}, such as "
            "pairs_8 or adjacent_16_32"
        )
    task = build(name, *sizes)
    try:
        task.instances(1)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return task


def _pairs(name: str, keys: int) -> RecallTask:
    """Half of the tokens are fillers, as many as there are pairs and questions together."""
    settings = {"keys": keys, "values": VALUES, "fillers": FILLERS, "length": 4 * keys}
    vocabulary = pair_vocabulary(keys, VALUES, FILLERS)
    return RecallTask(name, one_token_pairs, settings, vocabulary, lambda _: 1 / VALUES)


def _adjacent(name: str, vocabulary: int, length: int) -> RecallTask:
    expect(f"{name}: vocabulary", vocabulary, vocabulary >= 4, "at least 4: two keys, two values")
    expected = f"at least {2 * vocabulary}, twice the vocabulary, so that keys come again"
    expect(f"{name}: length", length, length >= 2 * vocabulary, expected)
    settings = {"vocabulary": vocabulary, "length": length}
    guessed = partial(commonest_value, vocabulary=vocabulary)
    return RecallTask(name, in_context_recall, settings, vocabulary, guessed)


FORMS: dict[str, tuple[Callable[..., RecallTask], tuple[str, ...]]] = {
    "pairs": (_pairs, ("<keys>",)),
    "adjacent": (_adjacent, ("<vocabulary>", "<length>")),
}


def commonest_value(instances: Instances, vocabulary: int) -> float:
    """Accuracy on in-context recall of the value that was seen most often before in its sequence,
    of several the latest: what a model learns that counts values but looks no key up.

    It is well above 1 / values, since few of them occur in one sequence. Of `k v k w k v k`, the
    counts are (v: 1), (v: 1, w: 1), (v: 2, w: 1), so that the guesses are v, w and v.
    """
    keys = vocabulary // 2
    seen = F.one_hot(instances.inputs[:, 1::2] - keys, vocabulary - keys)  # (..., slots, values)
    slots = torch.arange(1, seen.shape[1] + 1)[:, None]
    latest = (seen * slots).cummax(dim=1).values
    guesses = keys + (seen.cumsum(dim=1) * (len(slots) + 1) + latest).argmax(dim=-1)
    wanted = instances.targets[:, 2::2]  # of the slots after each of these
    return int((guesses == wanted).sum()) / int((wanted != IGNORED).sum())
