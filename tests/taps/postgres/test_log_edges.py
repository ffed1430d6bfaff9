"""The log at its edges: what nobody has written out, columns that go while a run begins."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from taps.postgres.conftest import Shop
from waiting import wait_until

from singerkit_shell.errors import BadDataError, ConfigurationError, RetryableError
from tap_postgres.log import changes, reader
from tap_postgres.log.chunks import ChunkReader
from tap_postgres.log.libpq import Replication, ReplicationError
from tap_postgres.log.publications import Publication
from tap_postgres.log.queries import Queries
from tap_postgres.log.reader import PostgresLogReader
from tap_postgres.log.tables import LoggedTable

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text, w text); INSERT INTO t SELECT n, 'v', 'w' FROM generate_series(1, 40) n"


def test_a_quiet_server_writes_its_log_out_before_a_chunk_waits_for_it(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own process does so every ten seconds here: whoever waits for it gets nothing fifty times in each chunk."""
    logged.execute(TABLE)
    logged.config["log"]["chunk_rows"] = 10
    empty: list[float] = []
    receive, chunk = Replication.receive, ChunkReader.chunk

    def receives(self: Replication, seconds: float, most: int) -> list[bytes]:
        found = receive(self, seconds, most)
        empty.extend([seconds] * (bool(seconds) and not found))
        assert len(empty) < 40, "the run waits for the server's own process"
        return found

    def reads(self: ChunkReader, *arguments: Any) -> Any:
        logged.execute("SELECT pg_logical_emit_message(false, 'test', 'as what a look at old rows leaves')")
        return chunk(self, *arguments)

    monkeypatch.setattr(Replication, "receive", receives)
    monkeypatch.setattr(ChunkReader, "chunk", reads)
    assert len(logged.sync().rows()) == 40


def test_a_column_that_is_dropped_while_a_run_begins_is_not_missed_in_the_publication(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    prepare = Publication.prepare

    def after_others(self: Publication, started: Any) -> bool:
        logged.execute("ALTER TABLE t DROP v; INSERT INTO t VALUES (50, 'new')")
        return prepare(self, started)

    monkeypatch.setattr(Publication, "prepare", after_others)
    (row,) = logged.sync(state).rows()
    assert (row["id"], row["w"]) == (50, "new")


@pytest.fixture
def altered(logged: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run statements after a table was discovered, and before the first chunk of it is read."""
    wait = ChunkReader.wait_for_writers

    def by(*statements: str) -> None:
        def waits(self: ChunkReader, table: LoggedTable) -> None:
            wait(self, table)
            logged.execute(*statements)

        monkeypatch.setattr(ChunkReader, "wait_for_writers", waits)

    return by


def test_a_column_that_comes_before_a_chunk_is_read_comes_with_its_rows(
    logged: Shop, altered: Callable[..., None]
) -> None:
    """A row that the chunk has seen is not told again by the log."""
    logged.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 10)")
    altered("ALTER TABLE t ADD w int, ALTER v TYPE text", "INSERT INTO t VALUES (2, 'x', 7)")
    found = logged.sync()
    assert [(row["id"], row["v"], row["w"]) for row in found.rows()] == [(1, "10", None), (2, "x", 7)]
    assert [one["schema"]["properties"].keys() for one in found.of_type("SCHEMA")] == [
        {"id", "v", "_sdc_deleted_at"},
        {"id", "v", "w", "_sdc_deleted_at"},
    ]


def test_a_column_that_goes_before_a_chunk_is_read_is_not_asked_for(
    logged: Shop, altered: Callable[..., None]
) -> None:
    logged.execute("CREATE TABLE t (id int PRIMARY KEY, v int, w int)", "INSERT INTO t VALUES (1, 10, 100)")
    altered("ALTER TABLE t DROP v")
    found = logged.sync()
    assert [(row["id"], row["w"]) for row in found.rows()] == [(1, 100)]


def test_a_row_comes_behind_the_schema_of_its_time(logged: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of before an ALTER, in one page with those behind it, came behind the SCHEMA that it had made: a target refuses them.

    The ALTER has the stream start anew in the same run.
    """
    logged.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "CREATE TABLE u (id int PRIMARY KEY)")
    first = logged.sync()
    end = PostgresLogReader.end

    def ends(self: PostgresLogReader) -> Any:
        logged.execute(
            "INSERT INTO t VALUES (1, 10)",
            "BEGIN; INSERT INTO u VALUES (1); INSERT INTO t VALUES (2, 20); ALTER TABLE t ALTER v TYPE text; INSERT INTO t VALUES (3, 'x'); COMMIT",
            "INSERT INTO t VALUES (4, 'y')",
        )
        return end(self)

    monkeypatch.setattr(PostgresLogReader, "end", ends)
    found = logged.sync(first.state)
    kind, told = None, []
    for message in found.messages:
        if message["type"] == "SCHEMA" and message["stream"] == "public-t":
            kind = message["schema"]["properties"]["v"]["type"][-1]
        elif message["type"] == "RECORD" and message["stream"] == "public-t":
            told.append((kind, message["record"]["v"]))
    anew = [("string", value) for value in ("10", "20", "x", "y")]
    assert told == [("integer", 10), ("integer", 20), *anew]
    assert len(found.of_type("ACTIVATE_VERSION")) == 1


def test_a_type_that_is_made_while_a_run_is_under_way_is_known(
    logged: Shop, altered: Callable[..., None]
) -> None:
    logged.execute("CREATE TABLE t (id int PRIMARY KEY)")
    altered(
        "CREATE TYPE mood AS ENUM ('ok')", "ALTER TABLE t ADD m mood[]", "INSERT INTO t VALUES (2, '{ok}')"
    )
    assert logged.sync().column("m") == [["ok"]]


def test_what_the_log_tells_of_a_type_that_has_gone_is_its_text(logged: Shop) -> None:
    logged.execute("CREATE TYPE mood AS ENUM ('ok')", "CREATE TABLE t (id int PRIMARY KEY, m mood)")
    first = logged.sync()
    logged.execute(
        "INSERT INTO t VALUES (1, 'ok')",
        "ALTER TABLE t ALTER m TYPE text",
        "DROP TYPE mood",
        "INSERT INTO t VALUES (2, 'x')",
    )
    assert logged.sync(first.state).column("m") == ["ok", "x"]


def test_the_log_is_written_out_up_to_a_snapshot_before_anything_is_told_of_it(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash, a transaction could have the number of one that the snapshot has seen end, and would be left out."""
    logged.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    chunk, written = ChunkReader.chunk, []

    def chunks(self: ChunkReader, *arguments: Any) -> Any:
        logged.execute("BEGIN; INSERT INTO t VALUES (2); ROLLBACK")
        found = chunk(self, *arguments)
        until = found.until.partition("@")[0]
        written.extend(logged.query(f"SELECT pg_current_wal_flush_lsn() >= '{until}'::pg_lsn"))
        return found

    monkeypatch.setattr(ChunkReader, "chunk", chunks)
    logged.sync()
    assert written == [(True,)]


def test_transactions_that_snapshots_see_are_not_remembered(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that follows the log would remember all of them."""
    logged.execute(TABLE)
    first = logged.sync()
    logged.execute(*[f"INSERT INTO t VALUES ({number})" for number in range(100, 130)])
    remembered: list[int] = []
    close = PostgresLogReader.close

    def closes(self: PostgresLogReader) -> None:
        remembered.append(len(self._consumed))
        close(self)

    monkeypatch.setattr(changes, "PAGE_CHANGES", 1)
    monkeypatch.setattr(reader, "_MOST_CONSUMED", 5)
    monkeypatch.setattr(PostgresLogReader, "close", closes)
    assert len(logged.sync(first.state).rows()) == 30
    assert remembered[0] <= 6


def test_a_part_of_the_log_that_was_removed_is_no_failure_that_passes(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged.execute(TABLE)
    first = logged.sync()

    def receive(_self: Replication, _seconds: float, _most: int) -> list[bytes]:
        raise ReplicationError("requested WAL segment has already been removed", "58P01", "WalSndSegmentOpen")

    monkeypatch.setattr(Replication, "receive", receive)
    with pytest.raises(ConfigurationError, match=r"no longer reaches back .*a part of it has been removed"):
        logged.sync(first.state)


def test_who_keeps_a_slot_from_being_made_is_named(logged: Shop) -> None:
    logged.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with closing(psycopg2.connect(logged.dsn)) as other, other.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it stays'")
    try:
        with pytest.raises(
            RetryableError, match=r"the prepared transaction 'it stays' in database .* has not"
        ):
            logged.sync(lock_timeout_seconds=0.2)
    finally:
        logged.execute("COMMIT PREPARED 'it stays'")
    assert logged.sync().column("id") == [1]


def test_a_table_that_is_locked_is_waited_for_once(logged: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    asked: list[str] = []
    monkeypatch.setattr(Queries, "_asked", _noting(Queries._asked, asked))
    with closing(psycopg2.connect(logged.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK t")
        if other.server_version < 160_000:  # which looks at what a publication tells of without a lock
            assert logged.sync(state, lock_timeout_seconds=0.2).rows() == []
            return
        with pytest.raises(RetryableError, match=r"Another session has held .* raise `lock_timeout_seconds`"):
            logged.sync(state, lock_timeout_seconds=0.2)
    assert asked[-1] != asked[-2]


def test_a_start_that_waits_for_a_lock_stops_where_it_is_asked_to(logged: Shop) -> None:
    logged.execute("CREATE TABLE t (id int PRIMARY KEY)")
    waits = "SELECT 1 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database() WHERE NOT l.granted"
    with (
        closing(psycopg2.connect(logged.dsn)) as reads,
        closing(psycopg2.connect(logged.dsn)) as alters,
        reads.cursor() as reading,
        ThreadPoolExecutor(1) as thread,
    ):
        reading.execute("SELECT FROM t")
        thread.submit(alters.cursor().execute, "LOCK t")  # behind this one the start waits
        wait_until(lambda: len(logged.query(waits)) == 1, "who waits to alter the table")
        command = logged.command(lock_timeout_seconds=600)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tap:
            wait_until(lambda: len(logged.query(waits)) == 2, "a start that waits for the table")
            tap.terminate()
            try:
                _, errors = tap.communicate(timeout=20)
            finally:
                reads.rollback()
    assert tap.returncode == 143, errors


def _noting(ask: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    def asks(self: Queries, statement: Any, parameters: Any) -> Any:
        asked.append(str(statement))
        return ask(self, statement, parameters)

    return asks


KEYS = {
    "bytea": "decode(lpad(to_hex(n * 37 % 256), 2, '0'), 'hex') || 'x'",
    "int[]": "ARRAY[n % 3, n]",
    "jsonb": "CASE n % 3 WHEN 0 THEN to_jsonb(n) WHEN 1 THEN to_jsonb('t' || n) ELSE jsonb_build_object('n', n) END",
    "part": "ROW(n % 3, 'p' || n)::part",
    "money": "n::money",
    "text": r"chr(96 + n) || '''\'",
    "real": "n / 10.0",
    "interval": "n * interval '7 h'",
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_start_goes_on_behind_keys_of_any_type(
    logged: Shop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    logged.config["log"]["chunk_rows"] = 3
    logged.execute(
        "CREATE TYPE part AS (a int, b text)", f"CREATE TABLE t (k {kind} PRIMARY KEY, n int, v int)"
    )
    logged.execute(f"INSERT INTO t SELECT {KEYS[kind]}, n, 0 FROM generate_series(1, 10) n")
    chunk = ChunkReader.chunk

    def reads(self: ChunkReader, *arguments: Any) -> Any:
        logged.execute("UPDATE t SET v = v + 1")  # of rows that were read, and of those that were not
        return chunk(self, *arguments)

    monkeypatch.setattr(ChunkReader, "chunk", reads)
    rows = {row["n"]: row["v"] for row in logged.sync().rows()}
    assert {*rows.items()} == {*logged.query("SELECT n, v FROM t")}


@pytest.mark.parametrize("values", ["n / 4", "NULLIF(n, 7)"])
def test_a_key_that_tells_no_rows_apart_leaves_none_out(logged: Shop, values: str) -> None:
    """The config says so, and is wrong: the target says it, where all rows come."""
    logged.config["log"]["chunk_rows"] = 3
    logged.config["streams"][0]["primary_keys"] = ["k"]
    logged.execute("CREATE TABLE t (k int, n int)", "ALTER TABLE t REPLICA IDENTITY FULL")
    logged.execute(f"INSERT INTO t SELECT {values}, n FROM generate_series(1, 10) n")
    assert sorted(logged.sync().column("n")) == [*range(1, 11)]


def test_a_message_that_is_cut_off_ends_the_run_and_is_read_by_the_next(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged.execute(TABLE)
    first = logged.sync()
    logged.execute("INSERT INTO t VALUES (50, 'before', 'w')", "INSERT INTO t VALUES (51, 'long', 'last')")
    receive = Replication.receive

    def cuts(self: Replication, seconds: float, most: int) -> list[bytes]:
        return [one[:-2] if one.endswith(b"last") else one for one in receive(self, seconds, most)]

    with monkeypatch.context() as patched:
        patched.setattr(Replication, "receive", cuts)
        with pytest.raises(
            BadDataError, match=r"A message of PostgreSQL's log behind .* cannot be read"
        ) as found:
            logged.sync(first.state)
    assert found.value.exit_code == 65
    assert "last" not in str(found.value)
    assert logged.result().column("id") in ([], [50])
    state = logged.result().state if logged.result().of_type("STATE") else first.state
    assert logged.sync(state).column("w")[-1:] == ["last"]
