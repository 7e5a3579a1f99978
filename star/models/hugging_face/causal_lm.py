"""Any genome as a causal language model of Hugging Face `transformers`.

Importing this module registers `StarConfig` and `StarForCausalLM`, so that `AutoModelForCausalLM`
loads the folders that `star.export` writes. Caches are those of transformers, with our own exact
layers (`cache_layers`).
"""

import inspect
from dataclasses import dataclass, fields
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

from star.genomes import Genome, ModelConfig, check_fits

from ..cache import is_croppable
from ..language_model import LanguageModel
from .cache_layers import LAYER_TYPE, advance, placed, reserve

MODEL_TYPE = "star"
# What `generate` calls a cache: `past_key_values` in transformers 5.22, `cache` in 5.24.
NAMES_OF_CACHE = ("cache", "past_key_values")
_PREPARE: Any = vars(GenerationMixin)["prepare_inputs_for_generation"]
_NAMES = inspect.signature(_PREPARE).parameters
CACHE = "cache" if "cache" in _NAMES else "past_key_values"


@strict  # so that `validate` calls the own `validate_layer_type`
class StarConfig(PretrainedConfig):
    """A genome and its sizes."""

    model_type = MODEL_TYPE
    attribute_map = {"hidden_size": "width", "vocab_size": "vocabulary"}  # noqa: RUF012

    def __init__(
        self, genome: str = "91111", alphabet: str = "star", use_cache: bool = True, **sizes: Any
    ) -> None:
        """Hold it.

        Args:
            genome: its text.
            alphabet: of the genome, `extended+operators` reads all.
            use_cache: in generation.
            sizes: those of `ModelConfig`, and what `PretrainedConfig` takes.
        """
        self.genome, self.alphabet, self.use_cache = genome, alphabet, use_cache
        for size in fields(ModelConfig):
            setattr(self, size.name, sizes.pop(size.name, size.default))
        # Ours has one matrix, or two, by itself: transformers need not tie anything.
        sizes.pop("tie_word_embeddings", None)
        decoded = self.read_genome()
        self.num_hidden_layers = decoded.depth
        self.liv_classes = [liv_class.name for liv_class in decoded.classes()]
        for name in ("num_hidden_layers", "liv_classes", "layer_types"):
            sizes.pop(name, None)
        super().__init__(**{"tie_word_embeddings": False, **sizes})
        # Which layers of caches follow from; behind their `__init__`, which knows no other kinds.
        self.layer_types = [LAYER_TYPE] * decoded.depth

    def validate_layer_type(self) -> None:
        """Ours follow from the genome."""

    def read_genome(self) -> Genome:
        """The genome. Raises `GenomeError` for one that is invalid."""
        return Genome.from_text(self.genome, self.alphabet).check()

    def sizes(self) -> ModelConfig:
        """The sizes that the genome is decoded at."""
        return ModelConfig(**{size.name: getattr(self, size.name) for size in fields(ModelConfig)})


@dataclass
class StarOutput(ModelOutput):
    """Loss and logits; with a cache that too, under the name `CACHE`."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class StarForCausalLM(PreTrainedModel, GenerationMixin):
    """The language model of a genome, as transformers has them.

    Padding on the left is left out, row by row, so that a sequence gives the logits that it gives
    alone. `attention_mask` says where it is.
    """

    config_class = StarConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = False
    _no_split_modules = ["LivModule"]  # noqa: RUF012

    def __init__(self, config: StarConfig) -> None:
        super().__init__(config)
        genome, sizes = config.read_genome(), config.sizes()
        check_fits(genome, sizes)
        self.model = LanguageModel(genome, sizes)
        own = {id(weights): name for name, weights in self.named_parameters()}
        self._tied_weights_keys = {
            name: own[id(weights)]
            for name, weights in self.named_parameters(remove_duplicate=False)
            if name != own[id(weights)]
        }
        # Assisted generation takes tokens back, which running states do not let it.
        self._is_stateful = not is_croppable(self.model)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Decoding has done it."""

    def tie_weights(self, *_: Any, **__: Any) -> None:
        """Tied weights are the very same modules."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """The embedding."""
        return self.model.embedding

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        logits_to_keep: int = 0,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> StarOutput:
        """Logits of the next tokens.

        Args:
            input_ids: int64 (batch, columns), with a cache those that it has not seen.
            attention_mask: (batch, all columns), 0 for padding on the left; None: there is none.
            labels: int64 (batch, columns), -100 counts not, nor does padding on the left; the loss
                is the mean of the rest.
            logits_to_keep: only those of so many last columns; 0 gives all.
            use_cache: True makes a cache where none is given.
            kwargs: `cache`, or `past_key_values`: a cache of transformers that has seen earlier
                columns, or none; it is advanced in place, without gradients. What else `generate`
                passes is not used.

        Raises:
            ValueError: for padding between tokens, or a cache of another model or batch.
        """
        starts = first_columns(input_ids, attention_mask)
        cache = next((c for name in NAMES_OF_CACHE if (c := kwargs.get(name)) is not None), None)
        if cache is None and use_cache:
            cache = DynamicCache(config=self.config)
        seen = 0 if cache is None else cache.get_seq_length()
        if cache is not None:
            logits = advance(cache, self.model, input_ids, starts)
        else:
            logits = self._without_cache(input_ids, starts)
        loss = None
        if labels is not None:
            own = labels.clone()
            columns = torch.arange(labels.shape[1], device=labels.device) + seen
            own[columns <= starts[:, None]] = -100  # nothing precedes a first token
            loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), own[:, 1:].flatten())
        kept = logits[:, -logits_to_keep:] if logits_to_keep else logits
        output = StarOutput(loss=loss, logits=kept)
        if cache is not None:
            output[CACHE] = cache
        return output

    def _without_cache(self, tokens: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Logits (batch, columns, vocabulary); sequences that begin at one column run together."""
        by_start: dict[int, list[int]] = {}
        for row, start in enumerate(starts.tolist()):
            by_start.setdefault(start, []).append(row)
        by_start.pop(tokens.shape[1], None)  # nothing but padding
        parts = [(rows, self.model(tokens[rows, start:])) for start, rows in by_start.items()]
        return placed(parts, tokens, self.model)

    def _prepare_cache_for_generation(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, generation_config: Any, model_kwargs: dict[str, Any], *rest: Any, **named: Any
    ) -> None:
        theirs: Any = super()
        theirs._prepare_cache_for_generation(generation_config, model_kwargs, *rest, **named)
        reserve(model_kwargs.get(CACHE), generation_config.max_length)


def first_columns(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(batch,): the column of each sequence's first token, among all columns; their number for one
    that is nothing but padding.

    Args:
        tokens: (batch, columns), the last of all columns.
        mask: (batch, all columns), 0 for padding; None: there is none.

    Raises:
        ValueError: for padding behind a token that another token follows.
    """
    if mask is None:
        return torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
    is_token = mask.bool()
    starts = is_token.int().argmax(dim=1)
    lengths, last = is_token.sum(dim=1), is_token.shape[1] - is_token.flip(1).int().argmax(dim=1)
    if bool(((last - starts != lengths) & (lengths > 0)).any()):
        raise ValueError("attention_mask: padding between tokens; expected it on the left or right")
    return starts.masked_fill(lengths == 0, is_token.shape[1])


AutoConfig.register(MODEL_TYPE, StarConfig, exist_ok=True)
AutoModelForCausalLM.register(StarConfig, StarForCausalLM, exist_ok=True)
