"""Blocks of COPY: whole rows of any size, in bounded memory, to whoever takes them and as long as somebody does."""

from __future__ import annotations

import json
import tracemalloc
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from taps.postgres.conftest import Shop
from waiting import wait_until

from tap_postgres.copying import copied


@pytest.fixture
def connection(shop: Shop) -> Iterator[Any]:
    with closing(psycopg2.connect(shop.dsn)) as connection:
        connection.autocommit = True
        yield connection


def test_rows_of_any_size_come_whole_and_in_order(connection: Any) -> None:
    query = "SELECT json_build_object('i', i, 't', repeat('x', CASE WHEN i % 50 = 0 THEN 700000 ELSE i END)) FROM generate_series(1, 150) AS i"
    blocks = [*copied(connection, query)]
    rows = [json.loads(row) for block in blocks for row in block.splitlines()]
    assert [row["i"] for row in rows] == [*range(1, 151)]
    assert all(block.endswith(b"}\n") for block in blocks)


def test_raw_line_ends_between_the_parts_of_json_are_blanks(connection: Any) -> None:
    query = "SELECT (ARRAY['{\"a\":1}', E'{\"a\":\\r\\n\"b\\\\n\\\\\\\\\"\\n}', '[2]'])[i]::json FROM generate_series(1, 3) AS i"
    (block,) = copied(connection, query)
    assert [json.loads(line) for line in block.split(b"\n")[:-1]] == [{"a": 1}, {"a": "b\n\\"}, [2]]


def test_what_nobody_takes_is_not_read_and_the_connection_goes_on(shop: Shop, connection: Any) -> None:
    waits = f"SELECT 1 FROM pg_stat_activity WHERE pid = {connection.info.backend_pid} AND (wait_event = 'ClientWrite' OR state = 'idle')"
    tracemalloc.start()
    with closing(
        copied(connection, "SELECT to_json(repeat('x', 1000000)) FROM (SELECT generate_series(1, 100)) AS i")
    ) as blocks:
        next(blocks)
        wait_until(lambda: shop.query(waits), "a server that nobody listens to")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000_000
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_an_error_in_the_middle_ends_the_rows_and_not_the_connection(connection: Any) -> None:
    query = "SELECT to_json(repeat('x', 300000) || 1 / (i - 3)) FROM generate_series(1, 3) AS i"
    blocks = copied(connection, query)
    with pytest.raises(psycopg2.errors.DivisionByZero):
        deque(blocks, maxlen=0)
    assert [*copied(connection, "SELECT to_json(1)")] == [b"1\n"]
