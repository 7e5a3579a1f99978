"""The command line of every `python -m star.<verb>`: Hydra's configuration, one-line errors.

`compose_config` is the one way to a configuration, for commands, tests, studies and notebooks.
`run_command` adds the command line around it. Exit codes: 0 done, 1 failed, with one line on
standard error (`fail`) or a traceback, 2 a user's mistake (one line on standard error, nothing
written), 130 interrupted with Ctrl-C, 143 ended by SIGTERM, 141 when nobody reads the output any
longer, as with `| head -1`.
"""

import re
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from io import TextIOWrapper
from itertools import product
from pathlib import Path
from typing import Any, NoReturn, cast

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from star.base.config_files import search_path
from star.base.counts import in_digits
from star.base.errors import UserError, plain, shown
from star.base.help import describe_settings
from star.base.interrupts import exit_code, raised_interrupts
from star.base.literals import as_written, is_endless, text_keys
from star.base.outputs import checked_output
from star.base.reading import named, reason
from star.base.schemas import element, setting_types
from star.base.settings import expect, flat
from star.base.warn import show_warnings

EXIT_FAILED = 1
EXIT_USER_ERROR = 2
LONGEST_LINE = 2000  # characters of an error
DEFAULT_SCALES = {False: "cpu", True: "gpu_small"}

# Parts of torch's messages about memory.
NO_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "size calculation overflowed")

# The dataclass of each command's settings; imported when it is asked for.
SCHEMAS = {
    "evolve": "star.search.config:EvolveConfig",
    "train": "star.training_runs.config:TrainConfig",
    "describe": "star.describe:DescribeConfig",
    "front": "star.front:FrontConfig",
    "hybridize": "star.hybrids.config:HybridizeConfig",
    "generate": "star.generate:GenerateConfig",
    "aggregate": "star.aggregate:AggregateConfig",
    "extrapolate": "star.extrapolate:ExtrapolateConfig",
    "linearise": "star.hybrids.linearise.config:LineariseConfig",
    "export": "star.export:ExportConfig",
    "adopt": "star.adopt:AdoptConfig",
    "evaluate": "star.evaluate:EvaluateConfig",
    "report": "star.report:ReportConfig",
    "mad": "star.evaluation.mad.config:MadConfig",
    "validate": "star.validating.config:ValidateConfig",
}
# Dictionaries whose keys no schema lists: names of objectives, arguments of algorithms.
OPEN = ("constraints.", "objectives.", "search.algorithm.")


def default_scale() -> str:
    """The scale when none is named: `gpu_small` where CUDA is available, `cpu` elsewhere."""
    import torch

    return DEFAULT_SCALES[torch.cuda.is_available()]


def share(part: float, whole: int) -> int:
    """`${star.share:0.25,${training.steps}}`: that part of a number, at least 1, rounded down."""
    return max(1, int(part * whole))


def load_schema(command: str) -> Any:
    """The dataclass of a command's settings."""
    if command not in SCHEMAS:
        raise UserError(f"command {command!r}: expected one of {', '.join(SCHEMAS)}")
    module, _, name = SCHEMAS[command].partition(":")
    return getattr(import_module(module), name)


def compose_config(
    command: str, overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> Any:
    """The settings of a command, as its dataclass.

    Args:
        command: a key of `SCHEMAS`, such as `evolve`.
        overrides: as on the command line, such as `+experiment=smoke` or `training.steps=20`.
        config_dir: a folder of the user's own groups, such as `<folder>/experiment/mine.yaml`.

    Raises:
        UserError: for an override that cannot be read, or a key or value that is not known.
    """
    try:
        return OmegaConf.to_object(_compose(command, overrides, config_dir))
    except OmegaConfBaseException as error:
        raise UserError(one_line(error)) from None


def _register(command: str) -> None:
    """Make the schema known to Hydra, whose store of them is global."""
    store, schema = ConfigStore.instance(), load_schema(command)
    root = OmegaConf.structured(schema)
    groups = getattr(schema, "GROUPS", {})
    for group in groups:
        root[group] = MISSING  # the group's choice may be of another class than the default
    store.store(name=f"{command}_schema", node=root)
    for group, nodes in groups.items():
        for name, node in nodes.items():
            store.store(group=group, name=name, node=node)
    OmegaConf.register_new_resolver(
        "star.default_scale", default_scale, use_cache=True, replace=True
    )
    OmegaConf.register_new_resolver("star.share", share, replace=True)


def _compose(
    command: str, overrides: Sequence[str], config_dir: str | Path | None = None
) -> DictConfig:
    """The composed configuration, with its interpolations. Raises `UserError` for a mistake."""
    _register(command)
    schema = load_schema(command)
    renamed = getattr(schema, "RENAMED", {})
    texts = text_keys(schema)
    literal = as_written(overrides, texts, sweep=False)
    _check_overrides(literal, renamed)
    numbers = in_digits(literal, schema)
    given = [f"++{text}" if text.startswith(OPEN) else text for text in numbers]
    if config_dir is not None:
        given.append(search_path(config_dir))
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            initialize_config_module("star.conf", version_base="1.3"),
        ):
            config = compose(command, given)
    except (HydraException, OmegaConfBaseException) as error:
        _check_renamed(getattr(_cause(error), "full_key", ""), renamed)  # of a user's file
        raise UserError(one_line(error)) from None
    except UserError:
        raise
    except Exception as error:  # of Hydra's, for what it did not expect; it names no override
        given_text = shown(plain(" ".join(overrides)))
        reason_text = shown(one_line(error)) or type(error).__name__
        raise UserError(f"{reason_text}; given: {given_text}") from None
    for key in _unknown_keys(config):
        hint = "--cfg job lists the keys"
        if key == "experiment":
            hint = "the experiment's file must begin with the line '# @package _global_'"
        raise UserError(f"{key}: unknown key; {hint}")
    _use_origin(config, schema, overrides)
    _check_lists(config, schema)
    return config


def _use_origin(config: DictConfig, schema: Any, overrides: Sequence[str]) -> None:
    """Take the settings that a genome or a run carries, where the command line says nothing else.

    Raises `UserError` for one that the command cannot have, and whatever reading them raises.
    """
    keys = getattr(schema, "ORIGIN_KEYS", ("genome",))
    if not hasattr(schema, "origin") or any(OmegaConf.is_missing(config, key) for key in keys):
        return
    origin = schema.origin(*(str(config[key]) for key in keys))
    if origin is None:
        return
    typed = {override.partition("=")[0].lstrip("+~") for override in overrides}
    written = _written(config)
    # `width` stands for `model.width`, and either may be typed; `data=files` means all of data.
    targets = {key: _alias(written[key]) or key for key in origin.wanted.keys() & written.keys()}
    given = {
        key
        for key, target in targets.items()
        if not typed.isdisjoint({key, target, key.partition(".")[0]})
    }
    other = {k for k in given if OmegaConf.select(config, targets[k]) != origin.wanted[k]}
    for key in targets.keys() - given - origin.bound(other):
        try:
            OmegaConf.update(config, targets[key], origin.wanted[key])
        except OmegaConfBaseException as error:
            what = f"settings.{key}={origin.wanted[key]!r}: {plain(error.msg)}"
            raise UserError(f"{origin.source}: {what}") from None


def _check_lists(config: DictConfig, schema: Any) -> None:
    """Raise `UserError` for a list within a list, which OmegaConf lets pass."""
    written = _written(config)
    for key, kind in setting_types(schema):
        values = written.get(key)
        if element(kind) is not None and isinstance(values, list):
            nested = any(isinstance(value, list | dict) for value in values)
            what = "names" if element(kind) is str else "numbers"
            expect(key, values, not nested, f"a list of {what}")


def _written(config: DictConfig) -> dict[str, Any]:
    """The settings by dotted key, as they are written: `${width}` for one that is another's."""
    return flat(cast(Mapping[str, Any], OmegaConf.to_container(config, resolve=False)))


def _alias(value: object) -> str:
    """The key whose value `${key}` is; empty for any other value."""
    found = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
    return found[1] if found else ""


def _check_overrides(overrides: Sequence[str], renamed: dict[str, str]) -> None:
    """Raise `UserError` for an override without a key, for an old key, or for Hydra's own."""
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~").partition("@")[0]
        if is_endless(override):
            raise UserError(f"{shown(override)}: expected a value of fewer digits and brackets")
        if not key:
            raise UserError(f"'{shown(plain(override))}' names no key: expected key=value")
        _check_renamed(key, renamed)
        if key.split(".")[0] == "hydra":
            raise UserError(
                f"{key}: Hydra's own folders and logging are switched off; run_dir=<folder> says "
                "where results go"
            )


def _check_renamed(key: str | None, renamed: dict[str, str]) -> None:
    """Raise `UserError` for a key of an earlier version."""
    if key in renamed:
        raise UserError(f"{key}: is now {renamed[key]}")


def _unknown_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Keys that `+key=value` added to a node whose dataclass does not have them."""
    schema = OmegaConf.get_type(config)
    known = {field.name for field in fields(schema)} if is_dataclass(schema) else None
    for key in map(str, config):
        if known is not None and key not in known:
            yield f"{prefix}{key}"
        # A key that is read while it is missing or refers to another one may raise.
        elif not OmegaConf.is_missing(config, key) and not OmegaConf.is_interpolation(config, key):
            child = config[key]
            if isinstance(child, DictConfig):
                yield from _unknown_keys(child, f"{prefix}{key}.")


def one_line(error: BaseException) -> str:
    """The error's message on one line; of Hydra's and OmegaConf's, what a user can act on."""
    return shown(plain(_message(error)), LONGEST_LINE)


def _message(error: BaseException) -> str:
    if isinstance(error, OverrideParseException):
        reason = error.message.removeprefix(f"Error parsing override '{error.override}'")
        found = next((line.strip() for line in reason.split("\n") if line.strip()), "")
        if "=" not in str(error.override):
            return (
                f"'{shown(error.override)}' names no value: expected key=value, --help lists keys"
            )
        return (
            f"'{shown(error.override)}' cannot be read as key=value ({shown(found)}); values with "
            "special characters need quotes"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group} '{name}' is unknown; available: {' '.join(error.options)}"
    cause = _cause(error)
    if not isinstance(cause, OmegaConfBaseException):
        return plain(error)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        is_open = "not in struct" in str(cause)  # a dictionary without a schema
        hint = f"+{cause.full_key}=... adds one" if is_open else "--cfg job lists the keys"
        return f"{cause.full_key}: unknown key; {hint}"
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: a value is required"
    reason = str(cause).splitlines()[0]
    if cause is error:
        return f"{reason} (key: {cause.full_key})"
    if "is not a ListConfig" in reason:
        reason = "expected a list, such as [a,b]"
    where = str(error).removeprefix("Error merging override ").splitlines()[0]
    found = re.match(r"In '.*': (?=ValidationError)", where)
    if found:  # a value of a file
        return f"{found[0]}{cause.full_key}: {reason}"
    return f"{where.removesuffix(':')}: {reason}"


def _cause(error: BaseException) -> BaseException:
    """What Hydra wraps: OmegaConf's error, which knows the key; or the error itself."""
    if not isinstance(error, HydraException):
        return error
    return error.__cause__ or error.__context__ or error


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command with one line on standard error."""
    print(f"error: {plain(message)}", file=sys.stderr)
    raise SystemExit(code)


class _Parser(ArgumentParser):
    """Argparse whose mistakes end with one line, as all others do."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        fail(message, EXIT_USER_ERROR)


def _describe(command: str) -> str:
    """What `--help` prints, with the values that act when nothing is typed."""
    return describe_settings(load_schema(command), _written(_compose(command, [])))


def _parser(command: str, description: str = "") -> ArgumentParser:
    parser = _Parser(
        prog=f"python -m star.{command}",
        usage="%(prog)s [key=value ...] [options]",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings, see above")
    parser.add_argument("--cfg", "-c", choices=["job"], help="print every setting and do nothing")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: without ${...}")
    parser.add_argument(
        "--config-dir", "-cd", metavar="FOLDER", help="of your own files, experiment/<name>.yaml"
    )
    parser.add_argument(
        "--multirun", "-m", action="store_true", help="one run after the other: seed=0,1,2"
    )
    parser.add_argument(
        "--shell-completion", "-sc", metavar="ACTION", help="Hydra's: install=bash, uninstall=bash"
    )
    parser.add_argument("--version", action="version", version=_version())
    return parser


def _version() -> str:
    return f"star-synthesis {import_module('star').__version__}"


def _take_literals(arguments: list[str], keys: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without `key=text` for these keys, and those texts as they were written."""
    taken = {}
    rest = []
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if equals and key in keys:
            taken[key] = text
        else:
            rest.append(argument)
    return rest, taken


def _jobs(command: str, options: Namespace) -> list[list[str]]:
    """The overrides of each run: one, or with `--multirun` one for each combination of values."""
    if not options.multirun:
        return [options.overrides]
    overrides = as_written(options.overrides, text_keys(load_schema(command)), sweep=True)
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        choices = [
            [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
            if override.is_sweep_override()
            else [str(override.input_line)]
            for override in parsed
        ]
    except HydraException as error:
        raise UserError(one_line(error)) from None
    return [list(job) for job in product(*choices)]


def _with_scale(command: str, overrides: Sequence[str]) -> list[str]:
    """The overrides that repeat a run elsewhere: the scale's default depends on the machine."""
    has_scale = "scale" in getattr(load_schema(command), "CHOICES", ())
    named = any(override.startswith("scale=") for override in overrides)
    return [*overrides, *([f"scale={default_scale()}"] if has_scale and not named else [])]


def _as_typed(message: str, config: DictConfig | None) -> str:
    """An error's message with the key that a user types: `width`, where `model.width` is that."""
    key, equals, rest = message.partition("=")
    alias = "" if config is None else _alias(_written(config).get(key))
    return f"{alias}{equals}{rest}" if alias else message


def _install_completion(command: str) -> None:
    """Hydra's own shell completion, which reads the command line by itself."""
    import hydra

    _register(command)
    # Hydra sees the option before it would call the decorated function; any function will do.
    hydra.main(version_base="1.3", config_path="pkg://star.conf", config_name=command)(id)()


@checked_output()
def run_command(
    command: str,
    task: Callable[[Any, list[str]], None],
    mistakes: tuple[type[Exception], ...] = (),
    literal: Sequence[str] = (),
) -> None:
    """Compose the configuration from the command line and call `task(config, arguments)`.

    Args:
        command: a key of `SCHEMAS`; its defaults are in `conf/<command>.yaml`.
        task: what the command does; `arguments` repeat the run.
        mistakes: errors that are the user's to fix, beside `UserError`: one line, exit code 2.
        literal: keys whose value is text that Hydra's grammar shall not read, such as a prompt.
    """
    for stream in (sys.stdout, sys.stderr):  # no name or text is without a form they can show
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    show_warnings()
    given, texts = _take_literals(sys.argv[1:], literal)
    if any(argument.startswith(("--shell-completion", "-sc")) for argument in given):
        _install_completion(command)
        return
    wants_help = not {"-h", "--help"}.isdisjoint(given)
    parser = _parser(command, _describe(command) if wants_help else "")
    options = parser.parse_intermixed_args(given)
    config = None
    try:
        for overrides in _jobs(command, options):
            config = _compose(command, overrides, options.config_dir)
            if options.cfg:
                print(OmegaConf.to_yaml(config, resolve=options.resolve), end="")
                continue
            settings: Any = OmegaConf.to_object(config)
            for key, text in texts.items():
                setattr(settings, key, text)
            repeat = _with_scale(command, overrides) + [f"{k}={text}" for k, text in texts.items()]
            own = ["--config-dir", options.config_dir] if options.config_dir else []
            with raised_interrupts():
                task(settings, repeat + own)
    except (UserError, OmegaConfBaseException, *mistakes) as error:
        fail(_as_typed(one_line(error), config), EXIT_USER_ERROR)
    except OSError as error:  # what was not expected of this path; others have a better message
        if error.filename is None:
            raise
        fail(f"{named('', str(error.filename))}: {reason(error)}", EXIT_USER_ERROR)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(t in str(error) for t in NO_MEMORY):
            raise
        fail(f"not enough memory for these settings ({shown(plain(error))})", EXIT_USER_ERROR)
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        raise SystemExit(exit_code(error)) from None
