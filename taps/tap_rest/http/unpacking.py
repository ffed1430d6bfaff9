"""Bodies that come compressed: piece by piece, and to their end, or not at all.

urllib3 takes a stream that was cut at its end for a whole one: where only the checksum of gzip is missing, nothing else
shows it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["CutError", "ungzipped", "unpacked"]

_GZIP_WINDOW = zlib.MAX_WBITS + 16
_WINDOWS: dict[str, tuple[int, ...]] = {
    "gzip": (_GZIP_WINDOW,),
    "x-gzip": (_GZIP_WINDOW,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),  # with a header, as it should be, and without
}
_GZIP = b"\x1f\x8b"
_PADDING = b"\0 \t\r\n"
_PIECE = 1024 * 1024
"""Bytes that come out at once, whatever is in a few that come in."""


class CutError(Exception):
    """A compressed body ends before its end."""


def unpacked(pieces: Iterable[bytes], encoding: str) -> Iterable[bytes]:
    """Return a body without the encodings that its Content-Encoding names; those that are not known are left.

    Raises (while it is iterated):
        CutError: it ends too early.
        zlib.error: it is not in this encoding.
    """
    for name in reversed(encoding.lower().split(",")):
        windows = _WINDOWS.get(name.strip())
        if windows is not None:
            pieces = _inflated(pieces, windows)
    return pieces


def ungzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a file of gzip holds; raises as `unpacked`."""
    return _inflated(pieces, (_GZIP_WINDOW,))


def _inflated(pieces: Iterable[bytes], windows: Sequence[int]) -> Iterator[bytes]:
    is_gzip = windows[0] == _GZIP_WINDOW
    left = b""
    stream: _Stream | None = None
    is_first = True
    for piece in pieces:
        left += piece
        while left or (stream is not None and stream.has_more):
            if stream is None:
                # gzip may have several members; what else stands behind its end is one that is broken, or padding.
                if not is_first and not (is_gzip and _begins_like_gzip(left)):
                    if is_gzip and left.strip(_PADDING):
                        raise CutError
                    left = b""
                    break
                if is_gzip and not _begins_like_gzip(left):
                    raise zlib.error
                stream = _Stream(windows)
            part, left = stream.take(left)
            if part:
                yield part
            if stream.has_ended:
                stream, is_first = None, False
    if stream is not None:
        raise CutError


class _Stream:
    """One compressed stream."""

    def __init__(self, windows: Sequence[int]) -> None:
        self._inflater = zlib.decompressobj(windows[0])
        self._others = windows[1:]
        self._taken = b""
        """What came before it was certain which window is the right one."""
        self.has_more = False
        """Whether something may come out without more coming in."""

    @property
    def has_ended(self) -> bool:
        return self._inflater.eof

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what ``data`` holds, and what of it is left to be taken."""
        try:
            part = self._inflater.decompress(data, _PIECE)
        except zlib.error:
            if not self._others:
                raise
            self._inflater, self._others = zlib.decompressobj(self._others[0]), self._others[1:]
            return self.take(self._taken + data)
        self.has_more = len(part) == _PIECE and not self._inflater.eof
        if self._others:
            self._taken += data
            self._others = () if part else self._others
        rest = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        return part, rest


def _begins_like_gzip(data: bytes) -> bool:
    return data[:2] in (_GZIP, _GZIP[:1])
