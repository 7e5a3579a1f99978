"""Hybrids of pretrained components as an alphabet: a genome over it has one letter a block, and a
letter says how the block mixes what the components make of it (Manticore, arXiv 2406.00894).

`letters` has the alphabet, `components` what each component costs, `projectors` what stands between
it and the common width, `hybrid` the costs of a whole, `files` the folder of one. How a hybrid is
built is in `star.models.hybrid`. No torch.
"""

from .components import Component as Component
from .components import ForeignComponent as ForeignComponent
from .components import ForeignSegment as ForeignSegment
from .components import GenomeComponent as GenomeComponent
from .components import segments_of as segments_of
from .files import BESIDE as BESIDE
from .files import COMPONENTS as COMPONENTS
from .files import FILE as FILE
from .files import beside as beside
from .files import has_components as has_components
from .files import hybrid_text as hybrid_text
from .files import read_hybrid as read_hybrid
from .files import read_hybrid_sizes as read_hybrid_sizes
from .files import write_hybrid as write_hybrid
from .hybrid import Hybrid as Hybrid
from .letters import FOUND as FOUND
from .letters import HybridAlphabet as HybridAlphabet
from .letters import Mixture as Mixture
from .letters import compositions as compositions
from .letters import hybrid_alphabet as hybrid_alphabet
from .projectors import PROJECTORS as PROJECTORS
