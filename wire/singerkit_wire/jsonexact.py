"""JSON read and written with Python's own module, keeping the text of every number.

The slow and complete way, for pages that msgspec refuses (lone surrogates) and for selectors that need
objects to walk through. The fast way never takes a number apart.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

__all__ = ["ExactNumber", "dumps", "loads"]


class ExactNumber(Decimal):
    """A number of a JSON text: compares as its value, is written as its text (1.10 stays 1.10)."""

    text: str

    def __new__(cls, text: str) -> ExactNumber:
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:  # beyond all exponents; the text is what counts
            number = super().__new__(
                cls, "0" if "e-" in text.lower() else "-Infinity" if text[0] == "-" else "Infinity"
            )
        number.text = text
        return number


def loads(text: bytes) -> Any:
    """Decode JSON, numbers that are no plain integers as `ExactNumber`.

    Raises:
        ValueError: not JSON (NaN and Infinity are not).
        RecursionError: nested too deeply.
    """
    return json.loads(text, parse_float=ExactNumber, parse_int=_integer, parse_constant=_refuse)


def _integer(text: str) -> int | ExactNumber:
    # Python refuses to convert integers of thousands of digits, and forgets the sign of -0.
    return ExactNumber(text) if len(text) > 1000 or text == "-0" else int(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> bytes:
    """Encode what `loads` returned, and other decimals, on one line; lone surrogates as escapes."""
    return _text(value).encode("ascii")


def _text(value: Any) -> str:
    if isinstance(value, ExactNumber):
        return value.text
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)
