"""`mask`: a value of which only the ends are seen, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.contract import OfValue
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.canonical import canonical_text
from singerkit_map.values.fieldschemas import text_field

__all__ = ["SETTINGS", "made", "masked"]

WHOLLY = "***"
"""What stands for a value of which nothing is shown: its length would tell something, too."""

SETTINGS: Mapping[str, Any] = {
    "description": (
        "A star for each character but the first and the last ones. A value too short for that is `***`, whatever its length, and so is every value where no "
        "end is kept. A number is masked as its text."
    ),
    "properties": {
        **ON_VALUE,
        "keep_first": {
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "description": "Characters that are shown at the beginning.",
        },
        "keep_last": {
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "description": "Characters that are shown at the end.",
        },
        "shortest": {
            "type": "integer",
            "minimum": 1,
            "description": (
                "The fewest characters that a value must have for its ends to be shown. Default: twice as many as are shown, so that at least as much is hidden."
            ),
        },
        "with": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1,
            "default": "*",
            "description": "What stands for a hidden character.",
        },
    },
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "mask", "field": "card", "keep_last": 4},
            "before": {"card": "4111111111111111"},
            "after": {"card": "************1111"},
        },
        {
            "said": {"op": "mask", "field": "phone"},
            "before": {"phone": "+4930901820"},
            "after": {"phone": "***"},
        },
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    first, last = said.get("keep_first", 0), said.get("keep_last", 0)
    shortest = said.get("shortest", 2 * (first + last))
    if shortest <= first + last and first + last:
        raise refused(
            f"Expected more than the {first + last} characters that are shown, got `{shortest}`",
            place,
            "shortest",
        )
    star = said.get("with", "*")

    def value(seen: object) -> str:
        return masked(seen, first, last, shortest, star)

    return OfValue(
        place,
        said["field"],
        value,
        text_field,
        said.get("as"),
        takes={"string", "number", "integer"},
        protects=True,
    )


def masked(value: object, first: int, last: int, shortest: int, star: str) -> str:
    """Return a text or number with ``star`` for each character but the ``first`` and ``last``, `***` of one shorter than ``shortest``.

    Characters are code points: what stands at the end may begin with a mark whose letter is hidden.
    """
    text = canonical_text(value)
    if len(text) < shortest or not first + last:
        return WHOLLY
    return text[:first] + star * (len(text) - first - last) + (text[-last:] if last else "")
