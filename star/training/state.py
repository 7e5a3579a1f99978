"""The state of a training on disk: one safetensors file from which it goes on bit for bit."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from star.base import files
from star.base.errors import UserError, shown
from star.base.files import check_tensors, copy_weights, named_weights, read_tensors
from star.training.loop import Trainer
from star.training.optimizers import STEP, moments_of

SCHEMA = "1"
WEIGHTS, MOMENTS = "model.", "optimizer."  # before the names of tensors
BESIDE = "beside."  # before those of what is trained beside the model
WITHOUT = "without_moments"  # numbers of weights that no gradient reached, with spaces between


def save_state(
    path: Path, trainer: Trainer, beside: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write weights, optimiser moments and the step as one whole file. beside: further tensors that
    belong to the same step."""
    tensors = {
        f"{WEIGHTS}{name}": parameter for name, parameter in named_weights(trainer.model).items()
    }
    tensors |= {f"{BESIDE}{name}": tensor for name, tensor in (beside or {}).items()}
    moments = trainer.optimizer.state_dict()["state"]
    for index, of_weight in moments.items():
        tensors.update({f"{MOMENTS}{index}.{name}": x for name, x in of_weight.items()})
    numbers = range(len(moments_of(trainer.optimizer)))
    without = " ".join(str(index) for index in numbers if index not in moments)
    metadata = {"schema": SCHEMA, "step": str(trainer.step), WITHOUT: without}
    files.write_tensors(path, tensors, metadata)


def load_state(
    path: Path,
    trainer: Trainer,
    most: int | None = None,
    beside: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Bring a fresh trainer of the same model and settings to the saved state.

    Args:
        path: of the file.
        trainer: as it is in the beginning; it stays so when anything is raised.
        most: finished steps that the state may have; None is all of the training's.
        beside: tensors of the shapes that were saved beside it, which get their values.

    Raises:
        UserError: for a file that cannot be read, or holds anything else than what such a trainer
            saves.
    """
    tensors, metadata = read_tensors(path)
    step = _read_step(path, metadata, trainer.config.steps if most is None else most)
    further = {f"{BESIDE}{name}": tensor for name, tensor in (beside or {}).items()}
    check_tensors(_expected(trainer, step, metadata) | further, tensors, path)
    parts = {
        part: {n.removeprefix(part): x for n, x in tensors.items() if n.startswith(part)}
        for part in (WEIGHTS, MOMENTS)
    }
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in parts[MOMENTS].items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor
        if name == STEP and not 1 <= float(tensor) <= step:
            raise UserError(
                f"{path}: {MOMENTS}{key} is {float(tensor):g}, expected 1 to {step}; delete the "
                "file to train from the start"
            )
    copy_weights(trainer.model, parts[WEIGHTS])
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    with torch.no_grad():
        for name, tensor in further.items():
            tensor.copy_(tensors[name])
    trainer.step = step


def _read_step(path: Path, metadata: Mapping[str, str], steps: int) -> int:
    """The number of finished steps. Raises `UserError` for none that this training can have."""
    if metadata.get("schema") != SCHEMA:
        raise UserError(
            f"{path}: not the state of a training of this version; delete it to train from the "
            f"start"
        )
    text = metadata.get("step", "")
    if not re.fullmatch("[0-9]{1,12}", text):
        raise UserError(
            f"{path}: step is {shown(repr(text), 40)}, expected a whole number; delete it to train "
            "from the start"
        )
    if int(text) > steps:
        raise UserError(
            f"{path}: has done {int(text)} steps, and steps={steps} are wanted; give at least as "
            "many, or another run_dir"
        )
    return int(text)


def _expected(trainer: Trainer, step: int, metadata: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Tensors of the shapes and dtypes that a state after so many steps holds, by name."""
    expected = {f"{WEIGHTS}{name}": x for name, x in named_weights(trainer.model).items()}
    without = metadata.get(WITHOUT, "").split()
    for index, moments in enumerate(moments_of(trainer.optimizer)) if step else ():
        if str(index) not in without:
            expected.update({f"{MOMENTS}{index}.{name}": x for name, x in moments.items()})
    return expected
