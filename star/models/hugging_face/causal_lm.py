"""Any genome as a causal language model of Hugging Face `transformers`.

Importing this module registers `StarConfig` and `StarForCausalLM`, so that `AutoModelForCausalLM`
loads the folders that `star.export` writes. Generation keeps our own exact caches (`StarCache`).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

from star.genomes import Genome, ModelConfig, check_fits

from ..cache import Cache
from ..language_model import LanguageModel

MODEL_TYPE = "star"
# What `generate` calls a cache: `cache` from transformers 5.2x on, `past_key_values` before.
_PREPARE: Any = vars(GenerationMixin)["prepare_inputs_for_generation"]
_NAMES = inspect.signature(_PREPARE).parameters
CACHE = "cache" if "cache" in _NAMES else "past_key_values"


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
        # Not `layer_types`, which must be of a list that transformers has, without SwiGLUs alone.
        self.liv_classes = [liv_class.name for liv_class in decoded.classes()]
        for name in ("num_hidden_layers", "liv_classes"):
            sizes.pop(name, None)
        super().__init__(**{"tie_word_embeddings": False, **sizes})

    def read_genome(self) -> Genome:
        """The genome. Raises `GenomeError` for one that is invalid."""
        return Genome.from_text(self.genome, self.alphabet).check()

    def sizes(self) -> ModelConfig:
        """The sizes that the genome is decoded at."""
        return ModelConfig(**{size.name: getattr(self, size.name) for size in fields(ModelConfig)})


class StarCache:
    """Caches of a batch of sequences of which some begin later, behind padding on their left.

    Sequences that begin at one column have a cache together.
    """

    # What `generate` asks of caches: it makes no masks for ours, and compiles nothing.
    is_compileable = False
    is_linear = (True,)

    def __init__(self, context: int) -> None:
        """context: columns that there is room for."""
        self.context = context
        self._columns = 0
        self._groups: list[tuple[torch.Tensor, Cache]] = []  # rows, and their cache

    def get_seq_length(self, *_: Any, **__: Any) -> int:
        """Columns seen so far."""
        return self._columns

    def advance(
        self, model: LanguageModel, tokens: torch.Tensor, starts: torch.Tensor
    ) -> torch.Tensor:
        """Logits (batch, columns, vocabulary) of the next tokens int64 (batch, columns); those of
        padding are 0.

        Args:
            model: whose caches they are.
            tokens: the next columns.
            starts: (batch,), the column of each sequence's first token, counted from the first
                column of all; used in the first call alone.
        """
        skipped = [0] * len(self._groups)
        if not self._groups:
            for start in starts.unique().tolist():
                rows = (starts == start).nonzero()[:, 0]
                cache = Cache.allocate(model, len(rows), self.context - start)
                self._groups.append((rows, cache))
                skipped.append(start)
        parts = [
            (rows, model.prefill(tokens[rows, skip:], cache))
            for (rows, cache), skip in zip(self._groups, skipped, strict=True)
        ]
        self._columns += tokens.shape[1]
        return placed(parts, tokens)

    def reorder_cache(self, order: torch.Tensor) -> None:
        """Sequence i becomes sequence order[i], as beam search does, which stays among the beams of
        one prompt."""
        for rows, cache in self._groups:
            places = {int(row): place for place, row in enumerate(rows)}
            cache.reorder([places[int(order[row])] for row in rows.tolist()])


def placed(parts: Sequence[tuple[torch.Tensor, torch.Tensor]], like: torch.Tensor) -> torch.Tensor:
    """Logits of groups of rows as those of the batch, at its last columns; 0 before them.

    Args:
        parts: rows, and their logits (rows, columns or fewer, vocabulary).
        like: tokens (batch, columns).
    """
    if len(parts) == 1 and parts[0][1].shape[1] == like.shape[1]:
        return parts[0][1]
    columns = like.shape[1]
    padded = [F.pad(logits, (0, 0, columns - logits.shape[1], 0)) for _, logits in parts]
    order = torch.cat([rows for rows, _ in parts]).argsort()
    return torch.cat(padded)[order]


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
    _is_stateful = True  # running states cannot be taken back, as assisted generation does
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
        **kwargs: Any,
    ) -> StarOutput:
        """Logits of the next tokens.

        Args:
            input_ids: int64 (batch, columns), with a cache those that it has not seen.
            attention_mask: (batch, all columns), 0 for padding on the left; None: there is none.
            labels: int64 (batch, columns), -100 counts not, nor does padding on the left; the loss
                is the mean of the rest.
            logits_to_keep: only those of so many last columns; 0 gives all.
            kwargs: `cache`, a `StarCache`, or `past_key_values` with transformers before 5.2x; what
                else `generate` passes is not used.

        Raises:
            ValueError: for padding between tokens.
        """
        cache: StarCache | None = kwargs.get(CACHE)
        starts = first_columns(input_ids, attention_mask)
        if cache is not None:
            logits = cache.advance(self.model, input_ids, starts)
        else:
            groups = [(starts == start).nonzero()[:, 0] for start in starts.unique()]
            parts = [(rows, self.model(input_ids[rows, int(starts[rows[0]]) :])) for rows in groups]
            logits = placed(parts, input_ids)
        loss = None
        if labels is not None:
            own = labels.clone()
            columns = torch.arange(labels.shape[1], device=labels.device)
            own[columns <= starts[:, None]] = -100  # nothing precedes a first token
            loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), own[:, 1:].flatten())
        kept = logits[:, -logits_to_keep:] if logits_to_keep else logits
        output = StarOutput(loss=loss, logits=kept)
        if cache is not None:
            output[CACHE] = cache
        return output

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _prepare_cache_for_generation(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, generation_config: Any, model_kwargs: dict[str, Any], *_: Any, **__: Any
    ) -> None:
        if generation_config.use_cache is not False and model_kwargs.get(CACHE) is None:
            model_kwargs[CACHE] = StarCache(generation_config.max_length)

    def prepare_inputs_for_generation(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The columns that the cache has not seen."""
        cache = kwargs.get(CACHE)
        seen = 0 if cache is None else cache.get_seq_length()
        return {"input_ids": input_ids[:, seen:], "attention_mask": attention_mask, CACHE: cache}


def first_columns(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(batch,): the column of each sequence's first token, among all columns.

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
    if bool((last - starts != lengths).any()):
        raise ValueError("attention_mask: padding between tokens; expected it on the left or right")
    return starts


AutoConfig.register(MODEL_TYPE, StarConfig, exist_ok=True)
AutoModelForCausalLM.register(StarConfig, StarForCausalLM, exist_ok=True)
