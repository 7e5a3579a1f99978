"""Errors that are the user's to fix, and what any error has to say."""


def plain(error: object) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())


class UserError(Exception):
    """A user's mistake: one line naming the file or key, the value, what was expected and how to
    fix it."""
