"""Measuring a model on the device at hand: time, memory, and which machine it was.

Neighbours: `star.evaluation.objectives.device` makes objectives of it; `star.evaluation.limits`
watches whole evaluations.
"""

from .machine import machine_name as machine_name
from .memory import StoragePeak as StoragePeak
from .memory import peak_of as peak_of
from .timing import Timing as Timing
from .timing import quiet as quiet
from .timing import seconds as seconds
from .timing import summarise as summarise
