"""FAULTS.md, "Postgres": the rows that need a server, a disk or a pooler of their own."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, STATE, connected, lines, load, query, running
from faults.pipeline import check, committed, rows, run_of
from faults.servers import pooled, private_server, standby_of, tiny_tablespace
from faults.test_process import complete
from psycopg2.sql import SQL, Identifier
from waiting import wait_until

LAST = 60


def name_of(database: str) -> Identifier:
    return Identifier(urlsplit(database).path.removeprefix("/"))


# --- D4 -----------------------------------------------------------------------------------------------------


def fails_with(database: str, code: str, times: int) -> None:
    """Let the next inserts into `log` fail, so many times. A sequence counts: it does not go back with a transaction."""
    query(
        database,
        SQL(
            "CREATE SEQUENCE failures; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('public.failures') <= {} THEN RAISE 'could not serialize access' USING ERRCODE = {}; END IF; "
            "RETURN NEW; END $$; CREATE TRIGGER fail BEFORE INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION fail()"
        ).format(SQL(str(times)), SQL("'" + code + "'")),
    )


@pytest.mark.fault("D4", exit=[0])
@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization failure", "deadlock"])
def test_d04_a_unit_that_lost_is_written_again(database: str, code: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    fails_with(database, code, 2)
    outcome = load(database, *run_of(30, LAST)).expect(0)
    assert "a unit written again 2 times" in outcome.stderr
    check(database, LAST)


@pytest.mark.fault("D4", exit=[75])
def test_d04_a_unit_that_always_loses_is_given_up(database: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    fails_with(database, "40001", 1000)
    outcome = load(database, *run_of(30, LAST)).expect(75)
    assert "run again" in outcome.last_words
    assert query(database, "SELECT last_value < 20 FROM failures") == [(True,)]
    check(database, 30)
    query(database, "DROP TRIGGER fail ON log")
    complete(database, LAST)


# --- D5 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(postgres_server: str) -> Iterator[str]:
    """A tablespace of two megabytes; ask for it before `database`, which has to be dropped first."""
    with tiny_tablespace(postgres_server) as name:
        yield name


@pytest.mark.fault("D5", exit=[74])
def test_d05_the_disk_is_full(tiny_disk: str, database: str) -> None:
    load(database, *run_of(0, 30)).expect(0)
    query(database, SQL("ALTER TABLE log SET TABLESPACE {}").format(Identifier(tiny_disk)))
    query(database, "ALTER TABLE log ALTER text SET STORAGE EXTERNAL")  # it would be compressed to nothing
    with running(database, commit_rows=1) as target:
        target.send(lines(*run_of(30, 30 + LAST, padding=100_000)))
        outcome = target.finish().expect(74)
    assert "no room" in outcome.last_words
    assert "No space left on device" in outcome.last_words
    at = check(database)
    assert at < 30 + LAST
    query(database, "ALTER TABLE log SET TABLESPACE pg_default")
    complete(database, 30 + LAST)


# --- D6 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D6", exit=[74], main=True)
def test_d06_a_standby() -> None:
    with private_server() as primary, standby_of(primary) as standby:
        load(primary.uri, *run_of(0, 30)).expect(0)
        wait_until(lambda: committed(standby) == 30, "the rows on the standby")
        outcome = load(standby, *run_of(30, LAST)).expect(74)
        assert "read-only" in outcome.last_words
        assert "name the primary" in outcome.last_words
        check(primary.uri, 30)


@pytest.mark.fault("D6", exit=[74])
def test_d06_a_server_becomes_read_only_in_mid_run() -> None:
    with private_server() as server:
        with running(server.uri, commit_rows=1) as target:
            target.send(lines(*list(run_of(0, 30))[:-1]))
            wait_until(lambda: committed(server.uri) == 30, "the first unit")
            query(server.uri, "ALTER SYSTEM SET default_transaction_read_only TO on")
            query(server.uri, "SELECT pg_reload_conf()")
            wait_until(
                lambda: query(server.uri, "SHOW default_transaction_read_only") == [("on",)], "the setting"
            )
            target.send(lines(*list(run_of(30, LAST))[1:]))
            outcome = target.finish().expect(74)
        assert "read-only" in outcome.last_words
        assert "name the primary" in outcome.last_words
        check(server.uri, 30)


@pytest.mark.fault("D6", exit=[69])
def test_d06_an_administrator_shuts_the_server_down_in_mid_run() -> None:
    with private_server() as server:
        with running(server.uri, commit_rows=1, reconnect_seconds=0.5) as target:
            target.send(lines(*list(run_of(0, 30))[:-1]))
            wait_until(lambda: committed(server.uri) == 30, "the first unit")
            server.stop(signal.SIGINT)
            target.send(lines(*list(run_of(30, LAST))[1:]))
            outcome = target.finish().expect(69)
        assert "cannot be reached" in outcome.last_words
        assert "run again" in outcome.last_words


@pytest.mark.fault("D6", exit=[69])
def test_d06_the_server_has_no_connection_left() -> None:
    with private_server() as server, contextlib.ExitStack() as taken:
        for name, value in {
            "max_connections": 4,
            "superuser_reserved_connections": 0,
            "max_wal_senders": 0,
        }.items():
            query(server.uri, SQL(f"ALTER SYSTEM SET {name} TO {value}"))
        server.stop(signal.SIGINT)
        server.start()
        for _ in range(4):
            taken.enter_context(connected(server.uri))
        outcome = load(server.uri, *run_of(0, 30)).expect(69)
    assert "too many clients" in outcome.last_words
    assert "run again" in outcome.last_words


# --- D7 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D7", exit=[0])
def test_d07_a_load_by_way_of_a_pooler(database: str) -> None:
    with pooled(database) as uri:
        outcome = load(uri, *run_of(0, 30)).expect(0)
        assert "pooler" in outcome.stderr
        load(uri, *run_of(30, LAST)).expect(0)
    check(database, LAST)


@pytest.mark.fault("P8", exit=[76], main=True)
def test_d07_p08_without_a_lock_the_epoch_still_fences(database: str) -> None:
    with pooled(database) as uri, running(uri, commit_rows=1) as old:
        old.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: committed(database) == 30, "the first unit")
        old.signal(signal.SIGSTOP)
        load(uri, *run_of(30, 50)).expect(0)  # no lock stands in its way
        old.signal(signal.SIGCONT)
        old.send(lines(*rows(31, 40), MARKED({"at": 40}, complete=True)))
        outcome = old.finish().expect(76)
    assert [line for line in outcome.stdout.splitlines() if b"40" in line] == []
    check(database, 50)


@pytest.mark.fault("D7", exit=[0])
def test_d07_no_value_changes_when_the_pooler_gives_another_session(database: str) -> None:
    """What was set on connect holds in the session it was set in, which the next transaction may not get."""
    for name, value in {
        "timezone": "'Asia/Kathmandu'",
        "search_path": "odd",
        "datestyle": "'German, DMY'",
    }.items():
        query(database, SQL(f"ALTER DATABASE {{}} SET {name} TO {value}").format(name_of(database)))
    at = {"type": "string", "format": "date-time"}
    schema = SCHEMA("moments", {"id": {"type": "integer"}, "at": at, "seen": {"type": "object"}}, ["id"])
    with pooled(database) as uri, running(uri, commit_rows=1) as target, contextlib.ExitStack() as others:
        target.send(lines(schema))
        for number in range(1, 4):
            row = {"id": number, "at": "2026-02-01T03:04:05", "seen": {"n": number}}
            target.send(lines(RECORD("moments", row), STATE({"at": number})))
            assert target.wait_for(lambda printed, number=number: len(printed) >= number)
            other = others.enter_context(connected(uri, autocommit=False))  # takes the session away
            other.execute("SELECT 1")
        target.finish().expect(0)
    found = query(database, "SELECT id, at AT TIME ZONE 'UTC', seen ->> 'n' FROM public.moments ORDER BY id")
    assert [(id_, f"{at:%Y-%m-%dT%H:%M:%S}", seen) for id_, at, seen in found] == [
        (number, "2026-02-01T03:04:05", str(number)) for number in range(1, 4)
    ]
