"""What every `python -m star.<verb>` shares: Hydra, typed configuration, one-line errors and exit
codes.

Exit codes: 0 done, 1 failed, with one line on standard error (`fail`) or a traceback, 2 a user's
mistake (one line on standard error, nothing written), 130 interrupted with Ctrl-C.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_module
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from star.base.errors import UserError
from star.genomes import GenomeError

DEFAULT_SCALES = {False: "cpu", True: "gpu_small"}
EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
LARGEST_SEED = 2**63 - 1  # what torch's generators take

_MERGE_ERROR = "Error merging override "
_REWRITES = (
    (
        r"In '.*?': Could not find '(?P<group>[\w/]+)/(?P<name>[^']*)' Available options in "
        r"'[^']+': (?P<rest>.*?)"
        r"(?: Config search path.*)?$",
        r"\g<group> '\g<name>' is unknown; available: \g<rest>",
    ),
    (
        r"^(?:Could not override .*?)?Key '\S*' is not in struct full_key: "
        r"(?P<key>\S+).*$",  # an open dictionary
        r"\g<key>: unknown key; +\g<key>=... adds one",
    ),
    (
        r"^(?:Could not override .*?)?Key '\S*' not in '\w+' full_key: (?P<key>\S+).*$",
        r"\g<key>: unknown key; --cfg job lists the keys",
    ),
    (
        r"^.* has missing mandatory value: .* full_key: (?P<key>\S+).*$",
        r"\g<key>: a value is required",
    ),
    (r" full_key: (\S+).*$", r" (key: \1)"),
)


def default_scale() -> str:
    """The scale used when none is named: `gpu_small` where CUDA is available, `cpu` elsewhere."""
    import torch

    return DEFAULT_SCALES[torch.cuda.is_available()]


def register(name: str, schema: type) -> None:
    """Make a dataclass known to Hydra as `name`, for the defaults list of the command's YAML
    file."""
    ConfigStore.instance().store(name=name, node=schema)


def one_line(error: BaseException) -> str:
    """The error's message on one line; Hydra's own multi-line messages are cut to key, value and
    choices."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    text = " ".join(str(error).split())
    if text.startswith(_MERGE_ERROR):
        text = text.removeprefix(_MERGE_ERROR) + ":"
    if error.__cause__ is not None and isinstance(error, HydraException):
        text = " ".join(f"{text} {error.__cause__}".split())
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text)
    return text


def _unreadable(error: OverrideParseException) -> str:
    """Names the override that Hydra's grammar does not know; of the parser's message, what it
    stumbled over."""
    text = " ".join(error.message.split()).removeprefix(
        f"Error parsing override '{error.override}' "
    )
    found = re.search(
        r"((?:no viable alternative at|mismatched|extraneous) input '.*?'|missing \w+)(?: |$)", text
    )
    reason = f" ({found[1]})" if found else ""
    return f"'{error.override}' cannot be read as key=value{reason}; values with special characters need quotes"


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command with one line on standard error."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


def _check_overrides(arguments: Sequence[str]) -> None:
    """Raise `UserError` for an override without a key, which Hydra takes for a group and answers
    with a traceback."""
    for argument in arguments:
        if re.match(r"[+~]*(?:[=@]|$)", argument):
            raise UserError(f"'{argument}' names no key: expected key=value")


def _check_keys(config: DictConfig, hydra_settings: DictConfig) -> None:
    """Raise `ConfigKeyError` for a key that is in no schema, of this program's settings or of
    Hydra's own.

    Hydra opens the schemas for keys added with `+key=value`: merging into fresh ones finds them.
    """
    OmegaConf.merge(
        OmegaConf.structured(OmegaConf.get_type(config)), OmegaConf.to_container(config)
    )
    own: Any = OmegaConf.to_container(hydra_settings)
    own.pop("env", None)  # a group of Hydra's that its schema lacks
    OmegaConf.merge({"hydra": OmegaConf.structured(HydraConf)}, {"hydra": own})


def _check_shown_keys(config_name: str, arguments: Sequence[str]) -> None:
    """`_check_keys` for `--cfg`, with which Hydra prints the configuration and calls no task."""
    if not any(re.match(r"(?:-c|--c(?:f|fg)?)(?:=|$)", argument) for argument in arguments):
        return
    overrides = [
        argument for argument in arguments if "=" in argument and not argument.startswith("-")
    ]
    with initialize_config_module("star.conf", version_base="1.3"):
        config = compose(config_name, overrides, return_hydra_config=True)
    with open_dict(config):
        _check_keys(config, config.pop("hydra"))


def check_seed(seed: int) -> None:
    """Raise `UserError` for a seed that torch's generators do not take."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"seed={seed}: expected a whole number from 0 to {LARGEST_SEED}")


def _take_literals(keys: Sequence[str]) -> dict[str, str]:
    """Remove `key=text` for these keys from the command line; the texts, as they were written."""
    taken, rest = {}, []
    for argument in sys.argv[1:]:
        key, equals, text = argument.partition("=")
        if equals and key in keys:
            taken[key] = text
        else:
            rest.append(argument)
    sys.argv[1:] = rest
    return taken


def run_command(config_name: str, task: Callable[[Any], None], literal: Sequence[str] = ()) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and call `task` with the typed
    configuration.

    literal: keys whose value is text that Hydra's grammar shall not read, such as a prompt. A
    mistake in the command line, a `UserError` or a `GenomeError` ends with one line and exit code
    2.
    """
    OmegaConf.register_new_resolver(
        "star.default_scale", default_scale, use_cache=True, replace=True
    )
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves reporting to us
    composed = False
    texts = _take_literals(literal)

    @hydra.main(version_base="1.3", config_path="pkg://star.conf", config_name=config_name)
    def command(config: DictConfig) -> None:
        nonlocal composed
        composed = True
        try:
            _check_keys(config, HydraConfig.get())  # type: ignore[arg-type]
            typed: Any = OmegaConf.to_object(config)
            for key, text in texts.items():
                setattr(typed, key, text)
            task(typed)
        except (UserError, GenomeError, OmegaConfBaseException) as error:
            fail(
                one_line(error), EXIT_USER_ERROR
            )  # here, since Hydra prints a line of its own for what passes it

    try:
        _check_overrides(sys.argv[1:])
        _check_shown_keys(config_name, sys.argv[1:])
        command()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        fail(one_line(error), EXIT_USER_ERROR)
    except ValueError as error:
        if composed:
            raise
        fail(
            f"{one_line(error)}; given: {' '.join(sys.argv[1:])}", EXIT_USER_ERROR
        )  # Hydra names no override here
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
