"""The tables of a PostgreSQL that is a source, and the one row that each number stands for.

Each version of a row has a number (``seq``) of its own, from which every other value of it follows: who sees a row knows whether it is
right. ``big`` is stored outside of its row and often stays as it is in an update, so that ``big_of`` says of which version it is.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

__all__ = ["TABLES", "Table", "big_of", "extra_of", "table_of_leaf", "values_of"]

_COMMON = "seq bigint NOT NULL, v text, amount numeric, at timestamptz, is_on boolean, doc jsonb"
_BIG = "big text, big_of bigint"


@dataclass(frozen=True)
class Table:
    """``keys`` come first in the table, then ``seq``; none: rows are only known by all they hold."""

    name: str
    keys: Mapping[str, str]
    """Their types by name."""
    setup: tuple[str, ...]
    has_big: bool = False
    leaves: tuple[str, ...] = ()
    is_whole_in_log: bool = False
    """Whether the log has of each change the whole row that was before."""
    only_grows: bool = False
    """Rows are never deleted and keep their keys: what is read by a replication key sees all that becomes of it."""

    @property
    def columns(self) -> list[str]:
        """Those that the table has from the beginning."""
        return [
            *self.keys,
            "seq",
            "v",
            "amount",
            "at",
            "is_on",
            "doc",
            *(("big", "big_of") if self.has_big else ()),
        ]


def _ddl(name: str, keys: str, *more: str, tail: str = "") -> str:
    return f"CREATE TABLE {name} ({', '.join([keys, _COMMON, *more])}){tail}"


_ID = "id integer"
_BY_NUMBER = "CREATE UNIQUE INDEX {0}_seq ON {0} (seq)"
"""An index that may be a replica identity."""
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("items", {"id": "integer"}, (_ddl("items", f"{_ID} PRIMARY KEY"), _BY_NUMBER.format("items"))),
        Table(
            "pairs",
            {"a": "integer", "b": "text"},
            (_ddl("pairs", "a integer, b text", "PRIMARY KEY (a, b)"),),
        ),
        Table("notes", {}, (_ddl("notes", "kind text"), "ALTER TABLE notes REPLICA IDENTITY FULL")),
        Table(
            "parts",
            {"id": "integer", "region": "text"},
            (
                _ddl(
                    "parts",
                    f"{_ID}, region text",
                    "PRIMARY KEY (id, region)",
                    tail=" PARTITION BY LIST (region)",
                ),
                "CREATE TABLE parts_north PARTITION OF parts FOR VALUES IN ('north')",
                "CREATE TABLE parts_south PARTITION OF parts FOR VALUES IN ('south') PARTITION BY HASH (id)",
                "CREATE TABLE parts_south_0 PARTITION OF parts_south FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
                "CREATE TABLE parts_south_1 PARTITION OF parts_south FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
                "CREATE TABLE parts_rest PARTITION OF parts DEFAULT",
            ),
            leaves=("parts_north", "parts_south_0", "parts_south_1", "parts_rest", "parts_visit"),
        ),
        Table(
            "docs",
            {"id": "integer"},
            (
                _ddl("docs", f"{_ID} PRIMARY KEY", _BIG),
                "ALTER TABLE docs ALTER big SET STORAGE EXTERNAL",
                _BY_NUMBER.format("docs"),
            ),
            has_big=True,
        ),
        Table(
            "wholes",
            {"id": "integer"},
            (
                _ddl("wholes", f"{_ID} PRIMARY KEY", _BIG),
                "ALTER TABLE wholes REPLICA IDENTITY FULL",
                _BY_NUMBER.format("wholes"),
            ),
            has_big=True,
            is_whole_in_log=True,
        ),
        Table(
            "steps",
            {"id": "integer"},
            (_ddl("steps", f"{_ID} PRIMARY KEY"), "CREATE INDEX steps_seq ON steps (seq)"),
            only_grows=True,
        ),
    )
}
_OF_LEAF = {leaf: table.name for table in TABLES.values() for leaf in (table.name, *table.leaves)}


def table_of_leaf(name: str) -> str | None:
    """Return the table that a partition is of; None: it is none of these."""
    return _OF_LEAF.get(name)


_TEXTS = (
    None,
    "",
    "null",
    "\\N \\. \\\\",
    'say "hi"; DROP TABLE items; --',
    "zwei\nZeilen\tund\r\nmehr",
    "Größe Žluťoučký 東京 🦀 é e\u0301\u2028",
    "a,b,\"c\",'d',%s {x} $1 \x7f\x01\x02\x1f",
    "plain",
)


@lru_cache(maxsize=20_000)
def values_of(seq: int) -> Mapping[str, Any]:
    """Return what the columns of version ``seq`` hold, as JSON has it; `doc` as text."""
    dice = random.Random(seq)
    inner = {"n": seq, "text": dice.choice(_TEXTS), "list": [1, None, f"{seq}"]}
    at = f"20{dice.randrange(10, 37)}-0{dice.randrange(1, 10)}-{dice.randrange(10, 29)}T1{dice.randrange(10)}:00:{dice.randrange(10, 60)}"
    return {
        "seq": seq,
        "v": dice.choice(_TEXTS) if dice.random() < 0.5 else f"v{seq}",
        "amount": None
        if seq % 13 == 0
        else Decimal(f"{dice.randrange(-(10**9), 10**9)}.{dice.randrange(10**6):06}"),
        "at": f"{at}.{dice.randrange(10**6):06}+00:00",
        "is_on": dice.choice([True, False, None]),
        "doc": json.dumps(inner),
        "kind": f"kind {seq % 3}",
    }


@lru_cache(maxsize=2_000)
def big_of(seq: int) -> str:
    """Return a text that no compression makes small enough for a row."""
    size = 40 + seq % 60
    return "é" + "".join(hashlib.sha256(f"{seq} {n}".encode()).hexdigest() for n in range(size))


def extra_of(seq: int, name: str) -> int:
    """Return what a column that was added later holds of version ``seq``."""
    return (seq * 7919 + sum(name.encode())) % 1_000_003
