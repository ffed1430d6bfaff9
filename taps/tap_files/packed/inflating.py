"""From packed bytes to what they hold: all members of a file, one behind the other, a bounded piece at a time."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from singerkit_shell.extras import imported
from tap_files.formats.contract import UnreadableFile
from tap_files.packed.limits import Limits
from tap_files.packed.packing import START, check_start
from tap_files.places.contract import Content

__all__ = ["Inflated"]

_PIECE = 256 * 1024
"""Packed bytes that are read at once."""
_XZ_MEMORY = 128 * 1024 * 1024
"""Bytes that an xz file may ask for: `xz -9` makes such as want 65 MB."""
_CUT = "it was cut, or is not written to its end yet (`minimum_age` and `done_marker` have such files wait)"


class _Inflater(Protocol):
    """One member, as the modules bz2, lzma and compression.zstd have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Gzip:
    """One member of gzip, in the manner of the others."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS + 16)
        self._waiting = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        part = self._inflater.decompress(self._waiting + data, max_length)
        self._waiting = self._inflater.unconsumed_tail
        self.needs_input = not self._waiting and len(part) < max_length
        return part


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd
    return imported("backports.zstd", "files of zstd", "zstd", "tap-files")


def _inflaters(packing: str) -> tuple[Callable[[], _Inflater], tuple[type[Exception], ...]]:
    """Return what makes an inflater of a member, and what those raise where it is broken."""
    if packing == "zstd":
        zstd = _zstd()
        return zstd.ZstdDecompressor, (zstd.ZstdError,)
    known: Mapping[str, tuple[Callable[[], _Inflater], tuple[type[Exception], ...]]] = {
        "gzip": (_Gzip, (zlib.error,)),
        "bz2": (bz2.BZ2Decompressor, (OSError, ValueError)),
        "xz": (
            lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
            (lzma.LZMAError, MemoryError),
        ),
    }
    return known[packing]


class Inflated:
    """The content of a packed file, as a `Content`.

    Raises (`read`):
        UnreadableFile: it is packed otherwise, cut, broken, or larger than the limits.
    """

    def __init__(self, packed: Content, packing: str, limits: Limits) -> None:
        self._packed, self._packing, self._limits = packed, packing, limits
        self._new, self._broken = _inflaters(packing)
        self._member: _Inflater | None = None
        self._left = b""
        self._taken = self._given = 0
        self._has_begun = self._has_ended = False

    def close(self) -> None:
        self._packed.close()

    def read(self, size: int, /) -> bytes:
        while not self._has_ended:
            if self._member is None and not self._begin_member():
                break
            part = self._inflate(size)
            if part:
                self._given += len(part)
                self._limits.check(self._taken, self._given)
                return part
        return b""

    def _begin_member(self) -> bool:
        """Begin the first member, or the one behind the last; tell whether there is one."""
        self._fill(START)
        if self._has_begun:
            # Blocks of tapes and some tools pad with zeros; what else stands here was not put there by whoever packed the file.
            while self._left and not self._left.strip(b"\0"):
                self._left = b""
                self._fill(START)
            self._left = self._left.lstrip(b"\0")
            self._fill(START)
        if not self._left and self._has_begun:
            self._has_ended = True
            return False
        if not self._left:
            raise UnreadableFile(
                f"Expected {self._packing}, got a file of 0 bytes, which is none, also where nothing was packed; {_CUT}"
            )
        try:
            check_start(self._packing, self._left)
        except UnreadableFile:
            if not self._has_begun:
                raise
            raise UnreadableFile(
                f"Expected the end of {self._packing}, got other bytes behind it (byte {self._taken - len(self._left)} of the packed file); what is "
                "before them was whole: the file may have been written by two at once"
            ) from None
        self._member, self._has_begun = self._new(), True
        return True

    def _inflate(self, size: int) -> bytes:
        member = self._member
        assert member is not None  # noqa: S101  `read` sees to it
        data = b""
        if member.needs_input:
            if not self._left:
                self._fill(1)
            if not self._left:
                raise UnreadableFile(
                    f"Expected {self._packing} up to its end, got an end in the middle (byte {self._taken} of the packed file); {_CUT}"
                )
            data, self._left = self._left, b""
        try:
            part = member.decompress(data, size)
        except self._broken as error:
            raise UnreadableFile(
                f"Expected {self._packing}, got bytes that are not, before byte {self._taken} of the packed file ({_said(error)}); fetch it again"
            ) from None
        if member.eof:
            self._left, self._member = member.unused_data + self._left, None
        return part

    def _fill(self, size: int) -> None:
        """See that ``size`` packed bytes are waiting, if there are so many."""
        while len(self._left) < size and (piece := self._packed.read(_PIECE)):
            self._left += piece
            self._taken += len(piece)


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:100]
