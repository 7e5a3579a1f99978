"""Search: what proposes genomes, has them evaluated, and keeps what was found.

`search.py` is the entrance. The rooms: `space/` is what there is to search, `variation/` how
children come from parents, `algorithms/` who selects. It knows genomes, evaluations and the files
of a run.
"""

from .config import EvolveConfig as EvolveConfig
from .config import SearchConfig as SearchConfig
from .search import Search as Search
