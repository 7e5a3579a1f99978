"""The state of a training on disk: one safetensors file from which it goes on bit for bit."""

from pathlib import Path

import torch

from star.base import files
from star.base.errors import UserError
from star.base.files import copy_weights, named_weights, read_tensors
from star.training.loop import Trainer

SCHEMA = "1"


def save_state(path: Path, trainer: Trainer) -> None:
    """Write weights, optimiser moments and the step as one whole file."""
    tensors = {
        f"model.{name}": parameter for name, parameter in named_weights(trainer.model).items()
    }
    for index, moments in trainer.optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{name}": moment for name, moment in moments.items()})
    files.write_tensors(path, tensors, {"schema": SCHEMA, "step": str(trainer.step)})


def load_state(path: Path, trainer: Trainer) -> None:
    """Bring a fresh trainer of the same model and settings to the saved state.

    Raises `UserError` when the file cannot be read or belongs to another model.
    """
    tensors, metadata = read_tensors(path)
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = tensor
    if (
        metadata.get("schema") != SCHEMA
        or not metadata.get("step", "").isdecimal()
        or len(parts) > 2
    ):
        raise UserError(
            f"{path}: not the state of a training of this version; delete it to train from the "
            f"start"
        )
    copy_weights(trainer.model, parts["model"], path)
    _restore_moments(trainer.optimizer, parts["optimizer"])
    trainer.step = int(metadata["step"])


def _restore_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Moments named `<index>.<name>`, as `Optimizer.state_dict` numbers the weights."""
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )
