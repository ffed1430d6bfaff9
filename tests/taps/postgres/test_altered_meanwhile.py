"""Tables that others alter, empty or drop while they are read as a whole (P19)."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from taps.postgres.conftest import Shop
from waiting import wait_until

from singerkit_shell.errors import SingerkitError
from tap_postgres.database import PostgresDatabase

TABLE = "CREATE TABLE {} (id int, v text); INSERT INTO {} SELECT n, 'v' FROM generate_series(1, 40) n"


@contextmanager
def held(shop: Shop, *statements: str) -> Iterator[None]:
    """Alter tables in a transaction that is committed as soon as somebody waits for it."""

    def commit() -> None:
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
        wait_until(lambda: shop.query(waits), "somebody who waits for the lock")
        connection.commit()

    with closing(psycopg2.connect(shop.dsn)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        thread = threading.Thread(target=commit)
        thread.start()
        yield
        thread.join()


@pytest.fixture
def at_first_page(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Call something once, before the first rows are read."""

    def take(do: Callable[[], Any]) -> None:
        calls = iter([do])

        def hooked(name: str) -> None:
            method = getattr(PostgresDatabase, name)

            def called(self: PostgresDatabase, *arguments: Any) -> Any:
                for each in calls:
                    each()
                return method(self, *arguments)

            monkeypatch.setattr(PostgresDatabase, name, called)

        hooked("raw_pages")
        hooked("begin_as_of_now")

    return take


@pytest.mark.parametrize("kind", ["table", "keyed", "view", "partitioned", "materialized"])
def test_a_table_that_is_written_anew_while_a_load_waits_for_it_is_not_empty(
    shop: Shop, at_first_page: Any, kind: str
) -> None:
    """COPY alone would see none of its rows, and the load, being complete, would remove them all from the target."""
    made = {
        "table": TABLE.format("t", "t"),
        "keyed": TABLE.format("t", "t") + "; ALTER TABLE t ADD PRIMARY KEY (id)",
        "view": TABLE.format("base", "base") + "; CREATE VIEW t AS SELECT id, v FROM base",
        "partitioned": "CREATE TABLE t (id int, v text) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF t DEFAULT;"
        "INSERT INTO t SELECT n, 'v' FROM generate_series(1, 40) n",
        "materialized": "CREATE MATERIALIZED VIEW t AS SELECT n AS id, 'v' AS v FROM generate_series(1, 40) n",
    }[kind]
    altered = {
        "table": "ALTER TABLE t ALTER id TYPE bigint",
        "keyed": "ALTER TABLE t ALTER id TYPE bigint",
        "view": "CREATE TABLE other AS TABLE base; TRUNCATE base; INSERT INTO base TABLE other",
        "partitioned": "CREATE TABLE other AS TABLE part; TRUNCATE part; INSERT INTO part TABLE other",
        "materialized": "REFRESH MATERIALIZED VIEW t",
    }[kind]
    shop.execute(*made.split(";"))
    shop.config["tables"] = ["public.t"]
    blocks = held(shop, altered)
    at_first_page(blocks.__enter__)
    result = shop.sync()
    blocks.__exit__(None, None, None)
    assert len(result.rows()) == 40
    assert result.of_type("ACTIVATE_VERSION")


@pytest.mark.parametrize(
    "statement", ["DROP TABLE t", "ALTER TABLE t DROP v", "ALTER TABLE t RENAME TO other"]
)
def test_what_is_gone_while_a_load_runs_ends_it_and_removes_nothing(
    shop: Shop, at_first_page: Any, statement: str
) -> None:
    shop.execute(TABLE.format("t", "t"))
    at_first_page(lambda: shop.execute(statement))
    with pytest.raises(SingerkitError, match="is not there any more") as caught:
        shop.sync()
    assert caught.value.exit_code == 65
    assert not shop.result().of_type("ACTIVATE_VERSION")
    assert not shop.result().rows()


def test_a_run_that_waits_for_a_lock_stops_where_it_is_asked_to(shop: Shop) -> None:
    shop.execute("CREATE TABLE t (id int PRIMARY KEY)")
    waits = "SELECT 1 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database() WHERE NOT l.granted"
    with closing(psycopg2.connect(shop.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK t")
        with subprocess.Popen(shop.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tap:
            wait_until(lambda: bool(shop.query(waits)), "a run that waits for the table")
            tap.terminate()
            _, errors = tap.communicate(timeout=20)
    assert tap.returncode == 143, errors
