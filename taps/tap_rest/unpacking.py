"""Bodies that came compressed: as a whole, or not at all.

urllib3 takes a stream that was cut at its end for a whole one: where only the checksum of gzip is missing, nothing else
shows it.
"""

from __future__ import annotations

import zlib

__all__ = ["CutError", "TooLargeError", "unpacked"]

_WINDOWS: dict[str, tuple[int, ...]] = {
    "gzip": (zlib.MAX_WBITS + 16,),
    "x-gzip": (zlib.MAX_WBITS + 16,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),  # with a header, as it should be, and without
}
_GZIP = b"\x1f\x8b"


class CutError(Exception):
    """A compressed body ends before its end."""


class TooLargeError(Exception):
    """A body is larger than the limit after decompression."""


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without the encodings that its Content-Encoding names; those that are not known are left.

    Raises:
        CutError: it ends too early.
        TooLargeError: it has more than ``limit`` bytes then.
        zlib.error: it is not in this encoding.
    """
    for name in reversed(encoding.lower().split(",")):
        windows = _WINDOWS.get(name.strip(), ())
        for number, window in enumerate(windows, start=1):
            try:
                body = _inflated(body, window, limit)
                break
            except zlib.error:
                if number == len(windows):
                    raise
    return body


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    is_gzip = window > zlib.MAX_WBITS
    if body and is_gzip and not _begins_like_gzip(body):
        raise zlib.error
    while body:
        inflater = zlib.decompressobj(window)
        part = inflater.decompress(body, left + 1)
        left -= len(part)
        if left < 0:
            raise TooLargeError
        if not inflater.eof:
            raise CutError
        parts.append(part)
        # gzip may have several members; what else stands behind its end is nothing, as everywhere.
        rest = inflater.unused_data
        body = rest if is_gzip and _begins_like_gzip(rest) else b""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _begins_like_gzip(data: bytes) -> bool:
    return data[:2] in (_GZIP, _GZIP[:1])
