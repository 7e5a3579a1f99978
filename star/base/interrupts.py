"""Ctrl-C and SIGTERM, noted when they come and raised where they do no harm."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems and `kill` send it: ends what Ctrl-C ends."""


def exit_code(error: KeyboardInterrupt) -> int:
    """What a command that was ended by it exits with: 130, or 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def exit_at_once() -> None:
    """Let Ctrl-C end the process with one line, wherever it comes: for the seconds in which the
    modules of a command are imported, when there is nothing to tidy up."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit)


def _exit(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


@contextmanager
def raised_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt within it, where it would end the process at once."""
    if signal.getsignal(signal.SIGINT) is not _exit:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        exit_at_once()


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


@contextmanager
def blocked_interrupt() -> Iterator[None]:
    """Processes that start within it inherit a blocked SIGINT, so that Ctrl-C never interrupts
    their start."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # whose own start unblocks it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
