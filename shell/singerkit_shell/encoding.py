"""UTF-8: what comes in is asked whether it is, and what goes out is, whatever the locale says; JSON's escapes, and looks at large blocks."""

from __future__ import annotations

import codecs
import ctypes
import re
import sys
from collections.abc import Collection
from io import TextIOWrapper

__all__ = ["check_utf8", "count_lines", "has_escape", "holds", "python_codec", "speak_utf8"]

_PIECE = 1 << 14  # bytes, which stay in the processor's cache: thrice as fast as a megabyte at once


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


def python_codec(name: str, left_out: Collection[str], sample: str = "") -> str | None:
    """Return the name that Python has for an encoding; None: there is no such one, it is ``left_out``, or ``sample`` cannot be written in it."""
    try:
        codec = codecs.lookup(name).name
        if codec in left_out:
            return None
        sample.encode(codec).decode(codec)  # some codecs are from bytes to bytes
    except (LookupError, ValueError):
        return None
    return codec


def holds(block: bytes, text: bytes) -> bool:
    """Tell whether ``text`` stands in ``block``: as ``in`` does, several times as fast, and letting other threads run meanwhile."""
    if _memmem is None:
        return text in block
    return _memmem(block, len(block), text, len(text)) is not None


def _found_memmem() -> ctypes._NamedFuncPointer | None:
    try:
        found = ctypes.CDLL(None).memmem
    except (AttributeError, OSError, TypeError):  # no such C library
        return None
    found.restype = ctypes.c_void_p
    found.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    return found


_memmem = _found_memmem()


def count_lines(block: bytes) -> int:
    """Return how many newlines there are: by `replace`, which leaps from one to the next, where `count` looks at each byte."""
    return len(block) - len(block.replace(b"\n", b""))


def has_escape(escape: re.Pattern[bytes], data: bytes | bytearray) -> bool:
    """Tell whether ``escape``, a pattern that begins with a backslash, is found in ``data``.

    `find` leaps to the next backslash, where `search` looks at each byte: most text has next to none.
    """
    at = data.find(b"\\")
    for _ in range(len(data) >> 11):
        if at < 0 or escape.match(data, at):
            break
        at = data.find(b"\\", at + 1)
    return at >= 0 and escape.search(data, at) is not None


def speak_utf8() -> None:
    """Let stdout be UTF-8, as JSON is, whatever the locale or PYTHONIOENCODING says; and let no text fail on its way out.

    What has no UTF-8 (a byte of a file's name that is none) is escaped. stderr keeps the encoding of its terminal.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
