"""Whether the reading of a table has come past a key: in the order of the server, by which it is read."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from singerkit_wire.encode import members_of
from tap_postgres.log.queries import Queries
from tap_postgres.log.tables import LoggedTable
from tap_postgres.types import Kind

__all__ = ["KeyOrder", "Part", "key_of"]

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A column of a key, and what becomes of its values in JSON."""

    name: str
    kind: Kind


def key_of(record: Any, key: Sequence[Part]) -> list[str]:
    """Return the values of a key as texts, as PostgreSQL reads them."""
    values = members_of(record, "the row that a chunk ends with")
    return [_literal(bytes(values[part.name]), part.kind) for part in key]


def _literal(value: bytes, kind: Kind) -> str:
    if kind is Kind.JSON:
        return value.decode()
    text = _text(value)
    return f"\\x{base64.b64decode(text).hex()}" if kind is Kind.BYTES else text


def _text(value: bytes) -> str:
    return msgspec.json.decode(value, type=str) if value[:1] == b'"' else value.decode()


class KeyOrder:
    """The order of the keys of one table. ``types``: of its columns, as SQL; ``numbers``: whether all are whole numbers."""

    def __init__(
        self, queries: Queries, table: LoggedTable, types: Sequence[str], *, are_numbers: bool
    ) -> None:
        self._queries, self.table, self.types = queries, table, types
        self._are_numbers = are_numbers
        self._known: dict[Key, bool] = {}
        self._cursor: Key = ()

    def is_behind(self, key: Sequence[str], cursor: Sequence[str]) -> bool:
        """Tell whether rows up to ``cursor`` have ``key`` among them."""
        if self._are_numbers:
            return [*map(int, key)] <= [*map(int, cursor)]
        if self._cursor != tuple(cursor):
            self._known, self._cursor = {}, tuple(cursor)
        place = tuple(key)
        if place not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[place] = self._asked(key, cursor)
        return self._known[place]

    def _asked(self, key: Sequence[str], cursor: Sequence[str]) -> bool:
        """Ask the server, which alone knows how its texts compare."""
        marks = ", ".join(f"%s::{type_}" for type_ in self.types)
        rows = self._queries.ask(f"SELECT ({marks}) <= ({marks})", [*key, *cursor], doing="comparing keys")
        return bool(rows[0][0])
