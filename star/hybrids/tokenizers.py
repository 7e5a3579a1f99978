"""One tokenizer for all components: the one of each, and what two differ in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from star.base.errors import UserError, plain, shown
from star.base.imports import import_optional
from star.base.reading import is_file
from star.data.subwords import (
    TOKENIZER,
    SubwordTokenizer,
    checkpoint_tokenizer,
    read_kept_tokenizer,
    read_tokenizer,
)
from star.data.tokenizers import VOCABULARY

# Of tokenizers without a `tokenizer.json`.
OTHER_FILES = (
    "vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json", "special_tokens_map.json",
)  # fmt: skip


def own_tokenizer(
    folder: Path, settings: Mapping[str, Any], vocabulary: int
) -> SubwordTokenizer | None:
    """The tokenizer of one of our checkpoints, None where its tokens are bytes or those of a task.

    Args:
        folder: of the checkpoint.
        settings: that it was trained with.
        vocabulary: of its model.

    Raises:
        UserError: for one that is missing or cannot be read.
    """
    kept = read_kept_tokenizer(folder, settings, vocabulary)
    if kept is None and vocabulary > VOCABULARY:
        checkpoint_tokenizer(folder, settings, vocabulary)  # refuses one that nobody knows
    return kept


def their_tokenizer(given: str, folder: Path, vocabulary: int) -> SubwordTokenizer | None:
    """The tokenizer of a model of theirs, None where its tokens are bytes.

    Args:
        given: as the model was named.
        folder: where it lies.
        vocabulary: of the model.

    Raises:
        UserError: for one that is missing, cannot be read, or has more tokens than the model.
    """
    if is_file(folder / TOKENIZER):
        found = read_tokenizer(str(folder), "model")
    elif any(is_file(folder / name) for name in OTHER_FILES[:3]):
        found = _converted(given, folder)
    elif vocabulary == VOCABULARY:
        return None
    else:
        raise UserError(
            f"model={given}: has no tokenizer, and no text can be read with its {vocabulary:,} "
            f"tokens; put its {TOKENIZER} there"
        )
    if _is_of_bytes(found):
        return None
    if found.vocabulary > vocabulary:
        raise UserError(
            f"model={given}: its tokenizer has {found.vocabulary:,} tokens, the model only "
            f"{vocabulary:,}"
        )
    return found


def _converted(given: str, folder: Path) -> SubwordTokenizer:
    """A tokenizer of older files, as transformers converts it; no code of theirs is run."""
    from transformers import AutoTokenizer

    try:
        theirs: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        content, end = theirs.backend_tokenizer.to_str(), theirs.eos_token
    except Exception as error:  # whatever their checks raise
        what = shown(plain(f"{type(error).__name__}: {error}"), 120)
        raise UserError(
            f"model={given}: its tokenizer cannot be read ({what}); expected a {TOKENIZER}"
        ) from None
    return SubwordTokenizer(content, end, f"model={given}: its tokenizer")


def _is_of_bytes(tokenizer: SubwordTokenizer) -> bool:
    """Whether it is the one that `star.export` writes for models of bytes."""
    from star.exporting.tokenizer import byte_tokenizer

    if tokenizer.vocabulary != VOCABULARY:
        return False
    return not differences(tokenizer.content, byte_tokenizer().backend_tokenizer.to_str())


def differences(first: str, second: str) -> list[str]:
    """What two contents of `tokenizer.json` differ in that decides the tokens of a text."""
    one, other = _facts(first), _facts(second)
    return [name for name, value in one.items() if value != other[name]]


def _facts(content: str) -> dict[str, Any]:
    """What decides the tokens of a text, whichever version of the library wrote it."""
    tokenizer = import_optional("models", "tokenizers").Tokenizer.from_str(content)
    found = json.loads(tokenizer.to_str())
    model = {name: value or None for name, value in found["model"].items()}
    scores = model.pop("vocab")
    return {
        "vocabulary": tokenizer.get_vocab(with_added_tokens=True),
        "merges": model.pop("merges", None),
        "scores": scores if isinstance(scores, list) else None,
        "model": model,
        "special tokens": {
            token["content"]: token["special"] for token in found.get("added_tokens") or ()
        },
        "normalizer": found.get("normalizer"),
        "pre_tokenizer": _without_offsets(found.get("pre_tokenizer")),
    }


def _without_offsets(content: Any) -> Any:
    """Without what changes only where a token says that it stood."""
    if isinstance(content, dict):
        return {k: _without_offsets(v) for k, v in content.items() if k != "trim_offsets"}
    if isinstance(content, list):
        return [_without_offsets(one) for one in content]
    return content
