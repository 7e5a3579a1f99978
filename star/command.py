"""What every `python -m star.<verb>` shares: Hydra, typed configuration, one-line errors and exit codes.

Exit codes: 0 done, 2 a user's mistake (one line on standard error, nothing written), 130 interrupted with Ctrl-C.
"""

import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from star.errors import UserError
from star.genomes import GenomeError

Config = TypeVar("Config")

DEFAULT_SCALES = {False: "cpu", True: "gpu_small"}
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

_REWRITES = (
    (
        r"In '.*?': Could not find '(?P<group>[\w/]+)/(?P<name>[^']+)' Available options in '[^']+': (?P<rest>.*?)"
        r"(?: Config search path.*)?$",
        r"\g<group> '\g<name>' is unknown; available: \g<rest>",
    ),
    (
        r"Could not override '(?P<key>[^']+)'\..*?(?:Key '.*?' (?:is )?not in .*)$",
        r"\g<key>: unknown key; --cfg job lists the keys",
    ),
    (r"^Error merging override (?P<override>\S+) ", r"\g<override>: "),
)


def default_scale() -> str:
    """The scale used when none is named: `gpu_small` where CUDA is available, `cpu` elsewhere."""
    import torch

    return DEFAULT_SCALES[torch.cuda.is_available()]


def register(name: str, schema: type) -> None:
    """Make a dataclass known to Hydra as `name`, for the defaults list of the command's YAML file."""
    ConfigStore.instance().store(name=name, node=schema)


def one_line(error: BaseException) -> str:
    """The error's message on one line; Hydra's own multi-line messages are cut to key, value and choices."""
    parts = [str(error)]
    if error.__cause__ is not None and isinstance(error, HydraException):
        parts.append(str(error.__cause__))
    text = " ".join(" ".join(parts).split())
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text)
    return re.sub(r" full_key: (\S+).*$", r" (key: \1)", text)


def _fail(error: BaseException) -> NoReturn:
    print(f"error: {one_line(error)}", file=sys.stderr)
    raise SystemExit(EXIT_USER_ERROR)


def run_command(config_name: str, task: Callable[[Any], None]) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and call `task` with the typed configuration.

    A mistake in the command line, a `UserError` or a `GenomeError` ends with one line and exit code 2.
    """
    OmegaConf.register_new_resolver("star.default_scale", default_scale, use_cache=True, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves reporting to us

    @hydra.main(version_base="1.3", config_path="pkg://star.conf", config_name=config_name)
    def command(config: DictConfig) -> None:
        try:
            task(OmegaConf.to_object(config))
        except (UserError, GenomeError) as error:
            _fail(error)  # here, since Hydra prints a line of its own for errors that pass through it

    try:
        command()
    except (HydraException, OmegaConfBaseException) as error:
        _fail(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
