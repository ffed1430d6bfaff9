"""Every documented setting of tap-postgres has an effect: two runs with it differ from two without."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn
from taps.postgres.conftest import Shop

from singerkit_postgres.address import dsn_of
from singerkit_shell.errors import SingerkitError

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "tap-postgres.md"
Settings = dict[str, Any]


def of_t(**said: Any) -> Settings:
    return {"streams": [{"name": "public.t", **said}]}


def by_at(**said: Any) -> Settings:
    return of_t(replication_key="at", **said)


NULLED: Settings = {"infinity": "null"}
SECOND = NULLED | {"start_date": "1970-01-01T00:00:02Z"}
CASES: dict[str, tuple[Settings, Settings]] = {
    # setting: config before, what the setting adds
    "tables": (NULLED, NULLED | {"tables": ["public.t"]}),
    "streams": ({}, by_at()),
    "streams[].name": (by_at(), {"streams": [{"name": "public.u", "replication_key": "at"}]}),
    "streams[].replication_key": (of_t(primary_keys=["id"]), by_at(primary_keys=["id"])),
    "streams[].primary_keys": (by_at(), by_at(primary_keys=["n"])),
    "streams[].replication_key_format": (
        of_t(replication_key="id") | SECOND,
        of_t(replication_key="id", replication_key_format="epoch") | SECOND,
    ),
    "streams[].lookback": (by_at() | NULLED, by_at(lookback=86400) | NULLED),
    "streams[].json_schema": ({"tables": ["public.docs"]}, {"tables": ["public.docs"], "streams": [{"name": "public.docs", "json_schema": "sample"}]}),
    "infinity": ({}, {"infinity": "null"}),
    "unusual_times": ({"infinity": "null"}, {"infinity": "null", "unusual_times": "null"}),
    "local_times": ({}, {"local_times": "text"}),
    "query_timeout": ({"tables": ["public.slow"]}, {"tables": ["public.slow"], "query_timeout": 0.1}),
    "activate_version": ({"tables": ["public.u"]}, {"tables": ["public.u"], "activate_version": False}),
    "role": ({"tables": ["public.told"]}, {"tables": ["public.told"], "role": "pg_monitor"}),
    "application_name": ({"tables": ["public.told"]}, {"tables": ["public.told"], "application_name": "me"}),
    "lock_timeout_seconds": ({"tables": ["public.told"]}, {"tables": ["public.told"], "lock_timeout_seconds": 7}),
    "pipeline": ({}, {"pipeline": "mine"}),
    "start_date": (by_at() | NULLED, by_at() | NULLED | {"start_date": "2024-01-02T00:00:00Z"}),
    "select": ({}, {"select": ["!public-t.n"]}),
    "state_every": ({"tables": ["public.u"]}, {"tables": ["public.u"], "state_every": 1}),
}  # fmt: skip
CONNECTION: Settings = {
    "dsn": "host=there",
    "host": "there",
    "port": 5,
    "user": "ann",
    "password": "x",
    "database": "d",
    "service": "s",
    "sslmode": "require",
    "sslrootcert": "/a",
    "sslcert": "/b",
    "sslkey": "/c",
    "sslpassword": "y",
    "passfile": "/d",
    "connect_timeout": 3,
}
SHOWN_ELSEWHERE = {
    "ssh_tunnel": "tests/targets/postgres/test_places.py",
    "max_rows_per_second": "tests/taps/postgres/test_pace.py",
    "parallel": "tests/taps/postgres/test_parallel.py",
}
MADE = """
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n numeric, far date, l timestamp);
    INSERT INTO t VALUES (1, '2024-01-01', 1, 'infinity', '2024-01-01'), (2, '2024-01-02', 'NaN', NULL, NULL);
    CREATE TABLE u (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON u (at);
    INSERT INTO u SELECT i, timestamptz '2024-01-01' + i * interval '1 d' FROM generate_series(1, 9) AS i;
    CREATE TABLE docs (id int PRIMARY KEY, doc jsonb); INSERT INTO docs VALUES (1, '{"a": 1}');
    CREATE VIEW told AS SELECT current_user AS who, current_setting('application_name') AS a, current_setting('lock_timeout') AS l;
    CREATE VIEW slow AS SELECT 1 AS one FROM pg_sleep(0.4);
    GRANT USAGE ON SCHEMA public TO pg_monitor; GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_monitor
"""


def left(shop: Shop, config: Settings) -> list[Any]:
    """What two runs write, and how they end: without what differs by itself."""
    found: list[Any] = []
    state: Any = None
    for _ in range(2):
        try:
            state = shop.sync(state, **config).state
        except SingerkitError as error:
            found.append(str(error))
        text = shop.written.buffer.getvalue().decode()  # type: ignore[attr-defined]  it is a BytesIO
        own = r'"version":\d+|"run":"\w+"|"time_extracted":"[^"]+"|"_singerkit_load":\{[^}]*\}'
        found.append(re.sub(own, "", text))
    return found


@pytest.mark.parametrize("setting", CASES)
def test_a_setting_changes_something(shop: Shop, setting: str) -> None:
    shop.execute(MADE)
    others = {"tables": ["*", "!public.slow"]}
    before, added = (others | config for config in CASES[setting])
    assert left(shop, before) != left(shop, before | added), f"{setting} has no effect"


def test_two_runs_differ_in_nothing_by_themselves(shop: Shop) -> None:
    shop.execute(MADE)
    config = {"tables": ["*", "!public.slow"], "infinity": "null"}
    assert left(shop, config) == left(shop, config)


@pytest.mark.parametrize("setting", CONNECTION)
def test_a_connection_setting_reaches_libpq(setting: str) -> None:
    base = {"host": "here"} if setting != "dsn" else {}
    given = parse_dsn(dsn_of(base | {setting: CONNECTION[setting]}))
    assert given != parse_dsn(dsn_of(base))


def test_every_documented_setting_is_here() -> None:
    documented = re.findall(r"^\| `([^`]+)` \|", REFERENCE.read_text("utf-8"), re.MULTILINE)
    of_the_log = {name for name in documented if name.startswith("log")} | {
        "streams[].replication_method"
    }  # test_log.py
    ours = {*CASES, *CONNECTION, *SHOWN_ELSEWHERE, *of_the_log}
    assert sorted(name for name in documented if not name.startswith("ssh_tunnel.")) == sorted(ours)
