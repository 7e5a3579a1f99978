"""Published scores of MAD in percent, to put measured ones beside.

From the DeltaNet paper (arXiv 2406.06484), which took all rows but its own from Poli et al.
(arXiv 2403.17844): all 66 settings, width 128, two blocks, one seed, chosen on the test split.
Other labs got 0.5 to 3.3 points more or less for the same architectures (MetaLA, arXiv 2411.10741).
"""

from star.evaluation.mad.settings import TASKS

_ROWS = {
    "Transformer": (51.6, 29.8, 94.1, 85.2, 86.8, 99.6),
    "Hyena": (45.2, 7.9, 81.7, 89.5, 78.8, 93.1),
    "Multihead Hyena": (44.8, 14.4, 99.0, 89.4, 98.6, 93.0),
    "Mamba": (52.7, 6.7, 90.4, 89.5, 90.1, 86.3),
    "GLA": (38.8, 6.9, 80.8, 63.3, 81.6, 88.6),
    "DeltaNet": (42.2, 35.7, 100.0, 52.8, 100.0, 100.0),
}
PUBLISHED: dict[str, dict[str, float]] = {
    name: dict(zip(TASKS, row, strict=True)) for name, row in _ROWS.items()
}
