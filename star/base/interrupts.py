"""Ctrl-C, noted when it is pressed and raised where it does no harm."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Whether Ctrl-C was pressed."""

    pressed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was."""
        if self.pressed:
            raise KeyboardInterrupt


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Note the first Ctrl-C instead of raising it anywhere, inside a library's locks for example; a
    second one is raised at once."""
    interrupt = Interrupt()

    def note(number: int, frame: object) -> None:
        interrupt.check()
        interrupt.pressed = True

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
