"""Ctrl-C and SIGTERM, noted when they come and raised where they do no harm."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems and `kill` send it: ends what Ctrl-C ends."""


def exit_code(error: KeyboardInterrupt) -> int:
    """What a command that was ended by it exits with: 130, or 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


class Interrupt:
    """Whether Ctrl-C was pressed, or SIGTERM came."""

    error: KeyboardInterrupt | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was."""
        if self.error is not None:
            raise self.error


ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Note the first Ctrl-C or SIGTERM instead of raising it anywhere, inside a library's locks for
    example.

    A second one is raised at once. Outside the main thread, which alone gets signals, nothing is
    changed.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def note(number: int, frame: object) -> None:
        interrupt.check()
        interrupt.error = ERRORS[signal.Signals(number)]()

    with kept_handlers():
        for number in ERRORS:
            signal.signal(number, note)
        yield interrupt


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put back what handles these signals, whatever is set within it; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in ERRORS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            if handler is not None:  # of a library in C, which cannot be named here
                signal.signal(number, handler)
