"""Evaluation: objectives, the evaluation of one candidate, and the worker processes that run it.

Neighbours: `star.training` trains, `star.search` decides what to evaluate next.
"""

from .evaluator import FAILURES as FAILURES
from .evaluator import Evaluation as Evaluation
from .evaluator import Recipe as Recipe
from .limits import LimitsConfig as LimitsConfig
from .objectives import OBJECTIVES as OBJECTIVES
from .objectives import CacheSetting as CacheSetting
from .objectives import Objective as Objective
from .objectives import select_objectives as select_objectives
from .workers import Workers as Workers
from .workers import WorkerSetting as WorkerSetting
from .workers import plan_workers as plan_workers
