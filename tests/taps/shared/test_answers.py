"""What the answers show of how a source understands the bookmark, and of its dates: the run says it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError

Rows = list[dict[str, Any]]
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def row(number: int, *, hours: float = 0, note: str = "") -> dict[str, Any]:
    """A row; its time is ``number`` days after the first one."""
    moment = BEGIN + timedelta(days=number, hours=hours)
    return {"id": number, "at": moment.isoformat().replace("+00:00", "Z"), "note": note}


ROWS = [row(number) for number in range(20)]


@pytest.fixture
def runs(example: Any, caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[Any, list[str]]]:
    """Run over pages and return what was written, and the warnings, each once; ``runs.told`` is all that was logged."""

    def run(pages: list[Rows], state: Any = None, **settings: Any) -> tuple[Any, list[str]]:
        example.pages(*pages)
        caplog.clear()
        caplog.set_level(logging.INFO)
        stream = {"replication_key": "at", "start_setting": "incremental.param", "server_filters": False}
        result = example.sync(example.config(example.stream(**stream | settings)), state)
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        return result, [text for text in warnings if not text.startswith("Once more")]

    return run


def said(warnings: list[str], *words: str) -> bool:
    return any(all(word in text for word in words) for text in warnings)


@pytest.mark.parametrize("is_sorted", [False, True])
def test_a_source_that_ignores_the_bookmark(runs: Any, is_sorted: bool) -> None:
    first, warnings = runs([ROWS], is_sorted=is_sorted)
    assert warnings == []
    again, warnings = runs([ROWS[:7], ROWS[7:]], first.state, is_sorted=is_sorted)
    assert again.records() == []
    assert said(
        warnings, "17 of 20 rows that came are far below it", "does not listen to `incremental.param`"
    )
    # A request for whole days, in whatever zone, brings rows of the days before.
    _, warnings = runs([ROWS[-3:]], first.state, is_sorted=is_sorted)
    assert warnings == []
    # Who does not ask is not told that nobody listens.
    example_of_a_whole_read, warnings = runs([ROWS], first.state, is_sorted=is_sorted, start_setting=None)
    assert (example_of_a_whole_read.records(), warnings) == ([], [])


@pytest.mark.parametrize("new", [[], [row(30)]])
def test_a_source_that_answers_with_rows_after_the_bookmark_only(runs: Any, new: Rows) -> None:
    many = [*ROWS, *({**row(19), "id": 100 + number} for number in range(9))]
    first, _ = runs([many])
    second, warnings = runs([new], first.state)
    assert second.records() == [{**made, "price": None} for made in new]
    assert said(warnings, "none of the 10 that the state remembers", "rows *after* the value only")
    assert said(warnings, "nothing of stream `orders` came") is (not new)


def test_a_few_rows_that_all_changed_since_are_nothing_to_warn_of(runs: Any) -> None:
    first, _ = runs([ROWS])
    _, warnings = runs([[row(30)]], first.state)
    assert warnings == []
    _, warnings = runs([[]], first.state)
    assert said(warnings, "nothing of stream `orders` came", "none of the 1 that the state remembers")


@pytest.mark.parametrize("keys", [["id"], []])
def test_few_rows_that_do_not_come_in_two_runs_are_told(runs: Any, keys: list[str]) -> None:
    """A source that answers with days *after* the bookmark loses rows, however few stand at it."""
    state: Any = runs([[row(1), row(2)]], key_properties=keys)[0].state
    found = []
    for number in (3, 4, 5):
        result, warnings = runs([[row(number)]], state, key_properties=keys)
        found.append(said(warnings, "none of the", "rows *after* the value only"))
        state = result.state
    assert found == [False, True, True]
    result, warnings = runs([[row(5), row(6)]], state, key_properties=keys)
    assert not warnings
    assert "unmet" not in result.state["bookmarks"]["orders"]["_singerkit_seen"]
    assert not runs([[row(7)]], result.state, key_properties=keys)[1], "it begins anew"


def test_that_nothing_comes_is_told_once(runs: Any) -> None:
    """The row at the bookmark was deleted: nothing else is there until a new one comes."""
    state: Any = runs([[row(1), row(2)]])[0].state
    found = []
    for rows in ([], [], [], [row(3)], [row(3)], []):
        result, warnings = runs([rows], state)
        found.append(said(warnings, "none of the 1 that the state remembers"))
        state = result.state
    assert found == [True, False, False, True, False, True]


def test_rows_that_changed_each_time_are_no_sign(runs: Any) -> None:
    """A small busy table: the row at the bookmark has moved on, which its key shows."""
    state: Any = runs([[row(1)]])[0].state
    for day in (3, 4, 5, 6):
        result, warnings = runs([[row(day) | {"id": 1}]], state)
        assert (result.ids, warnings) == ([1], [])
        state = result.state


def test_with_a_lookback_at_least_one_row_should_come(runs: Any) -> None:
    first, _ = runs([ROWS], lookback=3600)
    _, warnings = runs([[ROWS[-1]]], first.state, lookback=3600)
    assert warnings == []
    _, warnings = runs([[]], first.state, lookback=3600)
    assert said(warnings, "not even the row that it was taken from")
    _, warnings = runs([[]], lookback=3600)
    assert warnings == [], "a first run may find nothing"


def test_rows_whose_selected_fields_change_with_each_answer(runs: Any) -> None:
    without_key = {"key_properties": []}
    first, _ = runs([[row(1, note="token 1")]], **without_key)
    second, warnings = runs([[row(1, note="token 2")]], first.state, **without_key)
    assert len(second.records()) == 1, "nobody can know that it is the same row"
    assert said(warnings, "none is one of them", "do not select it, or give the stream a key")
    # With a key it replaces itself.
    first, _ = runs([[row(1, note="token 1")]])
    _, warnings = runs([[row(1, note="token 2")]], first.state)
    assert warnings == []


def test_a_second_run_says_how_many_rows_it_was_asked_for_again(runs: Any, caplog: Any) -> None:
    first, _ = runs([ROWS[:5], ROWS[5:]])
    runs([ROWS[4:], [row(30)]], first.state)
    assert "of 16 rows that the state remembers 16 came again, recognised" in caplog.text


@pytest.mark.parametrize("has_state", [False, True])
def test_a_lookback_without_a_key_is_refused(has_state: bool, runs: Any) -> None:
    """Each run doubled the rows of the window, and ended with 0."""
    state = runs([ROWS], key_properties=[])[0].state if has_state else None
    with pytest.raises(ConfigurationError, match=r"lookback.* of stream `orders` needs a key"):
        runs([ROWS], state, lookback=3600, key_properties=[])


# Dates


def test_rows_within_the_margin_are_young_and_not_ahead(runs: Any, caplog: Any) -> None:
    clock = (BEGIN + timedelta(days=5, seconds=10)).timestamp()
    first, warnings = runs([[row(5)]], clock=clock)
    assert warnings == []
    assert "younger than what was certain" in caplog.text
    assert "replication_key_value" not in first.state["bookmarks"]["orders"]
    second, warnings = runs([[row(5)]], first.state, clock=clock + 3600)
    assert (second.records(), warnings) == ([], [])
    assert second.state["bookmarks"]["orders"]["replication_key_value"] == row(5)["at"]


def test_rows_ahead_of_the_clock_of_the_source(runs: Any) -> None:
    _, warnings = runs([[row(5)]], clock=BEGIN.timestamp())
    assert said(warnings, "All rows of stream `orders` are dated ahead of the source's own clock")


def test_one_row_ahead_of_the_clock_of_the_source_beside_others_below_the_bookmark(runs: Any) -> None:
    """`All rows` was said, though only one of several was; the others lay below the bookmark."""
    first, _ = runs([ROWS], clock=(BEGIN + timedelta(days=60)).timestamp())
    now = (BEGIN + timedelta(days=61)).timestamp()
    _, warnings = runs([[*ROWS[:3], FUTURE]], first.state, clock=now)
    assert said(
        warnings,
        "Rows of stream `orders` are dated ahead",
        "none that came lies between its bookmark and that clock",
    )
    assert "All rows" not in " ".join(map(str, warnings))


FUTURE = {"id": 99, "at": "2999-01-01T00:00:00Z", "note": ""}


def test_a_row_of_the_far_future_moves_no_bookmark_where_nobody_tells_the_time(runs: Any) -> None:
    """Case 010 without a `Date`: the second read would take it for certain, and no row would come any more."""
    state = None
    for _ in range(3):
        result, warnings = runs([[*ROWS, FUTURE]], state, key_properties=[])
        state = result.state
        assert state["bookmarks"]["orders"]["replication_key_value"] == ROWS[-1]["at"]
        assert said(
            warnings, "more than a day ahead of this machine's clock, up to `2999-01-01", "nothing is missed"
        )
    later, _ = runs([[ROWS[-1], FUTURE, row(21)]], state, key_properties=[])
    assert [record["id"] for record in later.records()] == [21]


@pytest.mark.parametrize("signpost", ["read_before", "none"])
def test_a_bookmark_of_the_far_future_is_told_with_the_way_out(runs: Any, signpost: str) -> None:
    """Whoever takes the clock away gets the future as a bookmark, and hears of it."""
    result, warnings = runs([[*ROWS, FUTURE]], signpost=signpost)
    assert result.state["bookmarks"]["orders"]["replication_key_value"] == FUTURE["at"]
    assert said(
        warnings, "is `2999-01-01", "not asked for any more", "singerkit-state reset STATE --stream orders"
    )
    # So does who comes from there: a bookmark never goes back by itself.
    _, warnings = runs([[FUTURE]], result.state)
    assert said(warnings, "is `2999-01-01", "not asked for any more")
