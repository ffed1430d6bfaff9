"""`truncate`: the beginning of a text, or a date as exactly as it may be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from singerkit_map.contract import TEXT, OfValue
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.fieldschemas import text_field
from singerkit_map.values.graphemes import cut
from singerkit_map.values.moments import Moment, iso_moment

__all__ = ["SETTINGS", "made"]

_QUOTE = ord('"')
_UNITS = ("year", "month", "day", "hour", "minute", "second")

SETTINGS: Mapping[str, Any] = {
    "description": (
        "With `length` the first characters of a text; what one sees as one character (a letter with its accents, an emoji of several) is not cut in two, so the "
        "result may be shorter; only a first one that is longer than `length` by itself is cut. With `to` a date or date-time at the beginning of its year, month, day and so on, in the offset that it has."
    ),
    "properties": {
        **ON_VALUE,
        "length": {
            "type": "integer",
            "minimum": 1,
            "description": "The most characters (code points, as `varchar(n)` counts).",
        },
        "to": {"enum": list(_UNITS), "description": "The smallest part of a date or date-time that is kept."},
    },
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "truncate", "field": "title", "length": 5},
            "before": {"title": "Zoé Smith"},
            "after": {"title": "Zoé "},
        },
        {
            "said": {"op": "truncate", "field": "born", "to": "year"},
            "before": {"born": "1987-06-05"},
            "after": {"born": "1987-01-01"},
        },
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    if ("length" in said) == ("to" in said):
        raise refused(
            "Expected one of `length` and `to`, got " + ("both" if "to" in said else "none"), place, "length"
        )
    if "length" in said:
        return _cutting(said, place, said["length"])
    kept = _UNITS.index(said["to"]) + 1

    def beginning(text: str) -> str:
        moment = iso_moment(text)
        cut_off = Moment(_beginning(moment.wall, kept), "", moment.offset, moment.has_clock).text
        return text if cut_off == text else cut_off

    return OfValue(place, said["field"], beginning, dict, said.get("as"), takes=TEXT, protects=True)


def _cutting(said: Mapping[str, Any], place: str, length: int) -> OfValue:
    def beginning(text: str) -> str:
        return cut(text, length)

    def schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
        return text_field(schema, maxLength=length)

    most = length + 2  # with its quotes; no text has more code points than bytes

    def of_texts(texts: Sequence[bytes]) -> list[bytes | None]:
        return [text if len(text) <= most and text[0] == _QUOTE else None for text in texts]

    return OfValue(
        place,
        said["field"],
        beginning,
        schema_of,
        said.get("as"),
        takes=TEXT,
        protects=True,
        of_texts=of_texts,
    )


def _beginning(wall: datetime, kept: int) -> datetime:
    parts = [wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second]
    smallest = [1, 1, 1, 0, 0, 0]
    return datetime(*parts[:kept], *smallest[kept:])  # type: ignore[arg-type]  # six integers
