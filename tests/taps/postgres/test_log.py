"""Streams that are read from the write-ahead log: what becomes of each change, and of the start."""

from __future__ import annotations

import json

import pytest
from taps.postgres.log_target import Tables

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
