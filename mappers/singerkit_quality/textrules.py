"""The rules of text that are patterns: what a text reads as, and the signs that it was decoded wrongly."""

from __future__ import annotations

from collections.abc import Mapping

from singerkit_quality.matching import Pattern, pattern_of

__all__ = ["SIGNS", "TYPES"]

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
_HEX = "[0-9A-Fa-f]"

TYPES: Mapping[str, Pattern] = {
    "integer": pattern_of("-?(?:0|[1-9][0-9]*)"),
    "number": pattern_of(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"),
    "boolean": pattern_of("true|false"),
    "date": pattern_of(f"(?:[0-9]{{4}}-{_DAY}|{_LEAP}-02-29)"),
    "uuid": pattern_of(f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"),
}
"""As JSON and ISO 8601 write them: no blanks around it, no plus, no zeros before a number."""

_SECOND = "\u00a1-\u00ba\u00bc-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2020\u2021\u2030\u20ac"
"""What the second byte of a letter in UTF-8 becomes where it is read as Latin-1, or as Windows has it; without the quotation marks, dashes and
blanks among them, which may well stand behind a letter."""

SIGNS: Pattern = pattern_of(f"[\u0080-\u009f\ufffd]|[\u00c2\u00c3][{_SECOND}]|\u00e2\u20ac")
"""Stands in text that was decoded wrongly: the mark of what could not be decoded, controls that nobody writes, and UTF-8 that was read as Latin-1."""
