"""Text and tokens of a trained model: the one place that says how it reads and writes."""

from collections.abc import Sequence
from pathlib import Path

from star.base.errors import UserError
from star.data.subwords import checkpoint_tokenizer, read_tokenizer
from star.data.tokenizers import ByteTokenizer, Tokenizer, encoded
from star.models.checkpoint import Checkpoint


class Vocabulary:
    """How text becomes tokens and tokens become text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """tokenizer: of the model."""
        self._tokenizer = tokenizer
        self.end_of_text = tokenizer.end  # token between documents
        self.count = tokenizer.vocabulary  # tokens are below it
        self.digest = tokenizer.digest  # of what decides the tokens of a text

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; of no text none."""
        return self._tokenizer.encode([encoded(text)])[0].tolist()

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens without what stands between documents; bytes that are no text become
        the replacement character."""
        decoder = self._tokenizer.decoder()
        shown = [decoder.decode(token) for token in tokens if token != self.end_of_text]
        return "".join((*shown, decoder.finish()))


def vocabulary_of(size: int, folder: Path | None = None) -> Vocabulary:
    """That of a model with so many tokens.

    Args:
        size: of the model's vocabulary.
        folder: with the tokenizer's files; None where tokens are bytes.

    Raises:
        UserError: where the model has fewer tokens than there are, or the files cannot be read.
    """
    tokenizer = ByteTokenizer() if folder is None else read_tokenizer(str(folder), "tokenizer")
    if size < tokenizer.vocabulary:
        raise UserError(
            f"model.vocabulary={size}: no text can be read with it; expected at least "
            f"{tokenizer.vocabulary}"
        )
    return Vocabulary(tokenizer)


def checkpoint_vocabulary(folder: Path, checkpoint: Checkpoint) -> Vocabulary:
    """That of a checkpoint: of the tokenizer that was kept with it, or bytes.

    Args:
        folder: of the checkpoint.
        checkpoint: what was read from it.

    Raises:
        UserError: as `checkpoint_tokenizer`.
    """
    size = checkpoint.config.vocabulary
    return Vocabulary(checkpoint_tokenizer(folder, checkpoint.genome.settings, size))
