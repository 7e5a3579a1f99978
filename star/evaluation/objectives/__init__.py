"""Objectives: what a search minimises, may limit, and reports, one file a family.

`base` says what an objective is, `registry` which there are. Adding one is one file here, or one
class anywhere else, named by its import path: `search.objectives=[my_package.objectives:Depth]`.
"""

from .base import COSTLY as COSTLY
from .base import OWN as OWN
from .base import STATIC as STATIC
from .base import TRAINED as TRAINED
from .base import Context as Context
from .base import Objective as Objective
from .quality import LOSS as LOSS
from .registry import NAMED as NAMED
from .registry import OBJECTIVES as OBJECTIVES
from .registry import Measured as Measured
from .registry import load_objective as load_objective
from .registry import measure as measure
from .registry import select_objectives as select_objectives
