"""P11: a row that is committed late, with a key below those that were read, is not passed by."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from conftest import run_sql, uri_of
from taps.postgres.conftest import Shop

MADE = (
    "CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT now(), code uuid DEFAULT md5(random()::text)::uuid)",
    "CREATE TABLE other (id int, at timestamptz)",
)


@contextmanager
def writer(dsn: str) -> Iterator[tuple[Any, Any]]:
    """A transaction that is open: its connection, and what runs a statement in it."""
    with closing(psycopg2.connect(dsn)) as connection:
        yield connection, connection.cursor().execute


def test_ids_below_those_of_an_open_transaction_wait_for_it(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.execute(*MADE, "INSERT INTO t VALUES (1), (2)")
    shop.by("id")
    with writer(shop.dsn) as (late, execute):
        execute("INSERT INTO t VALUES (5)")
        shop.execute("INSERT INTO t VALUES (6), (7)")
        with caplog.at_level(logging.INFO):
            first = shop.sync()
        assert first.column("id") == [1, 2]
        assert "a transaction (pid " in caplog.text
        execute("INSERT INTO t VALUES (4)")
        assert shop.sync(first.state).column("id") == []
        late.commit()
    second = shop.sync(first.state)
    assert second.column("id") == [4, 5, 6, 7]
    assert shop.sync(second.state).column("id") == []


def test_rows_of_an_older_transaction_are_read_though_a_newer_one_is_open(shop: Shop) -> None:
    shop.execute(*MADE, "INSERT INTO t VALUES (1)")
    shop.by("id")
    with writer(shop.dsn) as (_, execute):
        execute("INSERT INTO other VALUES (1)")
        assert shop.sync().column("id") == [1]


def test_a_prepared_transaction_is_open_still(logged: Shop) -> None:
    logged.config = {}
    logged.execute(*MADE, "INSERT INTO t VALUES (1)")
    logged.by("id")
    with writer(logged.dsn) as (_, execute):
        execute("INSERT INTO t VALUES (2)")
        execute("PREPARE TRANSACTION 'it''s late'")
    try:
        logged.execute("INSERT INTO t VALUES (3)")
        first = logged.sync()
        assert first.column("id") == [1]
    finally:
        logged.execute("COMMIT PREPARED 'it''s late'")
    assert logged.sync(first.state).column("id") == [2, 3]


def test_of_a_view_nothing_is_read_while_a_prepared_transaction_may_commit_any_time(
    logged: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The server does not tell when it began, and rows of a view do not tell their transaction."""
    logged.config = {"tables": ["public.v"]}
    logged.execute(*MADE, "INSERT INTO t VALUES (1)", "CREATE VIEW v AS SELECT * FROM t")
    logged.by("at", primary_keys=["id"])
    first = logged.sync()
    with writer(logged.dsn) as (_, execute):
        execute("INSERT INTO t VALUES (2)")
        execute("PREPARE TRANSACTION 'it stays'")
    try:
        logged.execute("INSERT INTO t VALUES (3)")
        second = logged.sync(first.state)
        assert second.rows("public-v") == []
        assert "prepared as 'it stays'" in caplog.text
    finally:
        logged.execute("COMMIT PREPARED 'it stays'")
    assert sorted(logged.sync(second.state).column("id", "public-v")) == [2, 3]


@pytest.mark.parametrize("first_statement", ["INSERT INTO other VALUES (1)", "SELECT 1"])
def test_times_reach_no_further_than_the_oldest_transaction_that_may_write(
    shop: Shop, first_statement: str
) -> None:
    """One that has begun, and writes into the table only later: also one that has written nothing yet."""
    shop.execute(*MADE, "INSERT INTO t VALUES (1)")
    shop.by("at")
    with writer(shop.dsn) as (late, execute):
        execute(first_statement)
        shop.execute("INSERT INTO t VALUES (3)")
        first = shop.sync()
        assert first.column("id") == [1]
        execute("INSERT INTO t VALUES (2)")  # its time is that of the beginning
        late.commit()
    second = shop.sync(first.state)
    assert sorted(second.column("id")) == [2, 3]
    assert shop.sync(second.state).column("id") == []


def test_of_a_view_the_times_count_and_of_another_database_nothing(shop: Shop, database: str) -> None:
    shop.execute(*MADE, "INSERT INTO t VALUES (1)", "CREATE VIEW v AS SELECT * FROM t")
    run_sql(database, "CREATE TABLE x (id int)")
    with writer(database) as (_, execute):
        execute("INSERT INTO x VALUES (1)")
        shop.execute("INSERT INTO t VALUES (2)")
        shop.by("at")
        assert sorted(shop.sync().column("id", "public-v")) == [1, 2]
    with writer(shop.dsn) as (_, execute):
        execute("INSERT INTO other VALUES (1)")
        shop.execute("INSERT INTO t VALUES (3)")
        assert sorted(shop.sync().column("id", "public-v")) == [1, 2]


def test_who_may_not_see_when_others_began_is_told(
    password_role: tuple[str, str], shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    name, password = password_role
    shop.execute(
        *MADE,
        "INSERT INTO t VALUES (1)",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
        "GRANT SELECT ON t TO PUBLIC",
    )
    config = {"dsn": uri_of(shop.dsn, user=name, password=password), "tables": ["public.t"]}
    shop.by("at")
    shop.sync(**config)
    assert caplog.text.count("GRANT pg_read_all_stats TO") == 1
    caplog.clear()
    shop.by("code", replication_key_format="text")
    shop.sync(**config)
    assert "pg_read_all_stats" not in caplog.text
