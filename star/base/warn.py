"""Warnings reach whoever runs a command: one line each on standard error.

Modules warn by `logging.getLogger(__name__).warning(...)`, as libraries do; a program of the user's
own shows them as it likes.
"""

import logging
import sys

from star.base.errors import plain


class _ToStandardError(logging.Handler):
    """Writes to what `sys.stderr` is at the time, which a progress bar replaces."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        print(f"warning: {plain(record.getMessage())}", file=sys.stderr)


def show_warnings() -> None:
    """Show the warnings of this package from now on."""
    logger = logging.getLogger("star")
    if not any(isinstance(handler, _ToStandardError) for handler in logger.handlers):
        logger.addHandler(_ToStandardError(logging.WARNING))
