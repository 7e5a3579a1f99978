"""Files: whole or not at all when written, checked when read. Nothing that is read is unpickled."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from star.base.errors import UserError, plain
from star.base.reading import expanded, is_file, kind_of, named, reason

if TYPE_CHECKING:
    import torch
    from torch import nn

# What to do about what the system says; anything else is a folder one may not write to.
FULL = "free some space, and the same command goes on from what is there"
REMEDIES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "it was moved or deleted, or cannot be made there",
}


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise `UserError` for what the system does not let this process write in a run folder."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose a folder you may write to")
        what = f"{named('run_dir', folder)}: cannot be written ({reason(error)})"
        raise UserError(f"{what}; {remedy}") from None


def free_path(key: str, given: str) -> Path:
    """The file that a setting names. Raises `UserError` where something is there already."""
    path = expanded(given)
    there = kind_of(path, key)
    if there:
        raise UserError(f"{key}={given}: is {there} already; choose another name")
    return path


def write_named(key: str, given: str, content: str | bytes) -> Path:
    """Write the file that a setting names, and give its path. Raises `UserError` where it cannot.

    Args:
        key: the setting.
        given: its value, as it was typed.
        content: a text, or bytes as they are.
    """
    path = expanded(given)
    try:
        if isinstance(content, str):
            write_text(path, content)
        else:
            write_bytes(path, content)
    except OSError as error:
        raise UserError(f"{key}={given}: cannot be written ({reason(error)})") from None
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, with names of files that are not UTF-8 as they are."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; a process killed at any instant leaves the old one or the new one.

    What it leaves beside it, half of the new one under another name, `remove_leftovers` finds.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:  # a full disk, or Ctrl-C
        with suppress(OSError):
            temporary.unlink()
        raise


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove the half-written files of processes that were killed while they wrote.

    Those of a process that is alive stay, but for ones named after this process, which writes
    nothing there yet: its number was that of another one before, as in a container.

    Args:
        folder: where to look.
        names: a regular expression that the whole names of the files themselves match.
    """
    pattern = re.compile(rf"\.(?:{names})\.(?P<process>[1-9]\d{{0,9}})")
    for name in os.listdir(folder) if folder.is_dir() else ():
        match = pattern.fullmatch(name)
        if match and not _is_other_process(int(match["process"])):
            with suppress(OSError):
                (folder / name).unlink()


def temporary_folder(parent: Path, prefix: str) -> Path:
    """A fresh folder, named after this process; those of dead processes are removed.

    Args:
        parent: where it lies; may be shared with other machines.
        prefix: of its name.
    """
    machine = f"{zlib.crc32(platform.node().encode()) & 0xFFFF:04x}"
    pattern = re.compile(rf"{re.escape(prefix)}_{machine}_(?P<process>[1-9]\d{{0,9}})_\w+")
    for name in os.listdir(parent):
        match = pattern.fullmatch(name)
        if match and not _is_running(int(match["process"])):
            shutil.rmtree(parent / name, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}_{machine}_{os.getpid()}_", dir=parent))


def _is_other_process(number: int) -> bool:
    return number != os.getpid() and _is_running(number)


def _is_running(number: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; tensors are copied to the CPU and must not share memory."""
    from safetensors.torch import save  # brings torch, which text files do without

    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(on_cpu, dict(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises `UserError` when it cannot be read."""
    from safetensors import SafetensorError, safe_open

    if not is_file(path):
        raise UserError(f"{path}: is {kind_of(path) or 'missing'}, expected a file")
    try:
        path.open("rb").close()  # safetensors calls a file missing that may not be read
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({plain(error)})") from None


def stored_dtype(paths: Iterable[Path]) -> torch.dtype:
    """The one dtype of all tensors of safetensors files; float32 where they have several.

    Raises `UserError` for a file that cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    found: set[str] = set()
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                names = file.keys()
                found |= {file.get_slice(name).get_dtype() for name in names}
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not readable as safetensors ({plain(error)})") from None
    dtypes = {"BF16": torch.bfloat16, "F16": torch.float16}
    return dtypes.get(found.pop(), torch.float32) if len(found) == 1 else torch.float32


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every weight once; tied ones under the name of their owner."""
    return dict(model.named_parameters())


def check_tensors(
    wanted: Mapping[str, torch.Tensor],
    found: Mapping[str, torch.Tensor],
    path: Path,
    any_float: bool = False,
) -> None:
    """Check that tensors of a file are those that are wanted, before any of them is used.

    Args:
        wanted: tensors of the right shapes and dtypes, by name.
        found: those of the file.
        path: of the file.
        any_float: another floating dtype than the wanted one will do.

    Raises:
        UserError: naming the file and the first tensor that is missing, unknown, or of another
            shape or dtype.
    """
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is unknown to it" for name in found if name not in wanted]
    for name in filter(found.__contains__, wanted):
        one, other = found[name], wanted[name]
        if one.shape != other.shape:
            shapes = f"{tuple(one.shape)}, expected {tuple(other.shape)}"
            problems.append(f"{name} has shape {shapes}")
        elif one.dtype != other.dtype and not (any_float and one.is_floating_point()):
            problems.append(f"{name} has dtype {one.dtype}, expected {other.dtype}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(
            f"{path}: does not fit the genome and the sizes beside it: {problems[0]}{more}"
        )


def copy_weights(model: nn.Module, found: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors named as in `named_weights` into the model, in place; `check_tensors` first."""
    import torch

    with torch.no_grad():
        for name, weight in named_weights(model).items():
            weight.copy_(found[name])
