"""`date`: a date that is written in one of the named formats, as ISO 8601 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.contract import BadValue, OfValue
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.canonical import canonical_text
from singerkit_map.values.dateformats import DateFormat, FormatError, format_named
from singerkit_map.values.fieldschemas import text_field

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        "A date or time in one of the formats that are named, in ISO 8601. Each part is read strictly: `%d` is two digits, `%-d` one or two, the 31st of February is bad. "
        "A value that two of the formats read differently is bad, never guessed. A time without an offset gets none: `timezone` says where it is of."
    ),
    "properties": {
        **ON_VALUE,
        "formats": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "description": (
                "`iso`, `rfc2822`, `epoch`, `epoch_ms`, `epoch_us`, `epoch_ns`, and patterns of strptime such as `%d.%m.%Y %H:%M`. Month and day names are English."
            ),
        },
        "to": {
            "enum": ["date", "date-time"],
            "description": "What comes out. Default: what the formats say; it must be said where they say both, and with `iso`.",
        },
        "pivot": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": "Where the century begins for years of two digits (`%y`): with 70, 69 is 2069 and 70 is 1970. There is no default.",
        },
        "months": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 12,
            "maxItems": 12,
            "description": "Twelve names of months that `%B` reads beside the English ones.",
        },
    },
    "required": ["field", "formats"],
    "examples": [
        {
            "said": {"op": "date", "field": "born", "formats": ["%d.%m.%Y", "iso"], "to": "date"},
            "before": {"born": "05.06.1987"},
            "after": {"born": "1987-06-05"},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    formats = [_format(said, place, index) for index in range(len(said["formats"]))]
    if "pivot" in said and not any(one.needs_pivot for one in formats):
        raise refused(
            "Expected a format with years of two digits (`%y`) beside a pivot, got none", place, "pivot"
        )
    to = _result(said, place, formats)

    def value(seen: object) -> str:
        text = canonical_text(seen)
        found = set(filter(None, (_written(one, text, to) for one in formats)))
        if not found:
            raise BadValue(
                f"expected a date that a calendar has, as {' or '.join(f'`{one.name}`' for one in formats)}, got something else"
            )
        if len(found) > 1:
            raise BadValue(
                "expected a date that the formats read as one day, got one that two of them read differently"
            )
        return found.pop()

    def schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
        return text_field(schema, format=to)

    return OfValue(
        place, said["field"], value, schema_of, said.get("as"), takes={"string", "integer", "number"}
    )


def _format(said: Mapping[str, Any], place: str, index: int) -> DateFormat:
    try:
        return format_named(said["formats"][index], said.get("pivot"), said.get("months"))
    except FormatError as error:
        raise refused(
            f"Expected a format that can be read for sure: {error},", place, f"formats[{index}]"
        ) from None


def _result(said: Mapping[str, Any], place: str, formats: list[DateFormat]) -> str:
    clocks = {one.has_clock for one in formats}
    if "to" in said:
        return str(said["to"])
    if len(clocks) > 1 or None in clocks:
        raise refused(
            "Expected `date` or `date-time`, which the formats leave open, got nothing", place, "to"
        )
    return "date-time" if True in clocks else "date"


def _written(one: DateFormat, text: str, to: str) -> str | None:
    try:
        moment = one.read(text)
    except BadValue:
        return None
    if moment is None:
        return None
    return moment.date_text if to == "date" else moment.with_clock().text
