"""`timezone`: times without an offset get that of the zone which they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from singerkit_catalog.admitted import string_formats
from singerkit_map.contract import TEXT, Impossible, OfValue
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.fieldschemas import text_field
from singerkit_map.values.localtimes import LocalTimes
from singerkit_state.instants import zone_named

__all__ = ["SETTINGS", "made"]

_CHOICES = ["fail", "earlier", "later", "null"]
SETTINGS: Mapping[str, Any] = {
    "description": (
        "Date-times without an offset are of the zone `assume`, and get the offset that it had then. The same moment can be written as another zone's clocks show it (`to`)."
    ),
    "properties": {
        **ON_VALUE,
        "assume": {"type": "string", "description": "The zone, by its IANA name: `Europe/Berlin`, `UTC`."},
        "to": {
            "type": "string",
            "description": "The zone in whose time the moment is written. Default: `assume`; values that have an offset keep it.",
        },
        "gap": {
            "enum": _CHOICES,
            "default": "fail",
            "description": (
                "What becomes of a time that the clocks skipped: a bad value, the moment that it is by the offset behind the change (`earlier`) or before it (`later`), or null."
            ),
        },
        "overlap": {
            "enum": _CHOICES,
            "default": "fail",
            "description": "What becomes of a time that the clocks showed twice: a bad value, its first or second occurrence, or null.",
        },
        "with_offset": {
            "enum": ["keep", "refuse"],
            "default": "keep",
            "description": "What becomes of values that have an offset: they are left alone, or bad.",
        },
    },
    "required": ["field", "assume"],
    "examples": [
        {
            "said": {"op": "timezone", "field": "at", "assume": "Europe/Berlin", "overlap": "later"},
            "before": {"at": "2024-10-27T02:30:00"},
            "after": {"at": "2024-10-27T02:30:00+01:00"},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    assumed, to = (
        _zone(said["assume"], place, "assume"),
        _zone(said["to"], place, "to") if "to" in said else None,
    )
    gap, overlap = said.get("gap", "fail"), said.get("overlap", "fail")
    times = LocalTimes(assumed, to, gap, overlap, refuses_offsets=said.get("with_offset") == "refuse")

    def schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
        if set(string_formats(schema)) == {"date"}:
            raise Impossible("a date is no moment, whatever the zone: `timezone` works on date-times")
        return text_field(schema, may_be_null="null" in (gap, overlap), format="date-time")

    return OfValue(place, said["field"], times.of, schema_of, said.get("as"), takes=TEXT)


def _zone(name: str, place: str, key: str) -> ZoneInfo:
    try:
        return zone_named(name)
    except ValueError:
        raise refused(f"Expected the IANA name of a time zone, got `{name}`", place, key) from None
