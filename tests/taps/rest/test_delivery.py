"""What `tap-rest --about` promises about delivery is what a second run sends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Table, serving
from taps.rest.test_incremental import SCHEMA, orders, row

TAP = Path(sys.executable).with_name("tap-rest")
LOOKBACK = {"param": "since", "lookback": 2 * 86400}
STREAMS: dict[str, dict[str, Any]] = {
    "incremental streams": orders(primary_keys=[]),
    "incremental with lookback, with a key": orders(incremental=LOOKBACK),
    "full-table streams with a key": {"name": "orders", "path": "/orders", "primary_keys": ["id"], "schema": SCHEMA},
    "full-table streams without a key": {"name": "orders", "path": "/orders", "schema": SCHEMA},
}  # fmt: skip


def about(*arguments: str) -> list[dict[str, str]]:
    words = [TAP, "--about", "--format", "json", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    delivery: list[dict[str, str]] = json.loads(done.stdout)["delivery"]
    return delivery


@pytest.fixture(scope="module")
def promises() -> dict[str, str]:
    return {each["configuration"]: each["guarantee"] for each in about()}


def test_every_promise_is_tried(promises: dict[str, str]) -> None:
    assert promises.keys() == STREAMS.keys()


def after_two_runs(stream: dict[str, Any], run_tap: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the source, and all that two runs sent of them."""
    table = Table([row(1, 1), row(2, 4), row(3, 5), row(4, 5)], size=3)
    with serving({"/orders": table}) as api:
        first = run_tap(api.url, stream, pagination={"type": "offset"}).ended(0)
        table.rows.append(row(5, 5))
        table.rows.append(row(6, 8))
        second = run_tap(api.url, stream, state=first.state, pagination={"type": "offset"}).ended(0)
    return table.rows, [*first.records("orders"), *second.records("orders")]


@pytest.mark.parametrize("configuration", STREAMS)
def test_a_promise_is_what_two_runs_send(configuration: str, run_tap: Any, promises: dict[str, str]) -> None:
    source, sent = after_two_runs(STREAMS[configuration], run_tap)
    times = Counter(json.dumps(record, sort_keys=True) for record in sent)
    assert times.keys() == {json.dumps(record, sort_keys=True) for record in source}, "a row is lost"
    came_again = max(times.values()) > 1
    has_key = bool(STREAMS[configuration].get("primary_keys"))
    promise = promises[configuration]
    assert promise == (
        "exactly_once" if not came_again else "effectively_once" if has_key else "at_least_once"
    )


def test_a_config_gets_the_promise_of_each_of_its_streams(tmp_path: Path, promises: dict[str, str]) -> None:
    streams = [
        {**stream, "name": f"s{number}", "pagination": {"type": "single"}}
        for number, stream in enumerate(STREAMS.values())
    ]
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"base_url": "https://api.example.com", "streams": streams}))
    promised = about("--config", str(config))
    assert [each["configuration"] for each in promised] == [f"stream `s{n}`" for n in range(len(STREAMS))]
    assert [each["guarantee"] for each in promised] == [promises[name] for name in STREAMS]


def test_a_stream_in_pages_that_shift_may_miss_rows_and_the_first_run_says_so(
    tmp_path: Path, run_tap: Any
) -> None:
    stream = {**orders(), "pagination": {"type": "offset"}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"base_url": "https://api.example.com", "streams": [stream]}))
    (promise,) = about("--config", str(config))
    assert promise["guarantee"] == "may_miss"
    assert "shift" in promise["reason"]
    with serving({"/orders": Table([row(1, 1)], size=3)}) as api:
        first = run_tap(api.url, stream).ended(0)
        second = run_tap(api.url, stream, state=first.state).ended(0)
    assert first.stderr.count("rows that shift between them") == 1
    assert "rows that shift between them" not in second.stderr


@pytest.mark.parametrize("bookmarks", ["shared", "each"])
def test_children_that_share_a_bookmark_may_miss_rows(bookmarks: str, tmp_path: Path) -> None:
    child = orders(path="/u/{parent.id}/orders", parent={"stream": "u", "bookmarks": bookmarks})
    streams = [{"name": "u", "path": "/u"}, child | {"pagination": {"type": "single"}}]
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"base_url": "https://api.example.com", "streams": streams}))
    promise = about("--config", str(config))[1]
    assert promise["guarantee"] == ("may_miss" if bookmarks == "shared" else "effectively_once")
    assert "a row whose replication key is null is asked for by the first run only" in promise["reason"]
