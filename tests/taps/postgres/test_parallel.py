"""`parallel`: several connections read ranges of one table, and what is written is what one of them would have written."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from faults.servers import pooled
from taps.postgres.conftest import Shop
from waiting import wait_until

from singerkit_postgres.connect import connect
from singerkit_shell.errors import ConfigurationError, RetryableError, SingerkitError
from singerkit_shell.signals import stop_flag
from singerkit_sql_tap import rawchunks
from tap_postgres import copying, heap
from tap_postgres.database import PostgresDatabase
from tap_postgres.lanes import Reading

FILLED = "INSERT INTO t SELECT i, i / 3, repeat('x', 300) FROM generate_series(1, 900) AS i"


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawchunks, "_FIRST_ROWS", 20)
    monkeypatch.setattr(rawchunks, "_MOST_ROWS", 20)
    monkeypatch.setattr(heap, "_FIRST_BLOCKS", 1)
    monkeypatch.setattr(heap, "_MOST_BLOCKS", 1)


def make(shop: Shop, key: str) -> None:
    shop.execute(f"CREATE TABLE t (id int {key}, at int, filler text)", "CREATE INDEX ON t (at)", FILLED)


def without_numbers(text: bytes) -> str:
    return re.sub(r'"version":\d+|"run":"\w+"|"time_extracted":"[^"]+"|"oldest":\d+', "", text.decode())


@pytest.mark.parametrize(("key", "by"), [("PRIMARY KEY", None), ("", None), ("PRIMARY KEY", "at")])
def test_what_is_written_is_what_one_connection_would_write(shop: Shop, key: str, by: str | None) -> None:
    make(shop, key)
    if by is not None:
        shop.by(by)
    alone = shop.sync(state_every=1)
    written = shop.written.buffer.getvalue()  # type: ignore[attr-defined]  a BytesIO
    shop.sync(state_every=1, parallel=3)
    assert len(alone.rows()) == 900
    assert without_numbers(shop.written.buffer.getvalue()) == without_numbers(written)  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
def test_ranges_are_read_at_the_same_time_and_no_further_than_there_is_room(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """While nobody takes the rows of the first range, others have come to their end, each on a connection of its own."""
    make(shop, key)
    begun: list[Any] = []
    begin = copying.Copying.__init__

    def noted(self: Any, connection: Any, *said: Any, **more: Any) -> None:
        begun.append((self, connection))
        begin(self, connection, *said, **more)

    monkeypatch.setattr(copying.Copying, "__init__", noted)
    seen: list[int] = []
    take = copying.Copying.next

    def taken(self: Any) -> Any:
        if self is begun[0][0] and not seen:
            seen.append(len(begun))
            wait_until(lambda: all(one._blocks.has_ended for one, _ in begun), "ranges that are read ahead")
        return take(self)

    monkeypatch.setattr(copying.Copying, "next", taken)
    shop.sync(parallel=3)
    assert seen == [3]
    assert len({id(connection) for _, connection in begun}) == 3


def test_all_see_the_table_as_it_was_when_the_first_one_began(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key, each row comes once, whatever places they change to meanwhile."""
    make(shop, "")
    shop.execute("DELETE FROM t WHERE id % 4 = 0", "VACUUM t")
    there = [row[0] for row in shop.query("SELECT id FROM t")]
    join = PostgresDatabase._join

    def changed(self: PostgresDatabase, *said: Any) -> bool:
        is_joined = join(self, *said)
        shop.execute("UPDATE t SET id = -id", "INSERT INTO t SELECT 5000 FROM generate_series(1, 200)")
        return is_joined

    monkeypatch.setattr(PostgresDatabase, "_join", changed)
    assert sorted(shop.sync(parallel=3).column("id")) == sorted(there)


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
def test_an_error_of_one_ends_the_run_behind_the_ranges_before_it(shop: Shop, key: str) -> None:
    make(shop, key)
    shop.execute("ALTER TABLE t ADD n numeric DEFAULT 0", "UPDATE t SET n = 'NaN' WHERE id = 500")
    with pytest.raises(SingerkitError, match="holds NaN"):
        shop.sync(parallel=4, state_every=1)
    rows = shop.result().column("id")
    assert 0 < len(rows) < 900
    mine = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tap-postgres' AND datname = current_database()"
    wait_until(lambda: not shop.query(mine), "the end of all connections")


def test_who_waits_to_alter_the_table_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind whoever waits for the first connection, the others would wait for ever: that one reads alone then."""
    make(shop, "")
    join = PostgresDatabase._join
    altered = threading.Event()

    def alter() -> None:
        with closing(psycopg2.connect(shop.dsn)) as other, other.cursor() as cursor:
            cursor.execute("ALTER TABLE t ADD more int")
            other.commit()
        altered.set()

    def joined(self: PostgresDatabase, *said: Any) -> bool:
        threading.Thread(target=alter, daemon=True).start()
        wait_until(lambda: shop.query("SELECT 1 FROM pg_locks WHERE NOT granted"), "somebody who waits")
        found.append(join(self, *said))
        return found[-1]

    found: list[bool] = []
    monkeypatch.setattr(PostgresDatabase, "_join", joined)
    assert len(shop.sync(parallel=3, lock_timeout_seconds=600).rows()) == 900
    assert found == [False]
    assert altered.wait(30)


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
def test_a_connection_that_is_lost_ends_the_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    make(shop, key)
    ahead = Reading.ahead

    def cut(self: Reading, *said: Any) -> Any:
        for number, found in enumerate(ahead(self, *said)):
            if number == 4:
                pid = self._running[-1][0].info.backend_pid
                shop.execute(f"SELECT pg_terminate_backend({pid})")
            yield found

    monkeypatch.setattr(Reading, "ahead", cut)
    with pytest.raises(RetryableError):
        shop.sync(parallel=3)
    assert 0 < len(shop.result().rows()) < 900


def test_behind_a_pooler_a_run_says_so_and_does_not_wait_for_sessions_that_it_may_not_give(
    shop: Shop,
) -> None:
    make(shop, "PRIMARY KEY")
    with pooled(shop.dsn, default_pool_size=2) as dsn:
        with pytest.raises(ConfigurationError, match="`parallel` holds several sessions"):
            shop.sync(dsn=dsn, parallel=3)
        assert len(shop.sync(dsn=dsn).rows()) == 900


def test_a_run_that_is_stopped_waits_for_no_session_of_a_pool(shop: Shop) -> None:
    """The pooler takes each connection; it is the first statement that waits."""
    with (
        pooled(shop.dsn, default_pool_size=1, query_wait_timeout=0) as dsn,
        closing(psycopg2.connect(dsn)) as holder,
        holder.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")  # in a transaction that keeps the only session
        try:
            threading.Timer(0.3, stop_flag.give_up, [SingerkitError("Stopped.")]).start()
            with pytest.raises(SingerkitError, match="Stopped"):
                connect(dsn, lock_timeout_seconds=60)
        finally:
            stop_flag.give_up(None)
