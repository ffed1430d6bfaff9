"""Which table each stream is, and since when the log tells of it: what is kept in the state, and compared by the next run.

The log has the names of tables, and no word of one that was dropped and made again, taken out of the publication for a while, or of a
partition that came with rows, or went with its own, or of columns whose values are others in all rows (`columns`). Their numbers in the catalog
tell, and those of rows of the catalog that were written anew.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import NotAuthorisedError
from tap_postgres.log.columns import COLUMNS, Columns, columns_of, with_types
from tap_postgres.log.queries import Queries
from tap_postgres.log.tables import LoggedTable

__all__ = ["Identities", "Parts", "identities_of"]

_SCHEMAS_SINCE = 150_000
_TOKEN = 8
_OF_SCHEMAS = """
            UNION ALL SELECT 'schema ' || s.oid FROM pg_catalog.pg_publication_namespace AS s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace"""
_TABLES = """
    SELECT a.place::int - 1, c.oid::bigint, c.relfilenode::bigint, {columns}, p.oid::bigint, p.xmin::text,
        ARRAY(SELECT 'table ' || r.oid FROM pg_catalog.pg_publication_rel AS r WHERE r.prpubid = p.oid AND r.prrelid = c.oid{schemas}
            UNION ALL SELECT 'all' WHERE p.puballtables
            UNION ALL SELECT 'table ' || r.oid || ' above, ' || (SELECT pg_catalog.string_agg(i.xmin::text, ' ' ORDER BY i.inhrelid)
                    FROM pg_catalog.pg_partition_ancestors(c.oid) AS o JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = o.relid)
                FROM pg_catalog.pg_partition_ancestors(c.oid) AS b JOIN pg_catalog.pg_publication_rel AS r ON r.prrelid = b.relid
                WHERE r.prpubid = p.oid AND b.relid <> c.oid
            ORDER BY 1)
    FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) WITH ORDINALITY AS a (schema_name, table_name, place)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
    LEFT JOIN pg_catalog.pg_publication AS p ON p.pubname = %s"""
_PARTS = """
    SELECT t.relid::oid::bigint, t.parentrelid::oid::bigint, n.nspname, c.relname, t.isleaf, i.xmin::text, pg_catalog.age(i.xmin),
        coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::bigint
    FROM pg_catalog.pg_partition_tree(%s::bigint::oid::regclass) AS t
    JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = t.relid AND i.inhparent = t.parentrelid
    JOIN pg_catalog.pg_class AS c ON c.oid = t.relid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    ORDER BY t.level"""
_SIZE = "SELECT pg_catalog.pg_relation_size(%s::bigint::oid::regclass) > 0"
_OLD_ROWS = "SELECT EXISTS (SELECT FROM ONLY {} AS t WHERE pg_catalog.age(t.xmin) >= pg_catalog.age(%s::xid))"


@dataclass(frozen=True)
class _Part:
    """A partition. ``attached``: the transaction that made it a part of the table, itself or with what stands above it."""

    oid: int
    schema: str
    name: str
    attached: str
    file: int

    @property
    def is_rewritten(self) -> bool:
        """Whether it was emptied or rewritten since it was made: its first file has its number."""
        return self.file not in (0, self.oid)

    @property
    def token(self) -> str:
        """What changes when it is attached again, emptied or rewritten."""
        digest = hashlib.sha256(f"{self.oid} {self.attached} {self.file}".encode()).digest()
        return base64.b64encode(digest)[:_TOKEN].decode()


Parts = Mapping[str, _Part]
"""Partitions by their tokens."""


@dataclass(frozen=True)
class _Table:
    oid: int
    publication: tuple[int, str] | None
    told: frozenset[str]
    parts: Parts
    columns: Columns

    def written(self) -> dict[str, Any]:
        """Return what a state says of it."""
        more = {"parts": "".join(sorted(self.parts))} if self.parts else {}
        return {
            "table": self.oid,
            "publication": list(self.publication or ()),
            "told": sorted(self.told),
            **more,
            **self.columns.written,
        }


class Identities:
    """The tables of streams as the catalog has them at one moment."""

    def __init__(
        self, queries: Queries, publication: str, tables: Mapping[str, tuple[LoggedTable, _Table]]
    ) -> None:
        self._queries, self._publication, self._tables = queries, publication, tables

    def table(self, stream: str) -> int | None:
        """Return the number of the table of a stream; None: it is gone."""
        found = self._tables.get(stream)
        return None if found is None else found[1].oid

    def written(self, stream: str) -> dict[str, Any] | None:
        """Return what a state says of the table of a stream."""
        found = self._tables.get(stream)
        return None if found is None else found[1].written()

    def change(self, stream: str, was: Mapping[str, Any]) -> str | None:
        """Say why a stream cannot be gone on with whose table the state says this of; None: it can be."""
        if stream not in self._tables:
            return None  # its columns are looked for first
        table, now = self._tables[stream]
        name = f"`{table.schema}.{table.name}`"
        if was.get("table") != now.oid:
            return f"table {name} was dropped and made again, or another one has its name now"
        if now.publication is None or not now.told:
            return None  # `Publication` says so
        oid, version = (*(was.get("publication") or ()), None, None)[:2]
        if oid != now.publication[0]:
            return f"it was read by another publication than `{self._publication}`, or that one was dropped and made again"
        if version != now.publication[1]:
            return f"the publication `{self._publication}` was altered (SET, OWNER or RENAME), and may have told of less for a while"
        if now.told.isdisjoint(was.get("told") or ()):
            return f"table {name} was taken out of the publication `{self._publication}` and put back, or told of with other rows or columns for a while"
        return self.change_of_columns(stream, was)

    def change_of_columns(self, stream: str, was: Mapping[str, Any]) -> str | None:
        """Say why rows of a stream may hold other values than those that were read of them, without the log having told so; None: they do not."""
        if stream not in self._tables:
            return None
        table, now = self._tables[stream]
        before = self._tokens(was)
        is_rewritten = before.isdisjoint(now.parts) if table.is_partitioned and before else None
        why = now.columns.change(was, is_rewritten=is_rewritten)
        return why and f"of table `{table.schema}.{table.name}`, {why}"

    def is_told(self, stream: str, told: Mapping[str, tuple[int, int]], columns: Iterable[str]) -> bool:
        """Tell whether the log describes ``columns`` of a stream's table as the catalog did at that moment; ``told``: their types and modifiers."""
        return stream not in self._tables or self._tables[stream][1].columns.is_told(told, columns)

    def with_columns_of(self, other: Identities) -> Identities:
        """Return the same, with the columns of the tables that ``other`` has."""
        tables = {
            stream: (
                table,
                replace(one, columns=other._tables[stream][1].columns) if stream in other._tables else one,
            )
            for stream, (table, one) in self._tables.items()
        }
        return Identities(self._queries, self._publication, tables)

    def parts_gone(self, stream: str, was: Mapping[str, Any]) -> bool:
        """Tell whether rows of a partitioned table have gone with partitions, also with one that has come since."""
        if stream not in self._tables:
            return False
        parts, before = self._tables[stream][1].parts, self._tokens(was)
        return bool(before - parts.keys()) or any(
            part.is_rewritten for token, part in parts.items() if token not in before
        )

    def has_part(self, stream: str, number: int) -> bool:
        """Tell whether a partition is one of a stream's table."""
        found = self._tables.get(stream)
        return found is not None and any(part.oid == number for part in found[1].parts.values())

    def part_with_rows(self, stream: str, was: Mapping[str, Any]) -> str | None:
        """Return the name of a partition that has come with rows, of which the log says nothing."""
        parts: Parts = self._tables[stream][1].parts if stream in self._tables else {}
        for token in sorted(parts.keys() - self._tokens(was)):
            if self._has_old_rows(parts[token]):
                return f"{parts[token].schema}.{parts[token].name}"
        return None

    @staticmethod
    def _tokens(was: Mapping[str, Any]) -> set[str]:
        text = was.get("parts") or ""
        return {text[at : at + _TOKEN] for at in range(0, len(text), _TOKEN)}

    def _has_old_rows(self, part: _Part) -> bool:
        """Tell whether a partition has rows that were there when it was attached, or perhaps."""
        doing = f"looking at partition `{part.schema}.{part.name}`"
        if self._queries.ask(_SIZE, [part.oid], doing=doing) != [(True,)]:
            return False
        statement = SQL(_OLD_ROWS).format(Identifier(part.schema, part.name))
        try:
            return self._queries.ask(statement, [part.attached], doing=doing) == [(True,)]
        except NotAuthorisedError:
            return True


def identities_of(queries: Queries, publication: str, tables: Sequence[LoggedTable]) -> Identities:
    """Ask for the tables of streams: one query, one for types that users have made, and one for each partitioned table."""
    statement = _TABLES.format(
        columns=COLUMNS, schemas=_OF_SCHEMAS if queries.version >= _SCHEMAS_SINCE else ""
    )
    names = [[table.schema for table in tables], [table.name for table in tables]]
    rows = queries.ask(statement, [*names, publication], doing="looking for the tables of the publication")
    columns = with_types(
        queries, [columns_of(text, file, tables[place].columns) for place, _, file, text, *_ in rows]
    )
    found: dict[str, tuple[LoggedTable, _Table]] = {}
    for (place, oid, _, _, number, version, told), of in zip(rows, columns, strict=True):
        table = tables[place]
        parts = _parts_of(queries, oid) if table.is_partitioned else {}
        known = None if number is None else (number, version)
        found[table.stream] = (table, _Table(oid, known, frozenset(told), parts, of))
    return Identities(queries, publication, found)


def _parts_of(queries: Queries, oid: int) -> Parts:
    rows = queries.ask(_PARTS, [oid], doing="looking for partitions")
    return {part.token: part for part in _leaves(rows)}


def _leaves(rows: Sequence[tuple[Any, ...]]) -> Iterator[_Part]:
    """Yield the partitions that hold rows; those above come first."""
    youngest: dict[int, tuple[int, str]] = {}
    for oid, parent, schema, name, is_leaf, xmin, age, file in rows:
        age, xmin = min((age, xmin), youngest.get(parent, (age, xmin)))
        youngest[oid] = age, xmin
        if is_leaf:
            yield _Part(oid, schema, name, xmin, file)
