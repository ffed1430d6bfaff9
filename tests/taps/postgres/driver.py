"""What the conformance suite must know of tap-postgres."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar

import psycopg2
from conftest import run_sql, uri_of
from psycopg2 import sql

from singerkit_check.suite.drivers import OurTap
from singerkit_check.suite.known import KNOWN, Row
from singerkit_check.suite.processes import Running
from singerkit_check.suite.singer import parse, written
from singerkit_check.suite.sources import Held, Source

__all__ = ["DRIVER", "PostgresSource", "TapPostgres", "fresh_database"]

_TABLES: Mapping[str, str] = {
    "orders": "id bigint PRIMARY KEY, updated_at timestamptz NOT NULL, amount numeric, big numeric, note text, paid boolean, "
    "tags text[], address jsonb, discount numeric",
    "events": "id bigint PRIMARY KEY, updated_at timestamptz NOT NULL, kind text",
    "countries": "code text NOT NULL PRIMARY KEY, name text, area float8",
    "shops": "id bigint PRIMARY KEY, name text",
}
"""What a database holds of `KNOWN`: none of its tables is read for the rows of another."""
_SECONDS = 30


class PostgresSource(Source):
    """The known streams as tables of a database of their own. ``orders`` is read by the index of its replication key, ``events`` has none."""

    def __init__(self, dsn: str) -> None:
        by_time = [{"name": f"shop.{name}", "replication_key": "updated_at"} for name in ("orders", "events")]
        super().__init__(
            {"dsn": dsn, "streams": by_time}, {f"shop-{name}": KNOWN[name].facts for name in _TABLES}
        )
        self._dsn = dsn
        self._lock: Any = None
        self._do(sql.SQL("CREATE SCHEMA shop"))
        for name, columns in _TABLES.items():
            self._do(sql.SQL("CREATE TABLE {} (" + columns + ")").format(self._table(name)))
        self._do(sql.SQL("CREATE INDEX ON {} (updated_at)").format(self._table("orders")))
        for name in _TABLES:
            self.put(f"shop-{name}", *KNOWN[name].rows)

    def _table(self, stream: str) -> sql.Identifier:
        return sql.Identifier("shop", stream.removeprefix("shop-"))

    def _do(
        self, statement: sql.Composable, *rows: Sequence[Any], connection: Any = None
    ) -> list[tuple[Any, ...]]:
        if connection is None:
            with closing(psycopg2.connect(self._dsn)) as own, own:
                return self._do(statement, *rows, connection=own)
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            for row in rows or [()]:
                cursor.execute(statement, row)
            return cursor.fetchall() if cursor.description else []

    def rows(self, stream: str) -> list[Row]:
        order = "updated_at" if self.streams[stream].ascends else "1"
        query = sql.SQL(
            "SELECT row_to_json(t)::text FROM (SELECT * FROM {} ORDER BY " + order + ") AS t"
        ).format(self._table(stream))
        return [parse(text) for (text,) in self._do(query, connection=self._lock)]

    def put(self, stream: str, *rows: Row) -> None:
        table, keys = self._table(stream), self.streams[stream].key
        delete = sql.SQL(
            "DELETE FROM {table} AS t USING json_populate_record(NULL::{table}, %s) AS n WHERE ({keys}) = ({news})"
        ).format(
            table=table,
            keys=sql.SQL(", ").join(sql.Identifier("t", name) for name in keys),
            news=sql.SQL(", ").join(sql.Identifier("n", name) for name in keys),
        )
        insert = sql.SQL("INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, %s)")
        texts = [(written(row),) for row in rows]
        self._do(delete, *texts, connection=self._lock)
        self._do(insert.format(table=table), *texts, connection=self._lock)

    @contextmanager
    def held(self, stream: str, rows: int) -> Iterator[Held]:
        """Lock the table, as an ALTER does: the whole stream is held."""
        with closing(psycopg2.connect(self._dsn)) as connection:
            self._do(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(self._table(stream)),
                connection=connection,
            )
            self._lock = connection

            def release() -> None:
                self._lock = None
                connection.commit()

            try:
                yield Held(0, lambda running: self._is_waited_for(stream, running), release)
            finally:
                self._lock = None

    def _is_waited_for(self, stream: str, running: Running) -> bool:
        waits = sql.SQL("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass::oid")
        until = time.monotonic() + _SECONDS
        name = f"shop.{stream.removeprefix('shop-')}"
        while time.monotonic() < until:
            # The name of a table that is locked can be looked up by who has locked it.
            if self._do(waits, (name,), connection=self._lock):
                return True
            time.sleep(0.01)
        return False

    @contextmanager
    def ailing(self, stream: str) -> Iterator[None]:
        """Lock the table for a moment."""
        with closing(psycopg2.connect(self._dsn)) as connection:
            self._do(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(self._table(stream)),
                connection=connection,
            )
            timer = threading.Timer(1, connection.commit)
            timer.start()
            yield
            timer.join()

    @contextmanager
    def broken(self, stream: str) -> Iterator[None]:
        """Put a view in the place of the table that cannot be evaluated."""
        table, whole = self._table(stream), self._table("whole")
        name = stream.removeprefix("shop-")
        columns = [one.split()[0] for one in _TABLES[name].split(", ")]
        self._do(sql.SQL("ALTER TABLE {} RENAME TO whole").format(table))
        made = sql.SQL("CREATE VIEW {} AS SELECT * FROM {} WHERE 1 / (length({}::text) * 0) > 0")
        self._do(made.format(table, whole, sql.Identifier(columns[0])))
        yield
        self._do(sql.SQL("DROP VIEW {}").format(table))
        self._do(sql.SQL("ALTER TABLE {} RENAME TO {}").format(whole, sql.Identifier(name)))

    @contextmanager
    def spoilt(self, stream: str, row: Row) -> Iterator[None]:
        """Put NaN into a number of the row, which JSON does not have."""
        key = self.streams[stream].key[0]
        statement = sql.SQL("UPDATE {} SET amount = 'NaN' WHERE {} = %s").format(
            self._table(stream), sql.Identifier(key)
        )
        self._do(statement, (row[key],))
        yield
        self.put(stream, row)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Give a database that is dropped in the end, whoever is connected to it."""
    name = f"singerkit_source_{uuid.uuid4().hex[:12]}"
    run_sql(server, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield uri_of(server, dbname=name)
    finally:
        run_sql(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class TapPostgres(OurTap):
    """tap-postgres against a database of its own in the session's server."""

    needs: ClassVar[Sequence[str]] = ("postgres_server",)
    waivers: ClassVar[Mapping[str, str]] = {
        "O09": "a text of PostgreSQL holds no NUL",
        "T06": "nobody is told a user agent",
    }

    @contextmanager
    def source(self) -> Iterator[Source]:
        with fresh_database(self.services["postgres_server"]) as dsn:
            yield PostgresSource(dsn)

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"host": "127.0.0.1", "port": 1}


DRIVER = TapPostgres
