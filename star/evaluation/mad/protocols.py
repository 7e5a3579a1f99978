"""Where the paper of MAD and its published code differ from each other, and from what we do.

Common to all: pre-norm with RMSNorm, an untied head, AdamW without decay of norms and biases, a
cosine to a rate of 1e-6 over the training, for which mad-lab steps once an epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf

from torch import nn

from star.genomes.structures.diagonal import STRUCTURE as FEED_FORWARD
from star.models.featurizer import INITIAL_STD, Projection, linear
from star.models.language_model import LanguageModel, LivModule


def _torch_default(layer: nn.Linear) -> None:
    layer.reset_parameters()


def _normal(layer: nn.Linear) -> None:
    nn.init.normal_(layer.weight, std=INITIAL_STD)


@dataclass(frozen=True)
class Protocol:
    """Choices about a training and a model."""

    betas: tuple[float, float]  # of AdamW
    gradient_clip: float = inf  # largest gradient norm
    warmup_steps: int = 0
    feed_forward: Callable[[int], int] | None = None  # inner width of a SwiGLU by model width
    initialise: Callable[[nn.Linear], None] | None = None  # linear layers; None: as decoded
    initialise_auto_encoder: Callable[[nn.Linear], None] | None = None  # those of compression

    def adapt(self, model: LanguageModel, is_auto_encoder: bool) -> None:
        """Change a fresh model in place to inner widths and initial weights of this protocol."""
        if self.feed_forward is not None:
            for liv in model.livs:
                _set_inner_width(liv, self.feed_forward(model.embedding.embedding_dim))
        initialise = self.initialise_auto_encoder if is_auto_encoder else self.initialise
        if initialise is not None:
            for layer in model.modules():
                # A bias is that of a state space's step sizes, whose weights have a range too.
                if isinstance(layer, nn.Linear) and layer.bias is None:
                    initialise(layer)


PROTOCOLS: dict[str, Protocol] = {
    "star": Protocol(betas=(0.9, 0.95), gradient_clip=1.0, warmup_steps=10),
    "paper": Protocol(
        betas=(0.9, 0.98),
        feed_forward=lambda width: 4 * width,
        initialise=_normal,
        initialise_auto_encoder=_normal,
    ),
    "code": Protocol(  # athms/mad-lab, December 2024
        betas=(0.9, 0.999),
        feed_forward=lambda width: 16 * ceil(int(8 / 3 * width) / 16),
        initialise=_torch_default,
        initialise_auto_encoder=_normal,
    ),
}


def _set_inner_width(liv: LivModule, inner: int) -> None:
    """Give a feed-forward LIV another inner width, in place; other LIVs stay."""
    if liv.structure.operator.structure != FEED_FORWARD:
        return
    for copies in liv.featurizer.groups.values():
        assert isinstance(copies, nn.ModuleList)
        for group in copies:
            assert isinstance(group, Projection)
            if group.projection.out_features != inner:  # tied ones are met again
                group.projection = linear(group.projection.in_features, inner)
    std = float(liv.output.weight.detach().std())
    liv.output = linear(inner, liv.output.out_features, std=std)
