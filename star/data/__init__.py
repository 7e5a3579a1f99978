"""Data: text of documents as tokens, held out by whole ones, cached and memory-mapped.

Neighbours: `star.training` draws batches from a `Corpus`.
"""

from .config import DataConfig as DataConfig
from .corpus import Corpus as Corpus
from .corpus import load_corpus as load_corpus
from .corpus import open_corpus as open_corpus
from .sources import Document as Document
from .sources import Text as Text
