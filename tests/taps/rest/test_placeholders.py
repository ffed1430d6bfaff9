"""Placeholders in what is asked for: what each becomes, where it may stand, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.in_process import run_here

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.asking.moments import Moments
from tap_rest.asking.placeholders import ABSENT, Values, filled, filled_path, names_in
from tap_rest.config import config_conflicts

NOW = datetime(2026, 3, 31, 1, 30, 5, 250000, tzinfo=UTC)
ID = {"schema": {"properties": {"id": {}}}}


def values(zone: str | None = None, **more: Any) -> Values:
    known = {"parent.id": 5, "parent.name": "a/b c", "parent.price": Decimal("1.50"), "parent.list": [1]}
    return Values(Moments(lambda: NOW, ZoneInfo(zone) if zone else None), known | more)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("{parent.id}", 5),
        ("{parent.price}", Decimal("1.50")),
        ("{parent.list}", [1]),
        ("id={parent.id}&price={parent.price}", "id=5&price=1.50"),
        ("{{parent.id}}", "{parent.id}"),
        ("{{{parent.id}}}", "{5}"),
        ('{"a": {"b": {parent.id}}}', '{"a": {"b": 5}}'),
        ("query { rows(first: 2) { id } }", "query { rows(first: 2) { id } }"),
        ("{}", "{}"),
        ("{id,name}", "{id,name}"),
        ("{now}", "2026-03-31T01:30:05Z"),
        ("{now-1d}", "2026-03-30T01:30:05Z"),
        ("{now-1d-30m:%Y-%m-%d %H:%M}", "2026-03-30 01:00"),
        ("{now:epoch}", 1774920605),
        ("{now+1h:epoch_ms}", 1774924205250),
        ("{today}", "2026-03-31"),
        ("{today-1mo}", "2026-02-28"),
        ("{today-1y:%d.%m.%Y}", "31.03.2025"),
        ("from {today-1w} to {today}", "from 2026-03-24 to 2026-03-31"),
        (
            {"a": ["{parent.id}", True, 2], "b": {"c": "{today}"}},
            {"a": [5, True, 2], "b": {"c": "2026-03-31"}},
        ),
    ],
)
def test_what_a_placeholder_becomes(text: Any, becomes: Any) -> None:
    assert filled(text, values(), "body") == becomes
    assert type(filled(text, values(), "body")) is type(becomes)


@pytest.mark.parametrize(
    ("text", "zone", "becomes"),
    [
        ("{today}", "America/Los_Angeles", "2026-03-30"),
        ("{today:epoch}", "America/Los_Angeles", 1774854000),
        ("{now:%Y-%m-%d %H:%M:%S}", "Asia/Tokyo", "2026-03-31 10:30:05"),
        ("{today-2d:iso}", "Europe/Berlin", "2026-03-28T23:00:00Z"),  # the clocks went forward between them
        ("{now-2d:%H:%M}", "Europe/Berlin", "03:30"),
    ],
)
def test_moments_are_those_of_the_stream_s_zone(text: str, zone: str, becomes: Any) -> None:
    assert filled(text, values(zone), "body") == becomes


def test_what_has_no_value_is_left_out_where_it_stands_alone_and_refused_elsewhere() -> None:
    nothing = values(**{"parent.none": ABSENT})
    given = {"a": "{parent.none}", "b": ["{parent.none}", 1], "c": {"d": "{parent.none}"}}
    assert filled(given, nothing, "body") == {"b": [1], "c": {}}
    assert filled_path("/a/{parent.none}/b?x=1", nothing) == "/a/b?x=1"
    for place in (
        lambda: filled("x{parent.none}", nothing, "params.q"),
        lambda: filled_path("/a-{parent.none}", nothing),
    ):
        with pytest.raises(ConfigurationError, match=r"`\{parent.none\}` in `pa.* has no value here"):
            place()


def test_a_value_cannot_leave_its_place_in_a_path() -> None:
    assert filled_path("/x/{parent.name}/{{y}}", values()) == "/x/a%2Fb%20c/%7By%7D"
    assert filled_path("{parent.url}", values(**{"parent.url": "https://h/x{?page}"})) == "https://h/x"
    for value in ("", ".", ".."):
        with pytest.raises(BadDataError, match="something to put into the path"):
            filled_path("/x/{parent.id}", values(**{"parent.id": value}))
    with pytest.raises(BadDataError, match=r"got `array` as `list` of the parent; name a field"):
        filled("x={parent.list}", values(), "params.x")


def problems(**stream: Any) -> list[str]:
    streams = [{"name": "s", "path": "/s"} | stream, {"name": "p", "path": "/p"}]
    return config_conflicts({"base_url": "https://api.example", "streams": streams})


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (
            {"path": "/s/{parnt.id}"},
            "`{parnt.id}` in `streams[0].path` is no placeholder; did you mean `{parent.field}`? To send",
        ),
        (
            {"params": {"q": ["{now}", "{nw-1d}"]}},
            "`{nw-1d}` in `streams[0].params.q` is no placeholder; did you mean `{now}`?",
        ),
        ({"headers": {"X-A": "{impressions}"}}, "to send it as it stands, write `{{impressions}}`"),
        ({"path": "/s/{parent.id}"}, "means nothing in a stream that has no `parent`"),
        ({"params": {"q": "{now-1q}"}}, "moves by `q`, which is no unit; those are s, m, h, d, w, mo, y"),
        ({"params": {"q": "{now - 1d}"}}, "`{now - 1d}` in `streams[0].params.q` is no moment that is known"),
        ({"params": {"q": "{now:epch}"}}, "did you mean `epoch`?"),
        ({"params": {"q": "{today:YYYY}"}}, "write a pattern such as `%Y-%m-%d`"),
        ({"params": {"q": "{today:%Y-%m-%dT00:00:00+02:00}"}}, "write `%z` in its place"),
        ({"params": {"q": "{today.x}"}}, "`{today.x}` in `streams[0].params.q` is no placeholder"),
    ],
)
def test_what_is_refused(stream: dict[str, Any], words: str) -> None:
    assert words in "; ".join(problems(**stream))


def test_a_key_from_elsewhere_may_hold_braces() -> None:
    key = "canary{of_a}key-1"
    redactor.add_reference(key)
    assert problems(headers={"X-Any": key}) == []
    assert filled(key, values(), "headers") == key


def test_they_stand_in_path_parameters_and_headers_of_the_top_level_too(tmp_path: Path) -> None:
    def rows(asked: Asked) -> Reply:
        return json_reply([{"id": asked.path}])

    parent: dict[str, Any] = {
        "name": "p",
        "path": "/p",
        "pagination": {"type": "single"},
        "schema": {"properties": {"id": {}, "t": {}}},
    }
    child = ID | {
        "name": "c",
        "path": "/p/{parent.id}/c",
        "params": {"day": "{today-1d}", "both": "{parent.id}-{now:epoch}", "as": "{{x}}"},
        "headers": {"X-Tenant": "{parent.t}"},
        "parent": {"stream": "p", "copy": {}},
        "pagination": {"type": "single"},
    }
    routes = {
        "/p": lambda _: json_reply([{"id": 1, "t": "a"}, {"id": 2, "t": "b"}]),
        "/p/1/c": rows,
        "/p/2/c": rows,
    }
    with serving(routes) as api:
        top = {"headers": {"X-Day": "{today}", "X-Braces": "{{x}}", "X-Plain": "y"}}
        run = run_here(api, parent, child, cache=tmp_path, **top)
        asked = [one for one in api.asked if one.path != "/p"]
    assert [row["id"] for row in run.rows if str(row["id"]).startswith("/")] == ["/p/1/c", "/p/2/c"]
    moments = {str(one.param("both")).partition("-")[2] for one in asked}
    assert len(moments) == 1
    now = datetime.fromtimestamp(int(moments.pop()), UTC)
    today = now.strftime("%Y-%m-%d")
    assert {one.param("as") for one in asked} == {"{x}"}
    assert [one.headers["X-Tenant"] for one in asked] == ["a", "b"]
    assert {(one.headers["X-Day"], one.headers["X-Braces"], one.headers["X-Plain"]) for one in api.asked} == {
        (today, "{x}", "y")
    }


def test_names_are_those_that_are_filled_in() -> None:
    assert list(names_in({"a": ["{parent.id}", "{{no}}", "{{{now}}}"], "b": 1})) == ["parent.id", "now"]
