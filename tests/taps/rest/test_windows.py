"""Windows: both ends in the request, one after the other, and what a run asks for that goes on where another was stopped."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.rest.conftest import Run

from singerkit_shell.errors import SingerkitError
from tap_rest.config import config_conflicts
from tap_rest.tap import TapRest
from tap_rest.windows import windowed

NOW = datetime(2026, 4, 10, 12, 0, 0, tzinfo=UTC)
Drive = Callable[..., Run]


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Drive:
    """``drive(api, stream, state=..., clock=..., **config)``: a run of the tap inside this process, whose clock shows ``clock``."""
    monkeypatch.setenv("NO_PROXY", "*")
    caplog.set_level(logging.INFO)

    def run(
        api: Api, *streams: Mapping[str, Any], state: Any = None, clock: datetime = NOW, **config: Any
    ) -> Run:
        monkeypatch.setattr(windowed, "own_clock", clock.timestamp)
        said = {"base_url": api.url, "streams": list(streams), "retries": {"tries": 1}} | config
        said |= {
            "schema_cache": str(tmp_path / "schemas"),
            "start_date": config.get("start_date", "2026-01-01T00:00:00Z"),
        }
        written, code = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), 0
        caplog.clear()
        del api.asked[:]
        with redirect_stdout(written):
            try:
                TapRest(config=json.loads(json.dumps(said)), state=state, setup_mapper=False).sync()
            except SingerkitError as error:
                code = error.exit_code
                caplog.handler.stream.write(f"\nCRITICAL tap-rest: {error}")
        return Run(code, written.buffer.getvalue().decode(), caplog.text)  # type: ignore[attr-defined]  a BytesIO

    return run


class Dated:
    """Rows of an API that answers at most 31 days, and nothing of the future; ``fails_at`` names ends of which it does not."""

    def __init__(
        self, *days: str, until: str = "inclusive", whole_days: bool = False, zone: str = "UTC"
    ) -> None:
        self.rows = [{"id": number, "at": day} for number, day in enumerate(days, start=1)]
        self.until, self.whole_days, self.zone = until, whole_days, zone
        self.fails_at: set[str] = set()
        self.now = NOW

    def __call__(self, asked: Asked) -> Reply:
        if {"from", "to"} - set(asked.query):
            return json_reply({"error": "from and to are required"}, 400)
        since, until = (self.read(str(asked.param(name))) for name in ("from", "to"))
        if asked.param("to") in self.fails_at:
            return json_reply({"error": "busy"}, 503)
        if until - since > timedelta(days=31) or (until > self.now and self.until == "inclusive"):
            return json_reply({"error": "31 days, and no future"}, 422)
        if self.whole_days:
            until += timedelta(days=1, microseconds=-1)
        found = [
            row for row in self.rows if since <= self.read(row["at"]) and self.is_below(row["at"], until)
        ]
        reply = json_reply(found)
        reply.headers["Date"] = format_datetime(self.now, usegmt=True)  # type: ignore[index]  a dict
        return reply

    def is_below(self, text: str, until: datetime) -> bool:
        return self.read(text) < until if self.until == "exclusive" else self.read(text) <= until

    def read(self, text: str) -> datetime:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(self.zone))


def dated(**more: Any) -> dict[str, Any]:
    """A stream in windows of at most 31 days; what is said of `incremental` is added to it."""
    incremental = {"param": "from", "until_param": "to", "window": "P31D"} | more.pop("incremental", {})
    return {
        "name": "rows",
        "path": "/rows",
        "primary_keys": ["id"],
        "replication_key": "at",
        "pagination": {"type": "single"},
        "incremental": {name: value for name, value in incremental.items() if value is not None},
    } | more


def asked(api: Api) -> list[tuple[str | None, str | None]]:
    return [(one.param("from"), one.param("to")) for one in api.asked]


DAYS = ("2026-01-01", "2026-01-31", "2026-02-01", "2026-02-28", "2026-03-03", "2026-04-10")
TIMES = tuple(f"{day}T10:00:00Z" for day in DAYS)
WHOLE_DAYS = {"incremental": {"format": "%Y-%m-%d", "window": "P1M", "granularity": "P1D"}}


@pytest.mark.parametrize(
    ("api", "stream", "first", "last"),
    [
        (
            Dated(*TIMES),
            dated(),
            ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2026-04-04T00:00:00Z", "2026-04-10T12:00:00Z"),
        ),
        (
            Dated(*TIMES),
            dated(incremental={"format": "epoch"}),
            ("1767225600", "1769904000"),
            ("1775260800", "1775822400"),
        ),
        (
            Dated(*DAYS),
            dated(incremental={"format": "%Y-%m-%d"}),
            ("2026-01-01", "2026-02-01"),
            ("2026-04-04", "2026-04-10"),
        ),
        (
            Dated(*TIMES, whole_days=True),
            dated(incremental={"format": "%Y-%m-%d", "window": "P30D"}),
            ("2026-01-01", "2026-01-31"),
            ("2026-04-01", "2026-04-10"),
        ),
        (
            Dated(*TIMES, whole_days=True),
            dated(**WHOLE_DAYS),
            ("2026-01-01", "2026-01-31"),
            ("2026-04-01", "2026-04-10"),
        ),
        (
            Dated(*TIMES, until="exclusive"),
            dated(incremental={"format": "%Y-%m-%d", "until": "exclusive"}),
            ("2026-01-01", "2026-02-01"),
            ("2026-04-04", "2026-04-11"),
        ),
    ],
)
@pytest.mark.parametrize("has_key", [True, False])
def test_each_row_comes_once_window_by_window(
    api: Dated,
    stream: dict[str, Any],
    first: tuple[str, str],
    last: tuple[str, str],
    has_key: bool,
    drive: Drive,
) -> None:
    stream = stream | ({} if has_key else {"primary_keys": []})
    with serving({"/rows": api}) as served:
        run = drive(served, stream).ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 2, 3, 4, 5, 6]
        assert first in asked(served)
        assert asked(served)[-1] == last
        again = drive(served, stream, state=run.state).ended(0)
        assert again.records("rows") == []
        assert len(asked(served)) == 1, "the signpost of the first run is in its last window"


def test_a_window_that_fails_is_asked_for_again_by_the_next_run_and_none_before_it(drive: Drive) -> None:
    table = Dated("2026-01-05T00:00:00Z", "2026-03-20T00:00:00Z")
    with serving({"/rows": table}) as api:
        table.fails_at = {"2026-04-04T00:00:00Z"}
        stream = dated(schema={"properties": {"id": {"type": "integer"}, "at": {"type": "string"}}})
        first = drive(api, stream).ended(69)
        assert len(first.records("rows")) == 1
        kept = first.state["bookmarks"]["rows"]
        assert kept["replication_key_value"] == "2026-03-04T00:00:00Z", "two windows, the second without rows"
        table.fails_at = set()
        second = drive(api, stream, state=first.state).ended(0)
        assert len(second.records("rows")) == 1
        assert asked(api)[1:] == [
            ("2026-03-04T00:00:00Z", "2026-04-04T00:00:00Z"),
            ("2026-04-04T00:00:00Z", "2026-04-10T12:00:00Z"),
        ]
        third = drive(api, stream, state=second.state).ended(0)
        assert third.records("rows") == []


@pytest.mark.parametrize("off", [timedelta(days=-100), timedelta(days=-3), timedelta(0)])
def test_the_last_window_ends_at_the_start_of_the_run_by_the_clock_of_the_api(
    off: timedelta, drive: Drive
) -> None:
    with serving({"/rows": Dated(*TIMES)}) as api:
        run = drive(api, dated(), clock=NOW + off).ended(0)
        assert len(run.records("rows")) == 6
        assert asked(api)[-1][1] == "2026-04-10T12:00:00Z"


def test_windows_in_the_days_of_a_time_zone(drive: Drive) -> None:
    """At the end of a local day, in a month in which the clocks change."""
    table = Dated(
        "2026-03-28T22:59:59Z",
        "2026-03-28T23:00:00Z",
        "2026-03-29T21:59:59Z",
        whole_days=True,
        zone="Europe/Berlin",
    )
    stream = dated(
        incremental={"format": "%Y-%m-%d", "window": "P1D", "granularity": None}, time_zone="Europe/Berlin"
    )
    with serving({"/rows": table}) as api:
        run = drive(api, stream, start_date="2026-03-28T00:00:00+01:00").ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 2, 3]
        days = asked(api)
        begin = days.index(("2026-03-28", "2026-03-29"))
        assert days[begin + 1 : begin + 3] == [("2026-03-29", "2026-03-30"), ("2026-03-30", "2026-03-31")]


def numbered(api_rows: list[dict[str, Any]], most: int = 100) -> Callable[[Asked], Reply]:
    """Rows by number, at most ``most`` numbers at a time where an end is asked for, else three rows."""

    def route(asked: Asked) -> Reply:
        since, until = int(asked.param("from") or 0), asked.param("to")
        found = [row for row in api_rows if since <= row["seq"] <= (int(until) if until else 10**9)]
        if until is not None and int(until) - since > most:
            return json_reply({"error": "too many"}, 422)
        return json_reply(found if until is not None else found[:3])

    return route


@pytest.mark.parametrize("granularity", [None, 1])
def test_windows_of_numbers_end_behind_the_last_row(granularity: int | None, drive: Drive) -> None:
    """A gap of many windows, and rows that come in later."""
    rows = [{"id": number, "seq": number} for number in (1, 99, 100, 101, 2345)]
    stream = dated(
        replication_key="seq",
        incremental={"window": 100, "granularity": granularity, "start": 1},
        replication_key_format="number",
    )
    with serving({"/rows": numbered(rows)}) as api:
        run = drive(api, stream).ended(0)
        assert [record["seq"] for record in run.records("rows")] == [1, 99, 100, 101, 2345]
        assert ("101", "200" if granularity else "201") in asked(api)
        rows += [{"id": 7, "seq": 2346}]
        again = drive(api, stream, state=run.state).ended(0)
        assert [record["seq"] for record in again.records("rows")] == [2346]


def test_a_window_of_numbers_may_get_more_rows_until_there_is_one_beyond_it(drive: Drive) -> None:
    """A run that failed at the look beyond its last window had the next one begin behind that window, with exit 0."""
    rows = [{"id": number, "seq": number} for number in (1, 50, 130)]
    stream = dated(
        replication_key="seq", incremental={"window": 100, "start": 1}, replication_key_format="number"
    )
    answer = numbered(rows)

    def failing(asked: Asked) -> Reply:
        is_beyond = asked.param("to") is None and int(asked.param("from") or 0) > 130
        return json_reply({}, 503) if is_beyond else answer(asked)

    with serving({"/rows": failing}) as api:
        cut = drive(api, stream, retries={"tries": 1}).ended(69)
    rows += [{"id": 4, "seq": 131}, {"id": 5, "seq": 199}]
    with serving({"/rows": answer}) as api:
        again = drive(api, stream, state=cut.state).ended(0)
    found = {record["seq"] for run in (cut, again) for record in run.records("rows")}
    assert found == {row["seq"] for row in rows}
    assert min(record["seq"] for record in again.records("rows")) >= 130, "the first window is not read again"


def test_children_have_windows_of_their_own(drive: Drive) -> None:
    shops = [{"id": 1}, {"id": 2}]
    child = dated(
        path="/shops/{parent.id}",
        parent={"stream": "shops", "bookmarks": "each"},
        primary_keys=["shops_id", "id"],
    )
    tables = {f"/shops/{number}": Dated(*TIMES[number:]) for number in (1, 2)}
    with serving({"/shops": lambda _: json_reply(shops), **tables}) as api:
        streams = [{"name": "shops", "path": "/shops", "pagination": {"type": "single"}}, child]
        run = drive(api, *streams).ended(0)
        assert [record["shops_id"] for record in run.records("rows")] == [1] * 5 + [2] * 4
        again = drive(api, *streams, state=run.state).ended(0)
        assert again.records("rows") == []
        assert len(api.asked) == 3


def test_a_stream_that_is_silent_is_asked_for_the_silence_once_more_unless_the_clock_counts(
    drive: Drive,
) -> None:
    quiet = Dated("2026-01-05T00:00:00Z")
    with serving({"/rows": quiet}) as api:
        for signpost, requests in (("auto", 6), ("date_header", 1)):
            stream = dated(bookmark={"signpost": signpost})
            state = drive(api, stream).ended(0).state
            assert drive(api, stream, state=state).ended(0).records("rows") == []
            assert len(api.asked) == requests


def test_a_schema_is_inferred_from_the_newest_window_that_has_rows(drive: Drive) -> None:
    table = Dated("2026-01-05T00:00:00Z")
    table.rows[0]["old"] = True
    with serving({"/rows": table}) as api:
        run = drive(api, dated()).ended(0)
        assert run.schemas("rows")[0]["properties"]["old"]["type"] == ["null", "boolean"]


WRONG = {
    "no end": ({"until_param": None}, "`streams[0].incremental.window` has no effect without"),
    "no duration": ({"window": "31 days"}, "Expected a duration such as `P31D`"),
    "nothing": ({"window": "PT0S"}, "Expected a duration of a second to 400 years"),
    "both": ({"granularity": "P1D", "until": "exclusive"}, "does not go with `streams[0].incremental.until`"),
    "longer": ({"granularity": "P2M"}, "shorter than"),
    "of two kinds": ({"granularity": 1}, "both as durations or both as numbers"),
    "alone": (
        {"granularity": "P1D", "window": None},
        "has no effect without `streams[0].incremental.window`",
    ),
    "start": ({"start": 3}, "has no effect without a number"),
    "too short": ({"window": "PT6H", "format": "%Y-%m-%d"}, "writes both of its ends alike"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_says_nothing_is_refused(name: str) -> None:
    said, sentence = WRONG[name]
    config = {
        "base_url": "https://x.example",
        "start_date": "2026-01-01T00:00:00Z",
        "streams": [dated(incremental=said)],
    }
    assert any(sentence in problem for problem in config_conflicts(config))


def test_both_ends_need_a_start() -> None:
    problems = config_conflicts({"base_url": "https://x.example", "streams": [dated()]})
    assert problems == ["`streams[0].incremental` asks for both ends, so it needs a `start_date`"]


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (
            dated(replication_key="seq", schema={"properties": {"id": {}, "seq": {"type": "integer"}}}),
            "holds none: say so",
        ),
        (
            dated(incremental={"window": 5}, schema={"properties": {"id": {}, "at": {"type": "string"}}}),
            "holds none: write",
        ),
        (dated(incremental={"window": "PT1S"}), "makes more than 100000 requests"),
    ],
)
def test_windows_that_do_not_fit_the_key_are_refused(
    stream: dict[str, Any], sentence: str, drive: Drive
) -> None:
    with serving({"/rows": Dated(*TIMES)}) as api:
        run = drive(api, stream)
        assert (run.code, run.stdout.count('"RECORD"')) == (78, 0)
        assert sentence in run.stderr


class Odd(Dated):
    """An API whose ends are not what the config says; ``sees`` tells whether it gives a row for a window."""

    def __init__(self, *days: str, sees: Callable[[dict[str, Any], datetime, datetime], bool]) -> None:
        super().__init__(*days)
        self.sees = sees

    def __call__(self, asked: Asked) -> Reply:
        since, until = (self.read(str(asked.param(name))) for name in ("from", "to"))
        reply = json_reply([row for row in self.rows if self.sees(row, since, until)])
        reply.headers["Date"] = format_datetime(self.now, usegmt=True)  # type: ignore[index]  a dict
        return reply


def at(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["at"])


LOOSE: dict[str, Callable[[dict[str, Any], datetime, datetime], bool]] = {
    "it does not listen to the end": lambda row, since, _until: at(row) >= since,
    "nor to the beginning": lambda _row, _since, _until: True,
    "it goes by days": lambda row, since, until: since.date() <= at(row).date() <= until.date(),
}


@pytest.mark.parametrize("name", LOOSE)
@pytest.mark.parametrize("has_key", [True, False])
def test_an_api_that_gives_more_than_a_window_gives_each_row_once(
    name: str, has_key: bool, drive: Drive
) -> None:
    stream = dated(**({} if has_key else {"primary_keys": []}))
    with serving({"/rows": Odd(*TIMES, sees=LOOSE[name])}) as api:
        run = drive(api, stream, start_date="2026-01-01T09:00:00Z").ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 2, 3, 4, 5, 6]


def created(row: dict[str, Any]) -> datetime:
    """When a row was made: forty days before it changed, or as long after."""
    return at(row) + timedelta(days=40 if row["id"] % 2 else -40)


GRAINS = {"incremental": {"format": "%Y-%m-%d", "granularity": "P1D"}}
ODD: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any], datetime, datetime], bool]]] = {
    "it compares another field": (dated(), lambda row, since, until: since <= created(row) <= until),
    "the last day is its midnight": (dated(**GRAINS), lambda row, since, until: since <= at(row) <= until),
    "it begins behind the value": (dated(), lambda row, since, until: since < at(row) <= until),
    "with granularity, too": (
        dated(**GRAINS),
        lambda row, since, until: since < at(row) < until + timedelta(days=1),
    ),
    "with an exclusive end, too": (
        dated(incremental={"until": "exclusive"}),
        lambda row, since, until: since < at(row) < until,
    ),
}
AROUND = (
    "2026-01-20T00:00:00Z",
    "2026-01-31T10:00:00Z",
    "2026-02-01T00:00:00Z",
    "2026-03-04T00:00:00Z",
    "2026-03-05T00:00:00Z",
)


@pytest.mark.parametrize("name", ODD)
def test_rows_that_would_come_in_no_window_end_the_run(name: str, drive: Drive) -> None:
    stream, sees = ODD[name]
    with serving({"/rows": Odd(*AROUND, sees=sees)}) as api:
        run = drive(api, stream).ended(65)
        assert "where it lies it does not give it" in run.stderr


def test_a_row_that_moves_on_between_two_windows_is_no_error(drive: Drive) -> None:
    """It stands at the end of a window, and has changed when the next one is asked for."""
    table = Dated("2026-01-20T00:00:00Z", "2026-02-01T00:00:00Z")

    def changing(asked: Asked) -> Reply:
        reply = table(asked)
        if asked.param("to") == "2026-02-01T00:00:00Z":
            table.rows[1]["at"] = "2026-04-10T11:00:00Z"
        return reply

    with serving({"/rows": changing}) as api:
        run = drive(api, dated()).ended(0)
        assert [record["at"] for record in run.records("rows")] == [
            "2026-01-20T00:00:00Z",
            "2026-04-10T11:00:00Z",
        ]


def test_rows_without_a_key_that_come_with_each_window_are_sent_once(drive: Drive) -> None:
    rows = [{"id": 1, "at": None}, {"id": 1, "at": None}, {"id": 2, "at": "2026-03-01T00:00:00Z"}]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        run = drive(api, dated(primary_keys=[])).ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 1, 2]


# The span of time


def spans(**more: Any) -> dict[str, Any]:
    return dated(schema={"properties": {"id": {"type": "integer"}, "at": {"type": "string"}}}) | more


@pytest.mark.parametrize(
    ("incremental", "last"),
    [
        ({}, ("2026-03-04T00:00:00Z", "2026-03-03T12:00:00Z")),
        ({"format": "%Y-%m-%d"}, ("2026-03-04", "2026-03-04")),
        ({"format": "%Y-%m-%d", "granularity": "P1D"}, ("2026-03-04", "2026-03-03")),
        ({"until": "exclusive"}, ("2026-03-04T00:00:00Z", "2026-03-03T12:00:00Z")),
    ],
)
def test_an_end_date_is_the_end_of_the_last_window(
    incremental: dict[str, Any], last: tuple[str, str], drive: Drive
) -> None:
    """Rows before it come, and with a later one those from there on: two loads meet without a gap."""
    whole_days = "%" in incremental.get("format", "")
    table = Dated(
        *TIMES, "2026-03-03T12:00:00Z", whole_days=whole_days, until=incremental.get("until", "inclusive")
    )
    stream = spans(**dated(incremental=incremental))
    with serving({"/rows": table}) as api:
        run = drive(api, stream | {"end_date": "2026-03-03T12:00:00Z"}).ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 2, 3, 4, 5]
        assert asked(api)[-1][1] == last[1]
        rest = drive(api, stream, state=run.state, end_date="2026-04-01T00:00:00Z").ended(0)
        assert [record["id"] for record in rest.records("rows")] == [7]
        whole = drive(api, stream, state=rest.state).ended(0)
        assert [record["id"] for record in whole.records("rows")] == [6]
        early = drive(api, stream, state=whole.state, end_date="2026-02-01T00:00:00Z").ended(78)
        assert "there is nothing to read" in early.stderr


@pytest.mark.parametrize("is_sorted", [True, False])
def test_an_end_date_holds_where_no_end_is_asked_for(is_sorted: bool, drive: Drive) -> None:
    """The API gives all; nothing at or after it is sent, and no bookmark passes it."""
    rows = [{"id": number, "at": text} for number, text in enumerate(TIMES, start=1)]

    def since(asked: Asked) -> Reply:
        return json_reply([row for row in rows if row["at"] >= (asked.param("from") or "")])

    stream = spans(is_sorted=is_sorted, incremental={"param": "from"})
    with serving({"/rows": since}) as api:
        run = drive(api, stream, end_date="2026-02-28T10:00:00Z").ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 2, 3]
        assert run.state["bookmarks"]["rows"]["replication_key_value"] == "2026-02-01T10:00:00Z"
        rest = drive(api, stream, state=run.state).ended(0)
        assert [record["id"] for record in rest.records("rows")] == [4, 5, 6]


def test_a_stream_begins_at_a_date_of_its_own(drive: Drive) -> None:
    with serving({"/rows": Dated(*TIMES), "/more": Dated(*TIMES)}) as api:
        more = spans(name="more", path="/more", start_date="2026-02-28T10:00:00Z")
        run = drive(api, spans(), more).ended(0)
        assert [record["id"] for record in run.records("rows")] == [1, 2, 3, 4, 5, 6]
        assert [record["id"] for record in run.records("more")] == [4, 5, 6]
        earlier = drive(api, spans(), more | {"start_date": "2026-01-01T00:00:00Z"}, state=run.state).ended(0)
        assert "`start_date` is earlier" in earlier.stderr


SPANS = {
    "no date": (dated(end_date="soon"), "got `soon` at `streams[0].end_date`"),
    "no replication key": (
        {"name": "s", "path": "/s", "end_date": "2027-01-01T00:00:00Z"},
        "has no effect without",
    ),
    "the other way round": (
        dated(end_date="2025-01-01T00:00:00Z"),
        "Expected `start_date` before `streams[0].end_date`",
    ),
}


@pytest.mark.parametrize("name", SPANS)
def test_a_span_that_means_nothing_is_refused(name: str) -> None:
    stream, sentence = SPANS[name]
    config = {"base_url": "https://x.example", "start_date": "2026-01-01T00:00:00Z", "streams": [stream]}
    assert any(sentence in problem for problem in config_conflicts(config))


@pytest.mark.parametrize("kind", [{"type": "integer"}, {}])
def test_an_end_date_of_a_key_of_numbers_is_refused(kind: dict[str, Any], drive: Drive) -> None:
    stream = {"name": "rows", "path": "/rows", "replication_key": "n", "pagination": {"type": "single"}}
    stream |= (
        {"schema": {"properties": {"n": kind}}, "replication_key_format": "number"}
        if kind
        else {"schema": {"properties": {"n": {}}}}
    )
    with serving({"/rows": lambda _: json_reply([{"n": 1}])}) as api:
        run = drive(api, stream, end_date="2027-01-01T00:00:00Z")
        assert run.code in (65, 78), run.stderr
        assert run.records("rows") == []
