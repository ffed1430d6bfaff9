"""APIs that give only so many rows of one question: nothing behind the cap is lost, and nothing comes twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply
from taps.rest.drive import Drive, drive

from tap_rest.settings.pagination import pagination_problems
from tap_rest.windows import windowed

__all__ = ["drive"]

NOW = datetime(2026, 1, 10, tzinfo=UTC)
CAP = 6
Begin = Callable[..., Drive]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windowed, "own_clock", NOW.timestamp)


def at(second: int) -> str:
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


class Search:
    """Rows by `offset` or `page`, of which one question has no more than ``CAP``: behind them is nothing, or an error."""

    def __init__(self, *seconds: int, size: int = 2, strict: bool = False, total: bool = False) -> None:
        self.rows = [{"id": n, "at": at(second)} for n, second in enumerate(seconds, start=1)]
        self.size, self.strict, self.total, self.cap = size, strict, total, CAP

    def __call__(self, asked: Asked) -> Reply:
        since, until = asked.param("since") or "", asked.param("to") or "9"
        found = [row for row in self.rows if since <= row["at"] <= until]
        begin = int(asked.param("offset") or 0)
        if self.strict and begin + self.size > self.cap:
            return json_reply({"error": f"offset and limit above {self.cap}"}, 400)
        total = {"total": len(found)} if self.total else {}
        page = found[: self.cap][begin : begin + self.size]
        date = format_datetime(NOW, usegmt=True)
        return json_reply({"data": page, **total}, Date=date)


def searched(**more: Any) -> dict[str, Any]:
    pagination = {"type": "offset", "size": 2, "max_rows": CAP} | more.pop("pagination", {})
    return {
        "name": "rows",
        "path": "/rows",
        "records": "$.data[*]",
        "replication_key": "at",
        "start_date": "2026-01-01T00:00:00Z",
        "schema": {
            "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}
        },
        "incremental": {"param": "since", "until_param": "to"},
        "pagination": pagination,
    } | more


MANY = (*range(0, 40, 3), *range(500, 530, 4), *range(10**5, 10**5 + 9))
WINDOWS: dict[str, Any] = {
    "one": {},
    "days": {"window": "P1D"},
    "whole seconds": {"window": "P60D", "granularity": "PT1S"},
}


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize(("strict", "total"), [(False, False), (True, True)], ids=["truncates", "refuses"])
def test_windows_are_halved_until_each_has_fewer_rows(
    drive: Begin, windows: str, strict: bool, total: bool
) -> None:
    stream = searched(incremental={"param": "since", "until_param": "to", **WINDOWS[windows]})
    if total:
        stream["pagination"] |= {"total_count": "$.total"}
    run = drive(Search(*MANY, strict=strict, total=total)).run(stream)
    assert run.sentence == ""
    assert sorted(run.ids()) == list(range(1, len(MANY) + 1))
    assert run.bookmark() >= at(10**5)  # the newest rows were looked at before the first ones were read
    again = run.run(stream, state=run.state)
    assert (again.code, again.ids()) == (0, [])


def test_pages_of_what_a_total_shows_to_be_too_much_are_not_asked_for(drive: Begin) -> None:
    run = drive(Search(*MANY, total=True)).run(searched(pagination={"total_count": "$.total"}))
    assert (run.sentence, sorted(run.ids())) == ("", list(range(1, len(MANY) + 1)))
    too_long = [
        one for one in run.api.asked if (one.param("since"), one.param("to")) == (at(0), at(9 * 86400))
    ]
    assert {one.param("offset") for one in too_long} == {"0"}


@pytest.mark.parametrize(
    ("finer", "ends"), [({}, (76, 77)), ({"window": "P1D", "granularity": "PT1S"}, (77, 77))]
)
def test_the_shortest_window_with_too_many_rows_is_refused(
    drive: Begin, finer: dict[str, Any], ends: tuple[int, int]
) -> None:
    stream = searched(incremental={"param": "since", "until_param": "to", **finer})
    run = drive(Search(5, *[77] * CAP, 90)).run(stream)
    assert (run.code, run.ids(), run.is_complete) == (65, [1], False)
    assert f"Asked for `{at(ends[0])}` to `{at(ends[1])}`, the shortest window" in run.sentence
    assert ("set `incremental.window` and `incremental.granularity`" in run.sentence) == (not finer)


def test_numbers_are_halved_too(drive: Begin) -> None:
    rows = [
        {"id": n, "block": block} for n, block in enumerate([*range(90, 99), *range(200, 209), 999], start=1)
    ]

    def blocks(asked: Asked) -> Reply:
        since, until = int(asked.param("since") or 0), int(asked.param("to") or 10**9)
        return json_reply({"data": [row for row in rows if since <= row["block"] <= until][:CAP]})

    stream = searched(
        replication_key="block",
        replication_key_format="number",
        schema={"properties": {"id": {"type": "integer"}, "block": {"type": "integer"}}},
        incremental={"param": "since", "until_param": "to", "window": 500, "granularity": 1},
    )
    del stream["start_date"]
    stream["pagination"] = {"type": "single", "max_rows": CAP}
    run = drive(blocks).run(stream)
    assert (run.sentence, run.ids()) == ("", list(range(1, 20)))


@pytest.mark.parametrize(
    "pagination",
    [{"type": "single"}, {"type": "cursor", "cursor": "$.next"}, {"type": "offset", "size": 2}],
    ids=str,
)
def test_a_sorted_stream_goes_on_by_its_key(drive: Begin, pagination: dict[str, Any]) -> None:
    rows = [
        {"id": n, "at": at(second)}
        for n, second in enumerate([1, 2, 2, 2, 3, 5, 8, 8, 9, 11, 12, 13, 14], start=1)
    ]

    def opaque(asked: Asked) -> Reply:
        found = [row for row in rows if row["at"] >= (asked.param("since") or "")][:CAP]
        size = CAP if pagination["type"] == "single" else 2
        begin = int(asked.param("offset") or str(asked.param("cursor") or "x0").removeprefix("x"))
        following = f"x{begin + size}" if begin + size < len(found) else None
        return json_reply({"data": found[begin : begin + size], "next": following})

    stream = searched(is_sorted=True, incremental={"param": "since"})
    stream["pagination"] = pagination | {"max_rows": CAP}
    run = drive(opaque).run(stream)
    assert (run.sentence, run.ids()) == ("", list(range(1, 14)))


def test_a_tie_of_more_rows_than_that_is_refused(drive: Begin) -> None:
    stream = searched(is_sorted=True, incremental={"param": "since"})
    run = drive(Search(5, *[77] * (CAP + 1), 90)).run(stream)
    assert (run.code, run.is_complete) == (65, False)
    assert "6 rows of stream rows with one value of `at` have come in answer to one question" in run.sentence


@pytest.mark.parametrize("strict", [False, True], ids=["truncates", "refuses"])
def test_a_read_that_cannot_be_asked_in_parts_is_refused(drive: Begin, strict: bool) -> None:
    stream = searched(incremental={"param": "since"})
    run = drive(Search(*range(9), strict=strict)).run(stream)
    assert (run.code, run.is_complete) == (65, False)
    assert "by `pagination.max_rows` the API gives no more than 6" in run.sentence
    whole = drive(Search(*range(4), strict=strict)).run(stream)
    assert (whole.sentence, whole.ids()) == ("", [1, 2, 3, 4])


@pytest.mark.parametrize(("strict", "code"), [(True, 65), (False, 0)], ids=["refuses", "truncates"])
def test_without_the_setting_what_is_seen_names_it(drive: Begin, strict: bool, code: int) -> None:
    search = Search(*range(900), size=100, strict=strict, total=True)
    search.cap = 600
    stream = searched(incremental={"param": "since"})
    stream["pagination"] = {"type": "offset", "size": 100}
    run = drive(search).run(stream)
    assert run.code == code
    assert "600 rows" in run.sentence + run.warnings
    assert "`pagination.max_rows`" in run.sentence + run.warnings


def test_a_cap_below_the_size_of_a_page_is_refused() -> None:
    [problem] = pagination_problems({"type": "offset", "size": 100, "max_rows": 99}, "pagination")
    assert "`pagination.max_rows` to be at least `pagination.size`" in problem
    assert (
        pagination_problems({"type": "keyset", "field": "id", "param": "id", "max_rows": 9}, "pagination")
        != []
    )


# An error of the API's that says so (`then: split`)


class Refusing(Search):
    """Says by an error that a question has too many rows: on the first page, or where an offset goes too far."""

    def __init__(self, *seconds: int, status: int = 422, on_page: int = 0, **more: Any) -> None:
        super().__init__(*seconds, **more)
        self.status, self.on_page, self.cap = status, on_page, 10**9
        self.refused = 0

    def __call__(self, asked: Asked) -> Reply:
        since, until = asked.param("since") or "", asked.param("to") or "9"
        many = sum(since <= row["at"] <= until for row in self.rows)
        if many >= CAP and int(asked.param("offset") or 0) >= self.on_page:
            self.refused += 1
            date = format_datetime(NOW, usegmt=True)
            return json_reply({"error": "too many results, narrow your range"}, self.status, Date=date)
        return super().__call__(asked)


SPLIT = {"then": "split", "path": "$.error", "contains": "too many"}


def split(**more: Any) -> dict[str, Any]:
    return searched(errors=[SPLIT], **more) | {"pagination": {"type": "offset", "size": 2}}


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize(("status", "on_page"), [(422, 0), (400, 4), (504, 0), (200, 0)])
def test_windows_that_the_api_refuses_are_halved(
    drive: Begin, windows: str, status: int, on_page: int
) -> None:
    search = Refusing(*MANY, status=status, on_page=on_page)
    stream = split(incremental={"param": "since", "until_param": "to", **WINDOWS[windows]})
    run = drive(search).run(stream)
    assert run.sentence == ""
    assert sorted(run.ids()) == list(range(1, len(MANY) + 1))
    assert run.bookmark() >= at(10**5)
    assert search.refused < 100
    again = run.run(stream, state=run.state)
    assert (again.code, again.ids()) == (0, [])


@pytest.mark.parametrize(("status", "code"), [(422, 65), (504, 69)])
def test_the_shortest_window_that_the_api_refuses_ends_the_run(drive: Begin, status: int, code: int) -> None:
    run = drive(Refusing(5, *[77] * CAP, 90, status=status)).run(split())
    assert (run.code, run.ids(), run.is_complete) == (code, [1], False)
    said = f"the shortest window that can be asked for, the API answers {status}, too much by `errors`"
    assert said in run.sentence
    assert "too many results, narrow your range" in run.sentence


def test_a_rule_of_all_streams_is_an_error_of_one_without_windows(drive: Begin) -> None:
    whole = split() | {"name": "whole", "incremental": {"param": "since"}, "errors": []}
    del whole["errors"]
    windowed = split()
    del windowed["errors"]
    run = drive(Refusing(*MANY)).run(windowed, whole, errors=[SPLIT])
    assert run.code == 65
    assert "more than it gives in answer to one question, by `errors`; ask window by window" in run.sentence
    assert len(run.ids()) == len(MANY)
