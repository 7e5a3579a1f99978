"""Standard output that nobody reads any longer, as with `| head -1`, or that cannot be written."""

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

EXIT_CLOSED = 141  # 128 + SIGPIPE: what a shell says of programs that end so
EXIT_UNWRITABLE = 2
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


@contextmanager
def checked_output() -> Iterator[None]:
    """End with what is written: silently when its reader has gone, with one line when it cannot be.

    Raises SystemExit then; other broken pipes, of worker processes for example, are passed on.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    try:
        try:
            yield
        finally:  # not later, when the interpreter ends and can but complain
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
    except BrokenPipeError:
        if not any(map(_reader_has_gone, (sys.stdout, sys.stderr))):
            raise
        _discard()
        raise SystemExit(EXIT_CLOSED) from None
    except OSError as error:
        if error.filename is not None or error.errno not in UNWRITABLE:
            raise
        _discard()
        with suppress(OSError):
            print(f"error: the output cannot be written ({error.strerror})", file=sys.stderr)
        raise SystemExit(EXIT_UNWRITABLE) from None


def _reader_has_gone(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # errors and hang-ups are always told
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on Windows, no file behind the stream
        return False


def _discard() -> None:
    """Let what is still in the buffer of standard output go nowhere."""
    with suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    with suppress(AttributeError, OSError, ValueError):
        if _reader_has_gone(sys.stderr):
            os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
