"""Against Datasette, a server that is not ours: next URLs, tokens, Link headers and filters."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taps.rest.test_recording import lines_of

from tap_rest.recording.runs import recorded, replayed
from tap_rest.tap import TapRest

ROWS = 1234


def rows(file: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(file) as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("SELECT * FROM flights ORDER BY id")]
    database.close()
    return found


@pytest.fixture(scope="module")
def datasette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """URL of a running Datasette over a table of `ROWS` rows, and the table's file."""
    file = tmp_path_factory.mktemp("datasette") / "air.db"
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE flights (id INTEGER PRIMARY KEY, carrier TEXT, delay REAL, changed_at TEXT)"
        )
        database.executemany(
            "INSERT INTO flights VALUES (?, ?, ?, ?)",
            [
                (n, f"Ü{n % 7}", None if n % 5 == 0 else n / 4, f"2026-01-{n % 28 + 1:02d}T00:00:00Z")
                for n in range(1, ROWS + 1)
            ],
        )
    database.close()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [str(Path(sys.executable).with_name("datasette")), "serve", str(file), "-p", str(port)]
    process = subprocess.Popen(
        [*command, "--setting", "max_returned_rows", "500"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url, file
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/-/versions.json", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)  # a bounded poll: nothing tells when a foreign server is up
    raise AssertionError("Datasette did not come up")


KINDS: dict[str, dict[str, Any]] = {
    "next url": {"records": "$.rows[*]", "pagination": {"type": "next_url", "next": "$.next_url"}},
    "token": {
        "records": "$.rows[*]",
        "pagination": {
            "type": "cursor",
            "cursor": "$.next",
            "param": "_next",
            "size": 500,
            "size_param": "_size",
        },
    },
    "link header": {"params": {"_shape": "array"}, "pagination": {"type": "link_header"}},
    "keyset": {
        "params": {"_shape": "array", "_sort": "id"},
        "pagination": {"type": "keyset", "field": "id", "param": "id__gt"},
    },
}


def flights(**more: Any) -> dict[str, Any]:
    params = {"_shape": "objects", "_size": 100} | more.pop("params", {})
    if more.get("pagination", {}).get("size"):
        del params["_size"]
    return {"name": "flights", "path": "/air/flights.json", "params": params, "primary_keys": ["id"]} | more


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_once(kind: str, datasette: tuple[str, Path], run_tap: Any) -> None:
    url, file = datasette
    run = run_tap(url, flights(**KINDS[kind])).ended(0)
    assert run.records("flights") == rows(file)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_says_what_datasette_said(
    kind: str, datasette: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    url, _ = datasette
    config = {"base_url": url, "streams": [flights(**KINDS[kind])], "schema_cache": str(tmp_path / "cache")}
    then = lines_of(recorded(TapRest, str(tmp_path / "recording"), 1 << 24), config)
    assert len(then) > ROWS
    assert lines_of(replayed(TapRest, str(tmp_path / "recording")), config) == then


def test_only_what_changed_travels_again(datasette: tuple[str, Path], run_tap: Any) -> None:
    url, file = datasette
    stream = flights(
        **KINDS["next url"],
        replication_key="changed_at",
        is_sorted=True,
        incremental={"param": "changed_at__gte"},
    )
    stream["params"] |= {"_sort": "changed_at"}
    first = run_tap(url, stream).ended(0)
    assert sorted(first.records("flights"), key=lambda row: row["id"]) == rows(file)
    assert run_tap(url, stream, state=first.state).ended(0).records("flights") == []
    with sqlite3.connect(file) as database:
        database.execute("UPDATE flights SET delay = 7.25, changed_at = '2026-02-01T00:00:00Z' WHERE id = 9")
        database.execute("INSERT INTO flights VALUES (9001, 'new', NULL, '2026-01-28T00:00:00Z')")
    database.close()
    second = run_tap(url, stream, state=first.state).ended(0)
    assert sorted(row["id"] for row in second.records("flights")) == [9, 9001]


QUERY = """query flights($after: String, $first: Int, $since: String) {
  flights(after: $after, first: $first, filter: {changed_at: {gte: $since}}) {
    totalCount pageInfo { hasNextPage endCursor } nodes { id carrier delay changed_at }
  }
}"""
GRAPHQL: dict[str, Any] = {
    "name": "flights",
    "path": "/graphql",
    "graphql": {"query": QUERY},
    "records": "$.data.flights.nodes[*]",
    "primary_keys": ["id"],
    "replication_key": "changed_at",
    "incremental": {"param": "since"},
    "pagination": {"type": "relay", "size": 250},
}


def test_by_graphql(datasette: tuple[str, Path], run_tap: Any) -> None:
    """Its plugin `datasette-graphql`: a server of GraphQL that is not ours, either."""
    url, file = datasette
    first = run_tap(url, GRAPHQL).ended(0)
    assert sorted(first.records("flights"), key=lambda row: row["id"]) == rows(file)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE flights SET delay = 8.5, changed_at = '2026-03-01T00:00:00Z' WHERE id = 11")
    database.close()
    second = run_tap(url, GRAPHQL, state=first.state).ended(0)
    third = run_tap(url, GRAPHQL, state=second.state).ended(0)
    assert {"id": 11, "carrier": "Ü4", "delay": 8.5, "changed_at": "2026-03-01T00:00:00Z"} in second.records(
        "flights"
    )
    assert third.records("flights") == []


def test_a_query_that_it_refuses(datasette: tuple[str, Path], run_tap: Any) -> None:
    url, _ = datasette
    wrong = {"graphql": {"query": QUERY.replace("carrier", "carier")}}
    run = run_tap(url, GRAPHQL | wrong).ended(69)
    assert "Cannot query field" in run.sentence
    assert "carier" in run.sentence
