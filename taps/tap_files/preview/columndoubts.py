"""What somebody should know of a column before its table is made: why a column of digits stays text, where one number is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["advice_on", "doubts_of"]

_DIGITS = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_EXPONENT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
_FEW = 0.05
_MOST_DIGITS = 18


def doubts_of(name: str, values: Sequence[Any]) -> Iterator[str]:
    """Yield the doubts about a column of texts, a sentence each without its name in front."""
    there = [value for value in values if isinstance(value, str) and value]
    if not there:
        yield f"`{name}`: no value was seen."
        return
    zeros = [value for value in there if _DIGITS.fullmatch(value) and value[0] == "0" and len(value) > 1]
    wide = [value for value in there if _DIGITS.fullmatch(value) and len(value) > _MOST_DIGITS]
    exponents = [value for value in there if _EXPONENT.fullmatch(value)]
    others = [number for number, value in enumerate(there, 1) if not _NUMBER.fullmatch(value)]
    if zeros and len(others) < len(there):
        yield f"`{name}`: {_values(len(zeros))} with 0, kept as text."
    elif wide and not others:
        yield f"`{name}`: {_count(len(wide), 'value')} of more than {_MOST_DIGITS} digits, kept as text."
    elif exponents:
        yield f"`{name}`: {_count(len(exponents), 'value')} like 1e5, kept as text; declare it as `number` in `schema` if they are numbers."
    elif 0 < len(others) <= max(1, len(there) * _FEW) < len(there):
        yield f"`{name}`: {_count(len(others), 'value')} of {len(there):,} {'is' if len(others) == 1 else 'are'} no number (the first is the {_th(others[0])}), so that all are text."


def advice_on(name: str, values: Sequence[Any]) -> Iterator[str]:
    """Yield what could be declared of a column of texts."""
    there = [value for value in values if isinstance(value, str) and value]
    for pattern, what, form in ((_DATE, "dates", "date"), (_MOMENT, "points in time", "date-time")):
        if there and all(map(pattern.fullmatch, there)):
            yield (
                f'All values of `{name}` look like {what}: `{{"type": ["string", "null"], "format": "{form}"}}` in `schema` has them checked, and '
                "stored as such."
            )


def _values(count: int) -> str:
    return f"{_count(count, 'value')} {'begins' if count == 1 else 'begin'}"


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _th(number: int) -> str:
    return f"{number:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(0 if number % 100 in (11, 12, 13) else number % 10, 'th') }"
