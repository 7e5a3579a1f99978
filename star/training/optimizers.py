"""The optimiser of a training, and its learning rate step by step."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from star.training.config import ADAMW, TrainingConfig
from star.training.muon import Muon

# What each optimiser keeps for a weight: tensors of its shape, or a scalar `step`.
STEP = "step"
MOMENTS = {"AdamW": (STEP, "exp_avg", "exp_avg_sq"), "Muon": ("momentum_buffer",)}
RATIO = "learning_rate_ratio"  # key of a group: its rate, as a multiple of the schedule's
HEAD = "head"  # name of the module that gives the logits


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Learning rate of a step counted from 0: linear warm-up, then constant or cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * cosine)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Give every group that rate, or the multiple of it that the group asks for."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get(RATIO, 1.0)


class Combined(Optimizer):
    """Several optimisers, each of some of a model's weights, as one.

    Groups and states are those of its parts, one after the other, so that a schedule and a saved
    state need not know of them.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        """parts: of weights that do not overlap; they may not be stepped yet."""
        self.parts = tuple(parts)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let the parts work on the groups and states of the whole."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.state = self.state
            part.param_groups = [next(groups) for _ in part.param_groups]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, for the whole; the parts go on from it."""
        super().load_state_dict(state_dict)
        self._share()

    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """One step of every part. closure: gives the loss anew, if it is wanted."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss


def hidden_matrices(model: nn.Module) -> list[torch.Tensor]:
    """What Muon is made for (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): the
    weights of linear maps between hidden features.

    Not the embedding nor the head, and no weights that only look like matrices, such as those of
    convolutions, one row a channel: orthogonal rows mean nothing there.
    """
    weights = {
        module.weight: None
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] != HEAD
    }
    tied = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    return [w for w in weights if w not in tied and not getattr(w, "no_weight_decay", False)]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """AdamW, or Muon for the hidden matrices and AdamW for the rest; weight decay on matrices only.

    Norms, biases and other vectors are not decayed, nor are parameters that a model marks with
    `no_weight_decay`. Muon is as torch's own with its defaults: momentum 0.95 (Nesterov), five
    Newton-Schulz steps, and rates scaled by sqrt(max(1, rows / columns)).
    """
    if config.optimizer == ADAMW:
        return _adamw(model.parameters(), config)
    matrices = hidden_matrices(model)
    known = set(matrices)
    ratio = config.matrix_learning_rate / config.learning_rate
    muon = Muon(
        [{"params": matrices, RATIO: ratio}],
        lr=config.matrix_learning_rate,
        weight_decay=config.weight_decay,
    )
    return Combined([muon, _adamw((p for p in model.parameters() if p not in known), config)])


def _adamw(parameters: Iterator[nn.Parameter], config: TrainingConfig) -> AdamW:
    decayed, free = [], []
    for parameter in parameters:
        is_matrix = parameter.ndim >= 2 and not getattr(parameter, "no_weight_decay", False)
        (decayed if is_matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return AdamW(groups, lr=config.learning_rate, betas=(beta1, beta2), fused=True)


def moments_of(optimizer: Optimizer) -> list[dict[str, torch.Tensor]]:
    """What is kept for each weight, in the order that `Optimizer.state_dict` numbers them: tensors
    of the right shapes and dtypes by name, not the values."""
    moments = []
    for part in optimizer.parts if isinstance(optimizer, Combined) else (optimizer,):
        names = MOMENTS[type(part).__name__]
        for weight in (weight for group in part.param_groups for weight in group["params"]):
            moments.append({n: torch.zeros(()) if n == STEP else weight for n in names})
    return moments
