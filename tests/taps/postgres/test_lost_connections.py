"""Whichever message of a run is the last that reaches the server, one sentence says so, and what came before it is a state to go on from."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from canaries import canary
from faults.torture.proxy import Proxy, SqlFault
from psycopg2.extensions import parse_dsn
from taps.postgres.conftest import Shop


@pytest.fixture
def proxy(source: str) -> Iterator[Proxy]:
    parts = parse_dsn(source)
    with Proxy(f"{parts['host']}/.s.PGSQL.{parts.get('port', '5432')}") as proxy:
        yield proxy


@pytest.mark.parametrize("event", ["message", "answer"])
def test_a_connection_that_is_cut_at_any_message_ends_the_run_with_69(
    shop: Shop, proxy: Proxy, event: str
) -> None:
    shop.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT n, n FROM generate_series(1, 50) n",
        "CREATE TABLE u (n int); INSERT INTO u VALUES (1)",
    )
    shop.config["streams"] = [{"name": "public-t", "replication_key": "n"}]
    dsn = proxy.uri(parse_dsn(shop.dsn)["dbname"], canary("tap-postgres dsn"))
    at, codes = 1, []
    while proxy.struck or at == 1:
        proxy.arm(SqlFault(event, at, "cut"))
        outcome = shop.run(dsn=dsn)
        codes.append(outcome.code)
        messages = [json.loads(line) for line in outcome.stdout.splitlines()]
        if outcome.code:
            assert outcome.code == 69, (at, outcome.stderr)
            assert outcome.stderr.splitlines()[-1].startswith("CRITICAL tap-postgres: PostgreSQL"), at
        else:  # the last message says good-bye
            assert messages[-1]["value"]["_singerkit"]["complete"] is True
        at += 7
    assert codes.count(69) > 2
