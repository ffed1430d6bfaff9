"""`labels`: values of a list that is known, each by another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from singerkit_catalog.admitted import json_types
from singerkit_map.contract import BadValue, Impossible, OfValue
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.canonical import SCALARS, canonical_text
from singerkit_map.values.fieldschemas import field_of, nullable_field

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        'Each value by what a table says of it: `{"m": "male", "0": "unknown"}`. Numbers are looked up by their value (`"0.10"` is found by 0.1), booleans by their text.'
    ),
    "properties": {
        **ON_VALUE,
        "labels": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            "description": "From value to label.",
        },
        "unknown": {
            "enum": ["fail", "keep", "null", "default"],
            "default": "fail",
            "description": "What becomes of a value that is not in the table: it is bad, stays, is null, or is the `default`.",
        },
        "default": {
            "type": ["string", "number", "boolean"],
            "description": "The label of values that are not in the table, with `unknown: default`.",
        },
        "ignore_case": {"type": "boolean", "default": False, "description": "Whether `M` is found as `m`."},
    },
    "required": ["field", "labels"],
    "examples": [
        {
            "said": {
                "op": "labels",
                "field": "sex",
                "labels": {"m": "male", "f": "female"},
                "unknown": "default",
                "default": "other",
                "ignore_case": True,
            },
            "before": {"sex": "M"},
            "after": {"sex": "male"},
        }
    ],
}


def _number_in(name: str) -> str | None:
    """Return the text by which the number is looked up that a name is; None: it is none."""
    try:
        number = Decimal(name)
        return canonical_text(number) if number.is_finite() and name.strip() == name else None
    except (InvalidOperation, BadValue):
        return None


def _by_number(labels: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, label in labels.items():
        if (number := _number_in(name)) is not None:
            found.setdefault(number, label)
    return found


def made(said: Mapping[str, Any], place: str) -> OfValue:
    unknown = said.get("unknown", "fail")
    if (unknown == "default") != ("default" in said):
        raise refused(
            f"Expected a `default` with `unknown: default` and with no other, got `unknown: {unknown}`",
            place,
            "default",
        )
    spelt: Callable[[str], str] = str.casefold if said.get("ignore_case") else str
    labels = {spelt(name): label for name, label in said["labels"].items()}
    if len(labels) < len(said["labels"]):
        raise refused(
            "Expected names that differ by more than case with `ignore_case`, got two that do not",
            place,
            "labels",
        )

    numbers = _by_number(labels)
    twice = [name for name, label in labels.items() if numbers.get(_number_in(name) or "", label) != label]

    def value(seen: object) -> Any:
        name = spelt(canonical_text(seen))
        known = labels if isinstance(seen, str | bool) else numbers
        if name in known:
            return known[name]
        if unknown == "fail":
            raise BadValue("expected one of the labels, got another value")
        return seen if unknown == "keep" else said.get("default")

    given = [*labels.values(), *([said["default"]] if "default" in said else [])]

    def schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
        if twice and json_types(schema) & {"integer", "number"}:
            raise Impossible(
                f"`{twice[0]}` is the same number as another entry, whose label is another", "labels"
            )
        kinds = json_types({"enum": given})
        if unknown == "keep":
            kinds |= json_types(schema)
        shape = nullable_field if "null" in kinds or unknown == "null" else field_of
        return shape(schema, *sorted(kinds - {"null"}))

    return OfValue(place, said["field"], value, schema_of, said.get("as"), takes=SCALARS)
