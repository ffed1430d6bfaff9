"""The setting `checks`: which rules there are, and what each takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CHECKS", "COMPARING", "ROW_RULES", "SET_RULES", "TAKES"]

_NAME: Mapping[str, Any] = {"type": "string", "minLength": 1, "secret": False}

ROW_RULES = ("not_null", "range", "accepted", "matches", "length", "type", "encoding")
"""Rules of a row by itself."""
SET_RULES = ("unique", "references", "fresh", "rows", "equal_sum", "labels")
"""Rules of all rows of a stream."""
COMPARING = frozenset({"rows", "labels"})
"""Of these those that compare a run with those before it."""

TAKES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "not_null": (("field",), ()),
    "range": (("field",), ("min", "max")),
    "accepted": (("field", "values"), ()),
    "matches": (("field", "pattern"), ()),
    "length": (("field",), ("min", "max")),
    "type": (("field", "type"), ()),
    "encoding": (("field",), ()),
    "unique": (("fields",), ()),
    "references": (("field", "to"), ()),
    "fresh": (("field", "hours"), ()),
    "rows": (("change",), ()),
    "equal_sum": (("field", "to"), ("within",)),
    "labels": (("field", "drift"), ()),
}
"""What each rule has to say, and what it may say, beside `rule` and `on`."""

_RULE: Mapping[str, Any] = {
    "type": "object",
    "required": ["rule"],
    "additionalProperties": False,
    "properties": {
        "rule": {
            "type": "string",
            "enum": [*ROW_RULES, *SET_RULES],
            "description": "Of a row by itself: `not_null`, `range`, `accepted`, `matches`, `length`, `type`, `encoding`. Of all rows of a stream, at the end "
            "of a run: `unique`, `references`, `fresh`, `rows`, `equal_sum`, `labels`.",
        },
        "on": {
            "type": "string",
            "enum": ["fail", "quarantine", "warn"],
            "default": "fail",
            "description": "What a broken rule does: end the run with nothing of its unit committed (exit code 65), set the record aside, or only be told. A rule of "
            "all rows cannot set a record aside.",
        },
        "field": {**_NAME, "description": "The field that is judged."},
        "fields": {
            "type": "array",
            "items": _NAME,
            "minItems": 1,
            "uniqueItems": True,
            "description": "`unique`: the fields of which no two rows have the same values.",
        },
        "min": {
            "type": ["number", "string"],
            "secret": False,
            "description": "`range`: the least value, a number, or a date or date-time as text. `length`: the least number of characters.",
        },
        "max": {
            "type": ["number", "string"],
            "secret": False,
            "description": "`range`: the greatest value. `length`: the greatest number of characters.",
        },
        "values": {
            "type": "array",
            "items": {"type": ["string", "number", "boolean"]},
            "minItems": 1,
            "description": "`accepted`: the values that there may be.",
        },
        "pattern": {
            **_NAME,
            "description": "`matches`: a pattern of the whole text, without references back, and without looking around.",
        },
        "type": {
            "type": "string",
            "enum": ["integer", "number", "boolean", "date", "uuid"],
            "description": "`type`: what a text is to read as.",
        },
        "to": {
            "type": "object",
            "required": ["stream", "field"],
            "additionalProperties": False,
            "properties": {
                "stream": {**_NAME, "description": "The other stream."},
                "field": {**_NAME, "description": "Its field."},
            },
            "description": "`references`: where each value has to be. `equal_sum`: what the sum is to be equal to.",
        },
        "hours": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "`fresh`: how old the newest date or date-time may be.",
        },
        "change": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "`rows`: by which part the number of rows of a run may be more or less than the mean of the last complete runs; 0.5 is a half. There are "
            "at least five of those.",
        },
        "within": {
            "type": "number",
            "minimum": 0,
            "description": "`equal_sum`: by how much the sums may differ; they may not, unless it is given.",
        },
        "drift": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "description": "`labels`: by how much the share of a value among all rows may have changed since the last run that was judged; 0.1 is ten of a hundred.",
        },
    },
}

CHECKS: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": _RULE},
    "description": "Rules of quality by stream, or globs over streams, of which the most exact one counts, as in "
    '`{"orders": [{"rule": "not_null", "field": "email", "on": "quarantine"}]}`. They are judged before anything is committed, behind `map`; docs/quality.md has all of them.',
}
