"""The loads of a history: which version was loaded last, which were begun, and which keys came with each (decision 54).

The keys that came wait in a temporary table of the session. The comment of the column of versions says which version was loaded last, and in
which such table, by its number, the keys of each version stand that was begun: where it is another one than the session has, rows came that nobody knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier, Literal

from singerkit_sql_target.fitting import VALID_TO
from singerkit_sql_target.versions import Version
from singerkit_wire.stream import VERSION
from target_postgres.tables import Table

__all__ = [
    "forget_seen",
    "has_versions",
    "is_another_load",
    "is_gone",
    "is_partly_known",
    "note_load",
    "note_seen",
]

_LAST = "singerkit: the version that was loaded last is "
_NONE = "singerkit: no version was loaded yet"
_BEGUN = re.compile(r"(-?\d+) in (\d+)")
_MOST_BEGUN = 100


@dataclass
class _Loads:
    """``begun`` maps versions of which rows have come to the numbers of the tables of their keys."""

    last: int | None = None
    begun: dict[int, int] = field(default_factory=dict)


def has_versions(table: Table) -> bool:
    """Whether the rows carry the version of their load."""
    return VERSION in table.columns and VERSION not in table.given.column_names


def note_seen(cursor: Cursor, table: Table) -> None:
    """Note the keys of the staged rows, with their versions: a load that is given up says nothing of the one behind it."""
    version = Identifier(table.columns[VERSION])
    keys = SQL(", ").join(map(Identifier, table.history))
    if _number_of_seen(cursor, table) is None:
        cursor.execute(
            SQL("CREATE TEMPORARY TABLE {} AS SELECT {}, {} FROM {} WITH NO DATA").format(
                _seen(table), keys, version, table.identifier
            )
        )
    staged = version if table.columns[VERSION] in (table.staged or ()) else SQL("NULL")
    stage = Identifier(table.stage)
    cursor.execute(
        SQL("INSERT INTO pg_temp.{} SELECT DISTINCT {}, {} FROM pg_temp.{}").format(
            _seen(table), keys, staged, stage
        )
    )
    cursor.execute(SQL("SELECT DISTINCT {} FROM pg_temp.{}").format(staged, stage))
    _note_begun(cursor, table, {int(one) for (one,) in cursor.fetchall() if one is not None})


def _note_begun(cursor: Cursor, table: Table, versions: set[int]) -> None:
    loads = _loads(cursor, table)
    new = versions - {loads.last} - loads.begun.keys()
    number = _number_of_seen(cursor, table)
    if new and number is not None:
        loads.begun |= dict.fromkeys(sorted(new), number)
        _write(cursor, table, loads)


def is_another_load(cursor: Cursor, table: Table, asked: Version) -> bool:
    """Tell whether the version is another one than was loaded last: some taps say one again behind each increment."""
    last = _loads(cursor, table).last
    return last is None or asked.version > last or (asked.is_of_records and asked.version != last)


def is_partly_known(cursor: Cursor, table: Table, asked: Version) -> bool:
    """Tell whether rows of the version have come in another session."""
    begun_in = _loads(cursor, table).begun.get(asked.version)
    return begun_in is not None and begun_in != _number_of_seen(cursor, table)


def note_load(cursor: Cursor, table: Table, asked: Version) -> None:
    """Note which version was loaded last: rows that are the same keep their own."""
    loads = _loads(cursor, table)
    loads.last = asked.version
    loads.begun.pop(asked.version, None)
    _write(cursor, table, loads)


def forget_seen(cursor: Cursor, table: Table) -> None:
    """The load is over: what comes is of another one."""
    cursor.execute(SQL("DROP TABLE IF EXISTS pg_temp.{}").format(_seen(table)))


def is_gone(cursor: Cursor, table: Table, asked: Version) -> Composed:
    """The condition that a row holds now, is of another version, and did not come."""
    version = Identifier(table.columns[VERSION])
    other = SQL("<>" if asked.is_of_records else "<")
    conditions = [
        SQL("stored.{} IS NULL").format(Identifier(table.columns[VALID_TO])),
        SQL("stored.{} {} {}").format(version, other, Literal(asked.version)),
    ]
    if _number_of_seen(cursor, table) is not None:
        same = SQL(" AND ").join(
            SQL("stored.{0} = seen.{0}").format(Identifier(key)) for key in table.history
        )
        conditions.append(
            SQL(
                "NOT EXISTS (SELECT 1 FROM pg_temp.{} AS seen WHERE {} AND coalesce(seen.{}, {}) = {})"
            ).format(_seen(table), same, version, Literal(asked.version), Literal(asked.version))
        )
    return SQL(" AND ").join(conditions)


def _loads(cursor: Cursor, table: Table) -> _Loads:
    cursor.execute(
        "SELECT pg_catalog.col_description(attrelid, attnum) FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attname = %s",
        [table.shape.oid, table.columns[VERSION]],
    )
    first, _, begun = str((cursor.fetchone() or ("",))[0]).partition("; begun: ")
    number = first.removeprefix(_LAST)
    last = int(number) if first.startswith(_LAST) and number.removeprefix("-").isdigit() else None
    return _Loads(last, {int(version): int(seen) for version, seen in _BEGUN.findall(begun)})


def _write(cursor: Cursor, table: Table, loads: _Loads) -> None:
    said = _NONE if loads.last is None else f"{_LAST}{loads.last}"
    begun = ", ".join(f"{version} in {seen}" for version, seen in [*loads.begun.items()][-_MOST_BEGUN:])
    text = f"{said}; begun: {begun}" if begun else said
    cursor.execute(
        SQL("COMMENT ON COLUMN {}.{} IS {}").format(
            table.identifier, Identifier(table.columns[VERSION]), Literal(text)
        )
    )


def _number_of_seen(cursor: Cursor, table: Table) -> int | None:
    cursor.execute("SELECT pg_catalog.to_regclass(%s)::oid", [f"pg_temp.{_seen_name(table)}"])
    (number,) = cursor.fetchone() or (None,)
    return None if number is None else int(number)


def _seen_name(table: Table) -> str:
    return f"singerkit_seen_{table.shape.oid}"


def _seen(table: Table) -> Identifier:
    return Identifier(_seen_name(table))
