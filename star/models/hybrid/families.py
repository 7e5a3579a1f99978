"""Families that no genome is: where the parts of their models in transformers are, one row each,
and what such a model costs as a component.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import transformers
from torch import nn

from star.base.errors import UserError, shown
from star.genomes.hybrids import ForeignComponent, ForeignSegment

from ..hugging_face.family import NO_TOKENS, expect_values

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
