"""Where a text may be cut, so that what one sees as a character stays whole."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["cut"]

_JOINER = "\u200d"
_SKINS = range(0x1F3FB, 0x1F400)
_FLAGS = range(0x1F1E6, 0x1F200)
_TAGS = range(0xE0020, 0xE0080)
_SECOND_HALVES = range(0xDC00, 0xE000)  # of surrogate pairs
_JOINERS = frozenset({ord(_JOINER), *_SKINS, *_FLAGS, *_TAGS, *_SECOND_HALVES})
_JOINS_NEXT = "\r" + _JOINER
_FIRST_MARK = "\u0300"
_LONGEST = 32
"""Code points of one character: what is longer, a letter under a hundred marks, is cut where it has to be."""


def cut(text: str, length: int) -> str:
    """Return the beginning of a text: at most ``length`` code points, which is what a database counts.

    It ends before a character that would not fit whole: a letter with its accents, an emoji with what is joined to it, a flag of two
    letters, CR and LF. A character that is longer than ``length``, or than 32 code points, is cut all the same.
    """
    if len(text) <= length:
        return text
    before, after = text[length - 1], text[length]
    if before not in _JOINS_NEXT and (after < _FIRST_MARK or not _may_join(after)):
        return text[:length]
    lowest = max(length - _LONGEST, 0)
    for end in range(length, lowest, -1):
        if not _is_inside(text, end):
            return text[:end]
    return text[:length]


@lru_cache(maxsize=4096)
def _may_join(char: str) -> bool:
    """Tell whether a cut before this character may lie inside one that is seen, whatever stands before it."""
    return unicodedata.category(char)[0] == "M" or ord(char) in _JOINERS


def _is_inside(text: str, place: int) -> bool:
    """Tell whether a cut before ``place`` lies inside what is seen as one character."""
    before, after = text[place - 1], text[place]
    return (
        unicodedata.category(after)[0] == "M"
        or after == _JOINER
        or before == _JOINER
        or ord(after) in _SKINS
        or ord(after) in _TAGS
        or (before == "\r" and after == "\n")
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
        or (ord(after) in _FLAGS and _flags_before(text, place) % 2 == 1)
    )


def _flags_before(text: str, place: int) -> int:
    lowest = max(place - 2 * _LONGEST, 0)
    start = place
    while start > lowest and ord(text[start - 1]) in _FLAGS:
        start -= 1
    return place - start
