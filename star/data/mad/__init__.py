"""Synthetic tasks of token manipulation: MAD's six, and one-token pairs.

    from star.data.mad import in_context_recall
    batch = in_context_recall(32, seed=0, vocabulary=16, length=64)
    loss = cross_entropy(model(batch.inputs).flatten(0, 1), batch.targets.flatten())

Every function gives `Instances`; instance `i` of a split depends on the seed and its index alone.
"""

from star.data.mad.copying import compression as compression
from star.data.mad.copying import memorization as memorization
from star.data.mad.copying import selective_copying as selective_copying
from star.data.mad.fuzzy_recall import fuzzy_recall as fuzzy_recall
from star.data.mad.instances import IGNORED as IGNORED
from star.data.mad.instances import SPLITS as SPLITS
from star.data.mad.instances import Instances as Instances
from star.data.mad.pairs import one_token_pairs as one_token_pairs
from star.data.mad.pairs import pair_vocabulary as pair_vocabulary
from star.data.mad.recall import in_context_recall as in_context_recall
from star.data.mad.recall import noisy_recall as noisy_recall
