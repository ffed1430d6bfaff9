"""The bytes of one file as its reader wants them, with a look at their beginning and end for later runs."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from tempfile import NamedTemporaryFile
from typing import IO

from tap_files.formats.contract import PIECE_BYTES
from tap_files.places.contract import Content, Found, Place
from tap_files.turns import END_BYTES, Ends, Turn

__all__ = ["PlainBytes", "digest", "ends_of"]

_TAIL = 64 << 10
"""Bytes read last that are kept, for the digest of what is before the end."""


def digest(data: bytes) -> str:
    """Return eight characters that stand for bytes."""
    return urlsafe_b64encode(blake2b(data, digest_size=6).digest()).decode()


def ends_of(place: Place, found: Found, byte: int) -> Ends:
    """Return the digests of a file up to a byte, of which it has as many."""
    size = min(END_BYTES, byte)
    return digest(_read(place, found, 0, size)), digest(_read(place, found, byte - size, size))


def _read(place: Place, found: Found, offset: int, size: int) -> bytes:
    content = place.open(found, offset)
    try:
        data = b""
        while len(data) < size and (more := content.read(size - len(data))):
            data += more
        return data
    finally:
        content.close()


class PlainBytes:
    """See `formats.contract.Bytes`: a file that is not packed."""

    def __init__(self, place: Place, turn: Turn, head: str | None = None) -> None:
        """``head``: the digest of the beginning, where the turn starts behind it."""
        self._place, self._turn, self.is_whole = place, turn, turn.is_whole
        self._content: Content = place.open(turn.found, turn.start.byte)
        self._at = turn.start.byte
        self._head, self._first = head, b""
        self._tail = b""
        self._copy: IO[bytes] | None = None

    def read(self, size: int, /) -> bytes:
        """See `formats.contract.Bytes.read`."""
        data = self._content.read(size)
        self._at += len(data)
        if self._head is None and len(self._first) < END_BYTES:
            self._first += data[: END_BYTES - len(self._first)]
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]
        return data

    def ends(self, byte: int) -> Ends:
        """Return the digests of the file up to a byte."""
        size = min(END_BYTES, byte)
        behind = self._at - byte
        if behind + size > len(self._tail):
            return ends_of(self._place, self._turn.found, byte)
        begin = len(self._tail) - behind - size
        head = digest(self._first[:size]) if self._head is None or byte < END_BYTES else self._head
        return head, digest(self._tail[begin : begin + size])

    def to_disk(self) -> str:
        """See `formats.contract.Bytes.to_disk`."""
        path = self._place.path_of(self._turn.found)
        if path is not None:
            return path
        copy = self._copy = NamedTemporaryFile(prefix="tap-files-")  # noqa: SIM115  `close` closes it
        while data := self._content.read(PIECE_BYTES):
            copy.write(data)
        copy.flush()
        return copy.name

    def close(self) -> None:
        """Let go of the file."""
        self._content.close()
        if self._copy is not None:
            self._copy.close()
