"""Streams that are read from the write-ahead log: what becomes of each change, and of the start."""

from __future__ import annotations

import json

import pytest
from taps.postgres.log_target import Tables

from singerkit_shell.errors import BadDataError
from singerkit_state.value import decode

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 10) AS i"


def rows_of(shop, table="t"):
    found = [row for (row,) in shop.query(f"SELECT to_json(x)::text FROM {table} AS x")]
    return sorted(text_of(decode(row)) for row in found)


def text_of(row):
    return json.dumps(row, sort_keys=True, default=str)


class Follower:
    """Runs of the tap one after the other, and what a target has of them."""

    def __init__(self, shop, **keys):
        self.shop, self.keys = shop, keys
        self.tables = Tables({f"public-{name}": key for name, key in keys.items()})

    def run(self, upto=None, **changes):
        found = self.shop.sync(self.tables.state, **changes)
        self.tables.load(found.messages, upto)
        return found

    def check(self):
        for name in self.keys:
            have = [text_of(row) for row in self.tables.table(f"public-{name}")]
            assert sorted(have) == rows_of(self.shop, name), name


@pytest.fixture
def follow(logged):
    return lambda **keys: Follower(logged, **keys)


@pytest.mark.parametrize(
    ("setting", "kind", "values", "told"),
    [
        ("infinity", "numeric", "(1, 'NaN'), (2, 1.50)", "holds NaN"),
        ("infinity", "float8", "(1, '-Infinity'), (2, 1.5)", "holds NaN"),
        ("unusual_times", "timestamptz", "(1, 'infinity'), (2, '2024-01-01')", "holds a time"),
        ("unusual_times", "date", "(1, '0044-03-15 BC'), (2, '2024-01-01')", "holds a time"),
    ],
)
def test_values_that_json_does_not_have_are_those_of_the_settings(
    logged, follow, setting, kind, values, told
):
    """At the start as in the log, in a column that comes in mid-log, too."""
    logged.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind}, q text)", f"INSERT INTO t VALUES {values}")
    null, text = {setting: "null"}, {setting: "text"}
    first = follow(t=["id"]).run(**null)
    assert [row["v"] is None for row in first.rows()] == [True, False]
    for statement in ("UPDATE t SET q = 'x'", f"ALTER TABLE t ADD w {kind}", "UPDATE t SET w = v"):
        logged.execute(statement)
    with pytest.raises(BadDataError, match=f"`v` of `public-t` {told}"):
        logged.sync(first.state, **{setting: "fail"})
    nulled = logged.sync(first.state, **null).rows()
    assert [(row["v"] is None, row.get("w", row["v"]) is None) for row in nulled] == 2 * [
        (True, True),
        (False, False),
    ]
    as_text = logged.sync(first.state, **text)
    assert as_text.rows()[0]["v"] == json.loads(
        logged.query("SELECT to_json(v)::text FROM t WHERE id = 1")[0][0]
    )


def test_changes_come_as_they_were_made(logged, follow):
    logged.execute(TABLE)
    run = follow(t=["id"])
    assert sorted(run.run().column("id")) == [*range(1, 11)]
    logged.execute(
        "INSERT INTO t VALUES (11, 'say \"hi\"', 1.50)",
        "UPDATE t SET v = NULL WHERE id = 1",
        "UPDATE t SET id = 20 WHERE id = 2",
        "DELETE FROM t WHERE id = 3",
        "BEGIN; INSERT INTO t VALUES (99); ROLLBACK",
    )
    found = run.run()
    deleted = [(row["id"], row.get("v", "absent"), bool(row["_sdc_deleted_at"])) for row in found.rows()]
    assert deleted == [
        (11, 'say "hi"', False),
        (1, None, False),
        (2, "absent", True),
        (20, "v2", False),
        (3, "absent", True),
    ]
    assert str(found.rows()[0]["n"]) == "1.50"
    run.check()
    assert run.run().rows() == []


def test_rows_of_a_table_that_inherits_are_those_of_its_own_stream(logged, follow):
    logged.execute(
        "CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE c (w int, PRIMARY KEY (id)) INHERITS (p)"
    )
    logged.execute("INSERT INTO p VALUES (1), (2)", "INSERT INTO c VALUES (1, 7), (3, 7)")
    run = follow(p=["id"], c=["id"])
    first = run.run()
    assert (first.column("id", "public-p"), first.column("id", "public-c")) == ([1, 2], [1, 3])
    logged.execute("INSERT INTO c VALUES (4, 7)", "DELETE FROM ONLY p WHERE id = 1")
    second = run.run()
    assert (second.column("id", "public-p"), second.column("id", "public-c")) == ([1], [4])
