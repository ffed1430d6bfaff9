"""`cast`: a value as another type, where that says the same; anything else is a bad value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from singerkit_catalog.admitted import types_of
from singerkit_map.contract import ANY, BadValue, OfValue, Operation, Schema
from singerkit_map.jsontexts import text_of
from singerkit_wire.jsonexact import ExactNumber

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "A value as another type, where that says the same: texts of numbers, numbers as texts, 1 and 0 as booleans.",
    "required": ["field", "to"],
    "properties": {
        "field": {"type": "string", "minLength": 1, "description": "The field, at any depth."},
        "to": {"enum": ["text", "integer", "number", "boolean"], "description": "The type."},
        "as": {
            "type": "string",
            "minLength": 1,
            "description": "The field that gets it; default: the field itself.",
        },
    },
}

_NUMBER = re.compile(r"\s*+([+-]?)([0-9]++)((?:\.[0-9]++)?(?:[eE][+-]?[0-9]{1,4})?)\s*+", re.ASCII)
_BOOLEANS = {"true": True, "t": True, "yes": True, "y": True, "1": True, "on": True}
_BOOLEANS |= {"false": False, "f": False, "no": False, "n": False, "0": False, "off": False}
_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_MOST_DIGITS = 1000
_QUOTE = ord('"')
_INTEGER_TEXT = re.compile(rb'"(0|-?+[1-9][0-9]{0,17}+)"')
_NUMBER_TEXT = re.compile(
    rb'"((?!-0")-?+(?:0|[1-9][0-9]{0,99}+)(?:\.[0-9]{1,99}+)?+)"'
)  # written as Python writes it


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    to: str = said["to"]

    def schema_of(schema: Schema) -> Schema:
        may_be_null = "null" in types_of(schema) or not types_of(schema)
        return {"type": [_TYPES[to], "null"] if may_be_null else _TYPES[to]}

    takes = {"string", "integer", "number", "boolean"} if to != "text" else ANY
    return OfValue(
        place,
        said["field"],
        _CASTS[to],
        schema_of,
        said.get("as"),
        takes,
        keeps_keys=to == "text",
        of_texts=_OF_TEXTS.get(to),
    )


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if type(value) is ExactNumber and value.text[-1].isdigit():  # neither NaN nor Infinity
        return value.text
    return text_of(value).decode()


def _as_number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return value
    found = _NUMBER.fullmatch(value)
    if found is None or len(value) > _MOST_DIGITS:
        raise BadValue("expected the text of a number")
    sign, whole, rest = found.groups()
    text = ("-" if sign == "-" else "") + (whole.lstrip("0") or "0") + rest
    return ExactNumber(text) if rest else int(text)


def _as_integer(value: Any) -> int:
    number = _as_number(value)
    if isinstance(number, int):
        return number
    if (
        not number.is_finite()
        or abs(number.adjusted()) > _MOST_DIGITS
        or number != number.to_integral_value()
    ):
        raise BadValue("expected an integer")
    return int(number)


def _as_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
    if known is None and isinstance(value, int | Decimal) and value in (0, 1):
        known = value == 1
    if known is None:
        raise BadValue("expected a boolean: true or false, yes or no, 1 or 0")
    return known


def _texts_as_text(texts: Sequence[bytes]) -> Sequence[bytes | None]:
    lines = b"\n".join(texts)
    if texts and not lines.translate(None, b"0123456789.\n"):
        return (b'"' + lines.replace(b"\n", b'"\n"') + b'"').split(b"\n")
    return [
        text
        if text[0] == _QUOTE
        else b'"%b"' % text
        if text[-1:].isdigit() and text != b"-0"  # a number: no other value ends so
        else None
        for text in texts
    ]


def _texts_as_integer(texts: Sequence[bytes]) -> list[bytes | None]:
    return [
        text
        if text.isdigit() and len(text) < _MOST_DIGITS
        else found[1]
        if (found := _INTEGER_TEXT.fullmatch(text))
        else None
        for text in texts
    ]


def _texts_as_number(texts: Sequence[bytes]) -> list[bytes | None]:
    return [
        text if text[-1:].isdigit() else found[1] if (found := _NUMBER_TEXT.fullmatch(text)) else None
        for text in texts
    ]


_CASTS: Mapping[str, Callable[[Any], Any]] = {
    "text": _as_text,
    "integer": _as_integer,
    "number": _as_number,
    "boolean": _as_boolean,
}
_OF_TEXTS = {"text": _texts_as_text, "integer": _texts_as_integer, "number": _texts_as_number}
