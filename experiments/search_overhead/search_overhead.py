"""What a search costs beside its trainings, in a quarter of an hour.

    OMP_NUM_THREADS=1 python experiments/search_overhead/search_overhead.py
    ... search_overhead.py --only search --generations 2

Prints Markdown tables and writes results.csv beside this file.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import large_ledger
import operators
import whole_search
from results import Result, keep, show

RESULTS = Path(__file__).with_name("results.csv")
Study = Callable[[argparse.Namespace], Iterator[Result]]
STUDIES: dict[str, Study] = {
    "operators": lambda options: operators.measure(),
    "ledger": lambda options: large_ledger.measure(options.rows, options.evaluations),
    "search": lambda options: whole_search.measure(options.experiment, options.generations),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What a search costs beside its trainings.")
    parser.add_argument(
        "--only", nargs="+", choices=STUDIES, default=list(STUDIES), help="studies to run"
    )
    parser.add_argument("--experiment", default="cache_frontier", help="that is searched")
    parser.add_argument("--generations", type=int, help="of the search; all of them when not given")
    parser.add_argument("--rows", type=int, default=100_000, help="of the large ledger")
    parser.add_argument(
        "--evaluations", type=int, default=10_000, help="of the search that is replayed"
    )
    options = parser.parse_args()
    for name in options.only:
        keep(RESULTS, show(STUDIES[name](options)))


if __name__ == "__main__":
    main()
