"""Settings of the training of one candidate."""

import contextlib
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, Self

import torch

from star.base.devices import check_device, torch_device
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect, expect_one_of

ADAMW = "adamw"
OPTIMIZERS = (ADAMW, "muon")
COPY, IDENTITY = "copy", "identity"
COPIES = (COPY, IDENTITY)
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16")
RANGES = {
    "steps": Range(1, 10**9),
    "batch_size": Range(1, 10**7),
    "length": Range(1, 10**7),
    "learning_rate": Range(0, sys.float_info.max, above=True),  # what diverges says so itself
    "matrix_learning_rate": Range(0, sys.float_info.max, above=True),
    "weight_decay": Range(0, 10**9),
    "warmup_steps": Range(0, 10**9),
    "final_fraction": Range(0, 1),
    "gradient_clip": Range(0, inf, above=True),
    "rate_steps": Range(1, 10**9),
    "validation_length": Range(1, 10**7),
    "validation_batches": Range(1, 10**7),
    "validation_batch_size": Range(1, 10**7),
}
MOST_TOKENS, MOST_WINDOWS = 10**9, 10**7  # of a step, and of the held-out sample


@dataclass
class TrainingConfig:
    """Training from scratch, and the held-out sample that measures quality."""

    steps: int = 100  # optimiser steps
    batch_size: int = 8  # sequences a step
    micro_batch_size: int | None = None  # sequences at a time; null: all
    length: int = 128  # tokens a sequence
    optimizer: str = "adamw"  # or muon: hidden matrices by Muon, all else by AdamW
    learning_rate: float = 3e-3  # the peak
    matrix_learning_rate: float = 0.02  # the peak of Muon's matrices; `learning_rate` is AdamW's
    # several peaks to train at, of which the best on other held-out text is reported; [] is one.
    # Muon's rate is multiplied alike: it stays the same multiple of AdamW's
    learning_rates: list[float] = field(default_factory=list)
    rate_steps: int | None = None  # after which the best of them goes on alone; null: all steps
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])  # of AdamW
    weight_decay: float = 0.1  # of matrices; norms, biases and other vectors have none
    warmup_steps: int = 10  # of linear warm-up
    schedule: str = "constant"  # constant, or cosine: down to final_fraction of the peak
    final_fraction: float = 0.1  # of the peak, at the end of a cosine
    gradient_clip: float = 1.0  # largest gradient norm
    validation_length: int | None = None  # tokens a held-out sequence; null: as in training
    validation_batches: int = 8  # of the held-out sample
    validation_batch_size: int = 16  # sequences in each of them
    precision: str = "auto"  # float32, or bfloat16 autocast; auto: the latter on CUDA
    device: str = "auto"  # cpu or cuda; auto: cuda where there is a GPU
    # a checkpoint folder, of a smaller model, whose weights are the beginning (`star.train` alone)
    init_from: str | None = None
    # copy: every LIV made of one of the small model has its output; identity: the first alone has
    init_copies: str = COPY

    def check(self, may_begin: bool = False) -> None:
        """Raise `UserError` for the first value that cannot be used. may_begin: whether the
        training may begin from a checkpoint."""
        expected = "null, since only star.train begins from a checkpoint"
        self._expect("init_from", may_begin or self.init_from is None, expected)
        self._expect("init_from", self.init_from != "", "a checkpoint folder, or null")
        expect_one_of("training.init_copies", self.init_copies, COPIES)
        expect_ranges("training.", self, RANGES)
        is_small = self.tokens_per_step <= MOST_TOKENS
        self._expect("batch_size", is_small, f"at most {MOST_TOKENS:,} tokens a step")
        windows = self.validation_batches * self.validation_batch_size
        is_small = windows <= MOST_WINDOWS
        self._expect("validation_batches", is_small, f"at most {MOST_WINDOWS:,} windows in all")
        whole = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        self._expect("betas", whole, "two numbers from 0 to below 1")
        micro = self.micro_batch_size
        fits = micro is None or (micro >= 1 and self.batch_size % micro == 0)
        self._expect("micro_batch_size", fits, f"a divisor of batch_size={self.batch_size}")
        self._check_rates()
        expect_one_of("training.optimizer", self.optimizer, OPTIMIZERS)
        expect_one_of("training.schedule", self.schedule, SCHEDULES)
        expect_one_of("training.precision", self.precision, PRECISIONS)
        check_device("training.device", self.device)

    def _check_rates(self) -> None:
        rates = self.learning_rates
        allowed = RANGES["learning_rate"]
        fits = not rates or (len(set(rates)) == len(rates) > 1)
        fits = fits and not any(map(allowed.expected, rates))
        expected = "two or more different numbers above 0, or [] to train at learning_rate alone"
        self._expect("learning_rates", fits, expected)
        if self.rate_steps is not None:
            expected = "null, since learning_rates=[] are none to choose from"
            self._expect("rate_steps", bool(rates), expected)
            expected = f"at most training.steps={self.steps}"
            self._expect("rate_steps", self.rate_steps <= self.steps, expected)

    def check_one_rate(self) -> None:
        """Raise `UserError` where there are rates to choose from, which only a search does."""
        expected = "[], since one training has one rate; set training.learning_rate"
        self._expect("learning_rates", not self.learning_rates, expected)

    def at_rate(self, learning_rate: float) -> Self:
        """The settings of one training at that peak; Muon's is the same multiple of it as here."""
        matrices = self.matrix_learning_rate * learning_rate / self.learning_rate
        return replace(
            self,
            learning_rate=learning_rate,
            matrix_learning_rate=matrices,
            learning_rates=[],
            rate_steps=None,
        )

    def _expect(self, name: str, holds: bool, expected: str) -> None:
        expect(f"training.{name}", getattr(self, name), holds, expected)

    def content(self) -> dict[str, Any]:
        """The settings as recipes keep them: those that came later only while they are in use, so
        that results of before keep their keys."""
        content = asdict(self)
        if self.optimizer == ADAMW:
            del content["optimizer"], content["matrix_learning_rate"]
        if self.init_from is None:
            del content["init_from"], content["init_copies"]
        if not self.learning_rates:
            del content["learning_rates"], content["rate_steps"]
        if self.validation_length in (None, self.length):
            del content["validation_length"]
        return content

    @property
    def tokens(self) -> int:
        """Training tokens in all."""
        return self.steps * self.tokens_per_step

    @property
    def tokens_per_step(self) -> int:
        """Training tokens of one step."""
        return self.batch_size * self.length

    def torch_device(self) -> torch.device:
        """The device to train on: CUDA when wanted or, for `auto`, when there is one."""
        return torch_device(self.device)

    def autocast_dtype(self, device: torch.device) -> torch.dtype | None:
        """bfloat16 where autocast is wanted, else None."""
        on_gpu = self.precision == "auto" and device.type == "cuda"
        return torch.bfloat16 if self.precision == "bfloat16" or on_gpu else None

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which a model is called."""
        dtype = self.autocast_dtype(device)
        if dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=dtype)
