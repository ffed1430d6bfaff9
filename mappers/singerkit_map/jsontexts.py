"""JSON texts to values and back, numbers exactly; many at once where msgspec reads them, each by itself where it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_map.paths import BadValue
from singerkit_wire.jsonexact import ExactNumber, dumps

__all__ = ["Unreadable", "check_readable", "loads", "text_of", "texts", "values"]

_decoder = msgspec.json.Decoder(list, float_hook=ExactNumber)


def _written(value: Any) -> Raw:
    if isinstance(value, ExactNumber):
        return Raw(value.text.encode())
    raise TypeError(f"Expected a value of JSON, got {type(value).__name__}")


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_written)


def values(texts: Sequence[bytes]) -> list[Any]:
    """Return the value of each JSON text: str, bool, int, `ExactNumber`, list, dict, None."""
    try:
        return _decoder.decode(b"[" + b",".join(texts) + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [_loaded(text) for text in texts]


def _loaded(text: bytes) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return Unreadable()


class Unreadable:
    """What is no JSON in UTF-8, or nested too deeply: of no type that an operation takes."""


def check_readable(value: Any) -> None:
    """See that a value could be read.

    Raises:
        BadValue: its bytes are not UTF-8.
    """
    if isinstance(value, Unreadable):
        raise BadValue("expected UTF-8, got other bytes")


def loads(text: bytes) -> Any:
    """Return the value of a JSON text as the wire may hold it: halves of surrogate pairs stay, and NaN and Infinity are numbers.

    Raises:
        ValueError: it is no JSON in UTF-8.
        RecursionError: it is nested too deeply.
    """
    return json.loads(
        str(text, "utf-8"), parse_float=ExactNumber, parse_int=_integer, parse_constant=ExactNumber
    )


def _integer(text: str) -> int | ExactNumber:
    return ExactNumber(text) if len(text) > 1000 or text == "-0" else int(text)


def texts(made: Sequence[Any]) -> list[bytes]:
    """Return the JSON text of each value."""
    try:
        lines: bytes = _encoder.encode_lines(made)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return [text_of(value) for value in made]
    return lines.split(b"\n")[:-1]


def text_of(value: Any) -> bytes:
    """Return the JSON text of a value.

    Raises:
        BadValue: it is none, or a number that JSON has not.
    """
    try:
        _check_finite(value)
        return dumps(value)
    except (TypeError, RecursionError):
        raise BadValue("expected a value of JSON") from None


def _check_finite(value: Any) -> None:
    """See that a value that was made holds no number that JSON has not; what came so is passed on.

    Raises:
        BadValue: it does.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("expected a number, got one that is not finite")
    if isinstance(value, Decimal) and not isinstance(value, ExactNumber) and not value.is_finite():
        raise BadValue("expected a number, got one that is not finite")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_finite(inner)
