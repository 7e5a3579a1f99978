"""Settings of the data."""

from dataclasses import dataclass
from typing import Any

from star.base.settings import expect

MOST_WINDOWS = 10**7  # and their longest length


@dataclass
class DataConfig:
    """Where the text comes from."""

    kind: str = "stdlib"  # sources of Python's standard library; files; or module:function of yours
    path: str | None = None  # a folder, file or glob, for files
    suffixes: list[str] | None = None  # which files of a folder are read; null reads all
    held_out: float = 0.05  # share of the files that is kept for validation
    # [windows, length, ...] of other held-out samples, of which ours has no token (star.validate);
    # a pair that stands twice: nor of the windows that training.learning_rates chooses by
    apart_from: list[int] | None = None

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        fits = 0 < self.held_out < 1
        expect("data.held_out", self.held_out, fits, "a share between 0 and 1")
        given = self.apart_from or []
        fits = len(given) % 2 == 0 and all(1 <= number <= MOST_WINDOWS for number in given)
        expected = "pairs of windows and their length, such as [128,256], or null"
        expect("data.apart_from", self.apart_from, fits, expected)

    @property
    def samples_to_avoid(self) -> tuple[tuple[int, int], ...]:
        """`apart_from` as pairs of (windows, length)."""
        given = self.apart_from or []
        return tuple(zip(given[::2], given[1::2], strict=True))

    def content(self, fingerprint: str) -> dict[str, Any]:
        """What of the data can change a result, as recipes keep it. fingerprint: of the text."""
        apart = {"apart_from": self.apart_from} if self.apart_from else {}
        return {"fingerprint": fingerprint, **apart}
