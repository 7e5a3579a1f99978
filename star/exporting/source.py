"""A model of theirs to adopt: a folder of Hugging Face's, or a name on its hub.

Of its weights, safetensors alone are read; nothing is unpickled, and no code of theirs is run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from star.base.errors import UserError, plain, shown
from star.base.files import copy_weights, named_weights, stored_dtype
from star.base.reading import expanded, is_file, is_folder, kind_of, list_folder
from star.exporting.companions import GENERATION, TOKENIZER_FILES, read_mapping
from star.genomes import Genome, GenomeError, ModelConfig, check_fits
from star.models import LanguageModel
from star.models.hugging_face.causal_lm import MODEL_TYPE, StarConfig, StarForCausalLM
from star.models.hugging_face.family import Family
from star.models.hugging_face.native import (
    FAMILIES,
    copy_theirs,
    family_named,
    read_configuration,
)

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"  # of weights that change those of another model
SHARDS = "model-*.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


class Source(NamedTuple):
    """A model of theirs: where it lies, its configuration, and the family that it is of, None for
    `StarForCausalLM`."""

    folder: Path
    family: Family | None
    config: Any  # a `PretrainedConfig`

    def genome(self) -> tuple[Genome, ModelConfig]:
        """The genome and the sizes that it is.

        Raises `UserError` or `GenomeError` naming the key for what no genome is.
        """
        if self.family is None:
            genome, sizes = self.config.read_genome(), self.config.sizes()
            check_fits(genome, sizes)
            return genome, sizes
        return read_configuration(self.family, self.config)

    def copy_to(self, ours: LanguageModel, theirs: Any) -> None:
        """Write all weights of a model of theirs into ours. Raises `UserError` as `copy_theirs`."""
        if self.family is None:
            copy_weights(ours, named_weights(theirs.model))
        else:
            copy_theirs(self.family, ours, theirs)


def fetch(given: str, revision: str, names: tuple[str, ...]) -> Path:
    """The folder of a model, where those of the files are that there are.

    Args:
        given: a folder, or a name on the hub.
        revision: on the hub.
        names: of files, which are fetched from the hub.

    Raises:
        UserError: for what is neither, or cannot be reached.
    """
    folder = expanded(given)
    if is_folder(folder, "model"):
        return folder
    if kind_of(folder, "model"):
        raise UserError(f"model={given}: is {kind_of(folder)}, expected the folder that holds it")
    if not _HUB_NAME.fullmatch(given):
        raise UserError(
            f"model={shown(given)}: no such folder, and no name on Hugging Face's hub such as "
            "Qwen/Qwen3-0.6B"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(given, revision=revision, allow_patterns=list(names)))
    except Exception as error:  # of the hub's client, of the network, of the disk
        reason = shown(plain(error)) or type(error).__name__
        raise UserError(
            f"model={given}: no such folder, and the hub did not give it ({reason})"
        ) from None


def read_folder(given: str, revision: str, more: tuple[str, ...] = ()) -> tuple[Path, Any]:
    """The folder of a model, and what its configuration says.

    Args:
        given: a folder, or a name on the hub.
        revision: on the hub.
        more: names of files to fetch beside those of a tokenizer.

    Raises:
        UserError: as `fetch`, and for a configuration that is missing or cannot be read.
    """
    folder = fetch(given, revision, (CONFIG, GENERATION, *TOKENIZER_FILES, *more))
    path = folder / CONFIG
    if not is_file(path):
        raise UserError(f"{path}: is {kind_of(path) or 'missing'}, expected a configuration")
    return folder, read_mapping(path)


def open_source(given: str, revision: str) -> Source:
    """Read a model's configuration. Raises `UserError` for what no family of ours is."""
    folder, content = read_folder(given, revision)
    source = source_of(folder, content)
    if source is None:
        kind = shown(repr(content.get("model_type")))
        known = ", ".join(known_types())
        raise config_error(folder, f"model_type={kind}: expected one of {known}")
    return source


def known_types() -> list[str]:
    """What `model_type` may be for `open_source`."""
    theirs = [f.class_of("Config").model_type for f in FAMILIES if f.class_of("Config")]
    return [*theirs, MODEL_TYPE]


def source_of(folder: Path, content: Mapping[str, Any]) -> Source | None:
    """The source of a configuration that was read; None where no family of ours has its type.

    Raises `UserError` for another model than a causal language model in full precision, and for
    values that transformers refuses.
    """
    kind = content.get("model_type")
    family = family_named(kind) if isinstance(kind, str) else None
    if family is None and kind != MODEL_TYPE:
        return None
    check_content(folder, content, _class_of(family, "ForCausalLM").__name__)
    try:
        config = _class_of(family, "Config").from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever their checks raise
        raise config_error(folder, shown(plain(error))) from None
    return Source(folder, family, config)


def check_content(folder: Path, content: Mapping[str, Any], wanted: str) -> None:
    """Raise `UserError` unless a configuration is of a class, and of weights that are not
    quantised. wanted: the name of the class."""
    architectures = content.get("architectures") or [wanted]
    if architectures != [wanted]:
        raise config_error(folder, f"architectures={shown(str(architectures))}: expected {wanted}")
    if content.get("quantization_config"):
        raise config_error(folder, "quantization_config: expected weights that are not quantised")


def name_of(given: str) -> str:
    """A name for a model, of the last part of what it was named by; empty where nothing is left."""
    return re.sub(r"\W+", "_", Path(given).name.lower()).strip("_")


def read_genome(source: Source, given: str) -> tuple[Genome, ModelConfig]:
    """The genome and the sizes that a model is. Raises `UserError` where no genome is it.

    Args:
        source: the model.
        given: as it was named.
    """
    place = f"model={given}: {CONFIG}"
    try:
        return source.genome()
    except (UserError, GenomeError) as error:
        raise UserError(f"{place}: {error}; no genome is this") from None
    except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
        # Of values that transformers does not check.
        what = f"{type(error).__name__}: {shown(plain(error))}"
        raise UserError(f"{place}: cannot be read ({what})") from None


def _class_of(family: Family | None, what: str) -> Any:
    own = {"Config": StarConfig, "ForCausalLM": StarForCausalLM}
    return own[what] if family is None else family.class_of(what)


def config_error(folder: Path, what: str) -> UserError:
    """What is wrong with the configuration in a folder."""
    return UserError(f"{folder / CONFIG}: {what}")


def weight_files(given: str, folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises `UserError` where there are none, or not all."""
    if is_file(folder / ADAPTER):
        raise UserError(f"model={given}: has {ADAPTER}; expected a whole model, not an adapter")
    names = [WEIGHTS]
    if is_file(folder / INDEX):
        placed = read_mapping(folder / INDEX).get("weight_map")
        names = sorted(set(placed.values())) if isinstance(placed, dict) else []
    paths = [folder / name for name in names if isinstance(name, str) and Path(name).name == name]
    missing = [path.name for path in paths if not is_file(path)]
    if len(paths) != len(names) or not names:
        raise UserError(f"{folder / INDEX}: expected names of files beside it in weight_map")
    if not missing:
        return paths
    pickles = [e.name for e in list_folder(folder, "model") if e.name.endswith(PICKLES)]
    if pickles:
        raise UserError(
            f"model={given}: its weights are pickled ({shown(pickles[0])}), and a pickle can run "
            f"any code; expected {WEIGHTS}"
        )
    raise UserError(f"model={given}: {missing[0]} is missing")


def load_theirs(source: Source, given: str) -> tuple[Any, torch.dtype]:
    """The model of theirs in float32, and the dtype of its files; as `load_model`."""
    return load_model(_class_of(source.family, "ForCausalLM"), source.config, source.folder, given)


def load_model(kind: Any, config: Any, folder: Path, given: str) -> tuple[Any, torch.dtype]:
    """A model of theirs in float32, and the dtype of its files.

    Args:
        kind: its class in transformers.
        config: its configuration.
        folder: where its weights are.
        given: as it was named.

    Raises:
        UserError: for weights that cannot be read, or are not those of the configuration.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    paths = weight_files(given, folder)
    dtype = stored_dtype(paths)
    try:
        theirs, found = kind.from_pretrained(
            folder, config=config, dtype=torch.float32, use_safetensors=True,
            local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True,
            attn_implementation="eager",  # a configuration may name kernels to fetch
        )  # fmt: skip
    except Exception as error:  # of files that are no safetensors, or of other tensors
        what = shown(plain(error))
        raise UserError(f"model={given}: its weights cannot be read ({what})") from None
    for problem in ("missing", "unexpected", "mismatched"):
        names = sorted(map(str, found.get(f"{problem}_keys") or ()))
        if names:
            more = f" (and {len(names) - 1} more)" if names[1:] else ""
            raise UserError(
                f"model={given}: its weights are not those of its {CONFIG}: {problem} "
                f"{shown(names[0])}{more}"
            )
    return theirs.eval(), dtype
