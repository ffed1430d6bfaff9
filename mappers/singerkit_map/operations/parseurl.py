"""`parse_url`: parts of a URL as fields of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.contract import TEXT, OfParts
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.urls import PARTS, parts_of

__all__ = ["SETTINGS", "made"]

_TEXT = {"type": ["string", "null"]}
_TEXTS = {"type": ["array", "null"], "items": {"type": "string"}}
_PORT = {"type": ["integer", "null"]}

SETTINGS: Mapping[str, Any] = {
    "description": (
        "Parts of a URL as fields of their own; the field itself stays. A part that a URL has not is null, and a text that is no URL with a scheme and a host is bad."
    ),
    "properties": {
        "field": ON_VALUE["field"],
        "into": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string", "minLength": 1},
            "description": (
                "From part to new field: `scheme`, `user`, `host` (in small letters), `port`, `path`, `query`, `fragment`; `query.NAME`: the first parameter of that name, decoded; "
                "`query.NAME[]`: all of them, a list."
            ),
        },
        "scheme": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9+.-]*$",
            "says": "a scheme such as `https`",
            "description": "The scheme of values that have none: `example.org/a`. Default: they are bad.",
        },
    },
    "required": ["field", "into"],
    "examples": [
        {
            "said": {
                "op": "parse_url",
                "field": "url",
                "into": {"host": "host", "query.utm_source": "source"},
            },
            "before": {"url": "https://Example.org/a?utm_source=news"},
            "after": {
                "url": "https://Example.org/a?utm_source=news",
                "host": "example.org",
                "source": "news",
            },
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfParts:
    into: Mapping[str, str] = said["into"]
    for part, name in into.items():
        if part not in PARTS and not part.removeprefix("query.").removesuffix("[]").strip():
            raise refused(f"Expected the name of a parameter in `{part}`, got none", place, "into")
        if part not in PARTS and not part.startswith("query."):
            known = ", ".join(f"`{one}`" for one in PARTS)
            raise refused(f"Expected one of {known} or `query.NAME`, got `{part}`", place, "into")
        if list(into.values()).count(name) > 1:
            raise refused(f"Expected a field for each part, got `{name}` for two", place, "into")
    wanted, scheme = tuple(into), said.get("scheme")

    def value(text: str) -> tuple[Any, ...]:
        return parts_of(text, wanted, scheme)

    return OfParts(
        place, said["field"], {name: _schema(part) for part, name in into.items()}, value, takes=TEXT
    )


def _schema(part: str) -> Mapping[str, Any]:
    return _PORT if part == "port" else _TEXTS if part.endswith("[]") else _TEXT
