"""What the tokenising of a large text shows: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from star.base.console import PLAIN_WIDTH, say
from star.base.settings import size_text

LINE_SECONDS = 10.0  # between lines where there is no terminal

Advance = Callable[[int, int], None]  # by bytes of the source, and tokens of them


@contextmanager
def shown_progress(what: str, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Show on standard error how far it is.

    Args:
        what: is done, such as `tokenising`.
        total: bytes of the whole source; None where nobody knows.
        done: bytes of it that were finished before.
    """
    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        yield _lines(Console(stderr=True, width=PLAIN_WIDTH), what, total, done)
        return
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total, completed=done, state="")
        counted = _Counted(total, done)

        def advance(size: int, tokens: int) -> None:
            counted.add(size, tokens)
            bar.update(task, completed=counted.done, state=counted.text())

        yield advance


class _Counted:
    """Bytes and tokens of now, and how fast they come."""

    def __init__(self, total: int | None, done: int) -> None:
        self.total, self.done = total, done
        self._before, self._tokens, self._began = done, 0, time.monotonic()

    def add(self, size: int, tokens: int) -> None:
        self.done, self._tokens = self.done + size, self._tokens + tokens

    def text(self) -> str:
        """`12.00 MB of 100.00 MB, 1,234,567 tokens/s`."""
        whole = "" if self.total is None else f" of {size_text(self.total)}"
        rate = self._tokens / max(1e-9, time.monotonic() - self._began)
        return f"{size_text(self.done)}{whole}" + (f", {rate:,.0f} tokens/s" if rate else "")

    def left(self) -> str:
        """`, left 0:01:10`, where it can be told."""
        new = self.done - self._before
        if self.total is None or new <= 0:
            return ""
        seconds = (time.monotonic() - self._began) / new * max(0, self.total - self.done)
        return f", left {timedelta(seconds=round(seconds))}"


def _lines(console: Console, what: str, total: int | None, done: int) -> Advance:
    counted, last = _Counted(total, done), time.monotonic()

    def advance(size: int, tokens: int) -> None:
        nonlocal last
        counted.add(size, tokens)
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            say(console, f"{what}: {counted.text()}{counted.left()}")

    return advance
