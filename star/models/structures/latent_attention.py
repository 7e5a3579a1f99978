"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values of all
heads are linear maps of one latent vector a position, beside a rotary key that they share.

Several positions at once expand the latents to keys and values. A single one, a step of generation,
absorbs the maps instead, and attends to the latents themselves.
"""

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.model_config import head_width
from star.genomes.structures.latent_attention import latent_width, rotary_width
from star.genomes.widths import head_count, inner_width
from star.kernels.structured_attention import structured_attention

from ..cache import Memory
from ..featurizer import Features, GroupModule, linear
from .base import StructureModule
from .positions import Frequencies, remember_all, rotate


class Queries(GroupModule):
    """What every head asks for: of its keys, then of the rotary key."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        of_head = head_width(model) + rotary_width(model)
        self.projection = linear(model.width, head_count(liv_class, model) * of_head)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, heads x (head width + rotary width))."""
        return self.projection(x)


class Latents(GroupModule):
    """The latents, normalised, then the rotary key."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        self.sizes = [latent_width(model), rotary_width(model)]
        self.projection = linear(model.width, sum(self.sizes))
        self.norm = nn.RMSNorm(self.sizes[0], eps=model.norm_eps)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, latent width + rotary width)."""
        latents, rotary = self.projection(x).split(self.sizes, dim=-1)
        return torch.cat([self.norm(latents), rotary], dim=-1)


class MapOfLatents(GroupModule):
    """The map from latents to the keys or to the values of all heads."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        self.map = linear(latent_width(model), inner_width(liv_class, model))

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """The weights (inner width, latent width): they do not depend on the input."""
        return self.map.weight


class LatentAttention(StructureModule):
    """Softmax attention to keys and values that are made of latents, over all positions."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.head_width, self.latent_width = head_width(model), latent_width(model)
        self.rotary_width, self.frequencies = rotary_width(model), Frequencies.of(model)
        self.rotated = self.operator.made_by.rotary > 0

    def memory_shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        """Own latents and rotary keys of all positions, as one head."""
        width = self.latent_width + self.rotary_width
        return {"L": (1, context, width)} if "L" in self.computed else {}

    def prepare(self, features: Features, position: int) -> Features:
        """Own C by heads, (batch, heads, length, head width + rotary width), and own L as one head,
        (batch, 1, length, latent width + rotary width); rotated."""
        prepared = dict(features)
        if "C" in self.computed:
            of_head = self.head_width + self.rotary_width
            heads = features["C"][0].unflatten(-1, (-1, of_head)).transpose(1, 2)
            prepared["C"] = (self._rotated(heads, position),)
        if "L" in self.computed:
            prepared["L"] = (self._rotated(features["L"][0][:, None], position),)
        return prepared

    def _rotated(self, x: torch.Tensor, position: int) -> torch.Tensor:
        """x (..., length, channels), of which the last ones are rotary."""
        if not self.rotated:
            return x
        still, rotary = x.split([x.shape[-1] - self.rotary_width, self.rotary_width], dim=-1)
        return torch.cat([still, rotate(rotary, self.frequencies, position)], dim=-1)

    def remember(self, features: Features, memory: Memory) -> Features:
        """Own L together with all earlier positions."""
        if "L" not in self.computed:
            return features
        seen = remember_all(features["L"][0], memory.buffers["L"], memory.position)
        return {**features, "L": (seen,)}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """C and L as `prepare` and `remember` give them, B and V (inner width, latent width)."""
        (c,), (seen,), (b,), (v,) = (features[name] for name in "CLBV")
        attend = self._absorbing if c.shape[2] == 1 else self._expanding
        return attend(c, seen, b, v).transpose(1, 2).flatten(2)

    def _expanding(
        self, c: torch.Tensor, seen: torch.Tensor, b: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """Keys and values of all heads are made; (batch, heads, length, head width)."""
        latents, rotary = seen[:, 0, :, : self.latent_width], seen[..., self.latent_width :]
        keys, values = (
            F.linear(latents, weight).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for weight in (b, v)
        )
        keys = torch.cat([keys, rotary.to(keys.dtype).expand(-1, keys.shape[1], -1, -1)], dim=-1)
        return structured_attention(c, keys, values, "softmax")

    def _absorbing(
        self, c: torch.Tensor, seen: torch.Tensor, b: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """Queries are brought to the latents, and what they see of them to the values."""
        own, rotary = c.split([self.head_width, self.rotary_width], dim=-1)
        to_keys, to_values = (x.unflatten(0, (-1, self.head_width)) for x in (b, v))
        query = torch.cat([torch.einsum("bhnd,hdr->bhnr", own, to_keys), rotary], dim=-1)
        # The scale is that of the width which queries have before the map.
        query = query * (query.shape[-1] / c.shape[-1]) ** 0.5
        read = structured_attention(query, seen, seen[..., : self.latent_width], "softmax")
        return torch.einsum("bhnr,hdr->bhnd", read, to_values)


FORMS = {
    "latent_queries": Queries,
    "latents": Latents,
    "map_of_latents": MapOfLatents,
}
