"""What a slot keeps of the log: whose it is, how much it holds, and what becomes of one that holds too much or has lost its log."""

from __future__ import annotations

import io
import re
import threading
from contextlib import closing, redirect_stdout
from typing import Any

import psycopg2
import pytest
from conftest import run_sql, uri_of
from faults.servers import private_server
from faults.table import records_fault
from psycopg2.extras import LogicalReplicationConnection
from taps.postgres.conftest import Shop
from waiting import wait_until

from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import stop_flag
from singerkit_state.value import decode, encode
from singerkit_tap import log_sync
from tap_postgres.log import reader
from tap_postgres.log.queries import Queries
from tap_postgres.log.reader import PostgresLogReader
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.slots import drop_slot

TABLE = ("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'one')")
MUCH = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 3000000))"
SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"


def slot_of(pipeline: str) -> str:
    return PostgresLogSettings.of({}, pipeline).slot


def test_no_two_pipelines_have_one_slot() -> None:
    long = "the_pipeline_" * 5
    names = ["shop", "Shop", "shop-a", "shop_a", "shop.a", "schöp", long, long + "b", "tap-postgres"]
    slots = [slot_of(name) for name in names]
    assert len({*slots}) == len(names)
    assert max(map(len, slots)) <= 63
    assert [slot_of(name) for name in ("shop", "shop_a")] == ["singerkit_shop", "singerkit_shop_a"], (
        "as before"
    )
    assert slot_of("tap-postgres").startswith("singerkit_tap_postgres_")


def test_a_state_goes_on_by_the_slot_of_the_former_name(logged: Shop, caplog: Any) -> None:
    name = logged.config["log"].pop("slot")
    pipeline = logged.config["pipeline"] = name.replace("_", "-")
    former = f"singerkit_{name}"
    logged.execute(*TABLE)
    state = logged.sync(log={"slot": former}).state
    logged.execute("INSERT INTO t VALUES (2, 'two')")
    assert "-- slot singerkit_test_" in (shown := logged.run("--test").stderr), shown
    second = logged.sync(state)
    assert second.column("id") == [2]
    assert logged.query(SLOTS) == [(former,)]
    # Started over, it has one of its own, and says what it leaves behind.
    assert logged.sync().column("id") == [1, 2]
    assert sorted(logged.query(SLOTS)) == sorted([(former,), (slot_of(pipeline),)])
    assert f"The slot `{former}` was that of this pipeline before" in caplog.text
    assert logged.sync(second.state, log={"slot": former}).rows() == []


def test_a_slot_of_another_database_is_not_the_former_one(logged: Shop) -> None:
    """Names of slots are of the whole server."""
    name = logged.config["log"].pop("slot")
    logged.config["pipeline"] = name.replace("_", "-")
    others = uri_of(logged.dsn, dbname="postgres")
    former = f"singerkit_{name}"
    run_sql(others, f"SELECT 1 FROM pg_create_logical_replication_slot('{former}', 'pgoutput')")
    try:
        logged.execute(*TABLE)
        first = logged.sync()
        assert first.column("id") == [1]
        assert logged.sync(first.state).rows() == []
    finally:
        run_sql(others, f"SELECT pg_drop_replication_slot('{former}')")


def bounded(shop: Shop, state: Any, **bounds: Any) -> SingerkitError:
    with pytest.raises(SingerkitError) as caught:
        shop.sync(state, log={**shop.config["log"], **bounds})
    assert caught.value.exit_code == 78, caught.value
    return caught.value


def test_a_slot_that_holds_too_much_is_told_of_and_given_up_if_that_is_asked_for(
    logged: Shop, caplog: Any
) -> None:
    logged.execute(*TABLE)
    state = logged.sync().state
    logged.execute(MUCH)
    warned = {**logged.config["log"], "held_warning_bytes": 2_000_000}
    logged.sync(state, log=warned)
    # Other tests write to the log of the server, too.
    holds = r"holds [0-9.]+ MB of the log on the server's disk"
    assert re.search(rf"{holds}: see that the target commits", caplog.text)
    shown = logged.run("--test").stderr
    assert re.search(rf"It {holds}\.", shown), shown
    limit = rf"{holds}, more than `log.held_limit_bytes` \(2.0 MB\)"
    error = bounded(logged, state, held_limit_bytes=2_000_000)
    assert re.search(limit, str(error))
    assert logged.query(SLOTS) == [(logged.config["log"]["slot"],)]
    error = bounded(logged, state, held_limit_bytes=2_000_000, held_limit="drop_slot")
    assert re.search(f"{limit}, and was dropped, as `log.held_limit` says", str(error))
    assert "start over" in str(error)
    assert logged.query(SLOTS) == []


def test_a_run_that_follows_sees_what_the_slot_holds(logged: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it has read is acknowledged, since nothing is read back."""
    logged.execute(*TABLE)
    state = logged.sync().state
    monkeypatch.setattr(reader, "_CHECK_SECONDS", 0)
    begin = PostgresLogReader.begin

    def begins(self: PostgresLogReader, position: Any) -> Any:
        found = begin(self, position)
        logged.execute(MUCH, "INSERT INTO t VALUES (2, 'two')")
        return found

    monkeypatch.setattr(PostgresLogReader, "begin", begins)
    follows = {"end": "follow", "max_seconds": 20, "held_limit_bytes": 2_000_000, "held_limit": "drop_slot"}
    error = bounded(logged, state, **follows)
    assert "and was dropped, as `log.held_limit` says" in str(error)
    assert logged.query(SLOTS) == []
    assert logged.result().column("id") == [2], "what was read until then has a STATE behind it"


def test_a_slot_is_dropped_once_who_has_read_by_it_has_ended(logged: Shop) -> None:
    """The server sees the end of a session later than who ends it."""
    logged.execute(*TABLE)
    logged.sync()
    name = logged.config["log"]["slot"]
    wait_until(lambda: logged.query(f"{SLOTS} AND NOT active"), "the end of the session that has read")
    other = psycopg2.connect(logged.dsn, connection_factory=LogicalReplicationConnection)
    with closing(Queries(lambda: psycopg2.connect(logged.dsn), "here")) as queries, other.cursor() as cursor:
        options = {"proto_version": "1", "publication_names": f'"{name}"'}
        cursor.start_replication(name, decode=False, options=options)
        ending = threading.Timer(0.2, other.close)
        ending.start()
        drop_slot(queries, name)
        ending.join()
    assert logged.query(SLOTS) == []


@pytest.mark.fault("L4", exit=[78], main=True)
def test_p10_a_slot_that_has_lost_its_log_is_told_and_made_again_when_its_streams_start_over(
    tmp_path: Any, caplog: Any
) -> None:
    with private_server() as server:
        log = {"streams": [{"name": "*", "replication_method": "LOG_BASED"}], "log": {"slot": "s"}}
        shop = Shop(server.uri, tmp_path, log)
        shop.execute(*TABLE)
        # As it is advised: the statement, and a restart, which is waited for.
        (statement,) = re.findall(r"ALTER SYSTEM SET [^;]+", shop.run().last_words)
        shop.execute(statement)
        assert "estart the server" in shop.run().last_words
        for setting in (
            "max_slot_wal_keep_size = '1MB'",
            "fsync = off",
            "max_wal_size = '32MB'",
        ):
            run_sql(server.uri, f"ALTER SYSTEM SET {setting}")
        server.stop()
        server.start()
        state = shop.sync().state
        # A segment of the log is 16 MB.
        for _ in range(4):
            shop.execute("SELECT pg_logical_emit_message(true, 'test', '')", "SELECT pg_switch_wal()")
        shop.execute("CHECKPOINT")
        assert shop.query("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
        lost = records_fault(shop.run("--state", shop.file("state.json", state)))
        assert lost.code == 78
        assert re.search(r"the slot `s` is lost: .* or start over with", lost.last_words)
        bounded(shop, None, create=False)
        # As it is advised: the streams are started over, and that is all.
        again = shop.sync()
        assert again.column("id") == [1]
        assert "has lost its log, and is made again" in caplog.text
        shop.execute("INSERT INTO t VALUES (2, 'two')")
        assert shop.sync(again.state).column("id") == [2]


def test_the_slot_of_an_idle_database_moves_while_a_run_follows(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a heartbeat: others write to the server, and what is read back is a place behind that."""
    logged.execute(*TABLE)
    state = logged.folder / "state.json"
    state.write_text(encode(logged.sync().state))
    monkeypatch.setattr(log_sync, "IDLE_STATE_SECONDS", 0.1)
    others = uri_of(logged.dsn, dbname="postgres")
    ((begun,),) = run_sql(
        others, "SELECT pg_current_wal_lsn() FROM pg_logical_emit_message(true, 'test', 'x')"
    )
    moved = f"SELECT restart_lsn > '{begun}' AND confirmed_flush_lsn > '{begun}' FROM pg_replication_slots WHERE database = current_database()"
    is_over = threading.Event()

    def commit_and_write() -> None:
        """Be a target that commits each STATE, and those who write to another database."""
        while not is_over.wait(0.05):
            lines = logged.written.buffer.getvalue().split(b"\n")[:-1]  # type: ignore[attr-defined]  it is a BytesIO
            states = [line for line in lines if b'"STATE"' in line]
            if states:
                state.with_suffix(".part").write_text(encode(decode(states[-1].decode())["value"]))
                state.with_suffix(".part").rename(state)
            run_sql(others, "SELECT pg_logical_emit_message(true, 'test', 'x')")
            run_sql(
                others, "CHECKPOINT"
            )  # says which transactions run, as the server does by itself each fifteen seconds
            if logged.query(moved) == [(True,)]:
                stop_flag.give_up(SingerkitError("The slot has moved."))

    tap = logged.tap(
        log={
            **logged.config["log"],
            "end": "follow",
            "acknowledge": "while_running",
            "keep_alive_seconds": 0.1,
            "max_seconds": 30,
        }
    )
    tap.continue_from(str(state))
    logged.written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    target = threading.Thread(target=commit_and_write)
    target.start()
    try:
        with pytest.raises(SingerkitError, match="The slot has moved"), redirect_stdout(logged.written):
            tap.sync()
    finally:
        is_over.set()
        target.join()
        stop_flag.give_up(None)
    assert logged.result().rows() == [], "the database was idle"
