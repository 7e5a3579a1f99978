"""The five genes of a LIV and the two of a backbone: their names, their columns in an array, and
the types of such arrays."""

import numpy as np
import numpy.typing as npt

GENE_NAMES = (
    "liv_class",
    "featurizer_group",
    "featurizer_sharing",
    "feature_group",
    "feature_sharing",
)
GENES_PER_LIV = len(GENE_NAMES)
BACKBONE_GENE_NAMES = ("norms", "residual_scale")  # see `backbone.py`
BACKBONE_GENES = len(BACKBONE_GENE_NAMES)
CLASS, FEATURIZER_GROUP, FEATURIZER_SHARING, FEATURE_GROUP, FEATURE_SHARING = range(GENES_PER_LIV)

NOT_SHARED, SHARED = 1, 2  # values of featurizer_sharing; 1 is that of feature_sharing too
STRATEGIES = 6  # values below it may stand in feature_sharing; columns of a table by strategy
AS_SIZES = 1  # of the backbone genes: as the sizes say

Genes = npt.NDArray[np.int64]  # (genomes, depth, 5), or a part of it
Booleans = npt.NDArray[np.bool_]
