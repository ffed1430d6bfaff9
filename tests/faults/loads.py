"""Run target-postgres as its users do, and read what it left behind, sharing no code with it."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import sessions
from conformance.processes import SECONDS, Outcome, Running, run
from conformance.singer import MARK, RECORD, SCHEMA, STATE, lines
from psycopg2.sql import SQL, Identifier

__all__ = [
    "MARKED",
    "RECORD",
    "SCHEMA",
    "STATE",
    "TARGET",
    "Outcome",
    "Running",
    "command",
    "connected",
    "lines",
    "load",
    "query",
    "running",
    "state_row",
    "table",
]

TARGET = str(Path(sys.executable).with_name("target-postgres"))
_FIRST = "SET timezone TO 'UTC'"


def MARKED(value: Mapping[str, Any], *, complete: bool = False, pipeline: str = "default") -> dict[str, Any]:
    """Return a STATE as our taps write it (docs/architecture.md, "Agreements")."""
    return STATE({**value, MARK: {"run": "r1", "pipeline": pipeline, "complete": complete}})


def command(folder: Path, database: str | None, config: Mapping[str, Any], *arguments: str) -> list[str]:
    """Return the command of a run whose config file is put into ``folder``; it says where PostgreSQL is where ``database`` does not."""
    path = folder / "config.json"
    path.write_text(json.dumps(config if database is None else {"dsn": database, **config}))
    return [TARGET, "--config", str(path), *arguments]


def load(
    database: str,
    *messages: Any,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    **config: Any,
) -> Outcome:
    """Run the target over ``messages`` (see `conformance.singer.line`) to its end."""
    with tempfile.TemporaryDirectory() as folder:
        return run(
            command(Path(folder), database, config, *arguments),
            stdin=lines(*messages),
            environment=environment,
            seconds=seconds,
        )


@contextmanager
def running(
    database: str, *arguments: str, environment: Mapping[str, str] | None = None, **config: Any
) -> Iterator[Running]:
    """Run the target with its pipes open."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Running(command(Path(folder), database, config, *arguments), environment=environment) as process,
    ):
        yield process


@contextmanager
def connected(database: str, *, autocommit: bool = True) -> Iterator[Any]:
    """A cursor of a session of its own, in UTC; without ``autocommit`` what it did is rolled back."""
    connection = psycopg2.connect(database, client_encoding="UTF8")  # whatever the server prefers
    try:
        connection.autocommit = autocommit
        with connection.cursor() as cursor:
            cursor.execute("SET timezone TO 'UTC'")
            yield cursor
    finally:
        connection.close()


def query(database: str, statement: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run one statement, in a session in UTC, and return its rows."""
    return sessions.ask(database, statement, parameters, first=_FIRST)


def table(database: str, name: str, *columns: str, schema: str = "public") -> list[tuple[Any, ...]]:
    """Return the rows of a table in the order of the columns asked for."""
    wanted = SQL(", ").join(map(Identifier, columns)) if columns else SQL("*")
    return query(
        database,
        SQL("SELECT {} FROM {} ORDER BY {}").format(wanted, Identifier(schema, name), _numbers(columns)),
    )


def _numbers(columns: Sequence[str]) -> SQL:
    return SQL(", ".join(str(index + 1) for index in range(len(columns) or 1)))


def state_row(database: str, pipeline: str = "default") -> tuple[int, Any] | None:
    """Return (sequence, state value) of a pipeline; None before its first run."""
    if not query(database, "SELECT to_regclass('public._singerkit_state')")[0][0]:
        return None
    found = query(
        database, "SELECT sequence, state::text FROM _singerkit_state WHERE pipeline = %s", [pipeline]
    )
    if not found:
        return None
    sequence, text = found[0]
    return sequence, None if text is None else json.loads(text)
