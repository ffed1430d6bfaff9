"""What is left in a pipe, and of a program that still holds it open, whatever session it has given itself; on Linux, which tells."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

from singerkit_run.children import STARTING

__all__ = ["bytes_in", "end_writers", "reader_of"]

_PROCESSES = Path("/proc")
_FLAGS = re.compile(r"^flags:\s*([0-7]+)", re.MULTILINE)


def end_writers(write_end: int) -> None:
    """Kill all others that could write to a pipe whose writer has ended: its reader would wait for them."""
    pipe = os.fstat(write_end)
    with STARTING:
        for process in _writers(pipe.st_dev, pipe.st_ino):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)


def bytes_in(end: int | None) -> int:
    """Return how many bytes of a pipe nobody has read, of either of its ends."""
    if end is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4))[0])
    except OSError:
        return 0


def reader_of(write_end: int) -> int | None:
    """Return a read end of a pipe, by which it can be asked what is left in it when its readers have gone; None where there is no such thing."""
    try:
        return os.open(f"/proc/self/fd/{write_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def _writers(device: int, inode: int) -> Iterator[int]:
    for process in _PROCESSES.glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it is gone, or somebody else's
            if any(
                _is_writer(process, descriptor, device, inode) for descriptor in os.listdir(process / "fd")
            ):
                yield int(process.name)


def _is_writer(process: Path, descriptor: str, device: int, inode: int) -> bool:
    try:
        found = os.stat(process / "fd" / descriptor)
        if (found.st_dev, found.st_ino) != (device, inode):
            return False
        flags = _FLAGS.search((process / "fdinfo" / descriptor).read_text())
    except OSError:
        return False
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
