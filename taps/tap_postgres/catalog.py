"""Discovery: what a database holds, by five queries whatever there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from singerkit_sql_tap.queries import quoted
from singerkit_sql_tap.tables import Column, Table
from tap_postgres.types import MOMENTS, ORDERED, Kind, PgType, Types

__all__ = ["PARTITIONED", "TABLE", "PgColumn", "Relation", "found_types", "read_relations"]

Ask = Callable[[str], Sequence[tuple[Any, ...]]]

_OURS = (
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'"
)
_RELATIONS = f"""
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.reltuples, d.description, pg_catalog.current_database()
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_catalog.pg_class'::regclass
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND {_OURS} ORDER BY n.nspname, c.relname"""
_COLUMNS = f"""
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attcollation <> 0, coalesce(l.collprovider = 'b' OR l.collname IN ('C', 'POSIX', 'ucs_basic', 'C.utf8')
            OR (l.collname = 'default' AND b.datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8')), false), d.description
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_database AS b ON b.datname = pg_catalog.current_database()
    LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_description AS d ON d.objoid = c.oid AND d.objsubid = a.attnum AND d.classoid = 'pg_catalog.pg_class'::regclass
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {_OURS} ORDER BY a.attrelid, a.attnum"""
_INDEXES = f"""
    SELECT i.indrelid, i.indexrelid, i.indisprimary, i.indisunique AND i.indimmediate, i.indpred IS NULL, m.amname, k.attnum, k.option
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am AS m ON m.oid = x.relam
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(i.indkey::int2[]), pg_catalog.unnest(i.indoption::int2[]))
        WITH ORDINALITY AS k (attnum, option, place)
    WHERE i.indisvalid AND k.place <= i.indnkeyatts AND {_OURS} ORDER BY i.indrelid, i.indexrelid, k.place"""
_TYPES = """
    SELECT t.oid, t.typname, n.nspname, t.typtype, CASE WHEN t.typlen = -1 AND e.typarray = t.oid THEN t.typelem ELSE 0 END, t.typbasetype
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem"""
_ATTRIBUTES = """
    SELECT t.oid, a.attname, a.atttypid FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.typrelid
    WHERE t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY t.oid, a.attnum"""

TABLE, PARTITIONED, _VIEWS = "r", "p", ("v", "m")
_DESCENDS = 1
_NUMBERS = (Kind.INTEGER, Kind.NUMBER, Kind.DOUBLE)


@dataclass(frozen=True)
class PgColumn(Column):
    """A column of PostgreSQL."""

    number: int = 0
    type_oid: int = 0
    kind: Kind = Kind.TEXT
    expression: str = ""
    """What stands for it within the SELECT that `row_to_json` is made of."""
    is_not_null: bool = False
    has_collation: bool = False
    is_by_code_point: bool = False
    """Whether its texts compare as those of the engine do."""

    @property
    def is_time(self) -> bool:
        return self.kind in MOMENTS


@dataclass(frozen=True)
class Relation(Table):
    """A table, a partitioned or foreign one, or a view. ``kind``: `relkind`."""

    oid: int = 0
    kind: str = "r"
    estimate: int | None = None
    """Rows, as the statistics of the server have it; None: it has none."""

    @property
    def replication_keys(self) -> tuple[str, ...]:
        """Numbers by which an index gives rows, and points in time: what has an order without a word of the config."""
        with_index = [cast(PgColumn, self.column(name)) for name in self.indexed]
        numbers = {column.name for column in with_index if column.kind in _NUMBERS}
        return tuple(column.name for column in self.columns if column.is_time or column.name in numbers)


def read_relations(
    ask: Ask, found: Mapping[int, PgType], *, local_is_utc: bool, admits_text: bool
) -> list[Relation]:
    """Return all tables and views; ``ask`` runs a query, ``found``: `found_types`."""
    types = Types(
        found,
        local_is_utc=local_is_utc,
        admits_text=admits_text,
        again=lambda: found_types(ask),
    )
    columns = {oid: _columns(rows, types) for oid, rows in _by_first(ask(_COLUMNS)).items()}
    indexes = _by_first(ask(_INDEXES))
    return [_relation(row, columns.get(row[0], {}), indexes[row[0]]) for row in ask(_RELATIONS)]


def _by_first(rows: Iterable[tuple[Any, ...]]) -> dict[Any, list[tuple[Any, ...]]]:
    found: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for first, *rest in rows:
        found[first].append(tuple(rest))
    return found


def found_types(ask: Ask) -> dict[int, PgType]:
    """Return the types of a database by their numbers."""
    attributes = _by_first(ask(_ATTRIBUTES))
    named = ("oid", "name", "schema", "type", "element", "base")
    rows = [dict(zip(named, row, strict=True)) for row in ask(_TYPES)]
    return {one["oid"]: PgType(**one, attributes=tuple(attributes.get(one["oid"], ()))) for one in rows}


def _columns(rows: Sequence[tuple[Any, ...]], types: Types) -> dict[int, PgColumn]:
    found = {}
    for number, name, oid, declared, is_not_null, has_collation, is_by_code_point, comment in rows:
        schema = types.schema(oid)
        if comment:
            schema["description"] = comment
        found[number] = PgColumn(
            name,
            declared,
            schema,
            number=number,
            type_oid=oid,
            kind=types.kind(oid),
            expression=types.expression(oid, f"t.{quoted(name)}"),
            is_not_null=is_not_null,
            has_collation=has_collation,
            is_by_code_point=is_by_code_point,
        )
    return found


@dataclass
class _Index:
    is_primary: bool
    is_unique: bool
    is_whole: bool
    method: str
    keys: list[tuple[int, int]]

    @property
    def gives_order(self) -> bool:
        return self.method == "btree" and self.is_whole and self.keys[0][0] > 0

    def is_key(self, columns: Mapping[int, PgColumn]) -> bool:
        """Whether it tells all rows apart, and gives them in its order."""
        return (
            self.is_unique
            and self.gives_order
            and all(number in columns and _can_go_on_by(columns[number]) for number, _ in self.keys)
            and len({option & _DESCENDS for _, option in self.keys}) == 1
        )


def _indexes(rows: Sequence[tuple[Any, ...]]) -> list[_Index]:
    found: dict[int, _Index] = {}
    for oid, is_primary, is_unique, is_whole, method, number, option in rows:
        found.setdefault(oid, _Index(is_primary, is_unique, is_whole, method, [])).keys.append(
            (number, option)
        )
    return list(found.values())


def _relation(
    row: tuple[Any, ...], columns: Mapping[int, PgColumn], indexed: Sequence[tuple[Any, ...]]
) -> Relation:
    oid, schema, name, kind, is_partition, tuples, comment, database = row
    indexes = _indexes(indexed)
    primary = next((index for index in indexes if index.is_primary), None)
    key = () if primary is None else tuple(columns[number].name for number, _ in primary.keys)
    unique = sorted(
        (index for index in indexes if index.is_key(columns)),
        key=lambda one: (not one.is_primary, len(one.keys)),
    )
    walked = [columns[number] for number, _ in unique[0].keys] if unique else []
    first = [columns[index.keys[0][0]] for index in indexes if index.gives_order]
    return Relation(
        f"{schema}-{name}",
        tuple(columns.values()),
        primary_key=key,
        chunk_key=tuple(f"t.{quoted(column.name)}".replace("%", "%%") for column in walked),
        indexed=frozenset(column.name for column in first if _is_in_our_order(column)),
        is_view=kind in _VIEWS,
        only_by_name=is_partition,
        schema_name=schema,
        database_name=database,
        relation=name,
        comment=comment or "",
        oid=oid,
        kind=kind,
        estimate=None if tuples < 0 else int(tuples),
    )


def _can_go_on_by(column: PgColumn) -> bool:
    """Whether rows can be asked for behind a value: by an operator that is found whatever the search path, and never NULL."""
    return column.is_not_null and (
        column.kind in ORDERED or column.kind in (Kind.TEXT, Kind.BOOLEAN, Kind.BYTES)
    )


def _is_in_our_order(column: PgColumn) -> bool:
    """Whether an index gives its values in the order of `singerkit_state.order`."""
    return column.kind in ORDERED or (column.kind is Kind.TEXT and column.is_by_code_point)
