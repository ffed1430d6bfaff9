"""The body of an answer while it comes: in memory, and on disk as soon as it is long.

Nothing of a body is used before all of it is there: a connection that breaks, a chunk or a checksum that is missing then costs
another request, and no row that has been sent already. The file has no name and goes with the process, however that ends.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from singerkit_shell.errors import CannotWriteError

__all__ = ["MEMORY", "PIECE", "WHOLE", "Disk", "Limits", "Span", "Store", "TooLargeError", "stored"]

MEMORY = 8 * 1024 * 1024
"""Bytes of a body up to which it stays in memory."""
PIECE = 1024 * 1024
"""Bytes that are read at once."""
WHOLE = 256 * 1024 * 1024
STORED = 4 * 1024 * 1024 * 1024


class TooLargeError(Exception):
    """A body has more bytes than the limit, which is told."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one body: of one that is read as a whole, in memory, and of one on disk."""

    whole: int = WHOLE
    stored: int = STORED

    @classmethod
    def of(cls, configured: int | None) -> Limits:
        """Return the limits of a config, which says one number or none."""
        return cls() if configured is None else cls(configured, configured)


class Disk:
    """A file that is there as long as somebody reads it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        weakref.finalize(self, file.close)

    @classmethod
    def new(cls) -> Disk | None:
        """Return one without a name; None: there is no folder that takes files."""
        try:
            return cls(cast("BinaryIO", tempfile.TemporaryFile("w+b", prefix="tap-rest-")))
        except OSError:
            return None

    def write(self, data: bytes) -> None:
        """Add to the end of it.

        Raises:
            CannotWriteError: the disk is full.
        """
        try:
            self.file.write(data)
        except OSError as error:
            raise CannotWriteError(
                f"A long answer is kept in a file while it is read, and the folder for such files, {tempfile.gettempdir()}, cannot take it "
                f"({error.strerror}); rows read so far are safe: make room there, or name another folder in the environment variable TMPDIR."
            ) from None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file, or all of it."""

    disk: Disk
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def read(self, at: int, size: int) -> bytes:
        """Return up to ``size`` bytes from byte ``at`` of the part on."""
        begin = min(self.start + at, self.end)
        self.disk.file.seek(begin)
        return self.disk.file.read(min(size, self.end - begin))

    def pieces(self) -> Iterator[bytes]:
        """Yield all of it."""
        for at in range(0, len(self), PIECE):
            yield self.read(at, PIECE)


class Store:
    """Takes one body in, or several one behind the other.

    Raises (all methods):
        TooLargeError: there are more bytes than the limits allow.
        CannotWriteError: the disk is full.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts: list[bytes] = []
        self._disk: Disk | None = None
        self._has_no_disk = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        if self._disk is None and self.size > MEMORY and not self._has_no_disk:
            self._begin_file()
        limit = self._limits.stored if self._disk is not None else self._limits.whole
        if self.size > limit:
            raise TooLargeError(limit)
        if self._disk is None:
            self._parts.append(data)
        else:
            self._disk.write(data)

    def finish(self) -> bytes | Span:
        """Return all that was taken."""
        if self._disk is not None:
            return Span(self._disk, 0, self.size)
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _begin_file(self) -> None:
        self._disk = Disk.new()
        self._has_no_disk = self._disk is None  # a container that cannot write: in memory, as far as it goes
        if self._disk is not None:
            for part in self._parts:
                self._disk.write(part)
            self._parts.clear()


def stored(pieces: Iterable[bytes], limits: Limits) -> bytes | Span:
    """Return what ``pieces`` hold, stored."""
    store = Store(limits)
    for piece in pieces:
        store.write(piece)
    return store.finish()
