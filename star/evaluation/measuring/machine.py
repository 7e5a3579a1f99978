"""Which machine a measurement was made on, so that those of two are never compared."""

import os
import platform
from functools import cache
from pathlib import Path

import torch

_CPUS = Path("/proc/cpuinfo")


def machine_name(device: torch.device) -> str:
    """The GPU's name, or the processor's with its cores: `AMD EPYC 7B13, 2 cores`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


@cache
def _processor() -> str:
    name = _linux_model() or platform.processor() or platform.machine() or "CPU"
    return f"{' '.join(name.split())}, {os.cpu_count() or 1} cores"


def _linux_model() -> str:
    """The first processor's model; empty elsewhere, and where the system does not tell."""
    try:
        lines = _CPUS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    named = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(named, "")
