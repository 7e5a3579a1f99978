"""Data: byte-level text from files, held out by whole files, cached and memory-mapped.

Neighbours: `star.training` draws batches from a `Corpus`.
"""

from .config import DataConfig as DataConfig
from .corpus import Corpus as Corpus
from .corpus import load_corpus as load_corpus
from .corpus import open_corpus as open_corpus
