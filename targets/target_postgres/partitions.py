"""The partitions of a table: made with it, and as rows need them, before those come (`partition_by`).

A partition is made as a table of its own and attached then: PostgreSQL lets others read and write the table meanwhile.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Identifier, Literal

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.fitting import Fitting, quoted
from singerkit_sql_target.tables import StreamTable
from singerkit_wire.batch import Batch
from singerkit_wire.stream import Stream
from singerkit_wire.values import values_of
from target_postgres import ddl
from target_postgres.dividing import Division, Each, Way
from target_postgres.names import identifier
from target_postgres.upkeep import Making

__all__ = [
    "Parted",
    "advice",
    "check_no_partition",
    "clause",
    "divided_above",
    "make",
    "make_first",
    "needed",
    "parted",
]

_MOST = {Way.RANGE: 10_000, Way.LIST: 1_000}
"""How many partitions a table gets by itself: with more of them each query is planned for longer than it takes."""
_ZONED = ("timestamp with time zone", "timestamptz")
_TIMES = (*_ZONED, "timestamp without time zone", "timestamp", "date")


@dataclass
class Parted:
    """A table whose partitions are made as rows need them; ``known`` is what has one for sure: periods or values."""

    oid: int
    division: Division
    column: str
    type: str
    making: Making
    known: set[Any]


def clause(
    division: Division | None,
    stream: Stream,
    columns: Mapping[str, str],
    types: Mapping[str, str],
    keys: Collection[str],
) -> Composable:
    """Return what stands behind the columns of a table that is made in partitions.

    Raises:
        ConfigurationError: the key of the stream lacks the field, or its type has no such ranges.
    """
    if division is None:
        return SQL("")
    column = columns[division.field]
    if keys and column not in keys:
        why, way = advice(stream, [division.field], f"take `{stream.name}` out of `partition_by`")
        raise ConfigurationError(
            f"The table of stream `{stream.name}` is to be partitioned {why}; nothing of this stream was written: {way}, or have each row appended "
            "(`load_method: append`); then run again."
        )
    if division.way is Way.RANGE and types[column].lower() not in _TIMES:
        raise ConfigurationError(
            f"The table of stream `{stream.name}` is to be partitioned by ranges of `{division.field}` (`partition_by`), which is no date and no date-time but "
            f"`{types[column]}`; nothing of this stream was written: choose another field, or a type for this one with `column_types`, then run again."
        )
    return SQL(" PARTITION BY {} ({})").format(SQL(division.way.name), Identifier(column))


def advice(stream: Stream, fields: Sequence[str], other: str) -> tuple[str, str]:
    """Say why a key does not do for a table that is partitioned by ``fields``, and what to do; ``other`` is what else."""
    key = list(stream.key_properties)
    longer = f'"primary_keys": {json.dumps([*key, *fields], ensure_ascii=False)}'
    why = (
        f"by {quoted(fields)}, which PostgreSQL wants in each key, and the key of the stream is {quoted(key)}"
    )
    way = (
        f"give the stream the longer key (tap-rest: `{longer}`), if no row ever changes its {quoted(fields)}, since it would be "
        f"there twice; or {other}"
    )
    return why, way


_STRATEGY = """
SELECT p.partstrat::text, ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(p.partattrs) AS k(n)
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.n)
FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = %s
"""


def parted(
    cursor: Cursor,
    fitting: Fitting,
    making: Making,
    oid: int | None,
    columns: Mapping[str, str],
    types: Mapping[str, str],
    *,
    tells: bool,
) -> Parted | None:
    """Return what is to be known of a table for its partitions; None: it is not partitioned, or not so.

    ``tells``: a warning says so.
    """
    division = making.division
    if division is None or oid is None:
        return None
    column = columns[division.field]
    cursor.execute(_STRATEGY, [oid])
    found = cursor.fetchone()
    is_so = found == (division.way.letter, [column]) and (
        division.way is not Way.RANGE or types[column] in _TIMES
    )
    if is_so:
        return Parted(oid, division, column, types[column], making, set())
    if tells:
        fitting.log.warning(
            "The table of stream `%s` was there, and is %s: it stays as it is, since PostgreSQL makes no partitioned table of another one (`partition_by`).",
            fitting.stream.name,
            "not partitioned"
            if found is None
            else f"not partitioned by the {division.way.value} of `{division.field}`",
        )
    return None


def divided_above(cursor: Cursor, oid: int) -> set[int]:
    """Return the tables of which one is a partition, or a partition of one."""
    cursor.execute(
        "SELECT relid::oid::bigint FROM pg_catalog.pg_partition_ancestors(%s) AS above WHERE relid <> %s",
        [oid, oid],
    )
    return {int(found) for (found,) in cursor.fetchall()}


def check_no_partition(stream: str, others: Collection[str], where: str) -> None:
    """See that the table ``where`` of a stream is no partition of those of ``others``, whose rows its would be.

    Raises:
        ConfigurationError: it is.
    """
    if others:
        raise ConfigurationError(
            f"Stream `{stream}` comes to the table {where}, which is a partition of the table of stream `{min(others)}` (`partition_by`), and its rows would be rows "
            "of that; nothing of this stream was written: give one of the two another table (`table_name`), then run again."
        )


def make_first(cursor: Cursor, schema: str, name: str, making: Making) -> None:
    """Make the partitions that a new table has from the start."""
    division = making.division
    if division is None:
        return
    bounds: list[tuple[str, Composable]] = [
        (
            f"h{number}",
            SQL("FOR VALUES WITH (MODULUS {}, REMAINDER {})").format(
                Literal(division.count), Literal(number)
            ),
        )
        for number in range(division.count)
    ]
    if division.has_default:
        bounds.append(("default", SQL("DEFAULT")))
    for suffix, bound in bounds:
        _attach(cursor, schema, name, making, suffix, bound)


def needed(of: Parted | None, batch: Batch) -> list[Any]:
    """Return for what of a batch there may be no partition yet: periods, or values."""
    if of is None or of.division.way is Way.HASH or of.division.field not in batch.names:
        return []
    at = batch.names.index(of.division.field)
    values = values_of(batch.columns[at], [row[at] for row in batch.wire_rows])
    if of.division.each is None:
        return sorted({_text(value) for value in values} - of.known, key=lambda text: text or "")
    periods = {_period(value, of.division.each) for value in values if value is not None}
    return sorted(periods - of.known - {None})


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _period(value: date, each: Each) -> tuple[int, ...] | None:
    """Return year, month and day of a moment in UTC, as far as they tell partitions apart; None: it has none before 10000."""
    if isinstance(value, datetime) and value.tzinfo is not UTC and value.tzinfo is not None:
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            return None
    if each is Each.YEAR:
        return (value.year,)
    return (value.year, value.month) if each is Each.MONTH else (value.year, value.month, value.day)


def make(cursor: Cursor, log: logging.Logger, of: Parted, table: StreamTable, wanted: Sequence[Any]) -> None:
    """Make the partitions for what is ``wanted``, where there are none.

    Raises:
        ConfigurationError: there would be too many.
    """
    whole = ddl.table_name(table.schema, table.name)
    cursor.execute(SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(whole))
    bounds = dict(_bounds(of, wanted))
    there = _constraints(cursor, of.oid)
    missing = [text for text in _not_in(cursor, of, [*bounds], there)]
    if len(there) + len(missing) > _MOST[of.division.way]:
        raise ConfigurationError(
            f"The table of stream `{table.stream}` would get more than {_MOST[of.division.way]} partitions by the {of.division.way.value} of "
            f"`{of.division.field}`; what was committed is safe: choose longer ranges, or `hash` (`partition_by`), and make the table anew, then run again."
        )
    for text in missing:
        suffix, bound = bounds[text]
        cursor.execute("SAVEPOINT singerkit_partition")
        try:
            made = _attach(cursor, table.schema, table.name, of.making, suffix, bound)
        except psycopg2.Error as error:
            why = _OF_OTHERS.get(str(error.pgcode))
            if cursor.connection.closed or why is None:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_partition")
            log.warning(
                "The table of stream `%s` gets no partition %s, since %s: PostgreSQL says of each row whether it belongs to one.",
                table.stream,
                bound.as_string(cursor),
                why,
            )
        else:
            log.info("Partition %s made for stream `%s`.", made, table.stream)
        cursor.execute("RELEASE SAVEPOINT singerkit_partition")


_OF_OTHERS: Mapping[str, str] = {
    errorcodes.INVALID_OBJECT_DEFINITION: "others have made one that overlaps with it",
    errorcodes.CHECK_VIOLATION: "rows that belong there are in the DEFAULT partition",
}


def _bounds(of: Parted, wanted: Iterable[Any]) -> Iterable[tuple[str | None, tuple[str, Composable]]]:
    """Return a value of each partition, with what its name ends with and its bounds."""
    zone = "+00" if of.type in _ZONED else ""
    for one in wanted:
        if of.division.each is None:
            yield one, (_slug(one), SQL("FOR VALUES IN ({})").format(Literal(one)))
            continue
        first, last = _day(one), _day(_next(one))
        ends = (Literal(day if of.type == "date" else f"{day} 00:00:00{zone}") for day in (first, last))
        suffix = "p" + "".join(f"{number:02}" for number in one)
        yield first, (suffix, SQL("FOR VALUES FROM ({}) TO ({})").format(*ends))


def _day(period: Sequence[int]) -> str:
    year, month, day = (*period, 1, 1)[:3]
    return f"{year:04}-{month:02}-{day:02}"


def _next(period: tuple[int, ...]) -> tuple[int, ...]:
    match period:
        case (year,):
            return (year + 1,)
        case (year, 12):
            return year + 1, 1
        case (year, month):
            return year, month + 1
        case (9999, 12, 31):
            return 10_000, 1, 1
    after = date.fromordinal(date(*period).toordinal() + 1)
    return after.year, after.month, after.day


def _slug(value: str | None) -> str:
    return "null" if value is None else re.sub(r"\W+", "_", value.lower())


_CHILDREN = """
SELECT pg_catalog.pg_get_partition_constraintdef(i.inhrelid) FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = i.inhparent
WHERE i.inhparent = %s AND i.inhrelid <> p.partdefid
"""


def _constraints(cursor: Cursor, oid: int) -> list[str]:
    """Return the conditions of the partitions of a table, but for the one of all else."""
    cursor.execute(_CHILDREN, [oid])
    return [str(condition) for (condition,) in cursor.fetchall()]


def _not_in(
    cursor: Cursor, of: Parted, values: Sequence[str | None], conditions: Sequence[str]
) -> list[str | None]:
    """Return the values that belong to no partition."""
    asked = SQL(
        "SELECT min(given.text) FROM pg_catalog.unnest({}::text[]) AS given(text) CROSS JOIN LATERAL (SELECT given.text::{} AS {}) AS one "
        "WHERE ({}) IS NOT TRUE GROUP BY one.{} ORDER BY 1"
    ).format(
        Literal(list(values)),
        SQL(of.type),
        Identifier(of.column),
        SQL(" OR ").join(map(SQL, conditions)) if conditions else SQL("false"),
        Identifier(of.column),
    )
    cursor.execute(asked)
    return [text for (text,) in cursor.fetchall()]


def _attach(cursor: Cursor, schema: str, name: str, making: Making, suffix: str, bound: Composable) -> str:
    """Make a table like the whole one, and a partition of it; return its name."""
    part = _free_name(cursor, schema, f"{name}_{suffix}")
    whole, own = ddl.table_name(schema, name), ddl.table_name(schema, part)
    space = (
        SQL("") if making.tablespace is None else SQL(" TABLESPACE {}").format(Identifier(making.tablespace))
    )
    kind = SQL("UNLOGGED " if making.unlogged else "")
    cursor.execute(
        SQL("CREATE {}TABLE {} (LIKE {} INCLUDING ALL EXCLUDING IDENTITY){}").format(kind, own, whole, space)
    )
    cursor.execute(SQL("ALTER TABLE {} ATTACH PARTITION {} {}").format(whole, own, bound))
    return part


def _free_name(cursor: Cursor, schema: str, wanted: str) -> str:
    number = 1
    while True:
        name = identifier(wanted if number == 1 else f"{wanted}_{number}")
        cursor.execute(
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
            [schema, name],
        )
        if cursor.fetchone() is None:
            return name
        number += 1
