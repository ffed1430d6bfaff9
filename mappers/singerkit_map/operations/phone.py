"""`phone`: phone numbers in one way of writing them, E.164."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from singerkit_map.contract import TEXT, BadValue, OfValue
from singerkit_map.operations.words import ON_VALUE, extra_of, refused
from singerkit_map.values.fieldschemas import text_field

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "Phone numbers as E.164 has them: `+4930123456`. A number that is dialled nowhere is bad. Needs `singerkit[clean]`.",
    "properties": {
        **ON_VALUE,
        "region": {
            "type": "string",
            "pattern": "^[A-Z]{2}$",
            "says": "a country such as `DE`",
            "description": "The country of numbers that do not begin with `+`. Default: those are bad.",
        },
        "check": {
            "enum": ["valid", "possible"],
            "default": "valid",
            "description": "`valid`: the prefix is in use, as the version of phonenumbers knows it; `possible`: the length is right.",
        },
        "extension": {
            "enum": ["fail", "drop"],
            "default": "fail",
            "description": "E.164 has no extensions: a number with one is bad, or loses it.",
        },
    },
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "phone", "field": "phone", "region": "DE"},
            "before": {"phone": "(030) 901820"},
            "after": {"phone": "+4930901820"},
        }
    ],
}
_LONGEST = 64
"""Characters; the library looks through texts of up to 250, and no phone number has as many."""


def made(said: Mapping[str, Any], place: str) -> OfValue:
    phonenumbers = extra_of("phonenumbers", "phone", place)
    region = said.get("region")
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise refused(f"Expected a country with phone numbers, got `{region}`", place, "region")
    is_right: Callable[[Any], bool] = (
        phonenumbers.is_possible_number if said.get("check") == "possible" else phonenumbers.is_valid_number
    )
    drops = said.get("extension") == "drop"
    e164 = phonenumbers.PhoneNumberFormat.E164

    def value(text: str) -> str:
        try:
            number = phonenumbers.parse(text, region) if len(text) <= _LONGEST else None
        except phonenumbers.NumberParseException:
            number = None
        if number is None:
            hint = "" if region else " with `+` and a country, as the operation has no `region`"
            raise BadValue(f"expected a phone number{hint}, got something else")
        if not is_right(number):
            raise BadValue("expected a phone number, got one that is dialled nowhere")
        if number.extension and not drops:
            raise BadValue("expected a phone number, got one with an extension, which E.164 has not")
        return str(phonenumbers.format_number(number, e164))

    return OfValue(place, said["field"], value, text_field, said.get("as"), takes=TEXT)
