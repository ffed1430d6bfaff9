"""The row of a pipeline: what it says, and what it notes besides."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_state.postgres.errors import translated
from singerkit_state.postgres.session import identifier, one, transaction
from singerkit_state.postgres.table import TABLES, columns_of, table_exists
from singerkit_state.value import encode

__all__ = [
    "Other",
    "Run",
    "StateRow",
    "last_run",
    "lock_row",
    "note",
    "others",
    "pipelines",
    "read",
    "row_from",
    "row_of",
    "rows",
    "setting_tables",
    "time_of",
    "with_notes",
]


@dataclass(frozen=True)
class Other:
    """Another pipeline, the streams that it has loaded, and the OIDs of those of their tables that it has noted."""

    pipeline: str
    loaded: Collection[str]
    oids: Mapping[str, int]

    def has_loaded(self, stream: str, oid: int | None) -> bool:
        """Tell whether it has loaded the table ``oid``; where it has noted none, a stream of that name."""
        return (oid is not None and oid in self._every_oid) or (
            stream in self.loaded and stream not in self.oids
        )

    @cached_property
    def _every_oid(self) -> frozenset[int]:
        return frozenset(self.oids.values())


@dataclass(frozen=True)
class StateRow:
    """What the row of a pipeline says, and where it is.

    ``epoch`` counts runs, ``sequence`` counts commits. ``state_text`` is the last STATE value that said
    anything, as it was received; None before the first one. ``committed_at`` is None before the first commit.
    """

    pipeline: str
    epoch: int
    sequence: int
    state_text: str | None
    run_id: str | None
    committed_at: datetime | None
    schema: str
    table: str
    former: tuple[str, ...] = ()
    """Digests of the states from before, newest first (`value.after`)."""
    loaded: frozenset[str] | None = None
    """The streams whose tables held rows at the last commit; None where an older version has committed last."""
    here: str | None = field(default="", compare=False)
    """Which state table it is, of which database: a dump that is restored makes another one; None where it has no
    column for ``tables``."""
    tables: Mapping[str, int] = field(default_factory=dict)
    """The OIDs of the tables of ``loaded`` at the last commit, as far as they were noted ``here``, and at that commit."""

    @property
    def where(self) -> str:
        """The table's name for messages."""
        return f"{self.schema}.{self.table}"

    def streams_in(self, oid: int | None) -> Collection[str]:
        """Return the streams that were loaded into the table ``oid``."""
        return () if oid is None else self._streams_by_oid.get(oid, ())

    @cached_property
    def _streams_by_oid(self) -> Mapping[int, Collection[str]]:
        """Each stream of a run asks, and there may be thousands."""
        found: dict[int, list[str]] = {}
        for stream, oid in self.tables.items():
            found.setdefault(oid, []).append(stream)
        return found


def read(connection: Connection, schema: str, table: str, pipeline: str) -> StateRow | None:
    """Return the row of ``pipeline``; None when there is no such table or row, which is a first run.

    Raises:
        NotAuthorisedError, ConfigurationError, RetryableError: as `ensure_table`.
    """
    with translated(f"read the state of the pipeline `{pipeline}`"), transaction(connection) as cursor:
        return row_of(cursor, schema, table, pipeline) if table_exists(cursor, schema, table) else None


def row_of(cursor: Cursor, schema: str, table: str, pipeline: str) -> StateRow | None:
    """Return the row of ``pipeline``, inside the caller's transaction; None when there is none."""
    cursor.execute(
        sql.SQL(_SELECT + " WHERE pipeline = %s").format(identifier(schema, table)),
        (pipeline,),
    )
    found = cursor.fetchone()
    return None if found is None else row_from(found, schema, table)


def rows(cursor: Cursor, schema: str, table: str) -> list[StateRow]:
    """Return all rows, by the names of the pipelines, inside the caller's transaction."""
    cursor.execute(sql.SQL(_SELECT + " ORDER BY pipeline").format(sql.Identifier(schema, table)))
    return [row_from(found, schema, table) for found in cursor.fetchall()]


def pipelines(cursor: Cursor, schema: str, table: str, *, with_state: bool = False) -> list[str]:
    """Return the names of the pipelines that have a row, or a state in it; none where there is no table."""
    if not table_exists(cursor, schema, table):
        return []
    which = sql.SQL(" WHERE state IS NOT NULL" if with_state else "")
    cursor.execute(
        sql.SQL("SELECT pipeline FROM {}{} ORDER BY pipeline").format(sql.Identifier(schema, table), which)
    )
    return [name for (name,) in cursor.fetchall()]


def others(cursor: Cursor, row: StateRow) -> list[Other]:
    """Return the other pipelines of the table that have loaded anything."""
    has_tables = TABLES in columns_of(cursor, row.schema, row.table)
    cursor.execute(
        sql.SQL(
            "SELECT pipeline, sequence, loaded, {} FROM {} WHERE pipeline <> %s AND state IS NOT NULL AND loaded IS NOT NULL"
            " ORDER BY pipeline"
        ).format(sql.SQL("tables" if has_tables else "NULL"), identifier(row.schema, row.table)),
        (row.pipeline,),
    )
    return [
        Other(name, loaded, _noted(tables, row.here, at)) for name, at, loaded, tables in cursor.fetchall()
    ]


def lock_row(cursor: Cursor, schema: str, table: str, pipeline: str) -> StateRow:
    """Return the row of ``pipeline``, made on first use, for the caller's transaction alone to change.

    A run that is in its COMMIT is waited for, at most `LOCK_TIMEOUT`.
    """
    cursor.execute(
        sql.SQL("INSERT INTO {} (pipeline) VALUES (%s) ON CONFLICT DO NOTHING").format(
            identifier(schema, table)
        ),
        (pipeline,),
    )
    cursor.execute(
        sql.SQL(_SELECT + " WHERE pipeline = %s FOR UPDATE").format(identifier(schema, table)), (pipeline,)
    )
    return row_from(one(cursor), schema, table)


_SELECT = "SELECT pipeline, epoch, sequence, state::text, run_id, committed_at FROM {}"


def with_notes(cursor: Cursor, row: StateRow) -> StateRow:
    """Return the row with what it notes besides: former states, loaded streams, and which tables these were in."""
    has_tables = TABLES in columns_of(cursor, row.schema, row.table)
    cursor.execute(
        sql.SQL(_SELECT_NOTES if has_tables else _SELECT_FEWER_NOTES).format(
            identifier(row.schema, row.table)
        ),
        (row.pipeline,),
    )
    former, loaded, tables, here = one(cursor)
    return replace(
        row,
        former=tuple(former or ()),
        loaded=None if loaded is None else frozenset(loaded),
        here=here,
        tables=_noted(tables, here, row.sequence),
    )


def _noted(tables: Any, here: str | None, sequence: int) -> Mapping[str, int]:
    """Return the OIDs that were noted in this very state table; none where somebody has edited them.

    A version that knows of no such note leaves it behind, at an older ``sequence``: its tables may be others by now.
    """
    if not isinstance(tables, dict) or (tables.get("here"), tables.get("sequence")) != (here, sequence):
        return {}
    oids = tables.get("oids")
    return oids if isinstance(oids, dict) else {}


# A dump that is restored into a new server gives the first table the OID that it had; not its index, which comes last.
_SELECT_NOTES = """
    SELECT t.former, t.loaded, t.tables, (
        SELECT pg_catalog.concat_ws('/', d.oid, t.tableoid, i.indexrelid) FROM pg_catalog.pg_database d
        LEFT JOIN pg_catalog.pg_index i ON i.indrelid = t.tableoid AND i.indisprimary
        WHERE d.datname = pg_catalog.current_database()
    )
    FROM {} t WHERE pipeline = %s
"""
_SELECT_FEWER_NOTES = "SELECT former, loaded, NULL, NULL FROM {} WHERE pipeline = %s"


def setting_tables(row: StateRow, sequence: int) -> sql.Composable:
    """What an UPDATE that leaves the row at ``sequence`` sets besides, to note the tables; nothing where there is no column for it."""
    if row.here is None:
        return sql.SQL("")
    text = encode({"here": row.here, "sequence": sequence, "oids": dict(sorted(row.tables.items()))})
    return sql.SQL(", tables = {}::json").format(sql.Literal(text.replace("%", "%%")))


def note(
    cursor: Cursor, row: StateRow, *, former: tuple[str, ...], loaded: frozenset[str] | None
) -> StateRow:
    """Write the notes of a row, inside the caller's transaction; return it as they make it.

    Of tables that are not ``loaded`` nothing is noted.
    """
    kept = {stream: oid for stream, oid in row.tables.items() if stream in (loaded or ())}
    row = replace(row, former=former, loaded=loaded, tables=kept)
    cursor.execute(
        sql.SQL("UPDATE {} SET former = %s::json, loaded = %s::json{} WHERE pipeline = %s").format(
            identifier(row.schema, row.table), setting_tables(row, row.sequence)
        ),
        (json.dumps(former), None if loaded is None else encode(sorted(loaded)), row.pipeline),
    )
    return row


@dataclass(frozen=True)
class Run:
    """What the last run has noted about itself in the row; a run of an older version noted less."""

    epoch: int
    run_id: str | None
    host: str | None
    pid: int | None
    backend_pid: int | None
    started_at: datetime | None

    def __str__(self) -> str:
        since = f", since {time_of(self.started_at)}" if self.started_at else ""
        return f"the run {self.run_id} (pid {self.pid} on host {self.host}{since})"


def last_run(cursor: Cursor, schema: str, table: str, pipeline: str) -> Run | None:
    cursor.execute(
        sql.SQL(
            "SELECT epoch, run_id, host, pid, backend_pid, started_at FROM {} WHERE pipeline = %s"
        ).format(identifier(schema, table)),
        (pipeline,),
    )
    found = cursor.fetchone()
    return None if found is None else Run(*found)


def time_of(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="seconds")


def row_from(values: tuple[Any, ...], schema: str, table: str) -> StateRow:
    pipeline, epoch, sequence, state_text, run_id, committed_at = values
    return StateRow(pipeline, epoch, sequence, state_text, run_id, committed_at, schema, table)
