"""`max_rows_per_second`: however a stream is read, its rows take the time that is said, by a clock of the test's own."""

from __future__ import annotations

from functools import partial

import pytest
from taps.postgres.conftest import Shop

from singerkit_shell.pace import RowPace
from singerkit_sql_tap import tap as sql_tap
from tap_postgres import heap

ROWS = 600
MADE = "CREATE TABLE t (id int {}, at int); CREATE INDEX ON t (at); INSERT INTO t SELECT i, i FROM generate_series(1, 600) AS i"


class Clock:
    """Time passes where somebody waits, and nowhere else."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sql_tap, "RowPace", partial(RowPace, clock=clock, wait=clock.wait))
    return clock


@pytest.mark.parametrize("way", ["by key", "by blocks", "incremental", "all streams together"])
def test_rows_take_their_time(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    shop.execute(*MADE.format("" if way == "by blocks" else "PRIMARY KEY").split("; "))
    if way == "incremental":
        shop.by("at")
    if way == "all streams together":
        shop.execute("DELETE FROM t WHERE id > 300", "CREATE TABLE u AS TABLE t")
    ranges: list[int] = []
    follow = heap._Size.follow
    monkeypatch.setattr(
        heap._Size, "follow", lambda size, *said: ranges.append(said[1]) or follow(size, *said)
    )  # type: ignore[func-returns-value]  None
    found = shop.sync(max_rows_per_second=20)
    assert len(found.of_type("RECORD")) == ROWS
    assert clock.now == pytest.approx(ROWS / 20)
    assert sum(ranges) == {"by blocks": ROWS, "all streams together": 300}.get(way, 0)


def test_changes_from_the_log_take_their_time(logged: Shop, clock: Clock) -> None:
    logged.execute(*MADE.format("PRIMARY KEY").split("; "))
    first = logged.sync(max_rows_per_second=20)
    assert clock.now == pytest.approx(ROWS / 20)
    logged.execute("UPDATE t SET at = 0 WHERE id <= 40")
    logged.sync(first.state, max_rows_per_second=20)
    assert clock.now == pytest.approx((ROWS + 40) / 20)


def test_a_query_gives_what_a_second_has_room_for(shop: Shop, clock: Clock) -> None:
    """So that no transaction is open much longer."""
    shop.execute(*MADE.format("PRIMARY KEY").split("; "))
    found = shop.sync(max_rows_per_second=50, state_every=1)
    after = [
        load["position"]["after"][0]
        for one in found.of_type("STATE")
        if "position" in (load := one["value"]["bookmarks"].get("public-t", {}).get("_singerkit_load", {}))
    ]
    assert after == [*range(50, 600, 50)]  # that of the last one is the end


def test_a_pause_is_made_up_for_by_a_second_at_most() -> None:
    clock = Clock()
    pace = RowPace(10, clock=clock, wait=clock.wait)
    clock.now = 60.0  # nothing came for a minute
    pace.keep_to(30)
    assert clock.now == pytest.approx(62.0)
