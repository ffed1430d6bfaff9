"""What databases share stands on no facts of SQLite: a real PostgreSQL is read through it."""

from __future__ import annotations

import io
import threading
import time
from contextlib import closing, redirect_stdout
from typing import Any

import psycopg2
import pytest
from conftest import run_sql
from taps.shared.sql_postgres import TapPostgresOfTests

from singerkit_shell.errors import BadDataError, RetryableError
from singerkit_shell.signals import stop_flag
from singerkit_sql_tap import chunks
from singerkit_state.value import decode

MADE = """
    CREATE TABLE orders (id bigint PRIMARY KEY, "say ""hi""; --" text, price numeric, paid boolean);
    INSERT INTO orders SELECT n, 'order ' || n, n + 0.12345678901234567890, n % 2 = 0 FROM generate_series(1, 2500) AS n;
    CREATE TABLE pair (b text, a bigint, k text, PRIMARY KEY (a, b));
    INSERT INTO pair SELECT chr(64 + n), n % 3, NULL FROM generate_series(1, 26) AS n;
    CREATE VIEW paid AS SELECT id AS k, price FROM orders WHERE paid AND id < 9;
"""


def sync(dsn: str, state: Any = None, **config: Any) -> list[dict[str, Any]]:
    tap = TapPostgresOfTests(config={"dsn": dsn, **config}, state=state or {})
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(written):
        tap.sync()
    return [decode(line.decode()) for line in written.buffer.getvalue().splitlines()]  # type: ignore[attr-defined]


def rows(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [one["record"] for one in messages if one["type"] == "RECORD" and one["stream"] == stream]


def test_tables_come_in_chunks_by_their_keys_and_views_from_a_copy(database, monkeypatch):
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (7,))
    run_sql(database, MADE)
    found = sync(database)
    orders = rows(found, "orders")
    assert [row["id"] for row in orders] == [*range(1, 2501)]
    assert str(orders[2499]["price"]) == "2500.12345678901234567890"
    assert orders[0] == {"id": 1, 'say "hi"; --': "order 1", "price": orders[0]["price"], "paid": False}
    assert sorted((row["a"], row["b"]) for row in rows(found, "pair")) == sorted(
        (n % 3, chr(64 + n)) for n in range(1, 27)
    )
    assert [row["k"] for row in rows(found, "paid")] == [2, 4, 6, 8]
    keys = {one["stream"]: one["key_properties"] for one in found if one["type"] == "SCHEMA"}
    assert keys == {"orders": ["id"], "pair": ["a", "b"], "paid": []}


def test_a_load_that_was_cut_off_goes_on(database, monkeypatch):
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (100,))
    run_sql(database, MADE)
    found = sync(database, tables=["orders"], state_every=100)
    state = next(
        one["value"]
        for one in found
        if one["type"] == "STATE" and "position" in one["value"]["bookmarks"].get("orders", {}).get("_singerkit_load", {})
    )  # fmt: skip
    rest = rows(sync(database, state, tables=["orders"]), "orders")
    assert 0 < len(rest) < 2500
    assert rest[-1]["id"] == 2500


def test_who_has_locked_something_is_waited_for_and_told_of(database, monkeypatch):
    run_sql(database, MADE)
    with closing(psycopg2.connect(database)) as writer:
        writer.cursor().execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(
            RetryableError, match=r"keeps database .* while .* locked; .* raise `lock_timeout`"
        ):
            sync(database, tables=["orders"])
        waiting = threading.Event()
        monkeypatch.setattr(stop_flag, "wait", lambda seconds: (waiting.set(), time.sleep(seconds)))
        release = threading.Thread(target=lambda: waiting.wait(60) and writer.rollback())
        release.start()
        assert len(rows(sync(database, tables=["orders"], lock_timeout=60), "orders")) == 2500
        assert waiting.is_set()
        release.join()


def test_a_query_that_takes_too_long_and_one_that_is_refused(database):
    run_sql(database, MADE)
    run_sql(database, "CREATE VIEW slow AS SELECT id, pg_sleep(60)::text AS v FROM orders")
    with pytest.raises(RetryableError, match=r"A query on database .* took longer than `query_timeout`"):
        sync(database, tables=["slow"], query_timeout=0.2)
    run_sql(database, "CREATE VIEW bad AS SELECT id / 0 AS v FROM orders")
    with pytest.raises(BadDataError, match=r"PostgreSQL refused a query on database .*division by zero"):
        sync(database, tables=["bad"])


@pytest.mark.parametrize("key", ["id", "code"])
def test_rows_from_the_bookmark_on_come_in_the_order_of_the_engine(database, key):
    """`Z` stands before `a` to the engine, and behind it to the type of the column."""
    run_sql(database, "CREATE EXTENSION citext")
    run_sql(database, "CREATE TABLE t (id bigint PRIMARY KEY, code citext)")
    run_sql(database, "INSERT INTO t VALUES (1, 'Ab'), (2, 'Yb'), (3, 'Zb')")
    streams = [
        {"name": "t", "replication_key": key} | ({"replication_key_format": "text"} if key == "code" else {})
    ]
    first = sync(database, streams=streams)
    assert [row["id"] for row in rows(first, "t")] == [1, 2, 3]
    state = [one["value"] for one in first if one["type"] == "STATE"][-1]
    assert state["bookmarks"]["t"]["replication_key_value"] == (3 if key == "id" else "Zb")
    run_sql(database, "INSERT INTO t VALUES (4, 'ab'), (5, 'Aa')")
    again = [row["id"] for row in rows(sync(database, state, streams=streams), "t")]
    assert again == ([4, 5] if key == "id" else [4])
