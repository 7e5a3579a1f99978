"""Errors that are the user's to fix."""


class UserError(Exception):
    """A user's mistake: one line naming the file or key, the value, what was expected and how to
    fix it."""
