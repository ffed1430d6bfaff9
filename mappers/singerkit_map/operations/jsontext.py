"""`json`: a document that travels as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from singerkit_catalog.schema import or_null
from singerkit_map.contract import TEXT, BadValue, OfValue
from singerkit_map.operations.words import ON_VALUE
from singerkit_wire.jsonexact import ExactNumber

__all__ = ["SETTINGS", "made", "parsed"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        "Text that is JSON, as what it says: an object, a list, a number. Numbers keep every digit. A document that names a key twice is bad, as one of two values would be lost."
    ),
    "properties": {
        **ON_VALUE,
        "schema": {
            "type": "object",
            "additionalProperties": True,
            "description": "The JSON Schema of what it says, for the target. Default: anything, which targets store as JSON.",
        },
        "empty": {
            "enum": ["null"],
            "description": "`null`: an empty text is null. Default: it is bad, as no JSON is empty.",
        },
    },
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "json", "field": "payload"},
            "before": {"payload": '{"price": 1.10}'},
            "after": {"payload": {"price": 1.1}},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    empty_is_null = said.get("empty") == "null"

    def value(text: str) -> Any:
        return None if empty_is_null and not text.strip() else parsed(text)

    def schema_of(_: Mapping[str, Any]) -> dict[str, Any]:
        return or_null(said["schema"]) if "schema" in said else {}

    return OfValue(place, said["field"], value, schema_of, said.get("as"), takes=TEXT)


def parsed(text: str) -> Any:
    """Return what a JSON text says, numbers with their text.

    Raises:
        BadValue: it is no JSON, names a key twice, or nests too deeply.
    """
    try:
        return json.loads(
            text,
            parse_float=ExactNumber,
            parse_int=_integer,
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise BadValue("expected JSON, got text that nests too deeply") from None
    except ValueError:
        raise BadValue("expected JSON, got something else") from None


def _integer(text: str) -> int | ExactNumber:
    return ExactNumber(text) if len(text) > 1000 or text == "-0" else int(text)


def _no_number(_: str) -> NoReturn:
    raise BadValue("expected JSON, got NaN or Infinity, which it has not")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadValue("expected JSON, got an object that names a key twice")
    return found
