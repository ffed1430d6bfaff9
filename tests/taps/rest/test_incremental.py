"""Bookmarks in the request, and two runs that together read each row once (H15, H16)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import (
    Api,
    Asked,
    Reply,
    Route,
    Table,
    dated,
    json_reply,
    page_of,
    repeatedly,
    serving,
)

from tap_rest.incremental import is_of_creation, other_field_asked, said_of_bookmark
from tap_rest.settings.incremental import Incremental
from tap_rest.settings.stream import StreamSettings

SCHEMA = {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}, "v": {}}}


def orders(**more: Any) -> dict[str, Any]:
    return dated("orders", pagination={"type": "offset"}, schema=SCHEMA) | more


def row(number: int, day: int, value: str = "") -> dict[str, Any]:
    return {"id": number, "at": f"2026-01-{day:02d}T00:00:00Z", "v": value}


@pytest.mark.parametrize("is_sorted", [False, True])
def test_many_rows_at_one_moment_over_pages_and_runs(is_sorted: bool, run_tap: Any) -> None:
    table = Table([row(n, 1 if n < 3 else 2) for n in range(1, 12)], size=3)
    with serving({"/orders": table}) as api:
        first = run_tap(api.url, orders(is_sorted=is_sorted)).ended(0)
        assert first.records("orders") == table.rows
        assert api.asked[0].param("since") is None
        assert is_sorted or all(asked.param("since") is None for asked in api.asked)
        assert first.state["bookmarks"]["orders"]["replication_key_value"] == "2026-01-02T00:00:00Z"

        again = run_tap(api.url, orders(is_sorted=is_sorted), state=first.state).ended(0)
        assert again.records("orders") == []

        new = [row(20, 2), row(21, 3)]
        table.rows += new
        table.rows[5] = row(6, 2, "changed at the same moment")
        del api.asked[:]
        second = run_tap(api.url, orders(is_sorted=is_sorted), state=again.state).ended(0)
    sent = Counter(record["id"] for record in second.records("orders"))
    assert sent == Counter([6, 20, 21])
    # A sorted stream goes on by its key instead of the number of the page.
    after = {"2026-01-03T00:00:00Z"} if is_sorted else set()
    assert {asked.param("since") for asked in api.asked} == {"2026-01-02T00:00:00Z"} | after


FORMATS = {
    "as_is": "2026-01-02T03:04:05.678901+01:00",
    "iso": "2026-01-02T02:04:05.678901Z",
    "epoch": "1767319445",
    "epoch_ms": "1767319445678",
    "%Y-%m-%d": "2026-01-02",
    "%d/%m/%Y %H:%M": "02/01/2026 02:04",
}


@pytest.mark.parametrize("name", FORMATS)
def test_how_the_value_is_written(name: str, run_tap: Any) -> None:
    state = {"bookmarks": {"orders": {"replication_key": "at", "replication_key_value": FORMATS["as_is"]}}}
    with serving({"/orders": lambda _: json_reply([])}) as api:
        incremental = {"param": "since", "format": name, "template": "gte.{value}"}
        run_tap(api.url, orders(incremental=incremental), state=state).ended(0)
        assert api.asked[0].param("since") == f"gte.{FORMATS[name]}"


def test_numbers_as_bookmarks(run_tap: Any) -> None:
    schema = {"properties": {"id": {"type": "integer"}}}
    stream = orders(replication_key="id", schema=schema, pagination={"type": "single"})
    with serving({"/orders": lambda _: json_reply(b'[{"id": 12345678901234567890}, {"id": 7}]')}) as api:
        refused = run_tap(api.url, stream, start_date="2026-01-01T00:00:00Z").ended(78)
        assert "`start_date` means nothing to `id`" in refused.sentence
        assert api.asked == []
        stream["replication_key_format"] = "number"
        first = run_tap(api.url, stream, start_date="2026-01-01T00:00:00Z").ended(0)
        assert "`start_date` does not count for stream `orders`" in first.stderr
        second = run_tap(api.url, stream, state=first.state).ended(0)
        assert [asked.param("since") for asked in api.asked] == [None, "12345678901234567890"]
    assert second.records("orders") == []


def test_start_date_and_lookback(run_tap: Any) -> None:
    table = Table([row(1, 1), row(2, 5), row(3, 9)], size=3)
    with serving({"/orders": table}) as api:
        stream = orders(incremental={"param": "since", "lookback": 5 * 86400})
        first = run_tap(api.url, stream, start_date="2026-01-02T00:00:00Z").ended(0)
        assert [record["id"] for record in first.records("orders")] == [2, 3]
        assert api.asked[0].param("since") == "2026-01-02T00:00:00Z"
        del api.asked[:]
        table.rows.append(row(4, 6, "late"))
        second = run_tap(api.url, stream, state=first.state).ended(0)
        assert api.asked[0].param("since", "")[:10] == "2026-01-04"
    assert 4 in [record["id"] for record in second.records("orders")]


@pytest.mark.parametrize(
    ("asked", "key", "said"),
    [
        ({"param": "created_since"}, "updated_at", "`created_at`"),
        ({"param": "createdAfter"}, "updated_at", "`created_at`"),
        ({"param": "createdAt[gte]"}, "updated_at", "`created_at`"),
        ({"param": "q", "template": "closed:>={value}"}, "updated_at", "`closedOn`"),
        ({"param": "updated_since"}, "created_at", "`updated_at`"),
        ({"param": "creation_date_from"}, "last_modified", "`created_at`"),
        ({"param": "inserted_after"}, "changed", "the creation"),
        ({"param": "updated_since"}, "updated_at", None),
        (
            {"param": "filter", "template": "updated_at gt {value} and created_at gt 2000-01-01"},
            "updated_at",
            None,
        ),
        ({"param": "modified_since"}, "updated_at", None),
        ({"param": "since"}, "updated_at", None),
        ({"param": "start_date"}, "updated_at", None),
        ({"param": "created_by"}, "at", "`created_at`"),
        ({"param": "closure"}, "at", None),
        ({"param": "id_after"}, "id", None),
    ],
)
def test_a_parameter_that_speaks_of_another_field(asked: dict[str, str], key: str, said: str | None) -> None:
    time = {"type": "string", "format": "date-time"}
    names = ("created_at", "updated_at", "start_date", "due", "id")
    properties = dict.fromkeys(names, time) | {"closedOn": {"type": "integer"}, "closure": {"type": "string"}}
    stream = StreamSettings("rows", "/rows", incremental=Incremental(**asked))
    assert other_field_asked(said_of_bookmark(stream), key, properties) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"filters": [{"propertyName": "created_at", "operator": "GTE", "value": "{bookmark}"}]},
            "`created_at`",
        ),
        ({"filters": [{"propertyName": "updated_at", "operator": "GTE", "value": "{bookmark}"}]}, None),
        ({"query": {"range": {"created_at": {"gte": "{value}"}}}}, "`created_at`"),
        ({"jql": "created >= '{bookmark}' order by id"}, "`created_at`"),
        ({"since": "{bookmark}", "sort": "created_at"}, None),
    ],
)
def test_a_body_that_speaks_of_another_field(body: dict[str, Any], said: str | None) -> None:
    time = {"type": "string", "format": "date-time"}
    stream = StreamSettings("rows", "/rows", method="POST", body=body, incremental=Incremental())
    properties = {"created_at": time, "updated_at": time}
    assert other_field_asked(said_of_bookmark(stream), "updated_at", properties) == said


def test_a_parameter_that_speaks_of_another_field_is_warned_of(run_tap: Any) -> None:
    """The change of row 1 never comes: it was created before."""
    rows = [{"id": n, "created_at": f"2026-01-0{n}", "updated_at": f"2026-01-0{n}"} for n in (1, 2)]

    def server(asked: Asked) -> Reply:
        since = asked.param("created_since") or ""
        return json_reply([row for row in rows if str(row["created_at"]) >= since])

    told = {
        "name": "m",
        "path": "/m",
        "replication_key": "updated_at",
        "incremental": {"param": "created_since"},
    }
    with serving({"/m": server}) as api:
        first = run_tap(api.url, told).ended(0)
        rows[0]["updated_at"] = "2026-01-03"
        second = run_tap(api.url, told, state=first.state).ended(0)
    assert second.records("m") == []
    for run in (first, second):
        assert "sounds like `created_at`, and its replication key is `updated_at`" in run.stderr


@pytest.mark.parametrize(
    ("key", "is_creation"),
    [
        *((key, True) for key in ("created", "created_at", "createTime", "date_created", "inserted_on", "added_at")),
        *((key, False) for key in ("updated_at", "at", "id", "padded", "created_or_updated_at", "recreated", "address")),
    ],
)  # fmt: skip
def test_the_time_of_creation_is_known_by_its_name(key: str, is_creation: bool) -> None:
    assert is_of_creation(key) is is_creation


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "the time of the change, if the records have one"),
        ({"updatedOn": "2026-01-01"}, "set `replication_key` to `updatedOn`"),
    ],
)
def test_a_key_that_is_the_time_of_creation_is_told_in_the_first_run(
    more: dict[str, Any], said: str, run_tap: Any, tmp_path: Path
) -> None:
    """The refund of a charge never comes."""
    rows = [{"id": n, "created": 1767225600 + n, "refunded": False, **more} for n in (1, 2)]

    def server(asked: Asked) -> Reply:
        return json_reply([row for row in rows if row["created"] >= int(asked.param("gte") or 0)])

    charges = dated("charges", replication_key="created", incremental={"param": "gte", "format": "epoch"})
    told = "is read by `created`, which by its name is the time of creation"
    with serving({"/charges": server}) as api:
        first = run_tap(api.url, charges).ended(0)
        rows[0]["refunded"] = True
        second = run_tap(api.url, charges, state=first.state).ended(0)
        assert second.records("charges") == []
        assert told in first.stderr
        assert said in first.stderr
        assert told not in second.stderr
        keyless = run_tap(api.url, charges | {"primary_keys": []}).ended(0)
    assert told not in keyless.stderr, "rows that never change"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"base_url": "https://api.example.com", "streams": [charges]}))
    words = [Path(sys.executable).with_name("tap-rest"), "--about", "--config", config]
    about = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "a row that changes keeps its `created`, the time of creation by its name" in about


def test_a_server_that_does_not_filter(run_tap: Any) -> None:
    rows = [row(n, n) for n in range(1, 6)]
    with serving({"/orders": lambda _: json_reply(rows)}) as api:
        stream = orders(pagination={"type": "single"})
        del stream["incremental"]
        first = run_tap(api.url, stream).ended(0)
        rows.append(row(6, 6))
        assert run_tap(api.url, stream, state=first.state).ended(0).records("orders") == [rows[-1]]


def serves_nothing_when_filtered(asked: Asked) -> Reply:
    assert asked.param("since") is None, "a filter in discovery"
    return json_reply([row(1, 1)])


def test_discovery_sends_no_search_parameters(run_tap: Any) -> None:
    with serving({"/orders": serves_nothing_when_filtered}) as api:
        stream = orders(pagination={"type": "single"})
        del stream["schema"]
        run = run_tap(api.url, stream, args=("--discover",), start_date="2026-01-01T00:00:00Z").ended(0)
    assert '"at"' in run.stdout
    assert_asked_once(api)


def assert_asked_once(api: Api) -> None:
    assert api.paths() == ["/orders"]


@pytest.mark.parametrize(
    "part", [{"t": "2024-01-02T00:00:00Z"}, {"replication_key": "t", "replication_key_value": 5}]
)
def test_a_bookmark_of_a_stream_that_is_now_read_as_a_whole(run_tap: Any, part: dict[str, Any]) -> None:
    """Without a key all rows would be there twice; with one they are replaced."""
    state = {"bookmarks": {"rows": part}}
    stream = {"name": "rows", "path": "/rows", "pagination": {"type": "single"}, "schema": SCHEMA}
    with serving({"/rows": lambda _: json_reply([{"id": 1, "t": "x"}])}) as api:
        refused = run_tap(api.url, stream, state=state).ended(78)
        assert api.asked == []
        keyed = run_tap(api.url, stream | {"primary_keys": ["id"]}, state=state).ended(0)
    assert "has a bookmark by `t`, and the stream is now read as a whole, without a key" in refused.sentence
    assert (
        "read as a whole now: the bookmark by `t` that the state has of it counts for nothing" in keyed.stderr
    )


def test_a_server_that_does_not_know_the_parameter_is_told_of(run_tap: Any) -> None:
    """It answers with everything, whatever it is asked: nothing is lost, and each run costs as much as the first."""
    rows = [row(number, number) for number in range(1, 10)]
    with serving({"/orders": lambda _: json_reply(rows)}) as api:
        stream = orders(pagination={"type": "single"})
        first = run_tap(api.url, stream).ended(0)
        again = run_tap(api.url, stream, state=first.state).ended(0)
        assert again.records("orders") == []
        assert "was asked for rows from its bookmark on" in again.stderr
        assert "does not listen to `incremental.param`" in again.stderr
        assert "of 1 row that the state remembers 1 came again, recognised" in again.stderr


def test_a_server_that_answers_with_later_rows_only_is_told_of(run_tap: Any) -> None:
    """A server that answers with what comes after the value only: a row that shares it later would never come."""
    rows = [row(number, number) for number in range(1, 10)]

    def answer(asked: Asked) -> Reply:
        return json_reply([one for one in rows if one["at"] > asked.param("since", "")])

    with serving({"/orders": answer}) as api:
        stream = orders(pagination={"type": "single"})
        first = run_tap(api.url, stream).ended(0)
        again = run_tap(api.url, stream, state=first.state).ended(0)
    assert "none of the 1 that the state remembers there" in again.stderr
    assert again.stderr.count("Once more, what this run warned of") == 1


@pytest.mark.parametrize("primary_keys", [["id"], []])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_server_that_gives_later_rows_only_is_asked_a_little_earlier(
    primary_keys: list[str], is_sorted: bool, run_tap: Any
) -> None:
    """Ties at the ends of pages, and a row that gets the value of the bookmark later, are read, and each once."""
    rows = [row(number, 1 + number // 4) for number in range(30)]

    def answer(asked: Asked) -> Reply:
        found = [one for one in rows if one["at"] > asked.param("since", "")]
        return json_reply(page_of(found, asked, 5))

    stream = orders(
        primary_keys=primary_keys,
        is_sorted=is_sorted,
        incremental={"param": "since", "from": "exclusive"},
        pagination={"type": "page", "size": 5},
    )
    with serving({"/orders": answer}) as api:
        first = run_tap(api.url, stream).ended(0)
        assert [one["id"] for one in first.records("orders")] == list(range(30))
        rows.append(row(30, 1 + 29 // 4))
        again = run_tap(api.url, stream, state=first.state).ended(0)
        assert [one["id"] for one in again.records("orders")] == [30]
        assert "none of the" not in again.stderr
        plain = stream | {"incremental": {"param": "since"}}
        if is_sorted:
            assert '"from": "exclusive"' in run_tap(api.url, plain).ended(65).sentence


def test_304_to_a_header_that_asks_for_what_is_new_is_no_rows(run_tap: Any) -> None:
    rows = [row(1, 1)]

    def answer(asked: Asked) -> Reply:
        since = asked.headers.get("If-Modified-Since")
        found = [one for one in rows if since is None or one["at"] >= since]
        return json_reply(found) if since is None or len(found) > 1 else Reply(b"", 304, {})

    stream = orders(
        primary_keys=["id"],
        incremental={"param": "If-Modified-Since", "in": "header"},
        pagination={"type": "single"},
    )
    with serving({"/orders": answer}) as api:
        first = run_tap(api.url, stream).ended(0)
        quiet = run_tap(api.url, stream, state=first.state).ended(0)
        rows.append(row(2, 2))
        later = run_tap(api.url, stream, state=quiet.state).ended(0)
    assert [one["id"] for run in (first, quiet, later) for one in run.records("orders")] == [1, 2]


def test_what_is_just_before_a_text_is_not_known(run_tap: Any) -> None:
    stream = orders(
        schema={"properties": {"id": {}, "at": {"type": "string"}, "v": {}}},
        replication_key_format="text",
        incremental={"param": "since", "from": "exclusive"},
        pagination={"type": "single"},
    )
    with serving({"/orders": lambda _: json_reply([{"id": 1, "at": "x", "v": 1}])}) as api:
        first = run_tap(api.url, stream).ended(0)
        assert "means nothing" in run_tap(api.url, stream, state=first.state).ended(78).sentence
    windows = {"param": "a", "until_param": "b", "window": "P1D", "from": "exclusive"}
    refused = run_tap(api.url, orders(incremental=windows, start_date="2026-01-01T00:00:00Z")).ended(78)
    assert "does not go with an end that is asked for" in refused.sentence


NULLABLE = {
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "v": {},
    }
}


@pytest.mark.parametrize("schema", [SCHEMA, NULLABLE, None])
def test_rows_without_a_key_that_are_not_asked_for_are_told_of(schema: Any, run_tap: Any) -> None:
    """The API compares, and what is null is not at or above anything."""
    rows: list[dict[str, Any]] = [row(1, 1)]

    def filtering(asked: Asked) -> Reply:
        since = asked.param("since")
        return json_reply([each for each in rows if since is None or (each["at"] or "") >= since])

    stream = orders(schema=schema, pagination={"type": "single"})
    stream = {key: value for key, value in stream.items() if value is not None}
    with serving({"/orders": filtering}) as api:
        first = run_tap(api.url, stream).ended(0)
        assert ("lets its replication key `at` be null" in first.stderr) == (schema is NULLABLE)
        rows.append({"id": 2, "at": None, "v": ""})
        fresh = run_tap(api.url, stream).ended(0)
        assert "1 row of stream `orders` has no value in the replication key `at`" in fresh.stderr
        assert "are not asked for (`incremental`)" in fresh.stderr
        later = run_tap(api.url, stream, state=fresh.state).ended(0)
        assert later.records("orders") == []
        assert "had no value in the replication key `at` in an earlier run" in later.stderr
        whole = {key: value for key, value in stream.items() if key != "incremental"}
        each = run_tap(api.url, whole, state=later.state).ended(0)
    assert [record["id"] for record in each.records("orders")] == [2]
    assert "what has none was sent, and is sent again by each run" in each.stderr
    assert "not asked for" not in each.stderr


def from_a_start(asked: Asked) -> Reply:
    """As Zendesk's incremental exports: the parameter is required."""
    start = asked.param("start_time")
    if start is None:
        return json_reply({"error": "InvalidValue", "description": "start_time is required"}, status=400)
    return json_reply({"tickets": [row for row in TICKETS if row["at"] >= int(start)]})


TICKETS = [{"id": n, "at": 1_700_000_000 + n} for n in range(3)]
INCREMENTAL = {
    "name": "tickets",
    "path": "/tickets",
    "records": "$.tickets[*]",
    "primary_keys": ["id"],
    "replication_key": "at",
    "incremental": {"param": "start_time", "format": "epoch"},
}


def test_a_parameter_that_is_always_wanted(run_tap: Any) -> None:
    start = {"start_date": "2000-01-01T00:00:00Z"}
    declared = {"schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "integer"}}}}
    with serving({"/tickets": from_a_start}) as api:
        for stream in (INCREMENTAL, INCREMENTAL | declared):
            sentence = run_tap(api.url, stream).ended(65).sentence
            assert (
                '`start_time` (`incremental.param`) is sent only from a start on: set `"start_date": "2000-'
                in sentence
            )
            assert run_tap(api.url, stream, **start).ended(0).records("tickets") == TICKETS
            assert len(api.asked) < 10


@pytest.mark.parametrize("status", [400, 403, 404, 500, 502])
def test_an_answer_of_any_status_may_want_the_parameter(status: int, run_tap: Any) -> None:
    def route(asked: Asked) -> Reply:
        return json_reply({}, status) if asked.param("start_time") is None else from_a_start(asked)

    with serving({"/tickets": route}) as api:
        run = run_tap(api.url, INCREMENTAL, start_date="2000-01-01T00:00:00Z").ended(0)
        assert run.records("tickets") == TICKETS
        code = {403: 77}.get(status, 69 if status >= 500 else 65)
        run_tap(api.url, INCREMENTAL | {"name": "others"}).ended(code)


def test_a_server_that_is_not_there_is_not_asked_twice_for_a_start(run_tap: Any) -> None:
    with serving({"/tickets": lambda _: Reply(hang_up=True)}) as api:
        run_tap(api.url, INCREMENTAL, start_date="2000-01-01T00:00:00Z").ended(69)
        assert len(api.asked) == 3


def test_only_words_of_the_api_tell_that_it_wants_a_parameter(run_tap: Any) -> None:
    """Ours say of such an answer that others may be missing."""
    with serving({"/tickets": repeatedly(json_reply({"tickets": []}, status=206))}) as api:
        sentence = run_tap(api.url, INCREMENTAL).ended(65).sentence
    assert "others may be missing" in sentence
    assert "start_date" not in sentence


def test_a_schema_is_inferred_from_a_start_only_where_nothing_else_is_answered(run_tap: Any) -> None:
    start = {"start_date": "2023-11-14T22:13:21Z"}
    free = INCREMENTAL | {"name": "free", "path": "/free"}
    below = {
        "name": "below",
        "path": "/tickets/{parent.id}",
        "parent": {"stream": "tickets"},
        "pagination": {"type": "single"},
    }
    routes: dict[str, Route] = {
        "/tickets": from_a_start,
        "/free": lambda _: json_reply({"tickets": [{**TICKETS[0], "old": True}]}),
        **{f"/tickets/{n}": repeatedly(json_reply([{"line": n}])) for n in range(3)},
    }
    with serving(routes) as api:
        found = run_tap(api.url, INCREMENTAL, free, below, args=("--discover",), **start).ended(0)
        asked = [(each.path, each.param("start_time")) for each in api.asked]
        refused = run_tap(api.url, free | {"path": "/tickets/9"}, **start).ended(65)
    catalog = {
        each["stream"]: [*each["schema"]["properties"]] for each in json.loads(found.stdout)["streams"]
    }
    assert catalog == {"tickets": ["id", "at"], "free": ["id", "at", "old"], "below": ["line", "tickets_id"]}
    assert [start for path, start in asked if path == "/free"] == [None]
    assert ("/tickets", "1700000001") in asked
    assert ("/tickets/0", None) not in asked, "what is before the start is no parent"
    assert "start_date" not in refused.sentence


def test_what_was_said_comes_once_more_in_a_line(run_tap: Any) -> None:
    """A paragraph that comes twice is read by nobody: the second time its beginning leads to it."""
    stream = {"name": "rows", "path": "/rows", "primary_keys": ["id"], "replication_key": "created_at"}
    with serving({"/rows": lambda _: json_reply([{"id": 1, "created_at": "2026-01-01T00:00:00Z"}])}) as api:
        told = run_tap(api.url, stream).ended(0).stderr.splitlines()
    [again] = [line.partition("To be seen to: ")[2] for line in told if "To be seen to: " in line]
    beginning = again.removesuffix(" ... (in full above)")
    [full] = [line for line in told if beginning in line and "To be seen to: " not in line]
    assert len(again) <= 160
    assert len(full.partition(beginning)[2]) > 200
