"""Rows of which each leaves other fields out wait in one stage; what others do to the table meanwhile."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from conftest import run_sql
from faults.loads import RECORD, SCHEMA, STATE, load, query, table
from targets.postgres.test_foreign_key_model import LOG
from targets.shared.test_missing_fields_model import Trickle

from singerkit_postgres.connect import Connection
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.settings import Settings
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_postgres.loader import PostgresLoader

INTEGER = {"type": ["integer", "null"]}
ORDERS = SCHEMA("orders", {"id": {"type": "integer"}, "a": INTEGER, "b": INTEGER}, ["id"])
SPARSE = [
    RECORD("orders", {"id": 1, "a": 2}),
    RECORD("orders", {"id": 2, "b": 2}),
    RECORD("orders", {"id": 3, "a": 2}),
]
WITH_ONE_ROW = (
    "CREATE TABLE orders (id bigint PRIMARY KEY, a bigint, b bigint); INSERT INTO orders VALUES (1, 1, 1)"
)


class Meddled(psycopg2.extensions.cursor):
    """Calls `meanwhile` before the statement that has `before` in it, the first but for `passed`; `seen` are all of them."""

    before, passed, meanwhile = "", 0, staticmethod(lambda: None)
    seen: list[str] = []  # noqa: RUF012  emptied by each test

    def execute(self, statement: Any, *values: Any) -> None:
        text = statement if isinstance(statement, str) else statement.as_string(self)
        Meddled.seen.append(text)
        if Meddled.before and Meddled.before in text:
            Meddled.passed -= 1
            if Meddled.passed < 0:
                Meddled.before = ""
                Meddled.meanwhile()
        super().execute(statement, *values)


class Loader(PostgresLoader):
    def _connect(self) -> Connection:
        connection = super()._connect()
        connection.cursor_factory = Meddled
        return connection


@pytest.fixture
def meddle(database: str) -> Iterator[Callable[..., None]]:
    """Load messages; before the first statement with ``before`` in it, but for some, others run ``statement``."""

    def run(before: str, statement: str, *messages: Any, passed: int = 0, chunk_bytes: int = 1 << 20) -> None:
        def meanwhile() -> None:
            run_sql(database, f"SET lock_timeout = '5s'; {statement}")

        Meddled.before, Meddled.passed, Meddled.meanwhile = before, passed, staticmethod(meanwhile)
        Meddled.seen.clear()
        stop = StopFlag()
        loader = Loader(lambda: database, Settings("public"), LOG, stop=stop)
        limits = Limits(1, 10**9, 10**9, replay_bytes=1 << 20, chunk_bytes=chunk_bytes)
        publisher = Publisher(None, io.StringIO())
        load = Load(loader, Judgement(), limits, publisher, stop, LOG, missing_fields="keep")
        load.run(Trickle(messages, chunk_bytes))
        assert not Meddled.before, "it was never run"

    yield run
    Meddled.before = ""


def test_a_row_that_others_insert_meanwhile_keeps_what_a_record_leaves_out(
    database: str, meddle: Callable[..., None]
) -> None:
    query(database, WITH_ONE_ROW)
    meddle(
        'ON CONFLICT ("id") DO NOTHING',
        "INSERT INTO orders VALUES (3, 9, 9)",
        ORDERS,
        *SPARSE,
        STATE({"n": 1}),
    )
    assert table(database, "orders") == [(1, 2, 1), (2, None, 2), (3, 2, 9)]


def test_a_value_that_others_change_meanwhile_stays_where_a_record_leaves_it_out(
    database: str, meddle: Callable[..., None]
) -> None:
    query(database, WITH_ONE_ROW)
    meddle("FOR NO KEY UPDATE", "UPDATE orders SET b = 9 WHERE id = 1", ORDERS, *SPARSE, STATE({"n": 1}))
    assert table(database, "orders") == [(1, 2, 9), (2, None, 2), (3, 2, None)]


@pytest.mark.parametrize(
    ("change", "filled"),
    [
        ("ALTER TABLE orders ALTER b SET DEFAULT 7", 7),
        (
            "CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p VALUES (1), (2); ALTER TABLE orders ADD FOREIGN KEY (b) REFERENCES p",
            None,
        ),
    ],
    ids=["a default", "a foreign key"],
)
def test_a_table_that_others_alter_meanwhile_has_the_unit_written_again(
    database: str, meddle: Callable[..., None], change: str, filled: int | None
) -> None:
    query(database, WITH_ONE_ROW)
    # The stage of the second unit is there already, so nobody has locked the table.
    units = [SPARSE[0], STATE({"n": 1}), *SPARSE[1:], STATE({"n": 2})]
    meddle("LOCK TABLE", change, ORDERS, *units, passed=1, chunk_bytes=64)
    assert table(database, "orders") == [(1, 2, 1), (2, None, 2), (3, 2, filled)]


def test_rows_of_any_fields_wait_in_one_stage(database: str, meddle: Callable[..., None]) -> None:
    names = [f"f{number}" for number in range(6)]
    schema = SCHEMA("s", {"id": {"type": "integer"}, **dict.fromkeys(names, INTEGER)}, ["id"])
    sets = [[name for place, name in enumerate(names) if number >> place & 1] for number in range(64)]
    records = [RECORD("s", {"id": number, **dict.fromkeys(some, 1)}) for number, some in enumerate(sets)]
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY); INSERT INTO s VALUES (0)")
    meddle("pg_temp", "SELECT 1", schema, *records, STATE({"n": 1}))
    assert sum("FOR NO KEY UPDATE" in statement for statement in Meddled.seen) == 1
    stored = query(database, f"SELECT id, {' + '.join(f'coalesce({name}, 0)' for name in names)} FROM s")
    assert sorted(stored) == [(number, number.bit_count()) for number in range(64)]


def test_of_a_row_that_is_refused_no_other_takes_a_value(database: str) -> None:
    query(database, "CREATE TABLE orders (id bigint PRIMARY KEY, a bigint CHECK (a < 10), b bigint)")
    rows = [
        {"id": 1, "a": 1},
        {"id": 1, "a": 99},
        {"id": 1, "b": 3},
        {"id": 2, "a": 99, "b": 1},
        {"id": 2, "b": 5},
    ]
    config = {"missing_fields": "keep", "on_invalid": "quarantine"}
    load(database, ORDERS, *(RECORD("orders", row) for row in rows), STATE({"n": 1}), **config).expect(0)
    assert table(database, "orders") == [(1, 1, 3), (2, None, 5)]
    assert query(database, "SELECT line FROM _singerkit_rejects ORDER BY line") == [(3,), (5,)]
