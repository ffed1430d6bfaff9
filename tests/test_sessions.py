"""Sessions that tests ask by are kept, and never seen by what is asked."""

from __future__ import annotations

import pytest
import sessions
from conftest import uri_of

PID = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%mine%' AND datname = current_database() AND state = 'active'"


def of(database: str) -> int:
    """The process of the session that is asked now."""
    [(pid,)] = sessions.ask(database, PID)
    return int(pid)


def test_one_is_kept_until_it_is_closed(database: str) -> None:
    first = of(database)
    assert of(database) == first
    sessions.close()
    assert of(database) != first


@pytest.mark.parametrize(
    "statement",
    [
        "SET search_path TO pg_catalog",
        "SELECT 1; SET search_path TO pg_catalog",
        "SELECT set_config('search_path', 'pg_catalog', false)",
        "SELECT pg_advisory_lock(1)",
        "CREATE TEMP TABLE t ()",
        "SELECT 1 FROM nowhere",
    ],
)
def test_what_would_stay_in_it_ends_it(database: str, statement: str) -> None:
    first = of(database)
    try:
        sessions.ask(database, statement)
    except sessions.psycopg2.Error:
        assert "nowhere" in statement
    assert of(database) != first
    assert sessions.ask(database, "SHOW search_path") == [('"$user", public',)]


def test_settings_of_a_database_are_those_of_the_next_session(database: str) -> None:
    sessions.ask(database, "SELECT 1")
    name = database.rpartition("/")[2].partition("?")[0]
    sessions.ask(database, f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'")
    assert sessions.ask(database, "SHOW timezone") == [("Asia/Tokyo",)]


def test_one_that_was_ended_is_begun_again(database: str) -> None:
    first = of(database)
    sessions.ask(uri_of(database, dbname="postgres"), "SELECT pg_terminate_backend(%s, 5000)", [first])
    assert of(database) != first


def test_a_thread_has_its_own(database: str) -> None:
    """One that waits for a lock keeps nobody else waiting."""
    from concurrent.futures import ThreadPoolExecutor

    first = of(database)
    with ThreadPoolExecutor() as pool:
        assert pool.submit(of, database).result() != first
