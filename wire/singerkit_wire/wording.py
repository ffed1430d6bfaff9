"""What a row says, whatever the way it is written: the text by which it is recognised when it is asked for again.

Two rows say the same when all that is sent of them is the same value (decision 15): the order of fields does not count,
nor which escapes a string has, nor a field that is null instead of left out; 1, 1.0 and 1e0 are one number, and texts of
one instant in fields that hold points in time are one time. Every other difference makes another row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from singerkit_state.instants import NoInstantError, iso_instant, iso_of
from singerkit_state.readas import may_be_stored

__all__ = ["Wording", "any_value", "fields_of", "in_order", "moment_text", "number_text"]

_FIRST, _LAST = -62_135_596_800, 253_402_300_800
"""The years 1 to 9999: beyond them two texts of one instant are two."""
_PLAIN_DIGITS = 40
"""Numbers with more places than that on either side of the point are written with an exponent."""


class Wording:
    """Rewrites rows of one stream into their one wording.

    ``schema`` is the stream's resolved schema; ``times`` names fields that are read as points in time though it does
    not say so. ``keeps_null``: null in a row says something else than a field that is left out.
    """

    def __init__(
        self, schema: Mapping[str, Any], times: Collection[str] = (), *, keeps_null: bool = False
    ) -> None:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        self._times = {name for name, part in properties.items() if _is_time(part)} | set(times)
        self._with_times = {
            name: part
            for name, part in properties.items()
            if name not in self._times and _has_time_inside(part)
        }
        self._keeps_null = keeps_null

    def texts(self, rows: bytes, only: Collection[str] | None = None) -> list[bytes]:
        """Return the wording of JSON objects, a line each.

        ``only`` names the fields that count; a mapping has for each those inside it that do, none for all.
        """
        try:
            return self._written(rows, only)
        except (msgspec.DecodeError, RecursionError, ValueError):
            lines = rows.splitlines()
        # A number of thousands of digits: that row is recognised as it is written, and the others as ever.
        return lines if len(lines) == 1 else [text for line in lines for text in self.texts(line, only)]

    def _written(self, rows: bytes, only: Collection[str] | None) -> list[bytes]:
        values = _decoder.decode_lines(rows)
        # Objects inside rows, and so nulls inside them, are rare enough to be looked at one by one.
        is_deep = rows.count(b"{") > len(values) and b"null" in rows
        for number, row in enumerate(values):
            values[number] = self._normal(row, only, is_deep=is_deep)
        return in_order.encode_lines(values).splitlines()

    def _normal(self, row: dict[str, Any], only: Collection[str] | None, *, is_deep: bool) -> dict[str, Any]:
        if only is not None or not self._keeps_null:
            row = {
                name: value
                for name, value in row.items()
                if (value is not None or self._keeps_null) and (only is None or name in only)
            }
        if isinstance(only, Mapping):
            row = {name: _only_inside(value, only[name]) for name, value in row.items()}
        for name in self._times:
            if name in row:
                row[name] = _time(row[name])
        for name, schema in self._with_times.items():
            if name in row:
                row[name] = _times_inside(row[name], schema)
        if is_deep:
            row = {name: _without_nulls(value) for name, value in row.items()}
        return row


def _only_inside(value: Any, fields: Mapping[str, Any]) -> Any:
    if not fields:
        return value
    if isinstance(value, dict):
        return {name: _only_inside(item, fields[name]) for name, item in value.items() if name in fields}
    return [_only_inside(item, fields) for item in value] if isinstance(value, list) else value


def fields_of(schema: Any) -> dict[str, Any]:
    """Return the fields of objects that a schema names, be they in lists, each with those inside it; none: not known."""
    found: dict[str, Any] = {}
    for branch in _branches(schema):
        if isinstance(branch, Mapping):
            found |= {
                name: fields_of(part) for name, part in sorted((branch.get("properties") or {}).items())
            }
            found |= fields_of(branch.get("items"))
    return found if all(map(may_be_stored, found)) else {}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


# Numbers


_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)


def _number(text: str) -> msgspec.Raw:
    if text[-1] != "0" and len(text) < _PLAIN_DIGITS and "e" not in text and "E" not in text:
        return msgspec.Raw(text.encode())
    return msgspec.Raw(number_text(text).encode())


def number_text(text: str) -> str:
    """Return the one way to write a number."""
    match = _NUMBER.fullmatch(text)
    if match is None or len(match[4] or "") > 18:
        return text
    sign, whole, fraction, exponent = match.groups()
    fraction = fraction or ""
    digits = (whole + fraction).lstrip("0")
    places = int(exponent or 0) - len(fraction) + len(digits) - len(digits := digits.rstrip("0"))
    return f"{sign}{_placed(digits, places)}" if digits else "0"


def _placed(digits: str, places: int) -> str:
    """Write ``digits`` times ten to the power of ``places``."""
    if 0 <= places <= _PLAIN_DIGITS:
        return digits + "0" * places
    if not -_PLAIN_DIGITS < places < 0:
        return f"{digits}e{places}"
    digits = digits.rjust(1 - places, "0")
    return f"{digits[:places]}.{digits[places:]}"


# Points in time


def _branches(schema: Any) -> list[Mapping[str, Any]]:
    if not isinstance(schema, Mapping):
        return []
    return [schema, *(part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key) or ())]


def _is_time(schema: Any) -> bool:
    return any(isinstance(part, Mapping) and part.get("format") == "date-time" for part in _branches(schema))


def _has_time_inside(schema: Any) -> bool:
    return _is_time(schema) or any(map(_has_time_inside, _parts(schema)))


def _parts(schema: Any) -> list[Any]:
    found: list[Any] = []
    for branch in _branches(schema):
        if isinstance(branch, Mapping):
            found += [*(branch.get("properties") or {}).values(), branch.get("items")]
    return found


def _times_inside(value: Any, schema: Any) -> Any:
    if isinstance(value, str):
        return _time(value) if _is_time(schema) else value
    for branch in _branches(schema):
        if isinstance(value, dict):
            for name, part in (branch.get("properties") or {}).items():
                if name in value:
                    value[name] = _times_inside(value[name], part)
        elif isinstance(value, list):
            value = [_times_inside(item, branch.get("items")) for item in value]
    return value


def _time(value: Any) -> Any:
    """Return the one way to write a point in time; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.endswith("+00:00"):
        value = value[:-6] + "Z"
    if value[-1:] == "Z" and value[10:11] == "T" and (len(value) == 20 or value[-2] != "0"):
        return value  # nearly all are written so
    try:
        return moment_text(value) if "T" in value or "t" in value or ":" in value else value
    except (NoInstantError, ValueError, OverflowError):
        return value


def moment_text(text: str) -> str:
    """Return the one way to write a date or date-time; without an offset it is UTC.

    Raises:
        ValueError, OverflowError: it is something else.
    """
    instant = iso_instant(text)
    return iso_of(instant) if _FIRST < instant[0] < _LAST else text


_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any], float_hook=_number)
in_order = msgspec.json.Encoder(order="sorted")
any_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_number)
