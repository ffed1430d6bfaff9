"""The bytes of one file as its reader wants them, with a look at their beginning and end for later runs."""

from __future__ import annotations

import tempfile
from base64 import urlsafe_b64encode
from collections import deque
from contextlib import closing
from hashlib import blake2b
from typing import IO

from singerkit_shell.errors import CannotWriteError
from tap_files.formats.contract import PIECE_BYTES, UnreadableFile
from tap_files.places.contract import Content, FileChanged, Found, Place
from tap_files.turns import END_BYTES, Ends, Turn

__all__ = ["PlainBytes", "cannot_copy", "digest", "ends_of", "is_compared", "read_up_to", "whole_of"]

_WHOLE = 12
COMPARED_BYTES = 64 << 20
"""Bytes of a file on a disk that are compared with what was read of it, where it has grown."""
_KEPT = 3 * PIECE_BYTES
"""Bytes read last that are kept: a reader reads ahead of the records that it gives."""


def digest(data: bytes) -> str:
    """Return eight characters that stand for bytes."""
    return _shown(blake2b(data, digest_size=6).digest())


def ends_of(place: Place, found: Found, byte: int) -> Ends:
    """Return the digests of a file up to a byte, of which it has as many."""
    size = min(END_BYTES, byte)
    return digest(_read(place, found, 0, size)), digest(_read(place, found, byte - size, size))


def whole_of(place: Place, found: Found, size: int | None = None) -> str:
    """Return the digest of all bytes of a file, or of so many at its beginning."""
    return _shown(_hashed(place, found, size).digest())


def _hashed(place: Place, found: Found, size: int | None) -> blake2b:
    content = place.open(found)
    try:
        found_so_far = blake2b(digest_size=_WHOLE)
        left = PIECE_BYTES if size is None else size
        while left and (data := content.read(min(left, PIECE_BYTES))):
            found_so_far.update(data)
            left -= 0 if size is None else len(data)
        return found_so_far
    finally:
        content.close()


def is_compared(place: Place, found: Found, size: int) -> bool:
    """Tell whether so many bytes at the beginning of a file are read again, to see whether they are what they were."""
    return size <= COMPARED_BYTES and place.path_of(found) is not None


def _shown(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode()


def read_up_to(content: Content, size: int) -> bytes:
    """Return the next ``size`` bytes of a content; fewer where it ends before."""
    data = b""
    while len(data) < size and (more := content.read(size - len(data))):
        data += more
    return data


def cannot_copy(error: OSError) -> CannotWriteError:
    """Return what to do where there is no room for a copy of a file."""
    return CannotWriteError(
        f"A file is copied to this machine while it is read, and the folder for such copies, {tempfile.gettempdir()}, cannot take it "
        f"({error.strerror}); rows read so far are safe: make room there, or name another folder in the environment variable TMPDIR."
    )


def _read(place: Place, found: Found, offset: int, size: int) -> bytes:
    with closing(place.open(found, offset)) as content:
        return read_up_to(content, size)


class PlainBytes:
    """See `formats.contract.Bytes`: a file that is not packed."""

    def __init__(self, place: Place, turn: Turn) -> None:
        self._place, self._found, self.is_whole = place, turn.found, turn.is_whole
        self.name = turn.found.name
        self._content: Content = place.open(turn.found, turn.start.byte)
        self._at = turn.start.byte
        self._head = b"" if turn.start.byte == 0 else None
        self._last: deque[bytes] = deque()
        self._kept = 0
        self._copy: IO[bytes] | None = None
        begin = turn.start.byte
        self._former = blake2b(digest_size=_WHOLE) if begin == 0 else None
        """Of all bytes before those that are kept."""
        if begin and is_compared(place, turn.found, begin):
            self._former = _hashed(place, turn.found, begin)
        self._is_at_end = self._is_read_by_path = False

    def read(self, size: int, /) -> bytes:
        """See `formats.contract.Bytes.read`."""
        data = self._content.read(size)
        self._at += len(data)
        self._is_at_end = not data
        if self._head is not None and len(self._head) < END_BYTES:
            self._head += data[: END_BYTES - len(self._head)]
        self._last.append(data)
        self._kept += len(data)
        while self._kept - len(self._last[0]) >= _KEPT:
            former = self._last.popleft()
            self._kept -= len(former)
            if self._former is not None:
                self._former.update(former)
        return data

    def ends(self, byte: int) -> Ends | None:
        """Return the digests of the file up to a byte that was read; None: it is another one by now."""
        size = min(END_BYTES, byte)
        begin = byte - size
        try:
            if self._head is None:
                self._head = _read(self._place, self._found, 0, END_BYTES)
            if begin < self._at - self._kept:
                tail = _read(self._place, self._found, begin, size)
            else:
                tail = self._recent(begin, size)
        except FileChanged:
            return None
        return digest(self._head[:size]), digest(tail)

    @property
    def whole(self) -> str:
        """The digest of all bytes of the file; "": not all were read."""
        return self.up_to(self._at) if self._is_at_end else ""

    def up_to(self, byte: int) -> str:
        """Return the digest of all bytes of the file before one that was read; "": nobody has it."""
        left = byte - (self._at - self._kept)
        if self._former is None or left < 0:
            return ""
        found = self._former.copy()
        for data in self._last:
            found.update(data[:left])
            left -= len(data[:left])
        return _shown(found.digest())

    def _recent(self, begin: int, size: int) -> bytes:
        """Return bytes that are kept."""
        at, found = self._at, b""
        for data in reversed(self._last):
            at -= len(data)
            found = data + found
            if at <= begin:
                break
        return found[begin - at : begin - at + size]

    @property
    def may_grow(self) -> bool:
        """Whether nothing but `check_same` tells that others were written in its place while it got longer."""
        return self._place.may_grow

    def check_same(self) -> None:
        """See that what was read is what stands there still; a file that is not there any more was read as it was.

        Raises:
            FileChanged: others were written in its place.
        """
        now = self._place.look(self._found.name)
        if now is None or now.version == self._found.version:
            return
        is_another = self._found.identity is not None and now.identity != self._found.identity
        if is_another and not self._is_read_by_path:
            return  # that was moved to the name: what was read is the former one, as a whole
        if is_another or not self._has_only_grown(now):
            raise FileChanged(
                f"The file {self._found.name} was changed while it was read; run again when nobody writes it."
            )

    def _has_only_grown(self, now: Found) -> bool:
        if self._is_read_by_path or (now.size or 0) <= (self._found.size or 0):
            return False
        try:
            if self._at <= COMPARED_BYTES and (whole := self.up_to(self._at)):
                return whole_of(self._place, now, self._at) == whole
            return self.ends(self._at) == ends_of(self._place, now, self._at)
        except (FileChanged, UnreadableFile):
            return False

    def to_disk(self) -> str:
        """See `formats.contract.Bytes.to_disk`."""
        path = self._place.path_of(self._found)
        if path is not None:
            self._is_read_by_path = True
            return path
        try:
            copy = self._copy = tempfile.NamedTemporaryFile(prefix="tap-files-")  # noqa: SIM115  `close` closes it
            while data := self._content.read(PIECE_BYTES):
                copy.write(data)
            copy.flush()
        except OSError as error:
            raise cannot_copy(error) from None
        return str(copy.name)

    def close(self) -> None:
        """Let go of the file."""
        self._content.close()
        if self._copy is not None:
            self._copy.close()
