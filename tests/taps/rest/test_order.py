"""Replication keys in the looks that APIs have, and states that others wrote: in order, or refused with a way out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from taps.rest.api_server import Asked, Reply, dated, json_reply, serving

from tap_rest.config import config_conflicts

Rows = list[dict[str, Any]]


def stream(**more: Any) -> dict[str, Any]:
    return {"name": "m", "path": "/m", "replication_key": "u"} | more


class Table:
    """All rows, whatever is asked for."""

    def __init__(self, *values: Any) -> None:
        self.rows = [{"id": number, "u": value} for number, value in enumerate(values)]

    def __call__(self, _asked: Asked) -> Reply:
        return json_reply(self.rows)

    def add(self, value: Any) -> None:
        self.rows.append({"id": len(self.rows), "u": value})


LATER = [
    ("2026-10-25T02:50:00.000+0200", "2026-10-25T02:10:00.000+0100"),
    ("2026-10-25T02:50:00+02", "2026-10-25T02:10:00+01"),
    ("2026-10-25 02:50:00 +02:00", "2026-10-25 02:10:00 +01:00"),
    ("2026-10-25T02:50:00,500Z", "2026-10-25T02:50:00,6Z"),
    ("2026-10-25T09:50Z", "2026-10-25T10:50+00:30"),
    ("2026-10-25 09:50", "2026-10-25 10:50:01"),
]
NAMED = [
    ("number", "999999999999999999", "1000000000000000001"),
    ("number", "9", "10"),
    ("epoch", "999999999", "1000000000"),
    ("rfc2822", "Wed, 21 Oct 2026 07:28:00 GMT", "Thu, 22 Oct 2026 07:28:00 GMT"),
    ("%m/%d/%Y", "12/31/2025", "01/01/2026"),
    ("version", "1.9.3", "1.10.0"),
    ("text", "2026-W09", "2026-W10"),
]


@pytest.mark.parametrize(("earlier", "later"), LATER)
def test_a_later_row_is_sent_in_every_look_of_iso_8601(earlier: str, later: str, run_tap: Any) -> None:
    table = Table(earlier)
    with serving({"/m": table}) as api:
        first = run_tap(api.url, stream()).ended(0)
        table.add(later)
        second = run_tap(api.url, stream(), state=first.state).ended(0)
        third = run_tap(api.url, stream(), state=second.state).ended(0)
    assert second.records("m") == [{"id": 1, "u": later}]
    assert third.records("m") == []
    assert "format" not in second.schemas("m")[0]["properties"]["u"], (
        "no look but that of RFC 3339 is a date-time"
    )


@pytest.mark.parametrize(("name", "earlier", "later"), NAMED)
def test_what_has_no_order_is_refused_and_the_format_that_the_sentence_names_works(
    name: str, earlier: str, later: str, run_tap: Any
) -> None:
    table = Table(earlier)
    with serving({"/m": table}) as api:
        refused = run_tap(api.url, stream()).ended(78)
        assert refused.records("m") == []
        assert f'"{name}"' in refused.sentence or name == "epoch"
        assert f'"{earlier[:16]}"' in refused.sentence
        told = stream(replication_key_format=name)
        first = run_tap(api.url, told).ended(0)
        table.add(later)
        second = run_tap(api.url, told, state=first.state).ended(0)
        again = run_tap(api.url, stream(), state=first.state).ended(78)
    assert second.records("m") == [{"id": 1, "u": later}]
    assert again.records("m") == [], "nor is a bookmark of that look taken for none"


def test_a_text_of_another_look_in_between_is_noticed(run_tap: Any) -> None:
    table = Table("2026-01-01T00:00:00Z")
    with serving({"/m": table}) as api:
        first = run_tap(api.url, stream()).ended(0)
        table.add("1767225600")
        refused = run_tap(api.url, stream(), state=first.state)
        assert refused.code in (65, 78)
        assert refused.records("m") == []
        table.rows[1]["u"] = 1767225600
        assert run_tap(api.url, stream(), state=first.state).code in (65, 78)


@pytest.mark.parametrize(
    ("key", "late", "asked", "more"),
    [
        (
            "2026-05-28T21:10:08.000+0000",
            "2026-05-28T21:09:00.000+0000",
            "2026-05-28T21:00:08Z",
            {"format": "iso"},
        ),
        ("2026-05-28T21:10:08.000+0000", "2026-05-28T21:09:00.000+0000", "2026-05-28T21:00:08.000+0000", {}),
        ("2026-05-28 21:10:08", "2026-05-28 21:09:00", "2026-05-28 21:00:08", {}),
        ("2026-05-28 21:10:08", "2026-05-28 21:09:00", "1780002008", {"format": "epoch"}),
        (1780002608, 1780002540, "1780002008", {"format": "epoch"}),
        (1780002608000, 1780002540000, "1780002008000", {"format": "epoch_ms"}),
        ("1780002608", "1780002540", "2026-05-28 21:00", {"format": "%Y-%m-%d %H:%M", "key": "epoch"}),
        (1780002608123, 1780002540000, "2026-05-28T21:00:08.123000Z", {"format": "iso", "key": "epoch_ms"}),
        (1780002608, 1780002540, "1780002008", {}),
        (
            "Thu, 28 May 2026 21:10:08 GMT",
            "Thu, 28 May 2026 21:09:00 GMT",
            "1780002008",
            {"format": "epoch", "key": "rfc2822"},
        ),
        ("05/28/2026 21:10", "05/28/2026 21:09", "05/28/2026 21:00", {"key": "%m/%d/%Y %H:%M"}),
    ],
)
def test_lookback_has_an_effect_in_every_kind(
    key: Any, late: Any, asked: str, more: dict[str, str], run_tap: Any
) -> None:
    told = {"replication_key_format": more["key"]} if "key" in more else {}
    incremental = {"param": "since", "lookback": 600, "format": more.get("format", "as_is")}
    table = Table(key)
    with serving({"/m": table}) as api:
        first = run_tap(api.url, stream(primary_keys=["id"], incremental=incremental, **told)).ended(0)
        table.add(late)
        second = run_tap(
            api.url, stream(primary_keys=["id"], incremental=incremental, **told), state=first.state
        ).ended(0)
        assert api.asked[-1].param("since") == asked
    assert {"id": 1, "u": late} in second.records("m")


@pytest.mark.parametrize(
    ("values", "asked", "more"),
    [
        ([1767225600, 1767225606], "1767225603", {"format": "epoch"}),
        ([1767225600000, 1767225606000], "1767225603000", {"format": "epoch_ms"}),
        ([1767225600, 1767225606], "1767225603", {"key": "epoch"}),
        (["1767225600", "1767225606"], "2026-01-01T00:00:03Z", {"key": "epoch", "format": "iso"}),
        (
            ["2026-01-01 00:00:00", "2026-01-01 00:00:06"],
            "2026-01-01 00:00:03",
            {"format": "%Y-%m-%d %H:%M:%S"},
        ),
        (["2026-01-01T02:00:00+0200", "2026-01-01T02:00:06+0200"], "2026-01-01T00:00:03Z", {}),
        (["2025-12-31", "2026-01-01"], "2026-01-01", {}),
        (["01/01/2026 00:00:00", "01/01/2026 00:00:06"], "01/01/2026 00:00:03", {"key": "%d/%m/%Y %H:%M:%S"}),
        (
            ["Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:06 GMT"],
            "Thu, 01 Jan 2026 00:00:03 GMT",
            {"key": "rfc2822"},
        ),
    ],
)
def test_a_start_date_has_an_effect_in_every_kind(
    values: list[Any], asked: str, more: dict[str, str], run_tap: Any
) -> None:
    told = {"replication_key_format": more["key"]} if "key" in more else {}
    incremental = {"param": "since", "format": more.get("format", "as_is")}
    with serving({"/m": Table(*values)}) as api:
        run = run_tap(
            api.url, stream(incremental=incremental, **told), start_date="2026-01-01T00:00:03Z"
        ).ended(0)
        assert api.asked[-1].param("since") == asked
    assert [row["u"] for row in run.records("m")] == values[1:]


def test_an_epoch_of_another_unit_is_noticed(run_tap: Any) -> None:
    with serving({"/m": Table(1767225600000)}) as api:
        incremental = {"param": "since", "format": "epoch"}
        run = run_tap(api.url, stream(incremental=incremental), start_date="2026-01-01T00:00:03Z").ended(65)
    assert run.records("m") == []
    assert "of the size of another unit" in run.sentence


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"replication_key_format": "epochs"}, "expected one of date-time"),
        ({"replication_key_format": "%m/%d"}, "a year is needed"),
        (
            {"replication_key_format": "text", "incremental": {"param": "s", "lookback": 5}},
            "lookback` means nothing",
        ),
        ({"replication_key_format": "number", "incremental": {"param": "s", "format": "iso"}}, "use `as_is`"),
        ({"time_zone": "Europe/Berln"}, "Expected an IANA name"),
        ({"replication_key": None, "replication_key_format": "text"}, "needs `streams[0].replication_key`"),
    ],
)
def test_a_config_that_means_nothing_is_refused(more: dict[str, Any], said: str, run_tap: Any) -> None:
    wrong = {name: value for name, value in stream(**more).items() if value is not None}
    with serving({"/m": Table(1)}) as api:
        assert said in run_tap(api.url, wrong).ended(78).sentence
        assert api.asked == []


def conflicts(*, zone: str | None = None, key: str | None = None, **incremental: Any) -> str:
    told = {"time_zone": zone} if zone else {}
    told |= {"replication_key_format": key} if key else {}
    asked = {"incremental": {"param": "since", **incremental}} if incremental else {}
    config = {"base_url": "http://localhost", "streams": [stream(**asked, **told)]}
    return "; ".join(config_conflicts(config))


@pytest.mark.parametrize(
    "pattern",
    [
        *("iso", "as_is", "epoch_us", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%dT00:00:00Z"),
        *(
            "%Y-%m-%d",
            "%Y-%m",
            "%Y%j",
            "%m/%d/%Y",
            "%-d/%-m/%Y",
            "%e %b %Y",
            "%d/%m/%y",
            "%F %T",
            "%G-W%V-%u",
        ),
        *("%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%S.%f%z", "%a, %d %b %Y %H:%M:%S GMT", "%Y-%m-%d %I:%M:%S %p"),
        *(
            "%c",
            "datetime'%Y-%m-%dT%H:%M:%S'",
            "%Y-%m-01",
            "%Y%m01",
            "%Y%m%dT000000",
            "%m/%d/%Y 00:00",
            "(%d.%m.%Y)",
        ),
        *("%Y年%m月%d日 %H時%M分%S秒", 'ge "%Y/%m/%d %H:%M" order by x', "[%Y-%m-%dT%H:%M:%SZ TO *]"),
    ],
)
def test_a_format_that_can_be_read_back_is_taken(pattern: str) -> None:
    assert conflicts(format=pattern) == ""
    if not pattern.endswith(("Z", "GMT")):
        assert conflicts(format=pattern, zone="Europe/Berlin") == ""


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("YYYY-MM-DD", "letters where a date is wanted"),
        ("%YYYY-%MM-%DD", "letters where a date is wanted"),
        *(("yesterday", "names: as_is, iso, epoch"), ("isoformat", "names: as_is, iso, epoch")),
        *((name, "did you mean `iso`?") for name in ("ISO", "isoo")),
        *((name, f"did you mean `{near}`?") for name, near in (("epochs", "epoch"), ("as-is", "as_is"))),
        *(("%Y-%m-%dT%I:%M:%S", "write `%H`, or `%p` as well"), ("%F %l:%M", "write `%H`, or `%p` as well")),
        *(("%Y-%m-%dT%H:%M:%SX", "it ends in `X`"), ("%d %b %Y %H:%M:%S CET", "it ends in `CET`")),
        *(("%Y-%m-%d %H:%M:%SX'", "it ends in `X`"), ("%Y%m%d235959", "it ends in `235959`")),
        ("%H:%M", "a year is needed"),
        ("%d.%m.", "a year is needed"),
        ("%Y-%m-%dT%S", "have no order"),
        ("%Y-%m-%dT23:59:59Z", "must be the small end"),
        ("%%Y", "have no order"),
        ("%Y-W%V", "cannot be read back"),
        ("%Q", "cannot be read back"),
        ("%", "cannot be read back"),
        ("%Y-%m-%dT%H:%M:%S.%LZ", "cannot be read back"),
        ("%Y-%m-%d %s", "use `epoch`"),
        ("%Y-%m-%dT%H:%M:%S-05:00", "it ends in `-05:00`, and the time is written in UTC"),
    ],
)
def test_a_format_that_writes_another_time_is_refused(pattern: str, said: str) -> None:
    assert said in conflicts(format=pattern)


@pytest.mark.parametrize(
    ("zone", "told", "fits"),
    [
        ("Europe/Berlin", {"format": "%Y-%m-%dT%H:%M:%SZ"}, False),
        ("Europe/London", {"format": "%Y%m%d %H%M%S UTC"}, False),
        ("Europe/Berlin", {"format": "%Y-%m-%dT%H:%M:%S+01:00"}, False),
        ("Etc/GMT-1", {"format": "%Y-%m-%dT%H:%M:%S+01:00"}, True),
        ("UTC", {"format": "%Y-%m-%dT%H:%M:%SZ"}, True),
        ("Europe/Berlin", {"format": "%Y-%m-%dT%H:%M:%S", "template": "u>='{value}Z'"}, False),
        ("Europe/Berlin", {"format": "%Y-%m-%d", "template": "{value}T00:00:00Z"}, False),
        ("Europe/Berlin", {"template": "{value}Z"}, False),
        ("Europe/Berlin", {"format": "iso", "template": "u>='{value}'"}, True),
        ("Europe/Berlin", {"key": "%Y-%m-%dT%H:%M:%SZ"}, False),
        (None, {"key": "%Y-%m-%d %H:%M:%S -0500"}, False),
        (None, {"key": "%Y-%m-%dT%H:%M:%SZ"}, True),
    ],
)
def test_an_offset_in_so_many_letters_has_to_be_that_of_the_zone(
    zone: str | None, told: dict[str, str], fits: bool
) -> None:
    said = conflicts(zone=zone, **told)
    assert said == "" if fits else "it ends in `" in said


def test_the_format_that_the_sentence_names_asks_for_what_is_meant(run_tap: Any) -> None:
    """Local times of Berlin, an API that reads the offset it is given: an hour's rows would be lost."""

    def server(asked: Asked) -> Reply:
        since = asked.param("since")
        moment = datetime.fromisoformat(since or "2000-01-01T00:00:00+0000")
        wall = f"{moment.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S}"
        return json_reply([row for row in table.rows if row["u"] >= wall])

    table = Table("2026-01-01 10:00:00")
    with serving({"/m": server}) as api:
        local = stream(time_zone="Europe/Berlin")
        wrong = {"incremental": {"param": "since", "format": "%Y-%m-%dT%H:%M:%SZ"}}
        refused = run_tap(api.url, local | wrong).ended(78)
        assert "it ends in `Z`, and the time is written in Europe/Berlin (`time_zone`)" in refused.sentence
        assert api.asked == []
        told = local | {"incremental": {"param": "since", "format": "%Y-%m-%dT%H:%M:%S%z"}}
        first = run_tap(api.url, told).ended(0)
        table.add("2026-01-01 10:30:00")
        second = run_tap(api.url, told, state=first.state).ended(0)
    assert [row["id"] for row in second.records("m")] == [1]


def test_numbers_written_as_times_need_a_unit(run_tap: Any) -> None:
    with serving({"/m": Table(1767225600)}) as api:
        run = run_tap(api.url, stream(incremental={"param": "since", "format": "iso"})).ended(78)
    assert "set `replication_key_format` to `epoch`" in run.sentence
    assert run.records("m") == []


def test_local_times_through_the_hour_that_comes_twice(run_tap: Any) -> None:
    def server(asked: Asked) -> Reply:
        return json_reply([row for row in table.rows if row["u"] >= (asked.param("since") or "")])

    table = Table("2026-10-25 02:50:00")
    local = stream(incremental={"param": "since"}, time_zone="Europe/Berlin")
    with serving({"/m": server}) as api:
        first = run_tap(api.url, local).ended(0)
        assert "without an offset" not in first.stderr
        table.add("2026-10-25 02:10:00")  # twenty minutes later
        second = run_tap(api.url, local, state=first.state).ended(0)
        assert api.asked[-1].param("since") == "2026-10-25 01:59:59"
        table.add("2026-10-25 03:00:00")
        third = run_tap(api.url, local, state=second.state).ended(0)
        warned = run_tap(api.url, stream(incremental={"param": "since"})).ended(0)
    assert [row["id"] for row in second.records("m")] == [1]
    assert [row["id"] for row in third.records("m")] == [2]
    assert "set `time_zone`" in warned.stderr


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("sorts", ["in pages", "at once"])
@pytest.mark.parametrize("form", ["as_is", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"])
def test_whatever_the_server_takes_the_hour_for_none_of_its_rows_is_lost(
    fold: int, sorts: str, form: str, run_tap: Any
) -> None:
    """A server that takes a local time for its second occurrence leaves the first out, unless it is asked from before it."""
    berlin, begin = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    moments = [begin + timedelta(minutes=7 * number) for number in range(40)]
    rows: list[dict[str, Any]] = []

    def server(asked: Asked) -> Reply:
        since = datetime.fromisoformat(asked.param("since") or "2026-01-01").replace(tzinfo=berlin, fold=fold)
        found = [row for row in rows if moments[row["id"]] >= since.astimezone(UTC)]
        page = int(asked.param("page") or 1) - 1
        return json_reply(found[page * 10 : page * 10 + 10] if sorts == "in pages" else found)

    more: dict[str, Any] = {"is_sorted": True, "pagination": {"type": "page", "continue_by": "bookmark"}}
    asks = {"param": "since", "format": form}
    local = stream(incremental=asks, time_zone="Europe/Berlin", **(more if sorts == "in pages" else {}))
    came, state = [], None
    with serving({"/m": server}) as api:
        for count in (14, 40, 40):
            rows += [
                {"id": number, "u": f"{moments[number].astimezone(berlin):%Y-%m-%d %H:%M:%S}"}
                for number in range(len(rows), count)
            ]
            run = run_tap(api.url, local, state=state).ended(0)
            came.append([row["id"] for row in run.records("m")])
            state = run.state
    assert sorted(came[0] + came[1]) == list(range(40))
    assert came[2] == []


@pytest.mark.parametrize("odd", ["2026-01-02T00:00:00+0200", "2026-01-02 00:00:00Z"])
def test_a_page_of_another_look_is_no_date_time_on_the_wire(odd: str, run_tap: Any) -> None:
    """A target by others may check the format; the first page alone was of it."""
    table = Table("2026-01-01T00:00:00Z")
    with serving({"/m": table}) as api:
        first = run_tap(api.url, stream()).ended(0)
        assert first.schemas("m")[-1]["properties"]["u"]["format"] == "date-time"
        table.add(odd)
        second = run_tap(api.url, stream(), state=first.state).ended(0)
    assert "format" not in second.schemas("m")[-1]["properties"]["u"]
    assert second.records("m") == [{"id": 1, "u": odd}]


# States of others


U = "2026-02-05T00:00:00Z"
KNOWN: list[dict[str, Any]] = [
    {"bookmarks": {"m": {"u": U}}},
    {"singer_state": {"bookmarks": {"m": {"replication_key": "u", "replication_key_value": U}}}},
    {"completed": {"singer_state": {"bookmarks": {"m": {"u": U}}}}, "partial": {}},
    {"bookmarks": {"m": {"u": U, "version": 1}}, "currently_syncing": "m"},
    {
        "bookmarks": {
            "m": {
                "replication_key": "u",
                "replication_key_value": U,
                "replication_key_signpost": "2026-09-01T00:00:00Z",
                "starting_replication_value": U,
                "progress_markers": {"replication_key": "u", "replication_key_value": "2026-09-01T00:00:00Z"},
            }
        }
    },
]
UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"m": U}, "has `m` at its top level"),
    ({"bookmarks": {"m": U}}, "its part is not an object"),
    ({"bookmarks": {"m": {"modified_at": U}}}, "`modified_at`"),
    (
        {"bookmarks": {"m": {"replication_key": "t", "replication_key_value": U}}},
        "is by `t`, the config says `u`",
    ),
    ({"bookmarks": {"m": {"partitions": [{"context": {"a": 1}, "u": U}]}}}, "bookmarks of partitions"),
    ({"bookmarks": {"m": {"u": "soon"}}}, "as bookmark of stream `m`"),
    ({"cursor": U}, "has no `bookmarks`"),
    ({"bookmarks": [1]}, "`bookmarks` of the state is not an object"),
]
DATES = Table(*(f"2026-0{month}-05T00:00:00Z" for month in (1, 2, 3)))


@pytest.mark.parametrize("state", KNOWN)
def test_a_state_of_another_tap_is_continued(state: dict[str, Any], run_tap: Any) -> None:
    with serving({"/m": DATES}) as api:
        run = run_tap(api.url, stream(incremental={"param": "since"}), state=state).ended(0)
        assert api.asked[-1].param("since") == U
    assert [row["id"] for row in run.records("m")] == [1, 2]
    assert run.state["bookmarks"]["m"]["replication_key_value"] == "2026-03-05T00:00:00Z"


@pytest.mark.parametrize(("state", "said"), UNKNOWN)
def test_a_state_that_is_not_understood_is_no_first_run(
    state: dict[str, Any], said: str, run_tap: Any
) -> None:
    with serving({"/m": DATES}) as api:
        run = run_tap(api.url, stream(), state=state).ended(78)
    assert said in run.sentence
    assert run.records("m") == []


@pytest.mark.parametrize("field", ["user_id", "userId"])
def test_partitions_of_another_tap_are_continued_or_refused(field: str, run_tap: Any) -> None:
    state = {"bookmarks": {"m": {"partitions": [{"context": {field: 7}, "u": U}]}}}
    users = {"name": "users", "path": "/users", "selected": False}
    child = stream(
        path="/m/{parent.id}", parent={"stream": "users", "copy": {"user_id": "id"}, "bookmarks": "each"}
    )
    with serving({"/users": lambda _: json_reply([{"id": 7}]), "/m/7": DATES}) as api:
        run = run_tap(api.url, users, child, state=state).ended(0 if field == "user_id" else 78)
    assert [row["id"] for row in run.records("m")] == ([1, 2] if field == "user_id" else [])
    assert field == "user_id" or "told apart by `userId`, those of this run by `user_id`" in run.sentence


STRANGER = "The state knows `other`, which the config does not have"


def test_a_stream_that_the_config_does_not_have_is_kept_and_told_where_another_is_new(run_tap: Any) -> None:
    other = {"replication_key": "x", "replication_key_value": 5}
    with serving({"/m": DATES}) as api:
        alone = run_tap(api.url, stream(), state={"bookmarks": {"other": other}}).ended(0)
        beside = run_tap(api.url, stream(), state=alone.state).ended(0)
    assert (
        f"{STRANGER}; `m` is read from the beginning. If one of them is known by another name" in alone.stderr
    )
    assert (
        "To hear no more of `other`, run the target's command line, its config and all, to which `--state-file "
        in (alone.stderr)
    )
    assert levels(alone, STRANGER) == ["WARNING", "WARNING"]
    assert levels(beside, STRANGER) == ["INFO"]
    assert "| tap-rest   " in next(line for line in beside.stderr.splitlines() if STRANGER in line)
    assert alone.state["bookmarks"]["other"] == beside.state["bookmarks"]["other"] == other


def levels(run: Any, sentence: str) -> list[str]:
    return [line.split("|")[1].strip() for line in run.stderr.splitlines() if sentence in line]


@pytest.mark.parametrize("whole", [False, True])
def test_a_stream_that_is_named_otherwise_is_told_with_the_name_that_is_near(
    whole: bool, run_tap: Any
) -> None:
    def named(name: str, **more: Any) -> dict[str, Any]:
        return ({"path": "/m", "primary_keys": ["id"]} if whole else stream()) | {"name": name} | more

    with serving({"/m": DATES}) as api:
        first = run_tap(api.url, named("orders"), named("events")).ended(0)
        misspelt = run_tap(api.url, named("events"), named("ordrs"), state=first.state).ended(0)
        deselected = run_tap(
            api.url, named("orders", selected=False), named("events"), named("new"), state=first.state
        ).ended(0)
        corrected = run_tap(api.url, named("events"), named("orders"), state=misspelt.state).ended(0)
    assert (
        "The state knows `orders`, which the config does not have; `ordrs` is read from the beginning. If `ordrs` is meant "
        "to be `orders`, correct `name` and run again; if not, nothing is lost."
    ) in misspelt.stderr
    assert levels(misspelt, "The state knows") == ["WARNING", "WARNING"]
    assert "The state knows" not in deselected.stderr
    assert levels(corrected, "The state knows `ordrs`") == ["INFO"]
    assert len(corrected.records("orders")) == (len(first.records("orders")) if whole else 0)


def test_a_stream_that_was_incremental_is_not_read_as_a_whole_without_a_word(run_tap: Any) -> None:
    state = {"bookmarks": {"m": {"replication_key": "u", "replication_key_value": U}}}
    whole = {"name": "m", "path": "/m"}
    with serving({"/m": DATES}) as api:
        refused = run_tap(api.url, whole, state=state).ended(78)
        told = run_tap(api.url, whole | {"primary_keys": ["id"]}, state=state).ended(0)
        again = run_tap(api.url, whole | {"primary_keys": ["id"]}, state=told.state).ended(0)
        back = run_tap(api.url, stream(primary_keys=["id"]), state=again.state).ended(0)
        last = run_tap(api.url, whole | {"primary_keys": ["id"]}, state=back.state).ended(0)
    assert "bookmark by `u`, and the stream is now read as a whole" in refused.sentence
    for run in (told, last):
        (line, _again) = [
            line for line in run.stderr.splitlines() if "is read as a whole now: the bookmark by `u`" in line
        ]
        assert "| tap-rest.m  " in line
    assert "is read as a whole" not in again.stderr


@pytest.mark.parametrize("way", ["reset", "set"])
def test_the_ways_out_of_a_changed_key_work(way: str, run_tap: Any, tmp_path: Path) -> None:
    state = tmp_path / "kept.json"
    state.write_text(json.dumps({"bookmarks": {"m": {"replication_key": "t", "replication_key_value": 5}}}))
    command = [str(Path(sys.executable).with_name("singerkit-state"))]
    if way == "reset":
        command += ["reset", str(state), "--stream", "m", "--yes"]
    else:
        command += ["set", str(state), json.dumps({"u": U}), "--stream", "m"]
    with serving({"/m": DATES}) as api:
        assert (
            f"singerkit-state reset {state} --stream m --yes"
            in run_tap(api.url, stream(), args=("--state", str(state))).ended(78).sentence
        )
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        run = run_tap(api.url, stream(), args=("--state", str(state))).ended(0)
    assert [row["id"] for row in run.records("m")] == ([0, 1, 2] if way == "reset" else [1, 2])


LOCAL = {"type": ["null", "string"], "format": "date-time"}


@pytest.mark.parametrize("value", ["2026-07-01T10:00:00", "2026-07-01 10:00", "2026-07-01"])
def test_local_times_that_a_target_would_take_for_utc_are_refused(value: str, run_tap: Any) -> None:
    """The bookmark is of Berlin, and the column would be two hours off."""
    with serving({"/m": Table(value)}) as api:

        def run(at: Any, zone: str = "Europe/Berlin", **more: Any) -> Any:
            schema = {"properties": {"id": {"type": "integer"}, "u": at}}
            return run_tap(api.url, stream(schema=schema, time_zone=zone, **more))

        refused = run(LOCAL).ended(78)
        assert "takes them for UTC, and `time_zone` says that they are of Europe/Berlin" in refused.sentence
        assert refused.records("m") == []
        told = [run({"type": "string"}), run(LOCAL | {"x-sql-datatype": "timestamp"}), run(LOCAL, "UTC")]
        for each in told:
            assert each.ended(0).records("m") == [{"id": 0, "u": value}]
            assert "takes them for UTC" not in each.stderr


def test_local_times_beside_the_key_are_told_of(run_tap: Any) -> None:
    rows = [{"u": "2026-07-01T10:00:00Z", "made": "2026-07-01T10:00:00"}]
    schema = {"properties": {"u": LOCAL, "made": LOCAL}}
    with serving({"/m": lambda _: json_reply(rows)}) as api:
        run = run_tap(api.url, stream(schema=schema, time_zone="Europe/Berlin")).ended(0)
        silent = run_tap(api.url, stream(schema=schema)).ended(0)
    assert run.records("m") == rows
    assert "The field `made` of stream m holds times without an offset" in run.stderr
    assert "takes them for UTC" not in silent.stderr


def test_a_replication_key_of_thousands_of_digits(run_tap: Any) -> None:
    body = b'[{"id": 1, "at": %s}]' % (b"9" * 5000)
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        run = run_tap(api.url, dated()).ended(65)
    assert "Expected a number, got one that is out of range at rows.$.at, the replication key" in run.sentence


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "in `params`; only if there is none, declare the stream unsorted"),
        ({"sort": "updated"}, 'beside `sort` many APIs take the descending one where none is named (GitHub: `"direction": "asc"`)'),
        ({"sort": "updated", "direction": "desc"}, ": `direction` asks for the descending one; only"),
        ({"order_by": "-at"}, ": `order_by` asks for the descending one; only"),
        ({"sort": "at", "dir": "ASC"}, "in `params`; only if"),
    ],
)  # fmt: skip
def test_pages_that_are_not_sorted_name_the_order_to_ask_for(
    params: dict[str, Any], said: str, run_tap: Any
) -> None:
    rows = [{"id": n, "at": f"2026-01-0{n}"} for n in (4, 3, 2, 1)]
    stream = dated(is_sorted=True, params=params, pagination={"type": "link_header"}, primary_keys=[])

    def server(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        link = {"Link": f'<{api.url}/rows?page={page + 1}>; rel="next"'} if page < 4 else {}
        return json_reply(rows[page - 1 : page], **link)

    with serving({"/rows": server}) as api:
        refused = run_tap(api.url, stream).ended(65)
    assert said in refused.sentence


@pytest.mark.parametrize(
    ("format", "days"), [("date", 259_200), ("%Y%m%d", 259_200), ("%Y%m%d", 3), ("%Y%m%d%H", 259_200)]
)
def test_seconds_in_the_place_of_days_are_refused(format: str, days: int, run_tap: Any) -> None:
    value = {"date": "2026-01-01", "%Y%m%d": "20260101", "%Y%m%d%H": "2026010100"}[format]
    keys = {"primary_keys": ["id"], "replication_key": "at", "replication_key_format": format}
    stream = {"name": "rows", "path": "/rows", "incremental": {"param": "since", "lookback": days}, **keys}
    is_wrong = days > 3 and "H" not in format
    with serving({"/rows": lambda _: json_reply([{"id": 1, "at": value}])}) as api:
        run = run_tap(api.url, stream).ended(78 if is_wrong else 0)
    assert ("counts days where the replication key `at` is a date" in run.stderr) == is_wrong
