"""The optimiser of a training, and its learning rate step by step."""

import math

import torch
from torch import nn

from star.training.config import TrainingConfig


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Learning rate of a step counted from 0: linear warm-up, then constant or cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * cosine)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only: norms, biases and other vectors are not decayed,
    nor are parameters that a model marks with `no_weight_decay`."""
    decayed, free = [], []
    for parameter in model.parameters():
        is_matrix = parameter.ndim >= 2 and not getattr(parameter, "no_weight_decay", False)
        (decayed if is_matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(beta1, beta2), fused=True)
