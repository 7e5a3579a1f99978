"""A user's operator: a gated moving average a channel, s_t = a s_(t-1) + v_t, y_t = c_t s_t."""

import torch

import star.genomes as genomes
import star.models as models
from star.genomes.operators import PER_CHANNEL, SEMI_SEPARABLE, projections
from star.kernels.selective_scan import selective_scan


class MovingAverage(models.StructureModule):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.decay = torch.nn.Parameter(torch.linspace(-3.0, 3.0, self.channels))

    def state_shapes(self):
        return {"state": (self.channels, 1)}

    def forward(self, features, memory=None):
        (c,), (v,) = features["C"], features["V"]
        one, log_a = torch.ones_like(v), torch.nn.functional.logsigmoid(self.decay)[:, None]
        state = None if memory is None else memory.buffers["state"]
        return c * selective_scan(v, one, log_a, one[..., :1], one[..., :1], state=state)


structure = genomes.Structure(
    "moving average", SEMI_SEPARABLE, PER_CHANNEL, differential=False,
    groups=("C", "V"), sharing={2: ("C",), 3: ("V",)},
    featurizers={100: genomes.Featurizer(projections("CV"))},
    parameters=lambda liv_class, model: model.width,
    states=lambda liv_class, borrowed, model, context: model.width,
)  # fmt: skip
genomes.register_structure(structure)
models.register_structure("moving average", MovingAverage)
genomes.register_class("EMA", "100.4.1.1.1", "exponential moving average", id=10_000)
