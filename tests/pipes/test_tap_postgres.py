"""tap-postgres into each target: the tables arrive as they stand, and stay the same run after run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import pytest
from canaries import holds_secrets
from conformance.processes import run
from conftest import run_sql, uri_of
from taps.postgres.driver import fresh_database

BIN = Path(sys.executable).parent
MADE = """
    CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz, price numeric, paid boolean, note text, tags text[], about jsonb);
    INSERT INTO orders SELECT n, timestamptz '2024-01-01' + n * interval '1 h', n / 8.0, n % 2 = 0, 'note ' || n, ARRAY['a', NULL],
        jsonb_build_object('n', n) FROM generate_series(1, 500) AS n;
    CREATE TABLE log (line text); INSERT INTO log VALUES ('a'), ('a'), (NULL)
"""


def pipe(folder: Path, tap: dict, target: str, config: dict) -> None:
    (folder / "tap.json").write_text(json.dumps(tap))
    holds_secrets(folder / "target.json").write_text(json.dumps(config))
    first = run([str(BIN / "tap-postgres"), "--config", str(folder / "tap.json")]).expect(0)
    run([str(BIN / target), "--config", str(folder / "target.json")], stdin=first.stdout).expect(0)


@pytest.mark.parametrize("target", ["target-postgres", "target-duckdb", "target-jsonl"])
def test_tables_arrive_as_they_stand_and_deleted_rows_go(postgres_server, database, tmp_path, target):
    with fresh_database(postgres_server) as source:
        run_sql(source, MADE)
        tap = {"dsn": source}
        configs = {
            "target-postgres": {"dsn": database, "default_target_schema": "raw", "add_record_metadata": True},
            "target-duckdb": {"database": str(tmp_path / "d.duckdb"), "add_record_metadata": True},
            "target-jsonl": {"destination_path": str(tmp_path / "out")},
        }
        pipe(tmp_path, tap, target, configs[target])
        if target == "target-jsonl":
            lines = (tmp_path / "out" / "public-orders.jsonl").read_text().splitlines()
            assert len(lines) == 500
            return
        run_sql(source, "DELETE FROM orders WHERE id > 400; DELETE FROM log WHERE line IS NULL")
        pipe(tmp_path, tap, target, configs[target])
        query = 'SELECT count(*), sum(price)::numeric(20, 3), count(DISTINCT "at") FROM {}'
        want = run_sql(source, query.format("orders"))
        assert asked(target, database, tmp_path, query.format('"public-orders"')) == want
        assert asked(target, database, tmp_path, 'SELECT count(*) FROM "public-log"') == [(2,)]


def asked(target: str, database: str, folder: Path, query: str) -> list:
    if target == "target-postgres":
        return run_sql(uri_of(database, options="-c search_path=raw"), query)
    with duckdb.connect(str(folder / "d.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()
