"""Streams to fill a source with, that a test knows: what is true of each, its properties, and its rows as JSON text.

| stream | key | bookmark | peculiar |
|---|---|---|---|
| orders | id | updated_at, ascending | big integers, decimals of 30 digits, lists, objects, an optional field |
| events | id | updated_at, in no order | |
| countries | code | none | |
| shops | id | none | parent |
| items | shop_id, sku | none | child: read for each shop |

A source takes what it can hold of them: a database has no stream that is read for the rows of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_check.suite.singer import parse

__all__ = ["KNOWN", "Facts", "Known", "Row"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What is true of a stream of the source."""

    key: tuple[str, ...]
    replication_key: str | None = None
    ascends: bool = False
    """The source gives its rows in the order of the replication key."""
    parent: str | None = None
    """The stream whose rows this one is read for."""

    @property
    def is_top(self) -> bool:
        return self.parent is None


@dataclass(frozen=True)
class Known:
    """A stream: what is true of it, its properties, and its rows as JSON text, so that each digit stays."""

    facts: Facts
    properties: Mapping[str, Any]
    texts: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": dict(self.properties)}

    @property
    def rows(self) -> list[Row]:
        return [parse(text) for text in self.texts]


_INTEGER, _TEXT, _NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}
_TIME = {"type": "string", "format": "date-time"}


def _order(n: int, *, optional: bool = False) -> str:
    # the amount has 30 digits; the big integer is beyond 2^53 and, from row 3 on, beyond 2^63
    amount = f"{1000 + n}.0123456789012345678901234{n:02d}"
    big = 9007199254740993 + n if n < 3 else 18446744073709551617 + n
    note = json.dumps(f'Größe {n} – 寿司 🍣 "quoted" \\ back\nline')
    more = f', "discount": {n}.50' if optional else ""
    return (
        f'{{"id": {n}, "updated_at": "2024-01-{n:02d}T08:00:00Z", "amount": {amount}, "big": {big}, '
        f'"note": {note}, "paid": {("true", "false", "null")[n % 3]}, "tags": ["a", "b{n}"], '
        f'"address": {{"city": "Zürich", "zip": {8000 + n}}}{more}}}'
    )


def _event(n: int, day: int) -> str:
    return f'{{"id": {n}, "updated_at": "2024-03-{day:02d}T12:00:00Z", "kind": "k{n % 2}"}}'


_SHOPS = 12

KNOWN: Mapping[str, Known] = {
    "orders": Known(
        Facts(("id",), "updated_at", ascends=True),
        {
            "id": _INTEGER,
            "updated_at": _TIME,
            "amount": _NUMBER,
            "big": _INTEGER,
            "note": {"type": ["string", "null"]},
            "paid": {"type": ["boolean", "null"]},
            "tags": {"type": ["array", "null"], "items": _TEXT},
            "address": {"type": ["object", "null"], "properties": {"city": _TEXT, "zip": _INTEGER}},
            "discount": {"type": ["number", "null"]},
        },
        tuple(_order(n, optional=n > 20) for n in range(1, 24)),
    ),
    "events": Known(
        Facts(("id",), "updated_at"),
        {"id": _INTEGER, "updated_at": _TIME, "kind": _TEXT},
        tuple(_event(n, day) for n, day in enumerate((9, 3, 12, 1, 7, 11, 2, 10, 4, 8, 6, 5), start=1)),
    ),
    "countries": Known(
        Facts(("code",)),
        {"code": _TEXT, "name": _TEXT, "area": _NUMBER},
        tuple(f'{{"code": "C{n}", "name": "Country {n}", "area": {n}.25}}' for n in range(1, 8)),
    ),
    "shops": Known(
        Facts(("id",)),
        {"id": _INTEGER, "name": _TEXT},
        tuple(f'{{"id": {n}, "name": "Shop {n}"}}' for n in range(1, _SHOPS + 1)),
    ),
    "items": Known(
        Facts(("shop_id", "sku"), parent="shops"),
        {"shop_id": _INTEGER, "sku": _TEXT, "price": _NUMBER},
        tuple(
            f'{{"shop_id": {shop}, "sku": "S{shop}-{n}", "price": {n}.10}}'
            for shop in range(1, _SHOPS + 1)
            for n in range(1, 3)
        ),
    ),
}
