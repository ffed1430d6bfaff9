"""`redact`: e-mail addresses, phone numbers, cards and IBANs inside free text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.contract import TEXT, OfValue
from singerkit_map.operations.words import ON_VALUE
from singerkit_map.values.fieldschemas import text_field
from singerkit_map.values.redactions import KINDS, redacted

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        "What identifies a person inside free text is replaced, by `[email]`, `[phone]`, `[card]`, `[iban]`. Cards and IBANs count with their checksum only; a phone "
        "number begins with `+`, `00`, `0` or an area in parentheses, or is grouped like 555-123-4567. Names and addresses are not found: this lowers what a text "
        "gives away, it does not make it anonymous."
    ),
    "properties": {
        **ON_VALUE,
        "kinds": {
            "type": "array",
            "items": {"enum": list(KINDS)},
            "minItems": 1,
            "uniqueItems": True,
            "description": "What is looked for. Default: all of them.",
        },
        "with": {
            "type": "string",
            "pattern": r"^(\*{1,40}|\[[A-Za-z _-]{0,40}\]|<[A-Za-z _-]{0,40}>)$",
            "says": "stars, or a word in brackets such as `[gone]` or `<gone>`",
            "description": "What stands in the place of each find. Default: its kind in brackets.",
        },
    },
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "redact", "field": "note"},
            "before": {"note": "Ann (ann@example.org, 030/1234567) paid with 4111 1111 1111 1111"},
            "after": {"note": "Ann ([email], [phone]) paid with [card]"},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    kinds = tuple(said.get("kinds", KINDS))
    stand_ins = {kind: said.get("with", f"[{kind}]") for kind in kinds}

    def value(seen: str) -> str:
        return redacted(seen, kinds, stand_ins)

    return OfValue(place, said["field"], value, text_field, said.get("as"), takes=TEXT, protects=True)
