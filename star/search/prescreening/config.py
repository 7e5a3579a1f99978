"""Settings of pre-screening."""

from dataclasses import dataclass

from star.base.ranges import Range, expect_ranges
from star.base.settings import expect_one_of
from star.evaluation.proxies import PROXIES

NONE, SURROGATE, PROXY = "none", "surrogate", "proxy"
KINDS = (NONE, SURROGATE, PROXY)
FEWEST_ROWS = 10  # five folds of two
RANGES = {"surplus": Range(2, 1000), "minimum_rows": Range(FEWEST_ROWS, 10**6)}


@dataclass
class PrescreenConfig:
    """What ranks a surplus of children, so that only the best of them are trained."""

    kind: str = NONE  # surrogate: a model of what was measured; proxy: a score without training
    surplus: int = 8  # children for each that is trained
    minimum_rows: int = 16  # measured candidates before it acts
    proxy: str = "zico"  # for kind=proxy

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_one_of("search.prescreen.kind", self.kind, KINDS)
        expect_one_of("search.prescreen.proxy", self.proxy, tuple(PROXIES))
        expect_ranges("search.prescreen.", self, RANGES)
