"""`normalise`: one spelling for texts that are the same to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.contract import TEXT, OfValue
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.fieldschemas import text_field
from singerkit_map.values.spelling import CASES, FORMS, Spelling

__all__ = ["SETTINGS", "made"]

_STEPS = ("form", "case", "trim", "blanks", "empty")
SETTINGS: Mapping[str, Any] = {
    "description": "One spelling for texts that are the same to a reader. What is not asked for is not done.",
    "properties": {
        **ON_VALUE,
        "form": {
            "enum": list(FORMS),
            "description": "`nfc`: letters and their accents as one character, which nobody sees; `nfkc`: full-width letters, ligatures and the like as plain ones, too.",
        },
        "case": {"enum": list(CASES), "description": "`lower`, `upper`, or `fold`: as `lower`, and ß is ss."},
        "trim": {
            "type": "boolean",
            "description": "Without blanks (tabs, line ends, no-break spaces) at both ends.",
        },
        "blanks": {
            "enum": ["one"],
            "description": "`one`: a single blank for any number of them, tabs and line ends too.",
        },
        "empty": {"enum": ["null"], "description": "`null`: what is empty in the end is null."},
    },
    "required": ["field"],
    "examples": [
        {
            "said": {
                "op": "normalise",
                "field": "name",
                "form": "nfc",
                "trim": True,
                "blanks": "one",
                "case": "lower",
            },
            "before": {"name": " Zoé   SMITH\n"},
            "after": {"name": "zoé smith"},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    if not any(said.get(step) for step in _STEPS):
        raise refused(
            f"Expected one of {', '.join(f'`{step}`' for step in _STEPS)} beside `field`, got none",
            place,
            "form",
        )
    empty_is_null = said.get("empty") == "null"
    spelling = Spelling(
        said.get("form"),
        said.get("case"),
        trims=bool(said.get("trim")),
        one_blank="blanks" in said,
        empty_is_null=empty_is_null,
    )

    def value(text: str) -> str | None:
        spelt = spelling.of(text)
        return text if spelt == text else spelt

    def schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
        return text_field(schema, may_be_null=empty_is_null)

    return OfValue(place, said["field"], value, schema_of, said.get("as"), takes=TEXT)
