"""Byte-level tokens and the text stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.data.tokenizers import ByteTokenizer, TextStream, prompt_tokens


def encode(text: str) -> list[int]:
    return prompt_tokens(ByteTokenizer(), text)


@given(st.text(min_size=1))
def test_a_stream_gives_back_the_text(text: str) -> None:
    stream = TextStream()
    assert "".join(map(stream.push, encode(text))) + stream.finish() == text


def test_bytes_of_a_command_line_that_are_not_utf8_are_kept() -> None:
    assert bytes(encode("caf\udce9")) == b"caf\xe9"
    assert bytes(encode("a\ud800b")) == b"a?b"


def test_no_text_begins_a_document() -> None:
    assert encode("") == [0]


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=4))
def test_a_stream_ends_before_the_stop_text_and_shows_nothing_of_it(text: str, stop: str) -> None:
    stream, shown = TextStream(stop), ""
    for token in text.encode():
        shown += stream.push(token)
        assert text.split(stop)[0].startswith(shown)
        if stream.stopped:
            break
    shown += stream.finish()
    assert stream.stopped == (stop in text)
    assert shown == text.split(stop)[0]


@pytest.mark.parametrize("tokens", [[0xC3], [0xFF, 0x41]])
def test_bytes_that_are_no_text_become_replacement_characters(tokens: list[int]) -> None:
    stream = TextStream()
    text = "".join(map(stream.push, tokens)) + stream.finish()
    assert text.startswith("�")
