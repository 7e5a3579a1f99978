"""Scores of an untrained model on one batch: what it may become, for a fraction of a training.

Each is a function of a model and tokens, int64 (batch, length + 1); their papers say that larger is
better. They are defined for any differentiable language model, so that attention, recurrences and
convolutions are scored by the same rule. None is known to rank mixes of them well, and the papers'
sign may be wrong here (experiments/prescreening measures both, beside counting parameters). A
search takes the sign from what it measured, and asks a proxy only while that ranks better.
"""

from .gradients import gradient_norm as gradient_norm
from .gradients import snip as snip
from .gradients import zico as zico
from .jacobians import jacobian_covariance as jacobian_covariance
from .scores import PROXIES as PROXIES
from .scores import ProxyScores as ProxyScores
