"""Ctrl-C waits for a safe place; a second one does not."""

import os
import signal
import time

import pytest

from star.base.interrupts import deferred_interrupt


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def test_the_first_is_noted_and_raised_where_asked() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as interrupt:
        interrupt.check()
        press()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_is_raised_at_once() -> None:
    with deferred_interrupt():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
