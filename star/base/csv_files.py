"""CSV files: each number to its last bit, read with every pandas, and written."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

# From 3.1 on it is the default, and the option is deprecated; a fast reader was before.
INEXACT = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv` with its options. Raises as it does."""
    exact: dict[str, Any] = {"float_precision": "round_trip"} if INEXACT else {}
    return pd.read_csv(path, **options, **exact)


def csv_text(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], has_header: bool = True
) -> str:
    """Rows as the text of a CSV file, a line each.

    Args:
        columns: in their order; what else rows have is left out.
        rows: cells by column; one that is missing or None is empty.
        has_header: whether the names of the columns come first.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    if has_header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
