"""Transactions that the server sends before they are committed: kept until it says what has become of them, on disk if need be.

The changes of one transaction come in blocks, among those of others; a subtransaction of it may be rolled back later. What is
kept is each message with the number of its subtransaction; nothing of it is looked into before the commit.
"""

from __future__ import annotations

import contextlib
import errno
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from singerkit_shell.errors import CannotWriteError
from singerkit_sql_tap.faults import SAFE
from tap_postgres.log.pgoutput import RELATION, TYPE

__all__ = ["Spool"]

_HEAD = struct.Struct(">II")
_DESCRIBES = (RELATION, TYPE)
"""What is said once in a transaction, and holds for the rest of it, though the subtransaction that said it was rolled back."""


class _Open:
    """One transaction."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.bytes = 0
        self.spooled = 0
        self.file: BinaryIO | None = None
        self.undone: set[int] = set()


class Spool:
    """Keeps up to ``memory_bytes`` of all transactions in memory, and up to ``disk_bytes`` in ``folder`` (None: that of the system)."""

    def __init__(self, folder: str | None, memory_bytes: int, disk_bytes: int | None) -> None:
        self._folder, self._memory, self._disk = folder, memory_bytes, disk_bytes
        self._open: dict[int, _Open] = {}
        self._in_memory = self._on_disk = 0

    def keep(self, transaction: int, message: bytes) -> None:
        """Keep a message of an open transaction: its kind, the number of its subtransaction, its contents.

        Raises:
            CannotWriteError: there is no room.
        """
        one = self._open.get(transaction)
        if one is None:
            one = self._open[transaction] = _Open()
        one.messages.append((int.from_bytes(message[1:5]), message[:1] + message[5:]))
        size = len(message) + 100  # as Python counts
        one.bytes += size
        self._in_memory += size
        if self._in_memory > self._memory:
            self._write(max(self._open.values(), key=lambda each: each.bytes))

    def undo(self, transaction: int, part: int) -> None:
        """Forget a transaction, or a subtransaction of it, that was rolled back."""
        if part == transaction:
            self._forget(transaction)
        elif transaction in self._open:
            self._open[transaction].undone.add(part)

    def take(self, transaction: int) -> Iterator[bytes]:
        """Yield the messages of a transaction that was committed, as they would be if they had come at once."""
        one = self._open.get(transaction)
        if one is None:
            return
        for part, message in self._all(one):
            if part not in one.undone or message[0] in _DESCRIBES:
                yield message
        self._forget(transaction)

    def clear(self) -> None:
        for transaction in list(self._open):
            self._forget(transaction)

    def _all(self, one: _Open) -> Iterator[tuple[int, bytes]]:
        if one.file is not None:
            yield from self._read_back(one.file)
        yield from one.messages

    def _read_back(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        try:
            file.seek(0)
            while head := file.read(_HEAD.size):
                part, size = _HEAD.unpack(head)
                yield part, file.read(size)
        except OSError as error:
            raise self._no_room(error) from None

    def _write(self, one: _Open) -> None:
        try:
            if one.file is None:
                one.file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder, prefix="singerkit-log-"))  # noqa: SIM115  closed by `_forget`
            for part, message in one.messages:
                one.file.write(_HEAD.pack(part, len(message)))
                one.file.write(message)
                one.spooled += _HEAD.size + len(message)
                self._on_disk += _HEAD.size + len(message)
            one.file.flush()
        except OSError as error:
            raise self._no_room(error) from None
        self._in_memory -= one.bytes
        one.messages, one.bytes = [], 0
        if self._disk is not None and self._on_disk > self._disk:
            raise CannotWriteError(
                f"Transactions of the source that are still open fill more than the {self._disk} bytes of `log.spool_bytes`; {SAFE}: "
                "raise it, or have the source commit more often."
            )

    def _no_room(self, error: OSError) -> CannotWriteError:
        folder = self._folder or tempfile.gettempdir()
        why = "no room is left" if error.errno == errno.ENOSPC else (error.strerror or "it failed")
        return CannotWriteError(
            f"A large transaction of the source cannot be kept in the folder {Path(folder)} ({why}); {SAFE}: make room there, or name "
            "another folder at `log.spool_folder`."
        )

    def _forget(self, transaction: int) -> None:
        one = self._open.pop(transaction, None)
        if one is None:
            return
        self._in_memory -= one.bytes
        self._on_disk -= one.spooled
        if one.file is not None:
            with contextlib.suppress(OSError):  # of what it could not write, nobody asks any more
                one.file.close()
