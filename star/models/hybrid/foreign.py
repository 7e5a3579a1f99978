"""Components of families that no genome is: models of transformers, segment for segment.

A segment is the base model itself with the segment's layers alone, without embedding and final
norm, so that masks and rotary positions are theirs. One row a family says where its parts are.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional as F
from transformers.cache_utils import Cache as TheirCache
from transformers.cache_utils import DynamicLayer

from star.base.errors import UserError, plain, shown
from star.genomes.hybrids import ForeignComponent, ForeignSegment

from ..cache import Memory
from ..hugging_face.causal_lm import CACHE
from ..hugging_face.family import NO_TOKENS, expect_values
from .components import State

# What a configuration has beside what decides the model.
UNUSED = (
    "_name_or_path", "architectures", "auto_map", "bos_token_id", "dtype", "eos_token_id",
    "output_attentions", "output_hidden_states", "pad_token_id", "quantization_config",
    "return_dict", "task_specific_params", "torch_dtype", "transformers_version", "use_cache",
)  # fmt: skip
MOST_LAYERS = 1000
STATIC_ROTATIONS = ("default", "linear", "llama3", "yarn")  # of every length alike


@dataclass(frozen=True)
class Adapter:
    """Where the parts of one family are.

    Attributes:
        causal_lm: its class in transformers.
        base: the attribute of the base model, of which the others are attributes.
        embedding: of tokens.
        layers: in their order.
        norm: the final one.
        positions: the embedding of absolute positions; none where attention rotates.
        is_grouped: its configuration says how many heads of keys there are, and how wide.
        expected: values of the configuration that alone can be used.
    """

    causal_lm: str
    base: str = "model"
    embedding: str = "embed_tokens"
    layers: str = "layers"
    norm: str = "norm"
    positions: str = ""
    is_grouped: bool = True
    expected: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_class(self) -> Any:
        """Its class."""
        return getattr(transformers, self.causal_lm)


_GPT = ("transformer", "wte", "h", "ln_f", "wpe", False)
ADAPTERS = {
    "gpt2": Adapter("GPT2LMHeadModel", *_GPT, expected={"add_cross_attention": False}),
    "gpt_neo": Adapter("GPTNeoForCausalLM", *_GPT),  # its layers mask their windows themselves
    "gpt_neox": Adapter(
        "GPTNeoXForCausalLM", "gpt_neox", "embed_in", norm="final_layer_norm", is_grouped=False
    ),
    "llama": Adapter("LlamaForCausalLM"),
    "mistral": Adapter("MistralForCausalLM"),
    "olmo2": Adapter("Olmo2ForCausalLM"),
    "qwen2": Adapter("Qwen2ForCausalLM"),
    "qwen3": Adapter("Qwen3ForCausalLM"),
}


def read_config(family: str, content: Mapping[str, Any]) -> Any:
    """The configuration of transformers, without dropout.

    Args:
        family: of `ADAPTERS`.
        content: of `config.json`.

    Raises:
        UserError: naming the key of a value that segments cannot have: a window of attention, or a
            rotation that the length changes.
    """
    adapter = ADAPTERS[family]
    config = adapter.model_class.config_class.from_dict(
        NO_TOKENS | {key: value for key, value in content.items() if key not in UNUSED}
    )
    if not 1 <= config.num_hidden_layers <= MOST_LAYERS:
        count = shown(str(config.num_hidden_layers))
        raise UserError(f"num_hidden_layers={count}: expected 1 to {MOST_LAYERS:,}")
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        kind = shown(str(min(kinds)))
        raise UserError(f"layer_types has {kind}: expected full_attention alone")
    rotation = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotation not in STATIC_ROTATIONS:
        known = ", ".join(STATIC_ROTATIONS)
        raise UserError(f"rope_parameters.rope_type={shown(str(rotation))}: expected {known}")
    expect_values(config, sliding_window=None, **adapter.expected)
    for key, value in config.to_dict().items():
        if key.endswith(("dropout", "pdrop")) and isinstance(value, int | float):
            setattr(config, key, 0.0)
    return config


def build_theirs(family: str, content: Mapping[str, Any]) -> Any:
    """A model of theirs with fresh weights in float32; as `read_config`."""
    adapter = ADAPTERS[family]
    config = read_config(family, content)
    # Kernels that a configuration names are not fetched.
    attention = "sdpa" if adapter.model_class._supports_sdpa else "eager"
    return adapter.model_class._from_config(
        config, attn_implementation=attention, dtype=torch.float32
    )


def heads_of(family: str, config: Any) -> tuple[int, int, int]:
    """Heads of queries, heads of keys and values, and the width of one."""
    heads = config.num_attention_heads
    if not ADAPTERS[family].is_grouped:
        return heads, heads, config.hidden_size // heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return heads, getattr(config, "num_key_value_heads", None) or heads, width


def foreign_component(
    name: str, digest: str, family: str, content: Mapping[str, Any], theirs: Any
) -> ForeignComponent:
    """What a model of theirs is and costs.

    Args:
        name: for people.
        digest: of its weights.
        family: of `ADAPTERS`.
        content: of `config.json`.
        theirs: the model.
    """
    parts = Parts.of(theirs, ADAPTERS[family])
    config = theirs.config
    heads, keys, width = heads_of(family, config)
    weights = [list(layer.parameters()) for layer in parts.layers]
    costs = ForeignSegment(
        parameters=sum(w.numel() for w in weights[0]),
        remembered=2 * keys * width,
        products=sum(w.numel() for w in weights[0] if w.ndim == 2),
        products_per_position=2 * heads * width,
    )
    begin = (parts.embedding, *([parts.positions] if parts.positions else []))
    return ForeignComponent(
        name, digest, family, {k: v for k, v in content.items() if k not in UNUSED},
        width=config.hidden_size, vocabulary=config.vocab_size, layers=len(parts.layers),
        layer=costs,
        end_parameters=(
            sum(map(_size, begin)), _size(parts.norm), _size(parts.head) if parts.head else 0
        ),
    )  # fmt: skip


def _size(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def cut_vocabulary(component: ForeignComponent, vocabulary: int) -> ForeignComponent:
    """A component that knows the first so many tokens only."""
    rows = (component.vocabulary - vocabulary) * component.width
    embedding, norm, head = component.end_parameters
    return replace(
        component,
        config={**component.config, "vocab_size": vocabulary},
        vocabulary=vocabulary,
        end_parameters=(embedding - rows, norm, head and head - rows),
    )


@dataclass(frozen=True)
class Parts:
    """The parts of a model of theirs."""

    embedding: nn.Embedding
    positions: nn.Embedding | None
    layers: Sequence[nn.Module]
    norm: nn.Module
    head: nn.Module | None  # None where it is the embedding

    @classmethod
    def of(cls, theirs: Any, adapter: Adapter) -> "Parts":
        """Those of a model."""
        base = getattr(theirs, adapter.base)
        embedding = getattr(base, adapter.embedding)
        is_tied = theirs.lm_head.weight is embedding.weight
        return cls(
            embedding,
            getattr(base, adapter.positions) if adapter.positions else None,
            list(getattr(base, adapter.layers)),
            getattr(base, adapter.norm),
            None if is_tied else theirs.lm_head,
        )


def module_weights(theirs: Any, family: str) -> dict[str, torch.Tensor]:
    """The weights of a model of theirs by the names of `ForeignModule`, tied ones once.

    Raises `UserError` where it has others too.
    """
    parts = Parts.of(theirs, ADAPTERS[family])
    ends = {name: getattr(parts, name) for name in ("embedding", "positions", "norm", "head")}
    layers = {f"layers.{number}": layer for number, layer in enumerate(parts.layers)}
    found = {
        f"{prefix}.{name}": weight
        for prefix, module in {**ends, **layers}.items()
        if module is not None
        for name, weight in module.named_parameters()
    }
    own = {id(weight) for weight in found.values()}
    more = [name for name, weight in theirs.named_parameters() if id(weight) not in own]
    if more:
        raise UserError(f"has {shown(more[0])}, which no part of a {family} has")
    return found


class Nothing(nn.Module):
    """What adds nothing to an embedding."""

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Zero, of none dimension, for positions of any shape."""
        return torch.zeros((), device=positions.device)


class KeptLayer(DynamicLayer):
    """Keys and values of one layer, in a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (batch, heads, length, width) at the position; all that there are
        up to the last."""
        return self._write("keys", key_states), self._write("values", value_states)

    def _write(self, name: str, new: torch.Tensor) -> torch.Tensor:
        begin, buffer = self.memory.position, self.memory.buffers[name]
        end = begin + new.shape[2]
        buffer[:, :, begin:end] = new.to(buffer.dtype)
        return buffer[:, :, :end].to(new.dtype)

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Positions that attention sees, and the first of them. query_length: a number, or
        positions in older versions of transformers."""
        new = query_length if isinstance(query_length, int) else len(query_length)
        return self.memory.position + new, 0

    def get_seq_length(self, *_: Any) -> int:
        """Positions seen before."""
        return self.memory.position


def kept(layers: range, memories: Sequence[Any], count: int) -> TheirCache:
    """The memories of some layers as a cache of theirs, in which every layer has a place."""
    own = [KeptLayer(memory) for memory in memories]
    places = [min(max(layer - layers.start, 0), len(own) - 1) for layer in range(count)]
    return TheirCache(layers=[own[place] for place in places])


def run_segment(base: Any, name: str, layers: Sequence[nn.Module], **given: Any) -> torch.Tensor:
    """What a base model of theirs makes of its inputs with some layers in place of its own.

    Args:
        base: the model, which stays as it is.
        name: the attribute of its layers.
        layers: those that are run.
        given: to the model, `inputs_embeds` (batch, length, width) among them.
    """
    own = copy(base)  # which shares all but the list of its modules
    own._modules = {**base._modules, name: nn.ModuleList(layers)}
    return own(**given).last_hidden_state


# torch.compile cannot follow the copy; what is around a segment is compiled.
_run_segment: Any = torch.compiler.disable(run_segment)


class ForeignModule(nn.Module):
    """A component of a family that no genome is, a `ComponentModule`."""

    def __init__(self, component: ForeignComponent) -> None:
        """Build it with fresh weights. Raises `UserError` for a configuration that cannot be
        used."""
        super().__init__()
        if component.family not in ADAPTERS:
            known = ", ".join(ADAPTERS)
            raise UserError(
                f"component {component.name}: family={component.family}: expected one of {known}"
            )
        self._component, self._adapter = component, ADAPTERS[component.family]
        try:
            theirs = build_theirs(component.family, component.config)
        except Exception as error:  # whatever their checks raise
            what = shown(plain(error))
            raise UserError(
                f"component {component.name}: its configuration cannot be used ({what})"
            ) from None
        parts = Parts.of(theirs, self._adapter)
        self.embedding: nn.Embedding | None = parts.embedding
        self.positions = parts.positions
        self.layers = nn.ModuleDict({str(n): layer for n, layer in enumerate(parts.layers)})
        self.norm: nn.Module | None = parts.norm
        self.head = parts.head
        self.base = self._emptied(getattr(theirs, self._adapter.base))
        _, self._heads, self._width = heads_of(component.family, theirs.config)

    def _emptied(self, base: Any) -> Any:
        """A base model of theirs without its weights."""
        for name in (self._adapter.embedding, self._adapter.norm):
            setattr(base, name, nn.Identity())
        if self._adapter.positions:
            setattr(base, self._adapter.positions, Nothing())
        setattr(base, self._adapter.layers, nn.ModuleList())
        return base

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "ForeignModule":
        """As any module's, but frequencies of rotary positions stay in float32."""
        before = dict(self.base.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            path, _, last = name.rpartition(".")
            owner = self.base.get_submodule(path)
            setattr(owner, last, buffer.to(getattr(owner, last).device))
        return self

    def keep(self, layers: Sequence[int], begins: bool, finishes: bool) -> None:
        """As `ComponentModule`; positions stay with the embedding."""
        dropped = set(self.layers) - set(map(str, layers))
        for name in dropped:
            del self.layers[name]
        is_tied = self.head is None
        if not begins and not (finishes and is_tied):
            self.embedding = self.positions = None
        if not finishes:
            self.norm = self.head = None

    def embedding_table(self) -> torch.Tensor:
        """As `ComponentModule`."""
        assert self.embedding is not None
        return self.embedding.weight

    def begin(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """As `ComponentModule`. Raises `UserError` for more positions than it knows."""
        assert self.embedding is not None
        x = self.embedding(tokens)
        if self.positions is None:
            return x
        end, most = position + tokens.shape[1], self.positions.num_embeddings
        if end > most:
            raise UserError(
                f"component {self._component.name} knows {most:,} positions, not {end:,}; use a "
                "shorter context"
            )
        return x + self.positions(torch.arange(position, end, device=tokens.device))

    def run(
        self, layers: range, x: torch.Tensor, state: State, memories: Sequence[Memory | None]
    ) -> torch.Tensor:
        """As `ComponentModule`."""
        is_kept = memories[0] is not None
        given = {CACHE: kept(layers, memories, self._component.layers)} if is_kept else {}
        segment = [self.layers[str(layer)] for layer in layers]
        return _run_segment(
            self.base, self._adapter.layers, segment, inputs_embeds=x, use_cache=is_kept, **given
        )

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """As `ComponentModule`."""
        assert self.norm is not None
        x = self.norm(x)
        if self.head is not None:
            return self.head(x)
        assert self.embedding is not None
        return F.linear(x, self.embedding.weight)

    def whole(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to logits (batch, length, vocabulary), by itself."""
        layers = range(len(self.layers))
        x = self.run(layers, self.begin(tokens, 0), {}, [None] * len(layers))
        return self.finish(x)

    def memory_shapes(self, layer: int, context: int) -> dict[str, tuple[int, ...]]:
        """As `ComponentModule`."""
        return dict.fromkeys(("keys", "values"), (self._heads, context, self._width))

    def state_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """None."""
        return {}
