"""MAD: how well a backbone learns six tasks of token manipulation (arXiv 2403.17844).

`settings` is the grid of the protocol, `presets` how much of it is run, `protocols` what paper and
published code do otherwise than we, `model` and `training` make one run, `scoring` counts what it
answers, `scores` sums up, `table` shows. Neighbours: `star.data.mad` makes the instances,
`star.mad` is the command, whose settings are in `config`, and `star.evaluation.objectives.mad` the
objective.
"""

from .presets import PRESETS as PRESETS
from .presets import Preset as Preset
from .presets import choose_preset as choose_preset
from .protocols import PROTOCOLS as PROTOCOLS
from .scores import Scores as Scores
from .scores import TaskScore as TaskScore
from .scores import summarise as summarise
from .settings import BASELINES as BASELINES
from .settings import TASKS as TASKS
from .settings import Setting as Setting
from .settings import full_grid as full_grid
from .training import Outcome as Outcome
from .training import Run as Run
from .training import train as train
