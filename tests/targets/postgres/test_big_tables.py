"""A few rows into a big table: it is read by its key, however they are loaded, and never as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, load, query

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
MOMENT = {**TEXT, "format": "date-time"}
FIELDS = {"id": INTEGER, "v": INTEGER, "w": TEXT}
BIG, FEW = 20_000, 100
READ = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 't'"
BEGIN, END = MARKED({"bookmarks": {}}), MARKED({"bookmarks": {}}, complete=True)


def rows(value: int, *left_out: str) -> list[Any]:
    """New ones, some that change and some that are as they were."""
    found = [{"id": BIG - FEW // 2 + n, "v": n % 2 * value, "w": "x"} for n in range(FEW)]
    return [RECORD("t", {name: row[name] for name in row if name not in left_out}) for row in found]


@pytest.mark.parametrize(
    ("config", "more"),
    [
        ({}, rows(5)),
        ({"load_method": "history"}, rows(5)),
        ({"load_method": "delete+insert", "replace_by": {"t": ["id"]}}, rows(5)),
        ({"missing_fields": "keep"}, [*rows(5, "w"), *rows(6, "v")]),
        (
            {"hard_delete": True},
            [*rows(5), RECORD("t", {"id": 7, "_sdc_deleted_at": "2026-01-01T00:00:00Z"})],
        ),
        ({"on_invalid": "quarantine"}, [*rows(5), RECORD("t", {"id": 1, "v": "N/A", "w": 5})]),
        ({"newest_by": {"t": "v"}}, rows(5)),
    ],
    ids=["upsert", "history", "delete+insert", "fields left out", "deletions", "odd values", "newest"],
)
def test_a_few_rows_are_found_by_the_key_of_a_big_table(
    database: str, config: dict[str, Any], more: list[Any]
) -> None:
    schema = SCHEMA("t", FIELDS, ["id"])
    load(database, BEGIN, schema, RECORD("t", {"id": 0, "v": 0, "w": "x"}), END, **config).expect(0)
    others = "_sdc_valid_from" if "history" in config.values() else None
    names, values = (
        ("id, v, w", "n, 0, 'x'") if others is None else (f"id, v, w, {others}", "n, 0, 'x', now()")
    )
    query(database, f"INSERT INTO t ({names}) SELECT {values} FROM generate_series(1, {BIG}) AS n; ANALYZE t")
    # What the planner takes it for: so many rows that each other way than by the key costs more.
    query(database, "UPDATE pg_class SET reltuples = 100000000 WHERE relname = 't'")
    before = query(database, READ)[0][0]
    load(database, BEGIN, schema, *more, END, **config).expect(0)
    assert query(database, READ)[0][0] - before < BIG
