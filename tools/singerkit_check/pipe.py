"""The stream passes through: each piece is written as soon as it is read, and only then looked at."""

from __future__ import annotations

import os
from collections.abc import Callable

from singerkit_shell.errors import CannotWriteError

__all__ = ["pump"]

_READ_SIZE = (
    1 << 16
)  # as much as an ordinary pipe holds: what follows waits no longer than one such piece takes


def pump(source: int, sink: int | None, look: Callable[[bytes], None]) -> bool:
    """Read the descriptor ``source`` to its end, write every byte to ``sink``, and show it to ``look``.

    Returns False when the reader of ``sink`` went away before the end.

    Raises:
        CannotWriteError: ``sink`` cannot be written for another reason.
    """
    for descriptor in (source, sink):
        if descriptor is not None:
            os.set_blocking(descriptor, True)
    while data := os.read(source, _READ_SIZE):
        if sink is not None and not _write(sink, data):
            return False
        look(data)
    return True


def _write(sink: int, data: bytes) -> bool:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(sink, rest) :]
    except BrokenPipeError:
        return False
    except OSError as error:
        raise CannotWriteError(
            f"The stream cannot be passed on ({error.strerror or error}); make room and run again."
        ) from None
    return True
