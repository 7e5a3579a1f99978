"""Training: the loop, its settings and the quality of a trained model.

Neighbours: `star.data` gives the batches, `star.evaluation` calls this for every candidate.
"""

from .config import TrainingConfig as TrainingConfig
from .loop import Diverged as Diverged
from .loop import StepResult as StepResult
from .loop import Trainer as Trainer
from .parts import train_further as train_further
from .quality import Quality as Quality
from .quality import validate as validate
from .rates import train_at_best_rate as train_at_best_rate
from .state import load_state as load_state
from .state import save_state as save_state
