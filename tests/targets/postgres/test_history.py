"""`load_method: history` over connections that are lost; the rest is that of every database (`shared/test_histories.py`)."""

from __future__ import annotations

from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query, running
from faults.test_process import in_transaction
from targets.shared.test_histories import INTEGER, VERSIONS, T, rows
from waiting import wait_until


@pytest.mark.parametrize("config", [{}, {"on_invalid": "quarantine"}], ids=["fail", "quarantine"])
def test_a_unit_that_is_written_again_makes_no_version_twice(database: str, config: dict[str, Any]) -> None:
    kept = {"load_method": "history"} | config
    load(database, T, *rows((1, 1)), STATE({"a": 1}), **kept).expect(0)
    with running(database, **kept) as process:
        process.send(lines(T, *rows((1, 2)), STATE({"a": 2}), *rows((1, 3)), STATE({"a": 3})))
        wait_until(lambda: in_transaction(database))
        query(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'target-postgres' AND datname = current_database()",
        )
        process.send(lines(*rows((2, 2), (1, 4)), STATE({"a": 4})))
        process.finish().expect(0)
    load(database, T, *rows((1, 4)), STATE({"a": 5}), **kept).expect(0)
    assert query(database, VERSIONS) == [(1, 1, False), (1, 4, True), (2, 2, True)]


def test_a_column_that_fills_itself_does_so_in_the_new_version(database: str) -> None:
    load(database, T, *rows((1, 1)), STATE({"a": 1}), load_method="history").expect(0)
    query(
        database,
        "ALTER TABLE t ADD COLUMN note text, ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY, "
        "ADD COLUMN word text DEFAULT 'new', ADD COLUMN twice bigint GENERATED ALWAYS AS (v * 2) STORED;"
        "UPDATE t SET note = 'mine', word = 'old', w = 'kept'",
    )
    short = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    again = [RECORD("t", {"id": 1, "v": 2}), RECORD("t", {"id": 2, "v": 2})]
    load(database, short, *again, STATE({"a": 2}), load_method="history").expect(0)
    assert query(database, "SELECT id, v, w, note, word, twice FROM t ORDER BY id, _sdc_valid_from") == [
        (1, 1, "kept", "mine", "old", 2),
        (1, 2, "kept", "mine", "new", 4),
        (2, 2, None, None, "new", 4),
    ]
