"""Tables that the user has partitioned: which keys they can have, and what the advice of each refusal comes to."""

from __future__ import annotations

from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, load, query, table

FIELDS = {
    "id": {"type": ["integer", "null"]},
    "day": {"type": ["string", "null"], "format": "date"},
    "v": {"type": ["integer", "null"]},
}
BY_DAY = (
    "CREATE TABLE t (id bigint, day date, v bigint{}) PARTITION BY RANGE (day);"
    "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"
)
KEYED = BY_DAY.format(", PRIMARY KEY (id, day)")


def rows(*key: str, day: str = "2024-05-05", v: int = 1) -> list[Any]:
    return [SCHEMA("t", FIELDS, list(key)), RECORD("t", {"id": 1, "day": day, "v": v}), STATE({"at": v})]


@pytest.mark.parametrize("setup", [KEYED, BY_DAY.format("")], ids=["keyed", "without a key"])
def test_a_key_without_the_columns_of_the_partitions_is_refused_with_the_longer_one(
    database: str, setup: str
) -> None:
    query(database, setup)
    outcome = load(database, *rows("id")).expect(78)
    assert "is partitioned by `day`, which PostgreSQL wants in each key" in outcome.last_words
    assert '`"primary_keys": ["id", "day"]`' in outcome.last_words
    assert ("load_method: append`" in outcome.last_words) == (setup != KEYED)
    for value in (1, 2):
        load(database, *rows("id", "day", v=value)).expect(0)
    assert table(database, "t1", "id", "v") == [(1, 2)]


def test_a_table_that_is_renamed_makes_room_for_one_of_the_streams(database: str) -> None:
    query(database, KEYED)
    assert "rename this table" in load(database, *rows("id")).expect(78).last_words
    query(database, "ALTER TABLE t RENAME TO old")
    load(database, *rows("id"), *rows("id", day="2024-06-06", v=2)[1:]).expect(0)
    assert table(database, "t", "id", "v") == [(1, 2)]


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        ("CREATE TABLE t (id bigint, v bigint) PARTITION BY HASH ((id % 3))", "by an expression"),
        ("CREATE TABLE t (id bigint, v bigint, region text DEFAULT 'x') PARTITION BY LIST (region)", "by `region`"),
        (
            "CREATE TABLE t (id bigint, v bigint, region text DEFAULT 'x') PARTITION BY LIST (id);"
            "CREATE TABLE below PARTITION OF t DEFAULT PARTITION BY LIST (region)",
            "by `region`",
        ),
    ],
    ids=["an expression", "a column that is not sent", "below another"],
)  # fmt: skip
def test_a_table_that_can_have_no_key_of_the_stream_takes_rows_that_are_appended(
    database: str, setup: str, named: str
) -> None:
    query(database, setup)
    parent = "below" if "below" in setup else "t"
    bound = "FOR VALUES WITH (MODULUS 1, REMAINDER 0)" if "HASH" in setup else "DEFAULT"
    query(database, f"CREATE TABLE part PARTITION OF {parent} {bound}")
    outcome = load(database, *rows("id")).expect(78)
    assert f"is partitioned {named}" in outcome.last_words
    assert "primary_keys" not in outcome.last_words
    for value in (1, 2):
        load(database, *rows("id", v=value), load_method="append-only").expect(0)
    assert table(database, "part", "id", "v") == [(1, 1), (1, 2)]


def test_a_row_without_a_partition_says_what_it_lacks(database: str) -> None:
    query(database, KEYED)
    outcome = load(database, *rows("id", "day", day="2030-01-01")).expect(65)
    assert "make the partition that the row belongs to" in outcome.last_words
    query(database, "CREATE TABLE others PARTITION OF t DEFAULT")
    load(database, *rows("id", "day", day="2030-01-01")).expect(0)
    assert table(database, "others", "id", "v") == [(1, 1)]
