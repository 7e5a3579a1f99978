"""Tokens of hybrids: their components learnt those of one tokenizer, and know no others."""

from pathlib import Path

from star.base.errors import UserError
from star.data.subwords import kept_content
from star.genomes.alphabets import HYBRID
from star.models.hybrid import has_components


def expect_tokens_of_hybrid(alphabet: str, tokenizer: Path | None) -> None:
    """Raise `UserError` where the components of a hybrid were trained on other tokens than those of
    the text. Nothing is asked of other alphabets, and of hybrids without pretrained components.

    Args:
        alphabet: its name.
        tokenizer: the folder of that of the text; None where its tokens are bytes.
    """
    if not alphabet.startswith(HYBRID) or not has_components(alphabet):
        return
    if kept_content(Path(alphabet.removeprefix(HYBRID))) != kept_content(tokenizer):
        raise UserError(
            f"{alphabet}: its components know other tokens than those of the text; give the "
            "tokenizer in its folder to data.tokenizer, bytes where there is none"
        )
