"""What lies beside the weights of a model of theirs, and of a checkpoint made of one: a tokenizer,
and the settings of generation with the ids of special tokens."""

import json
from pathlib import Path
from typing import Any

from star.base import files
from star.base.errors import UserError
from star.base.reading import is_file, read_bytes, read_text
from star.data.subwords import FILES

TOKENIZER_FILES = (*FILES, "special_tokens_map.json", "chat_template.jinja")
GENERATION = "generation_config.json"
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping of a JSON file of theirs. Raises `UserError` for one that cannot be read."""
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping")
    return content


def copy_files(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy those of the files that are there."""
    for name in names:
        if is_file(source / name):
            files.write_bytes(target / name, read_bytes(source / name))


def write_generation(source: Path, folder: Path, config: Any) -> None:
    """Write settings of generation: theirs, with the ids that only the configuration has."""
    found = {name: getattr(config, name, None) for name in SPECIAL_TOKENS}
    there = read_mapping(source / GENERATION) if is_file(source / GENERATION) else {}
    given = {name: value for name, value in found.items() if value is not None}
    known = {name: value for name, value in there.items() if value is not None}
    files.write_text(folder / GENERATION, json.dumps({**given, **known}, indent=2) + "\n")


def read_special_tokens(folder: Path) -> dict[str, Any] | None:
    """Ids of special tokens by name, None for one that there is not; None where the folder is of no
    adopted model.

    Raises `UserError` for a file that cannot be read.
    """
    if not is_file(folder / GENERATION):
        return None
    content = read_mapping(folder / GENERATION)
    return {name: content.get(name) for name in SPECIAL_TOKENS}
