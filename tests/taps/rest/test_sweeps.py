"""Sweeps: incremental streams that are read as a whole from time to time, so that rows which are gone leave the target."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Table, dated, json_reply, page_of
from taps.rest.drive import Drive, drive
from targets.duckdb.driver import read_duckdb

from singerkit_shell.walltime import wall_time
from tap_rest.config import config_conflicts

__all__ = ["drive"]

Begin = Callable[..., Drive]
DAY = 86400
SCHEMA = {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}}


class Clock:
    """The clock of this machine, which a test sets."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = float(wall_time.now())
        patch.setattr(wall_time, "now", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def row(number: int) -> dict[str, Any]:
    return {"id": number, "at": f"2026-01-{number:02}T00:00:00Z"}


def swept(**more: Any) -> dict[str, Any]:
    return dated(schema=SCHEMA, sweep="P1D", **more)


def versions(run: Drive) -> dict[int, int]:
    return {m["record"]["id"]: m["version"] for m in run.messages if m["type"] == "RECORD"}


def test_all_rows_are_read_when_it_is_time_and_what_is_new_between(drive: Begin, clock: Clock) -> None:
    table = Table([row(n) for n in range(1, 9)])
    run = drive(table)
    assert run.run(swept()).ids() == [*range(1, 9)]
    first = versions(run)[1]
    assert run.activated == ["rows"]
    clock.now += DAY / 2
    table.rows = [one for one in table.rows if one["id"] != 3] + [row(10)]
    assert run.run(swept(), state=run.state).ids() == [10]
    assert (versions(run), run.activated) == ({10: first}, [])
    clock.now += DAY / 2 - 60  # a daily run may begin a little earlier
    assert run.run(swept(), state=run.state).ids() == [1, 2, 4, 5, 6, 7, 8, 10]
    assert set(versions(run).values()).pop() > first
    assert (run.activated, run.code) == (["rows"], 0)
    bookmark = run.bookmark()
    clock.now += 60
    assert run.run(swept(), state=run.state).ids() == []
    assert run.bookmark() == bookmark


def test_a_stream_that_was_read_without_it_is_swept_at_once(drive: Begin, clock: Clock) -> None:
    table = Table([row(n) for n in range(1, 9)])
    run = drive(table)
    state = run.run(dated(schema=SCHEMA)).state
    del table.rows[2]
    first = run.run(swept(), state=state)
    assert (first.ids(), first.activated) == ([1, 2, 4, 5, 6, 7, 8], [])
    assert "does not say how many rows the one before had" in first.warnings
    clock.now += DAY
    assert run.run(swept(), state=run.state).activated == ["rows"]


def test_a_row_that_shifts_away_while_pages_are_read_stays(drive: Begin, clock: Clock) -> None:
    table = Table([row(n) for n in range(1, 9)], size=3)
    run = drive(lambda asked: pages(asked))
    begun: list[str] = []

    def pages(asked: Asked) -> Reply:
        begun.append(asked.param("offset") or "0")
        if begun.count("3") == 1 and begun[-1] == "3" and "3" not in begun[:-1] and len(begun) > 6:
            del table.rows[0]
        return table(asked)

    stream = swept(pagination={"type": "offset", "size": 3})
    run.run(stream)
    clock.now += DAY
    begun[:] = ["-"] * 6
    again = run.run(stream, state=run.state)
    assert len(table.rows) == 7
    assert sorted(again.ids()) == [
        *range(1, 9)
    ]  # 4 moved to a page that was read, and 1 went behind the reading point
    assert again.activated == ["rows"]
    clock.now += DAY
    assert sorted(run.run(stream, state=run.state).ids()) == [*range(2, 9)]


def test_a_sweep_that_fails_begins_anew_with_another_version(drive: Begin, clock: Clock) -> None:
    table = Table([row(n) for n in range(1, 9)], size=3)
    run = drive(lambda asked: table(asked) if asked.param("offset") not in fails else Reply(status=500))
    fails: set[str | None] = set()
    stream = swept(pagination={"type": "offset", "size": 3})
    first = set(versions(run.run(stream)).values())
    clock.now += DAY
    fails.add("6")
    broken = run.run(stream, state=run.state)
    second = set(versions(broken).values())
    assert (broken.code, broken.activated, len(second)) == (69, [], 1)
    fails.clear()
    clock.now += 1
    whole = run.run(stream, state=broken.state)
    third = set(versions(whole).values())
    assert (whole.ids(), whole.activated) == ([*range(1, 9)], ["rows"])
    assert max(first) < max(second) < max(third)


def test_another_start_date_takes_no_rows_at_first(drive: Begin, clock: Clock) -> None:
    run = drive(Table([row(n) for n in range(1, 9)]))
    run.run(swept())
    later = "2026-01-03T00:00:00Z"
    clock.now += DAY
    moved = run.run(swept(), state=run.state, start_date=later)
    assert (moved.ids(), moved.activated) == ([3, 4, 5, 6, 7, 8], [])
    assert "began at another `start_date`" in moved.warnings
    clock.now += DAY
    assert run.run(swept(), state=run.state, start_date=later).activated == ["rows"]


def test_a_clock_that_was_ahead_is_no_reason_to_wait(drive: Begin, clock: Clock) -> None:
    run = drive(Table([row(n) for n in range(1, 9)]))
    clock.now += 400 * DAY
    before = versions(run.run(swept()))[1]
    clock.now -= 400 * DAY
    again = run.run(swept(), state=run.state)
    assert (again.activated, versions(again)[1] > before) == (["rows"], True)


def test_rows_that_come_with_the_bookmark_are_not_asked_for_twice(drive: Begin, clock: Clock) -> None:
    """A sorted stream goes on by its key: no row can move to a page that was read, and the sweep is read once."""
    table = Table([row(n) for n in range(1, 9)], size=3)
    run = drive(table)
    stream = swept(pagination={"type": "offset", "size": 3}, is_sorted=True)
    once = run.run(dated(schema=SCHEMA, pagination={"type": "offset", "size": 3}, is_sorted=True)).asked()
    assert run.run(stream).asked() == once
    assert run.activated == ["rows"]
    clock.now += DAY
    del table.rows[1]
    swept_again = run.run(stream, state=run.state)
    assert (swept_again.ids(), swept_again.activated) == ([1, 3, 4, 5, 6, 7, 8], ["rows"])


def test_rows_without_a_replication_key_stay(drive: Begin, clock: Clock) -> None:
    """They stand behind all others where nobody asks from a value on, and in no answer where somebody does."""
    rows = [*(row(n) for n in range(1, 9)), *({"id": n, "at": None} for n in (20, 21))]

    def answer(asked: Asked) -> Reply:
        since = asked.param("since")
        found = [one for one in rows if since is None or (one["at"] or "") >= since]
        return json_reply(page_of(found, asked, 3))

    run = drive(answer)
    stream = swept(pagination={"type": "offset", "size": 3}, is_sorted=True)
    assert run.run(stream).ids() == [*range(1, 9), 20, 21]
    clock.now += DAY
    again = run.run(stream, state=run.state)
    assert (again.ids(), again.activated) == ([*range(1, 9), 20, 21], [])
    assert "rows without a replication key are read by number" in again.warnings


def test_a_table_has_what_the_source_has(drive: Begin, clock: Clock, tmp_path: Path) -> None:
    """A row that goes leaves the table with the next sweep, and all that came since the last one stay."""
    table, file = Table([row(n) for n in range(1, 9)], size=3), tmp_path / "w.duckdb"
    run = drive(table)
    stream, state = swept(pagination={"type": "offset", "size": 3}), None
    (tmp_path / "config.json").write_text(json.dumps({"database": str(file), "add_record_metadata": True}))
    target = [Path(sys.executable).with_name("target-duckdb"), "--config", tmp_path / "config.json"]
    for hours, there in (
        (0, {1, 2, 3, 4, 5, 6, 7, 8}),
        (12, {1, 3, 4, 5, 6, 7, 8, 9}),
        (13, {1, 4, 5, 6, 7, 8, 9, 10}),
    ):
        clock.now += hours * 3600
        before = {one["id"] for one in table.rows}
        table.rows = [one for one in table.rows if one["id"] in there] + [row(n) for n in there - before]
        state = run.run(stream, state=state).state
        sent = "".join(json.dumps(message) + "\n" for message in run.messages)
        subprocess.run(target, input=sent.encode(), capture_output=True, timeout=60, check=True)
        stored = {one["id"] for one in read_duckdb(file, "rows")}
        assert stored == (there | {2} if hours == 12 else there)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"sweep": "1 day"}, "`streams[0].sweep`"),
        ({"primary_keys": []}, "needs `streams[0].primary_keys`"),
        ({"partial_records": True}, "does not go with `streams[0].partial_records`"),
        ({"end_date": "2027-01-01T00:00:00Z"}, "does not go with `end_date`"),
        ({"for_each": {"a": [1]}, "params": {"a": "{each.a}"}}, "does not go with `for_each`"),
        ({"incremental": {"param": "since", "until_param": "to"}}, "does not go with windows"),
        (
            {"incremental": None, "replication_key": None},
            "has no effect without `streams[0].replication_key`",
        ),
    ],
)
def test_what_does_not_go_with_it(said: dict[str, Any], problem: str) -> None:
    stream = {name: value for name, value in (swept() | said).items() if value is not None}
    config = {"base_url": "http://x", "streams": [stream], "start_date": "2026-01-01T00:00:00Z"}
    assert problem in "; ".join(config_conflicts(config))


def test_children_of_changed_parents_alone_do_not_go_with_it() -> None:
    child = {"name": "lines", "path": "/rows/{parent.id}", "parent": {"stream": "rows", "read": "changed"}}
    [problem] = config_conflicts({"base_url": "http://x", "streams": [swept(), child]})
    assert "`read` `changed` of stream `lines`" in problem
