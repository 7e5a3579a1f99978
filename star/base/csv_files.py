"""CSV files, each number to its last bit with every pandas."""

from pathlib import Path
from typing import Any

import pandas as pd

# From 3.1 on it is the default, and the option is deprecated; a fast reader was before.
INEXACT = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv` with its options. Raises as it does."""
    exact: dict[str, Any] = {"float_precision": "round_trip"} if INEXACT else {}
    return pd.read_csv(path, **options, **exact)
