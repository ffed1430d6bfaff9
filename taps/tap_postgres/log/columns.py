"""What tells that old rows of a table hold other values than those that were read of them: its columns, and the types of these.

The log has no word of an ALTER TABLE or ALTER TYPE. It tells of rows that are written later, and nothing of those that are there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec

from tap_postgres.log.queries import Queries

__all__ = ["COLUMNS", "Columns", "columns_of", "with_types"]

COLUMNS = """(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(t.attname, t.attnum, t.atttypid::bigint, t.atttypmod, t.xmin::text)
        ORDER BY t.attnum)::text
        FROM pg_catalog.pg_attribute AS t WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped)"""
"""Of a table (`pg_class`, alias ``c``): what `columns_of` reads. One statement asks for them and for the file, which are compared with each other."""

_TYPES = """
    WITH RECURSIVE within (root, oid) AS (
        SELECT u, u FROM pg_catalog.unnest(%s::bigint[]::oid[]) AS u
        UNION SELECT w.root, n.oid FROM within AS w JOIN pg_catalog.pg_type AS t ON t.oid = w.oid CROSS JOIN LATERAL (
            SELECT t.typelem WHERE t.typelem <> 0 UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid
            UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
                WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS n (oid))
    SELECT w.root::bigint, t.oid::bigint, n.nspname || '.' || t.typname, t.typtype = 'e', CASE t.typtype
        WHEN 'e' THEN ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.oid)
        ELSE ARRAY(SELECT a.attnum || ' ' || a.atttypid || ' ' || a.attname FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) END
    FROM within AS w JOIN pg_catalog.pg_type AS t ON t.oid = w.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('c', 'e')"""
_OF_USERS = 16384
"""The first number that a type of a user may have: those of the server hold no others."""
_VARCHAR, _TEXT = 1043, 25
_SIGN = 4


def _sign(*parts: object) -> str:
    """Return a sum of some parts, of 24 bits."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=_SIGN * 6 // 8).digest()
    return base64.b64encode(digest).decode()


@dataclass(frozen=True)
class Inner:
    """An enum, or a composite type, in values of a column. ``parts``: its labels in the order in which they came, or its attributes."""

    name: str
    is_enum: bool
    parts: Sequence[str]

    def written(self) -> str:
        return f"{len(self.parts)} {_sign(*self.parts)}"

    def is_as(self, said: str) -> bool:
        """Tell whether values look as they did when `written` said this. A label that has come since is one that no old row has."""
        count = said.split()[0]
        parts = self.parts[: int(count)] if self.is_enum else self.parts
        return f"{len(parts)} {_sign(*parts)}" == said


@dataclass(frozen=True)
class _Column:
    """``row``: the transaction that wrote its row of the catalog."""

    name: str
    number: int
    type_oid: int
    modifier: int
    row: str

    @property
    def signs(self) -> tuple[str, str, str]:
        """By its name, which column of which type it is, and which row of the catalog."""
        # Texts of these two are the same, and the one becomes the other without a look at any row.
        of = _TEXT if self.type_oid == _VARCHAR else self.type_oid
        return _sign(self.name), _sign(self.number, of), _sign(self.row)


@dataclass(frozen=True)
class Columns:
    """The selected columns of one table at one moment. ``file``: in which its rows stood, 0 for a partitioned table."""

    of: Mapping[str, _Column]
    file: int
    inner: Mapping[int, Inner] = field(default_factory=dict)

    @cached_property
    def written(self) -> Mapping[str, Any]:
        """What a state says of them; each STATE asks for it."""
        said = {
            "columns": "".join("".join(column.signs) for column in self.of.values()),
            "file": self.file,
            "types": {str(oid): inner.written() for oid, inner in self.inner.items()},
        }
        return {name: value for name, value in said.items() if value}

    def is_told(self, told: Mapping[str, tuple[int, int]], columns: Iterable[str]) -> bool:
        """Tell whether the log describes those of ``columns`` as they are here; ``told``: number of the type and modifier of each."""
        known = {name: (column.type_oid, column.modifier) for name, column in self.of.items()}
        return all(told[name] == known.get(name) for name in columns if name in told)

    def change(self, was: Mapping[str, Any], *, is_rewritten: bool | None = None) -> str | None:
        """Say why rows may hold other values now than when a state said this, without the log having told so; None: they do not.

        A column that has come, or has gone, is none of these. ``is_rewritten``: whether all rows of the table stand in other files; None: as ``file`` says.
        """
        if is_rewritten is None:
            is_rewritten = was.get("file", 0) != self.file
        signs = _signs(str(was.get("columns") or ""))
        for column in self.of.values():
            name, which, row = column.signs
            former_which, former_row = signs.get(name, (which, row))
            if which != former_which:
                return f"column `{column.name}` was dropped and added again, has the name of another one now, or has another type, and the log does not say what older rows have in it"
            if is_rewritten and row != former_row:
                return f"the table was written anew, and column `{column.name}` was altered (TYPE ... USING, or SET EXPRESSION), so that older rows may have other values, of which the log says nothing"
        types = was.get("types") or {}
        for oid, inner in self.inner.items():
            if not inner.is_as(types.get(str(oid), inner.written())):
                what = "a value of the enum" if inner.is_enum else "the attributes of the composite type"
                return f"{what} `{inner.name}` had another name (ALTER TYPE), and the log does not say that older rows have the new one"
        return None


def _signs(text: str) -> dict[str, tuple[str, str]]:
    return {
        text[at : at + _SIGN]: (text[at + _SIGN : at + 2 * _SIGN], text[at + 2 * _SIGN : at + 3 * _SIGN])
        for at in range(0, len(text), 3 * _SIGN)
    }


def columns_of(text: str | None, file: int, selected: Iterable[str]) -> Columns:
    """Return the columns of a table that are sent, from what `COLUMNS` gives, without the types within their values."""
    rows = {row[0]: _Column(*row) for row in msgspec.json.decode(text or "[]")}
    return Columns({name: rows[name] for name in selected if name in rows}, file)


def with_types(queries: Queries, found: Sequence[Columns]) -> list[Columns]:
    """Return the same with the enums and composite types that values hold; asks once, or not at all."""
    within = _types_within(queries, {one.type_oid for columns in found for one in columns.of.values()})
    return [
        replace(
            columns,
            inner={
                oid: inner
                for one in columns.of.values()
                for oid, inner in within.get(one.type_oid, {}).items()
            },
        )
        for columns in found
    ]


def _types_within(queries: Queries, types: Iterable[int]) -> dict[int, dict[int, Inner]]:
    """Return, by the numbers of types, the enums and composite types that their values hold, by their own."""
    asked = sorted({oid for oid in types if oid >= _OF_USERS})
    found: dict[int, dict[int, Inner]] = {}
    if asked:
        for root, oid, name, is_enum, parts in queries.ask(_TYPES, [asked], doing="looking for types"):
            found.setdefault(root, {})[oid] = Inner(name, is_enum, parts)
    return found
