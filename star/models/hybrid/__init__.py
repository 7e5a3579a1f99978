"""Hybrids of pretrained components (Manticore, arXiv 2406.00894): the model of a genome over a
hybrid's letters. What a hybrid is and costs is said in `star.genomes.hybrids`; the search for a
mixture is in `star.hybrids`."""

from .components import ComponentModule as ComponentModule
from .components import build_component as build_component
from .mixture import HybridModel as HybridModel
from .mixture import decode_hybrid as decode_hybrid
from .mixture import gate as gate
from .mixture import has_components as has_components
from .projectors import build_projector as build_projector
from .projectors import fitted as fitted
