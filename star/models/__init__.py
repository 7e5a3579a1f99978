"""Models: LIV featurizers and structures, and the language model that a genome decodes into.

Neighbours: `star.genomes` says what a genome is and costs, `star.training` trains the model.
"""

from .cache import Cache as Cache
from .checkpoint import Checkpoint as Checkpoint
from .checkpoint import load_checkpoint as load_checkpoint
from .checkpoint import save_checkpoint as save_checkpoint
from .featurizer import GroupModule as GroupModule
from .language_model import LanguageModel as LanguageModel
from .language_model import decode as decode
from .structures import StructureModule as StructureModule
from .structures import register_structure as register_structure
from .trial import decode_tried as decode_tried
