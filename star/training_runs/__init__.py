"""The training of one genome in a folder of its own, as `star.train` and `star.hybridize` do it:
settings, checkpoint, log, exact resume."""

from .config import BEGINNING as BEGINNING
from .config import TrainConfig as TrainConfig
from .config import upgrade_settings as upgrade_settings
from .progress import Stage as Stage
from .progress import logged_step as logged_step
from .progress import show_steps as show_steps
from .training import Training as Training
from .training import finish as finish
from .training import opened_training as opened_training
