"""Evaluation: objectives, the evaluation of one candidate, and the executors that run many.

Neighbours: `star.training` trains, `star.search` decides what to evaluate next.
"""

from .evaluate import evaluate as evaluate
from .evaluate import measured_by as measured_by
from .failures import FAILURES as FAILURES
from .limits import LimitsConfig as LimitsConfig
from .objectives import OBJECTIVES as OBJECTIVES
from .objectives import Context as Context
from .objectives import Measured as Measured
from .objectives import Objective as Objective
from .objectives import select_objectives as select_objectives
from .recipe import EvaluationConfig as EvaluationConfig
from .recipe import Recipe as Recipe
from .result import Evaluation as Evaluation
