"""Faults at the k-th call of libc, by `inject.c`: rules, the page of counts, and the compiled library.

A rule is ``class:k[+]:action``; several are joined by ``;``. The classes and what they count:

    any       every call below but the last, and writes to stderr
    write     write, pwrite, writev to anything but stderr
    stdout    those to descriptor 1 (the wire of a tap, the printed STATE of a target)
    disk      those to regular files other than stdout (the state file, the lock file, the schema cache)
    send      send, sendto, sendmsg (the tap's requests, the target's messages to the server)
    fsync     fsync, fdatasync
    rename    rename, renameat
    unlink    unlink, unlinkat
    truncate  ftruncate
    pread     pread (the files that tap-files reads)

and the actions: ``kill`` (-9 in place of the call), ``kill-after`` it, ``short-kill`` (half of it is written, then
-9), ``term``, ``int`` (the signal, then the call), ``stop`` (SIGSTOP, then the call), ``errno=N`` (the call fails; after a
failed send the connection is gone).
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

__all__ = ["CLASSES", "Counts", "NoCompilerError", "compiled", "library", "rule"]

CLASSES = ("any", "write", "stdout", "disk", "send", "fsync", "rename", "unlink", "truncate", "pread")
_RULES = 8
_SOURCE = Path(__file__).with_name("inject.c")


class NoCompilerError(Exception):
    """A C compiler is needed (Debian: apt-get install gcc libc6-dev; .ci/run does it)."""


def library() -> Path:
    """Return the library that makes system calls fail.

    Raises:
        NoCompilerError: neither ``cc`` nor ``gcc`` is there.
    """
    return compiled(_SOURCE)


def compiled(source: Path) -> Path:
    """Return the library of a file in C, made at first use in a folder of the temporary directory.

    Raises:
        NoCompilerError: neither ``cc`` nor ``gcc`` is there.
    """
    folder = Path(tempfile.gettempdir()) / f"singerkit-torture-{os.geteuid()}"
    made = folder / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if made.exists():
        return made
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompilerError("no C compiler is installed (cc or gcc), so no library can be made")
    folder.mkdir(mode=0o700, exist_ok=True)
    part = folder / f"{made.name}.{os.getpid()}"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", part, source, "-ldl", "-lpthread"], check=True)
    part.rename(made)
    return made


def rule(kind: str, at: int, action: str, *, persists: bool = False) -> str:
    """Return the text of one rule."""
    assert kind in CLASSES
    assert at >= 1
    return f"{kind}:{at}{'+' if persists else ''}:{action}"


class Counts:
    """What one process has called, live: the page that `inject.c` counts in. A context manager, or `close` it."""

    def __init__(self, folder: Path) -> None:
        descriptor, path = tempfile.mkstemp(prefix="counts-", dir=folder)
        self.path = Path(path)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(4096)
            self._page = mmap.mmap(file.fileno(), 4096)

    def __getitem__(self, kind: str) -> int:
        return int(struct.unpack_from("<Q", self._page, 8 * CLASSES.index(kind))[0])

    def all(self) -> dict[str, int]:
        """Return the number of calls of each class so far."""
        return {kind: self[kind] for kind in CLASSES}

    def struck(self) -> int:
        """Return how often the rules have struck so far."""
        return sum(struct.unpack_from(f"<{_RULES}Q", self._page, 8 * 16))

    def close(self) -> None:
        self._page.close()
        self.path.unlink(missing_ok=True)
