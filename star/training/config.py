"""Settings of the training of one candidate."""

from dataclasses import dataclass, field

import torch

from star.base.devices import check_device, torch_device
from star.base.errors import UserError

SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass
class TrainingConfig:
    """AdamW training from scratch, and the held-out sample that measures quality.

    steps: optimiser steps. batch_size: sequences a step. micro_batch_size: sequences at a time
    (None: all). length: tokens a sequence. learning_rate: peak. schedule: `constant` or `cosine`
    (to final_fraction of the peak) after warmup_steps of linear warm-up. gradient_clip: largest
    gradient norm. validation_batches of validation_batch_size sequences. precision: `auto` is
    bfloat16 autocast on CUDA and float32 elsewhere.
    """

    steps: int = 100
    batch_size: int = 8
    micro_batch_size: int | None = None
    length: int = 128
    learning_rate: float = 3e-3
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    weight_decay: float = 0.1
    warmup_steps: int = 10
    schedule: str = "constant"
    final_fraction: float = 0.1
    gradient_clip: float = 1.0
    validation_batches: int = 8
    validation_batch_size: int = 16
    precision: str = "auto"
    device: str = "auto"

    def check(self) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        for name in (
            "steps",
            "batch_size",
            "length",
            "validation_batches",
            "validation_batch_size",
        ):
            _expect(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _expect("warmup_steps", self.warmup_steps, self.warmup_steps >= 0, "at least 0")
        for name in ("learning_rate", "gradient_clip"):
            _expect(name, getattr(self, name), getattr(self, name) > 0, "a positive number")
        _expect("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")
        whole = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _expect("betas", self.betas, whole, "two numbers from 0 to below 1")
        micro = self.micro_batch_size
        fits = micro is None or (micro >= 1 and self.batch_size % micro == 0)
        _expect("micro_batch_size", micro, fits, f"a divisor of batch_size={self.batch_size}")
        for name, choices in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            _expect(
                name,
                getattr(self, name),
                getattr(self, name) in choices,
                f"one of {', '.join(choices)}",
            )
        check_device("training.device", self.device)

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
        wanted = self.precision == "bfloat16" or (
            self.precision == "auto" and device.type == "cuda"
        )
        return torch.bfloat16 if wanted else None


def _expect(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise UserError(f"training.{name}={value}: expected {expected}")
