"""Ctrl-C waits for a safe place; a second one does not."""

import os
import signal
import time

import pytest

from star.base.interrupts import Terminated, deferred_interrupt, exit_code


def press(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)
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


def test_sigterm_is_noted_as_ctrl_c_is() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with deferred_interrupt() as interrupt:
        press(signal.SIGTERM)
        with pytest.raises(Terminated) as caught:
            interrupt.check()
        with pytest.raises(Terminated):
            press(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
    assert exit_code(caught.value) == 143 and exit_code(KeyboardInterrupt()) == 130
