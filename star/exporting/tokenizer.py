"""Our tokenizers as those of Hugging Face's transformers."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from star.data.subwords import SubwordTokenizer, read_kept_tokenizer
from star.data.tokenizers import SEPARATOR, VOCABULARY
from star.models.checkpoint import Checkpoint


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Token n is byte n of the text in UTF-8. Padding, on the left, and the beginning and the end
    of a document are byte 0, which occurs in no text."""
    letters = bytes_to_unicode()
    vocabulary = {letter: byte for byte, letter in letters.items()}
    tokenizer: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    zero = letters[SEPARATOR[0]]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="left", pad_token=zero, bos_token=zero,
        eos_token=zero, clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # a text that holds the letter of byte 0 is a text
    )  # fmt: skip


def subword_tokenizer(kept: SubwordTokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer that was kept with a checkpoint, as it is. Padding, on the left, and the
    beginning of a document are its end token."""
    end = kept.end_token
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(kept.content), padding_side="left", pad_token=end,
        bos_token=end, eos_token=end, clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # a text that holds the end's letters is a text
    )  # fmt: skip


def own_tokenizer(source: Path, checkpoint: Checkpoint) -> PreTrainedTokenizerFast | None:
    """The tokenizer of a checkpoint's text: the one that was kept with it, or that of bytes; None
    where the tokens are neither.

    Raises `UserError` for one that is missing or cannot be read.
    """
    size = checkpoint.config.vocabulary
    kept = read_kept_tokenizer(source, checkpoint.genome.settings, size)
    if kept is not None:
        return subword_tokenizer(kept)
    return byte_tokenizer() if size == VOCABULARY else None
