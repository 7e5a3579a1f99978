"""Genomes: alphabets, the backbone genome, validity, canonical form, costs and files. Imports no
torch.

Neighbours: `star.models` decodes genomes into modules, `star.search` varies and selects them.
"""

from .alphabets import ALPHABETS as ALPHABETS
from .alphabets import WIDEST as WIDEST
from .alphabets import Alphabet as Alphabet
from .alphabets import get_alphabet as get_alphabet
from .alphabets import register_class as register_class
from .alphabets import with_operators as with_operators
from .backbone import Backbone as Backbone
from .costs import ParameterCount as ParameterCount
from .costs import cache_bytes as cache_bytes
from .costs import check_fits as check_fits
from .costs import footprint_bytes as footprint_bytes
from .costs import growing_bytes as growing_bytes
from .costs import liv_cache_bytes as liv_cache_bytes
from .costs import parameter_count as parameter_count
from .costs import state_bytes as state_bytes
from .errors import GenomeError as GenomeError
from .files import GenomeFile as GenomeFile
from .files import add_library as add_library
from .files import at_depth as at_depth
from .files import genome_file_text as genome_file_text
from .files import library_names as library_names
from .files import load_genome as load_genome
from .files import read_genome_file as read_genome_file
from .files import read_genome_settings as read_genome_settings
from .files import read_library as read_library
from .files import write_genome_file as write_genome_file
from .flops import flops_per_token as flops_per_token
from .genes import BACKBONE_GENE_NAMES as BACKBONE_GENE_NAMES
from .genes import BACKBONE_GENES as BACKBONE_GENES
from .genes import GENE_NAMES as GENE_NAMES
from .genes import GENES_PER_LIV as GENES_PER_LIV
from .genes import NOT_SHARED as NOT_SHARED
from .genes import Genes as Genes
from .genome import Genome as Genome
from .genome import Liv as Liv
from .genome import check_depth as check_depth
from .genome import fit_depth as fit_depth
from .identity import current_id as current_id
from .identity import former_id as former_id
from .matching import matched_width as matched_width
from .matching import read_match as read_match
from .matching import state_elements as state_elements
from .model_config import DTYPE_BYTES as DTYPE_BYTES
from .model_config import CacheSetting as CacheSetting
from .model_config import ModelConfig as ModelConfig
from .model_config import with_state_dtype as with_state_dtype
from .operators import STRUCTURES as STRUCTURES
from .operators import FeatureGroup as FeatureGroup
from .operators import Featurizer as Featurizer
from .operators import LivClass as LivClass
from .operators import OperatorGenome as OperatorGenome
from .operators import Structure as Structure
from .operators import register_structure as register_structure
from .operators import valid_operators as valid_operators
from .sampling import random_genome as random_genome
from .sharing import LivSharing as LivSharing
from .validity import GeneProblem as GeneProblem
