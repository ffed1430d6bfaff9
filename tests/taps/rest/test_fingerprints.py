"""Which changes of a config bring other rows: what a state keeps of them, without a secret."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_shell.secrets import redactor
from tap_rest.asking.urls import joined
from tap_rest.config import api_settings
from tap_rest.fingerprints import fingerprints_of

BASE = "https://api.example.com/v1"
ELSEWHERE = ("value-from-a-file-1", "value-from-a-file-2")
"""Values that a config takes from elsewhere: any of them may be a secret."""


def origins(base_url: str = BASE, top: dict[str, Any] | None = None, **stream: Any) -> dict[str, str]:
    """Return the origins of a stream, the child of another where it has a ``parent``."""
    parent = {"name": "up", "path": "/up"} | stream.pop("up", {})
    given = {"name": "rows", "path": "/rows"} | stream
    api = api_settings({"base_url": base_url, "streams": [parent, given]} | (top or {}))
    return fingerprints_of(api.streams[1], api)


def below(**up: Any) -> dict[str, Any]:
    return {"path": "/up/{parent.id}/rows", "parent": {"stream": "up"}, "up": up}


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "scheme": ({"base_url": "http://api.example.com/v1"}, {}),
    "capitals of the host": ({"base_url": "https://API.example.com/v1"}, {}),
    "slash at the end": ({"path": "/rows/"}, {}),
    "slash between": ({"base_url": f"{BASE}/"}, {}),
    "a full URL": ({"path": f"{BASE}/rows"}, {}),
    "size of a page": (
        {"pagination": {"type": "offset", "size": 5}},
        {"pagination": {"type": "offset", "size": 9}},
    ),
    "capitals of a header": ({"headers": {"x-tenant": "a"}}, {"headers": {"X-Tenant": "a"}}),
    "header of all streams": ({"top": {"headers": {"X-Tenant": "a"}}}, {"headers": {"X-Tenant": "a"}}),
    "number or text": ({"params": {"n": 5}}, {"params": {"n": "5"}}),
    "order of parameters": ({"params": {"a": 1, "b": 2}}, {"params": {"b": 2, "a": 1}}),
    "order of such parameters": (
        {"params": {"a": ELSEWHERE[0], "b": ELSEWHERE[1]}},
        {"params": {"b": ELSEWHERE[1], "a": ELSEWHERE[0]}},
    ),
    "a new key": ({"params": {"api_key": "secret-one-1"}}, {"params": {"api_key": "secret-two-2"}}),
    "a new key that is a number": ({"params": {"api_key": 91827364}}, {"params": {"api_key": 91827365}}),
    "a new secret in a body": (
        {"method": "POST", "body": {"a": {"api_key": "secret-one-1"}, "n": 1}},
        {"method": "POST", "body": {"a": {"api_key": "secret-two-2"}, "n": 1}},
    ),
    "a new token": ({"headers": {"X-Token": "secret-one-1"}}, {"headers": {"X-Token": "secret-two-2"}}),
}
OTHER: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "host": ({"base_url": "https://other.example.com/v1"}, {}, {"where"}),
    "place below the host": ({"base_url": "https://api.example.com/v2"}, {}, {"where"}),
    "path": ({"path": "/Rows"}, {}, {"where"}),
    "path from elsewhere": ({"path": ELSEWHERE[0]}, {"path": ELSEWHERE[1]}, {"where"}),
    "parameter": ({"params": {"status": "any"}}, {}, {"asks"}),
    "parameter from elsewhere": ({"params": {"r": ELSEWHERE[0]}}, {"params": {"r": ELSEWHERE[1]}}, {"asks"}),
    "parameter whose name sounds secret": (
        {"params": {"author_ids": [1234567, 2]}},
        {"params": {"author_ids": [1234568, 2]}},
        {"asks"},
    ),
    "header": ({"headers": {"X-Tenant": "a"}}, {"headers": {"X-Tenant": "b"}}, {"asks"}),
    "header of all streams": ({"top": {"headers": {"X-Tenant": "a"}}}, {}, {"asks"}),
    "a header that is masked": (
        {"headers": {"X-Tenant": ELSEWHERE[0]}},
        {"headers": {"X-Tenant": ELSEWHERE[1]}},
        {"asks"},
    ),
    "method": ({"method": "POST"}, {}, {"asks"}),
    "body": ({"method": "POST", "body": {"a": 1}}, {"method": "POST", "body": {"a": 2}}, {"asks"}),
    "body from elsewhere": (
        {"method": "POST", "body": {"r": [ELSEWHERE[0]]}},
        {"method": "POST", "body": {"r": [ELSEWHERE[1]]}},
        {"asks"},
    ),
    "how a body is written": (
        {"method": "POST", "body": {"a": 1}},
        {"method": "POST", "body": {"a": 1}, "body_format": "form"},
        {"asks"},
    ),
    "query": ({"graphql": {"query": "{ a { id } }"}}, {"graphql": {"query": "{ b { id } }"}}, {"asks"}),
    "variables": (
        {"graphql": {"query": "query q($x: Int) { a(x: $x) { id } }", "variables": {"x": 1}}},
        {"graphql": {"query": "query q($x: Int) { a(x: $x) { id } }", "variables": {"x": 2}}},
        {"asks"},
    ),
    "kind of pages": ({"pagination": {"type": "page"}}, {}, {"asks"}),
    "place of the parent": (below(path="/others"), below(), {"parent"}),
    "what the parent asks for": (below(params={"status": "any"}), below(), {"parent"}),
}


@pytest.fixture(autouse=True)
def values_from_elsewhere() -> None:
    for value in ELSEWHERE:
        redactor.add_reference(value)


@pytest.mark.parametrize("name", SAME)
def test_what_brings_no_other_rows(name: str) -> None:
    one, other = SAME[name]
    assert origins(**one) == origins(**other)


@pytest.mark.parametrize("name", OTHER)
def test_what_may_bring_other_rows(name: str) -> None:
    one, other, parts = OTHER[name]
    before, after = origins(**one), origins(**other)
    assert {part for part in before if before[part] != after[part]} == parts


def test_what_states_hold_is_known_by_the_next_version() -> None:
    """Another digest of the same config would be told as a change to everybody."""
    asked = {"params": {"n": 5, "open": True, "r": ELSEWHERE[0]}, "headers": {"X-Tenant": "é"}}
    child = below() | asked | {"pagination": {"type": "offset", "size": 5}}
    assert origins(**child) == {"where": "d6c3edeb6498", "asks": "bcedd527e18a", "parent": "b66c07b8de77"}


def test_a_path_is_joined_with_one_slash_and_nothing_is_added_where_there_is_none() -> None:
    assert {joined(base, path) for base in (BASE, f"{BASE}/") for path in ("rows", "/rows")} == {
        f"{BASE}/rows"
    }
    assert joined(BASE, "") == joined(BASE, "/") == BASE
    assert joined(BASE, "http://h/x/") == "http://h/x/"
