"""Certificates: which operations in which dtypes passed their checks on which GPU, with which
Triton and torch.

A certificate is one JSON file per GPU model, Triton version and torch version. `python -m
star.kernels.certify` writes it to the user's cache; those of machines tried before travel with the
package in `certified/`. An entry speaks for the code that ran as it was checked, so editing any of
it ends the certificate.
"""

import functools
import json
import logging
import os
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from .sources import KERNELS, source_digest

FORMAT = 1
SHIPPED = KERNELS / "certified"

log = logging.getLogger(__name__)
Entry = dict[str, Any]


def user_folder() -> Path:
    """Where this user's certificates lie: below `STAR_CACHE_DIR` or the user's cache directory."""
    root = os.environ.get("STAR_CACHE_DIR")
    if not root:
        import platformdirs  # not needed, hence not demanded, where STAR_CACHE_DIR is set

        root = platformdirs.user_cache_dir("star")
    return Path(root) / "certificates"


def environment(device: torch.device) -> dict[str, str]:
    """What a certificate is valid for: the device's name and the versions of Triton and torch."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = (
            "CPU with Triton's interpreter" if os.environ.get("TRITON_INTERPRET") == "1" else "CPU"
        )
    return {"device": name, "triton": _triton_version(), "torch": torch.__version__.split("+")[0]}


def _triton_version() -> str:
    for distribution in ("triton", "pytorch-triton", "triton-windows"):
        try:
            return metadata.version(distribution).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return "none"


def file_name(valid_for: Mapping[str, str]) -> str:
    """The certificate's file name in this environment."""
    parts = (valid_for["device"], f"triton {valid_for['triton']}", f"torch {valid_for['torch']}")
    return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in parts) + ".json"


def read(path: Path, valid_for: Mapping[str, str]) -> dict[str, dict[str, Entry]]:
    """Entries by operation and dtype. Raises OSError or ValueError for no file or another one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError("it is no certificate of kernels")
    for key, value in valid_for.items():
        if content.get(key) != value:
            raise ValueError(f"its {key} is {content.get(key)!r}, expected {value!r}")
    operations = content.get("operations")
    nested = isinstance(operations, dict) and all(
        isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values())
        for entries in operations.values()
    )
    if not nested:
        raise ValueError("its operations are not a table of entries")
    return operations  # type: ignore[return-value]


def write(
    path: Path, valid_for: Mapping[str, str], entries: Mapping[str, Mapping[str, Entry]]
) -> None:
    """Write entries into the certificate at `path`, beside those of other operations and dtypes
    that it holds.

    A quick pass does not replace what a full run found out about the same source. Raises OSError.
    """
    try:
        merged = read(path, valid_for)
    except (OSError, ValueError):
        merged = {}
    for operation, by_dtype in entries.items():
        for dtype, entry in by_dtype.items():
            old = merged.setdefault(operation, {}).get(dtype, {})
            fuller = (
                old.get("sizes") == "full"
                and entry["sizes"] != "full"
                and old.get("source") == entry["source"]
            )
            if not (fuller and entry["passed"]):
                merged[operation][dtype] = entry
    content = {"format": FORMAT, **valid_for, "operations": merged}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(
        json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
    )
    temporary.replace(path)


def holds(operation: str, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a certificate of this GPU and these versions says that the operation passed in this
    dtype.

    The user's own certificate is asked first, then the shipped one. Files that cannot be read or
    belong to another environment are ignored, with one warning each.
    """
    return _holds(operation, str(dtype).removeprefix("torch."), device)


@functools.cache
def _holds(operation: str, dtype: str, device: torch.device) -> bool:
    for folder in (user_folder(), SHIPPED):
        entry = _entries(folder, device).get(operation, {}).get(dtype)
        if entry is not None and _speaks_for(entry, operation):
            return entry.get("passed") is True
    return False


def _speaks_for(entry: Entry, operation: str) -> bool:
    try:
        return entry.get("source") == source_digest(operation)
    except (KeyError, OSError):
        return False


@functools.cache
def _entries(folder: Path, device: torch.device) -> dict[str, dict[str, Entry]]:
    valid_for = environment(device)
    path = folder / file_name(valid_for)
    try:
        return read(path, valid_for)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("the kernel certificate %s is ignored: %s", path, error)
        return {}


def forget() -> None:
    """Read certificates anew at the next question."""
    for cached in (_holds, _entries):
        cached.cache_clear()
