"""Evaluation: objectives, the evaluation of one candidate, and the worker processes that run it.

Neighbours: `star.training` trains, `star.search` decides what to evaluate next.
"""

from .evaluate import FAILURES as FAILURES
from .evaluate import Evaluation as Evaluation
from .evaluate import Recipe as Recipe
from .executors.processes import Workers as Workers
from .executors.processes import WorkerSetting as WorkerSetting
from .executors.processes import plan_workers as plan_workers
from .limits import LimitsConfig as LimitsConfig
from .objectives import OBJECTIVES as OBJECTIVES
from .objectives import CacheSetting as CacheSetting
from .objectives import Objective as Objective
from .objectives import select_objectives as select_objectives
