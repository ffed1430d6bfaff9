"""`partition_by`: by which field the table of a stream is made in partitions, and how."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.patterns import NAME

__all__ = ["SETTING", "Division", "Each", "Way", "divisions_of"]


class Way(enum.Enum):
    """How rows are told to partitions; ``letter`` is what the catalog has for it."""

    RANGE = "range"
    LIST = "list"
    HASH = "hash"

    @property
    def letter(self) -> str:
        return self.value[0]


class Each(enum.Enum):
    """How long the range of a partition is."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


_MOST_OF_HASH = 1024

SETTING: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "range": {
                **NAME,
                "description": "Field of dates or date-times, of which each partition has a range, in UTC.",
            },
            "each": {
                "type": "string",
                "enum": [one.value for one in Each],
                "description": "How long that is, beside `range`.",
            },
            "list": {**NAME, "description": "Field of which each value has a partition."},
            "hash": {**NAME, "description": "Field by whose hash rows are spread over partitions."},
            "parts": {
                "type": "integer",
                "minimum": 2,
                "maximum": _MOST_OF_HASH,
                "description": "Over how many, beside `hash`.",
            },
            "default": {
                "type": "boolean",
                "default": False,
                "description": "Make a partition for rows that belong to no other, as null to no range.",
            },
        },
    },
    "description": 'Make tables in partitions, by stream or glob: `{"range": "created_at", "each": "month"}` (or `day`, `year`), `{"list": "country"}`, or '
    '`{"hash": "id", "parts": 8}`. Partitions are made as rows need them, before their unit. `"default": true` makes one for what belongs to no other, as null '
    "to no range.",
}


@dataclass(frozen=True)
class Division:
    """``each`` is that of a range, ``count`` that of a hash; ``has_default``: there is a partition for all else."""

    way: Way
    field: str
    each: Each | None = None
    count: int = 0
    has_default: bool = False


def divisions_of(given: Mapping[str, Any]) -> Mapping[str, Division]:
    """Return what the setting says, by pattern.

    Raises:
        ValueError: it contradicts itself; says what was expected, in the words of a sentence.
    """
    return {pattern: _division(f"partition_by.{pattern}", one) for pattern, one in given.items()}


def _division(place: str, given: Mapping[str, Any]) -> Division:
    ways = [way for way in Way if way.value in given]
    if len(ways) != 1:
        raise ValueError(f"Expected one of `range`, `list` and `hash` at `{place}`, got {len(ways)}")
    (way,) = ways
    if ("each" in given) != (way is Way.RANGE):
        raise ValueError(
            f"Expected `each` (`day`, `month`, `year`) beside `range`, and beside it alone, at `{place}`"
        )
    if ("parts" in given) != (way is Way.HASH):
        raise ValueError(f"Expected `parts`, their number, beside `hash`, and beside it alone, at `{place}`")
    if given.get("default") and way is Way.HASH:
        raise ValueError(f"Expected no `default` beside `hash` at `{place}`, to which each row belongs")
    return Division(
        way,
        given[way.value],
        Each(given["each"]) if "each" in given else None,
        given.get("parts", 0),
        bool(given.get("default")),
    )
