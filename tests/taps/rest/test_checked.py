"""singerkit-check is silent on the runs of tap-rest, whatever the state remembers, and still hears a bookmark too far."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from taps.rest.api_server import Table, dated, json_reply, serving
from taps.rest.conftest import Run, RunTap
from tools.check.streams import check

OLD: list[dict[str, Any]] = [{"id": n, "at": f"2024-01-0{n}T00:00:00Z"} for n in (1, 2, 3)]
WAITING, CERTAIN = {"margin": 3600}, {"margin": 0}
"""`bookmark` with which a row of a minute ago moves the bookmark not yet, and with which it does."""


def a_minute_ago(number: int) -> dict[str, Any]:
    moment = datetime.now(UTC) - timedelta(seconds=60 + number)
    return {"id": number, "at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def found(run: Run, start: Any = ...) -> list[str]:
    return [one.check for one in check(run.stdout.encode(), start=start)]


@pytest.mark.parametrize("more", [{}, {"primary_keys": []}, {"is_sorted": True}], ids=str)
@pytest.mark.parametrize("is_empty", [False, True], ids=["rows", "first run"])
def test_a_bookmark_that_follows_rows_of_an_earlier_run_is_no_fault(
    is_empty: bool, more: dict[str, Any], run_tap: RunTap
) -> None:
    """The second run sends no row, and its bookmark goes to that of the row that the first one sent."""
    source = Table([] if is_empty else OLD[:2])
    with serving({"/rows": source}) as api:
        state = run_tap(api.url, dated(bookmark=WAITING, **more)).ended(0).state
        source.rows.append(a_minute_ago(3))
        for margin, rows in ((WAITING, 1), (WAITING, 0), (CERTAIN, 0), (CERTAIN, 0)):
            given = dated(bookmark=margin, **more)
            run, start = run_tap(api.url, given, state=state).ended(0), state
            assert len(run.records("rows")) == rows
            assert found(run) == found(run, start) == []
            state = run.state
    assert state["bookmarks"]["rows"]["replication_key_value"] == source.rows[-1]["at"]


def test_a_bookmark_beyond_what_the_state_remembers_is_one(run_tap: RunTap) -> None:
    source = Table([*OLD])
    with serving({"/rows": source}) as api:
        first = run_tap(api.url, dated(bookmark=WAITING)).ended(0)
        source.rows += [a_minute_ago(5), a_minute_ago(4)]
        second = run_tap(api.url, dated(bookmark=WAITING), state=first.state).ended(0)
        third = run_tap(api.url, dated(bookmark=CERTAIN), state=second.state).ended(0)
    assert found(third) == []
    at, later = source.rows[-1]["at"], (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    opening, *rest = third.stdout.splitlines()
    memory = json.loads(opening)["value"]["bookmarks"]["rows"]["_singerkit_seen"]
    assert [group[0] for group in memory["others"]][-1] == at
    assert found(
        Run(0, "\n".join([opening, *rest, ""]).replace(f'_value":"{at}', f'_value":"{later}'), "")
    ) == ["state-ahead"]
    # One of the two rows is not remembered, and none was sent; or another has moved the bookmark.
    for torn in (
        {**memory, "others": memory["others"][:-1]},
        {**memory, "others": [[at]]},
        {**memory, "at": at},
        {},
    ):
        told = opening.replace(json.dumps(memory, separators=(",", ":")), json.dumps(torn))
        assert told != opening
        assert found(Run(0, "\n".join([told, *rest, ""]), "")) == ["state-ahead"], torn


@pytest.mark.parametrize("more", [{}, {"is_sorted": True}], ids=str)
def test_rows_before_the_start_date_that_come_all_the_same_move_no_bookmark(
    more: dict[str, Any], run_tap: RunTap
) -> None:
    """The API does not listen: the next run would begin at a row that the first has left out."""
    state, given = None, dated(bookmark=CERTAIN, **more)
    with serving({"/rows": lambda _: json_reply(OLD)}) as api:
        for _ in range(2):
            run = run_tap(api.url, given, start_date="2025-01-01T00:00:00Z", state=state).ended(0)
            assert run.records("rows") == []
            assert found(run) == []
            assert "was asked for rows from `start_date` on" in run.stderr
            state = run.state
            assert "replication_key_value" not in state["bookmarks"]["rows"]
