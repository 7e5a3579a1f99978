"""What commands print: whole lines, as they are, on terminals of any width and into files."""

import sys
import threading

from rich.console import Console

PLAIN_WIDTH = 110  # columns where there is no terminal


class _Console(Console):
    """Rich's, but a pipe without a reader is the caller's matter (`star/base/outputs.py`)."""

    def on_broken_pipe(self) -> None:
        """Raise what it is called for; the thread of a progress bar leaves that to the others."""
        if threading.current_thread() is threading.main_thread():
            raise BrokenPipeError


def make_console(width: int = PLAIN_WIDTH) -> Console:
    """The console of a command, on which names are text: no markup, no emoji.

    width: columns where standard output is no terminal.
    """
    columns = None if sys.stdout.isatty() else width
    return _Console(width=columns, markup=False, emoji=False)


def say(console: Console, text: str) -> None:
    """Print one line of text: no colours, no markup, no breaks."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)
