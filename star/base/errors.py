"""Errors that are the user's to fix, and what any error has to say."""

import re

LONGEST = 200  # characters of a value in an error
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def plain(error: object) -> str:
    """An error's message on one line, without characters that would steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(error).split()))


def shown(text: str, longest: int = LONGEST) -> str:
    """A text as errors quote it: its beginning and end where it is long."""
    half = (longest - 5) // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


class UserError(Exception):
    """A user's mistake: one line naming the file or key, the value, what was expected and how to
    fix it."""
