"""`incremental.shard_window`: shards take turns at spans of the replication key, and ask for the windows in their own."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_state.dividing import divided
from singerkit_state.shards import Shard
from tap_rest.config import config_conflicts
from tap_rest.windows import windowed

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Source:
    """Rows by the time at which they have changed, or by number; asked for from here to there, both included."""

    def __init__(self, rows: dict[int, Any], now: datetime) -> None:
        self.rows, self.now = rows, now
        self.asked: list[tuple[str, str]] = []
        self.most: int | None = None

    def __call__(self, asked: Asked) -> Reply:
        since, until = asked.param("from"), asked.param("to")
        if since is None:
            return json_reply({"error": "from is required"}, 400)
        self.asked.append((since, str(until)))
        low, high = self._read(since), None if until is None else self._read(until)
        if until is not None and len(until) == 10 and "-" in until:
            high += 86399  # all of that day
        found = [
            {"id": no, "at": at}
            for no, at in self.rows.items()
            if low <= (place := self.place(at)) and (high is None or place <= high)
        ]
        reply = json_reply(found[: self.most])
        reply.headers["Date"] = format_datetime(self.now, usegmt=True)  # type: ignore[index]  a dict
        return reply

    def place(self, at: Any) -> Any:
        return self._read(str(at))

    def _read(self, text: str) -> Any:
        if text.isdigit():
            return float(text)
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def stream(**incremental: Any) -> dict[str, Any]:
    return {
        "name": "visits",
        "path": "/visits",
        "primary_keys": ["id"],
        "replication_key": "at",
        "schema": {
            "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}
        },
        "pagination": {"type": "single"},
        "incremental": {"param": "from", "until_param": "to", **incremental},
    }


Reads = Callable[..., list[Any]]


@pytest.fixture
def reads(run: Any, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """``reads(source, stream, of, states)``: one run of each shard."""

    def each(source: Source, one: Any, of: int, states: Any = None) -> list[Any]:
        monkeypatch.setattr(windowed, "own_clock", source.now.timestamp)
        counts = isinstance(one["incremental"].get("window"), int)
        given = {} if counts else {"start_date": "2026-01-01T00:00:00Z"}
        with serving({"/visits": source}) as api:
            return [
                run(api, one, shard=Shard(no, of), state=states[no] if states else None, **given)
                for no in range(of)
            ]

    return each


def rows(runs: list[Any]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for one in runs for row in one.rows)


def moment(seconds: int) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


LENGTHS = [
    {"window": "P7D", "shard_window": "P1M"},
    {"window": "P1M", "shard_window": "P7D"},
    {"shard_window": "P2M"},
    {"window": "PT36H", "shard_window": "PT50H", "format": "epoch"},
    {"window": "P5D", "shard_window": "P10D", "granularity": "P1D", "format": "%Y-%m-%d"},
    {"window": "P1M", "shard_window": "P3M", "until": "exclusive", "lookback": 86400},
]


@pytest.mark.parametrize("incremental", LENGTHS, ids=json.dumps)
def test_each_row_is_read_by_one_shard_also_where_it_changes_later(reads: Reads, incremental: Any) -> None:
    chance, one = random.Random(json.dumps(incremental)), stream(**incremental)
    of, span = chance.choice([2, 3, 7]), chance.choice([50, 200]) * 86400
    source = Source({no: moment(chance.randrange(span)) for no in range(60)}, BEGIN + timedelta(seconds=span))
    source.rows[100] = "2026-02-01T00:00:00Z"
    runs = reads(source, one, of)
    assert rows(runs) == Counter(json.dumps({"at": at, "id": no}) for no, at in source.rows.items())
    known = {row["id"]: row["at"] for run in runs for row in run.rows}
    source.now += timedelta(days=chance.choice([1, 40]))
    after = int((source.now - BEGIN).total_seconds())
    source.rows |= {no: moment(chance.randrange(span, after)) for no in range(50, 80)}
    again = reads(source, one, of, [run.state for run in runs])
    for row in (row for run in again for row in run.rows):
        known[row["id"]] = max(known.get(row["id"], ""), row["at"])
    assert known == source.rows
    assert {row["id"] for run in again for row in run.rows} < {*source.rows}  # and not all once more


def test_another_number_of_shards_goes_on_from_where_all_have_come(reads: Reads) -> None:
    source = Source({no: moment(no * 86400) for no in range(80)}, BEGIN + timedelta(days=80))
    one = stream(window="P7D", shard_window="P7D")
    states = {Shard(no, 3): run.state for no, run in enumerate(reads(source, one, 3))}
    new, again = divided(states, "tap-rest", 4)
    source.rows[5] = moment(79 * 86400)
    runs = reads(source, one, 4, [*new.values()])
    came = {row["id"] for run in runs for row in run.rows}
    assert not again
    assert {5} < came
    assert min(came - {5}) > 50


def test_shards_of_numbers_take_turns(reads: Reads) -> None:
    source = Source({no: no for no in range(1, 1000, 3)}, BEGIN)
    one = stream(window=100, shard_window=250)
    one["schema"]["properties"]["at"] = {"type": "integer"}
    runs = reads(source, one, 3)
    assert rows(runs) == Counter(json.dumps({"at": no, "id": no}) for no in source.rows)
    assert {row["id"] // 250 % 3 for row in runs[1].rows} == {1}
    source.rows |= {no: no for no in range(1000, 1700, 7)}
    again = reads(source, one, 3, [run.state for run in runs])
    assert {row["id"] for run in runs + again for row in run.rows} == {*source.rows}


def test_a_shard_asks_for_no_window_of_another_one(reads: Reads) -> None:
    source = Source({no: moment(no * 86400 + 5000) for no in range(90)}, BEGIN + timedelta(days=90))
    one = stream(window="P1M", shard_window="P1M") | {"bookmark": {"signpost": "none"}}
    runs = reads(source, one, 4)
    asked = [since for since, _ in source.asked]
    assert [since[:7] for since in asked if since.endswith("01T00:00:00Z")] == [
        "2026-01",
        "2026-02",
        "2026-03",
    ]
    assert [bool(run.rows) for run in runs].count(False) == 1
    assert all(run.state["_singerkit"]["complete"] for run in runs)


def test_a_span_begins_where_the_time_zone_says(reads: Reads) -> None:
    source = Source({1: "2026-03-31T21:59:59Z", 2: "2026-03-31T22:00:00Z"}, BEGIN + timedelta(days=150))
    one = stream(window="P1M", shard_window="P1M", format="iso") | {"time_zone": "Europe/Berlin"}
    runs = reads(source, one, 2)
    assert sorted(row["id"] for run in runs for row in run.rows) == [1, 2]
    assert all(len(run.rows) == 1 for run in runs)


def test_rows_beyond_a_span_that_do_not_come_where_they_lie_end_the_run(reads: Reads) -> None:
    """The API compares another field: each row comes with the span before the one that it lies in."""

    class Strange(Source):
        def place(self, at: Any) -> Any:
            return super().place(at) - 86400 * 31

    source = Strange({1: "2026-02-20T00:00:00Z"}, BEGIN + timedelta(days=80))
    with pytest.raises(BadDataError, match="compares another field"):
        reads(source, stream(window="P1M", shard_window="P1M"), 3)


def test_spans_that_are_cut_otherwise_are_refused_under_a_state(reads: Reads) -> None:
    source = Source({1: moment(5)}, BEGIN + timedelta(days=80))
    states = [run.state for run in reads(source, stream(window="P1M", shard_window="P1M"), 2)]
    with pytest.raises(
        ConfigurationError, match=r"spans of the replication key .* were P1M in UTC, and are P2M in UTC"
    ):
        reads(source, stream(window="P1M", shard_window="P2M"), 2, states)
    with pytest.raises(ConfigurationError, match="nothing divides it"):
        reads(source, stream(window="P1M"), 2, states)
    runs = reads(source, stream(window="P9D", shard_window="P1M"), 2, states)  # windows may change
    assert all(run.state["_singerkit"]["moving"] == ["visits"] for run in runs)


def test_spans_that_the_api_cannot_be_asked_by_are_refused(reads: Reads) -> None:
    one = stream(window="P1M", shard_window="PT36H", format="%Y-%m-%d")
    with pytest.raises(ConfigurationError, match="ends where the API cannot be asked: `2026-01-02`"):
        reads(Source({1: moment(5)}, BEGIN + timedelta(days=80)), one, 2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"incremental": {"param": "from", "shard_window": "P1M"}}, "shard_window` has no effect without"),
        ({"primary_keys": []}, "needs `primary_keys`"),
        ({"deletes": {"field": "gone"}}, "does not go with `deletes`"),
        ({"for_each": {"region": ["a"]}}, "does not go with `for_each`"),
        ({"incremental": {"shard_window": "P1M1D"}}, "months, of days or of seconds alone"),
        ({"incremental": {"shard_window": "often"}}, "Expected a duration"),
        ({"incremental": {"shard_window": 5}}, "no effect as a number"),
        ({"incremental": {"shard_window": "P1D", "window": 5}}, "both as durations or both as numbers"),
    ],
)
def test_what_it_does_not_go_with_is_refused(more: Any, said: str) -> None:
    one = stream(shard_window="P1M") | more
    if "incremental" in more and "param" not in more["incremental"]:
        one["incremental"] = stream(**more["incremental"])["incremental"]
    config = {"base_url": "https://x", "streams": [one], "start_date": "2026-01-01T00:00:00Z"}
    assert any(said in problem for problem in config_conflicts(config)), config_conflicts(config)


def test_a_stream_with_others_below_it_is_refused() -> None:
    below = {"name": "lines", "path": "/{parent.id}", "parent": {"stream": "visits"}}
    streams = [stream(shard_window="P1M"), below]
    problems = config_conflicts({"base_url": "https://x", "streams": streams, "start_date": "2026-01-01"})
    assert any("does not go with stream `lines` below it" in problem for problem in problems)
