"""Objectives that are measured on the device at hand: time and memory of generation.

The candidate is built anew with random weights, since neither depends on their values. Numbers of
two machines are never compared: the device's name is one of the settings, so that it is part of the
recipe, and a worker on another device refuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch

from star.base.errors import UserError
from star.base.random_numbers import seeded
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect_one_of
from star.evaluation.measuring import (
    Timing,
    machine_name,
    peak_of,
    quiet,
    seconds,
    summarise,
)
from star.evaluation.objectives.base import OWN, Context, Objective
from star.evaluation.objectives.static import format_bytes
from star.genomes import DTYPE_BYTES, GenomeError
from star.genomes.model_config import check_width
from star.models import Cache, LanguageModel, decode
from star.models.generation import PREFILL_CHUNK

RANGES = {
    "context": Range(2, 10**7),
    "batch": Range(1, 10**5),
    "tokens": Range(1, 10**5),
    "warmup": Range(1, 10**4),
    "repeats": Range(2, 10**4),
    "threads": Range(1, 4096),
}


@dataclass
class OnDevice(Objective):
    """What these objectives have in common: what is generated, and where."""

    context: int = 512  # positions that generation is measured at, and that the cache has room for
    batch: int = 1  # sequences
    width: int | None = None  # of the model; null: model.width
    dtype: str = "float32"  # of weights and cache; running states are float32
    tokens: int = 16  # decoded one by one, the last of the context
    warmup: int = 1  # repeats that do not count
    repeats: int = 12  # that count
    threads: int = 1  # of PyTorch on a CPU
    device: str = ""  # name of the device; empty: the one that the search begins on

    cost: ClassVar[str] = OWN
    on_device: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the settings: whoever makes one has them from a user."""
        self.check()

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        prefix = f"objectives.{self.name}."
        expect_ranges(prefix, self, RANGES)
        expect_one_of(f"{prefix}dtype", self.dtype, tuple(DTYPE_BYTES))
        if self.tokens >= self.context:
            raise UserError(
                f"{prefix}tokens={self.tokens}: expected less than context={self.context}, since "
                "they are its last"
            )
        if self.width is not None:
            try:
                check_width("width", self.width)
            except GenomeError as error:
                raise UserError(str(error).replace("model.", prefix, 1)) from None

    def measure(self, context: Context) -> Mapping[str, float]:
        """Of a fresh model. Raises `UserError` on another device than the search's."""
        device = context.recipe.training.torch_device()
        self._expect_device(machine_name(device))
        with seeded(context.recipe.seed, device), quiet(self.threads):
            return self.measure_model(self._build(context, device), device)

    def _expect_device(self, here: str) -> None:
        if self.device not in ("", here):
            raise UserError(
                f"objectives.{self.name}.device={self.device}: this worker runs on {here}, and "
                "numbers of two devices are not compared; use workers of one kind, or name theirs"
            )

    def _build(self, context: Context, device: torch.device) -> LanguageModel:
        recipe = context.recipe
        sizes = recipe.model if self.width is None else replace(recipe.model, width=self.width)
        model = decode(context.genome, sizes).to(device, getattr(torch, self.dtype))
        return model.eval().requires_grad_(False)

    def measure_model(self, model: LanguageModel, device: torch.device) -> Mapping[str, float]:
        """Of a model on its device."""
        raise NotImplementedError

    def _prepared(self, model: LanguageModel) -> tuple[Cache, torch.Tensor]:
        """An empty cache, and random tokens int64 (batch, context)."""
        shape, vocabulary = (self.batch, self.context), model.embedding.num_embeddings
        tokens = torch.randint(vocabulary, shape, device=model.device)
        return Cache.allocate(model, self.batch, self.context), tokens

    def _named(self, value: float, timing: Timing, late: float) -> dict[str, float]:
        """A timed value with what came with it. late: the value at the 95th percentile."""
        name = self.name
        return {name: value, f"{name}_p95": late, f"{name}_spread": timing.spread}


class DecodeLatency(OnDevice):
    """Milliseconds for one more token of every sequence at the end of the context.

    Each position is decoded once a repeat and takes its fastest repeat; the value is the median
    over the positions. `_p95` is the 95th percentile of all samples, `_spread` the distance from
    their 5th to it over their median: what other work on the machine added.
    """

    name, unit, label = "decode_latency", "ms/token", "latency"
    repeatable: ClassVar[bool] = False

    def measure_model(self, model: LanguageModel, device: torch.device) -> Mapping[str, float]:
        """In milliseconds."""
        cache, tokens = self._prepared(model)
        start = self.context - self.tokens
        prefill(model, cache, tokens[:, :start])
        samples = np.zeros((self.warmup + self.repeats, self.tokens))
        for repeat in samples:
            move(cache, start)
            for number in range(self.tokens):
                token = tokens[:, start + number]
                work = partial(model.step, token, cache)
                repeat[number] = seconds(work, device, self.threads)
        timing = summarise(samples[self.warmup :])
        return self._named(1e3 * timing.fastest, timing, 1e3 * timing.p95)

    def format(self, value: float) -> str:
        """In milliseconds, three digits."""
        return f"{value:.3g}ms"


class PrefillThroughput(OnDevice):
    """Tokens a second, all sequences together, while a prompt of the whole context is read.

    The fastest of the repeats; `_p95` is what 95% of them reach, `_spread` as of `decode_latency`.
    """

    name, unit, label, maximised = "prefill_throughput", "tokens/s", "prefill", True
    repeatable: ClassVar[bool] = False

    def measure_model(self, model: LanguageModel, device: torch.device) -> Mapping[str, float]:
        """In tokens a second."""
        cache, tokens = self._prepared(model)
        samples = np.zeros((self.warmup + self.repeats, 1))
        for repeat in samples:
            move(cache, 0)
            work = partial(prefill, model, cache, tokens)
            repeat[0] = seconds(work, device, self.threads)
        timing, read = summarise(samples[self.warmup :]), tokens.numel()
        return self._named(read / timing.fastest, timing, read / timing.p95)

    def format(self, value: float) -> str:
        """In thousands of tokens a second."""
        return f"{value / 1e3:,.1f}k/s"


class PeakMemory(OnDevice):
    """The most bytes that tensors take while a prompt is read and the last tokens are decoded:
    weights, cache, tables, and activations.

    A GPU's allocator counts them there; on a CPU every storage is followed, without what an
    operator takes and gives back within itself.
    """

    name, unit, label = "peak_memory", "bytes", "peak"

    def measure_model(self, model: LanguageModel, device: torch.device) -> Mapping[str, float]:
        """In bytes."""
        self._generate(model)  # what is made once, such as compiled kernels, is there then
        held = [*model.parameters(), *model.buffers()]
        return {self.name: peak_of(lambda: self._generate(model), held, device)}

    def _generate(self, model: LanguageModel) -> None:
        cache, tokens = self._prepared(model)
        prefill(model, cache, tokens[:, : -self.tokens])
        for number in range(self.tokens, 0, -1):
            model.step(tokens[:, -number], cache)

    def format(self, value: float) -> str:
        """In kilobytes."""
        return format_bytes(value)


def prefill(model: LanguageModel, cache: Cache, tokens: torch.Tensor) -> None:
    """Read tokens int64 (batch, length) in the parts that generation reads a prompt in."""
    for part in tokens.split(PREFILL_CHUNK, dim=1):
        model.prefill(part, cache)


def move(cache: Cache, position: int) -> None:
    """Let a cache go on from an earlier position, for the same work again: its running states stay
    as they are, so only the time of what follows is right."""
    for memory in cache.memories:
        memory.position = position
