"""Requests that differ in their query alone are made of the last one: they are what the library makes, and cookies stay true."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_shell.reach import Reach
from tap_rest.asking.questions import Question
from tap_rest.asking.urls import with_params
from tap_rest.config import api_settings
from tap_rest.http.sending import Sender
from tap_rest.pages.pagination import _token
from tap_rest.pages.steps import Step

BASE = "http://API.test/a%2db/./rows"
PAGED: dict[str, Any] = {"name": "rows", "path": "/rows", "pagination": {"type": "page", "size": 1}}
KEY_IN = {
    "cookie": {"type": "api_key", "in": "cookie", "name": "session", "api_key": "canary-1"},
    "query": {"type": "api_key", "in": "query", "name": "key", "api_key": "canary-1"},
}


def sender() -> Sender:
    settings = api_settings({"base_url": "http://api.test", "streams": [PAGED]})
    return Sender(settings, Reach(settings.base_url, (), ()), str)


@settings(max_examples=tries(100), deadline=None)
@given(st.text(st.sampled_from("aZ09%2EeF7~._-&=+:/?#!*'()[]{}\\^é \"<"), max_size=20))
@example("since=2026-01-01T00%3A00%3A00.5%2B02%3A00&page=2")
@example("a=%2D")
@example("a=%2E%5F")
@example("a=%7E%41%2d%zz%2")
@example("")
def test_a_request_that_is_made_of_the_last_is_what_the_library_makes(query: str) -> None:
    url, one, other = f"{BASE}?{query}", sender(), sender()
    headers = {"X-Trace": "1"}
    try:
        whole = other._prepared(other._own.session, url, Question("", headers=headers))
    except Exception as error:
        whole = None
        refused = type(error)
    one._prepared(one._own.session, f"{BASE}?page=1", Question("", headers=headers))
    if whole is None:
        with pytest.raises(refused):
            one._prepared(one._own.session, url, Question("", headers=headers))
        return
    made = one._prepared(one._own.session, url, Question("", headers=headers))
    assert (made.url, made.headers, made.method) == (whole.url, whole.headers, whole.method)


def test_other_headers_and_another_path_make_another_request() -> None:
    one = sender()
    one._prepared(one._own.session, f"{BASE}?page=1", Question("", headers={"X-Trace": "1"}))
    assert (
        "X-Trace" not in one._prepared(one._own.session, f"{BASE}?page=2", Question("", headers={})).headers
    )
    made = one._prepared(one._own.session, f"{BASE}/7?page=2", Question("", headers={}))
    assert made.url == "http://api.test/a-b/rows/7?page=2"


@pytest.mark.parametrize("place", KEY_IN)
def test_cookies_of_any_page_are_sent_on_the_next_ones_beside_the_key(place: str, run_tap: Any) -> None:
    def rows(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        reply = json_reply([{"id": page}] if page < 5 else [])
        given = {2: "turn=two; Path=/rows", 3: "turn=three; Path=/rows", 4: "turn=; Path=/rows; Max-Age=0"}
        return Reply(
            body=reply.body,
            headers={**reply.headers, **({"Set-Cookie": given[page]} if page in given else {})},
        )

    with serving({"/rows": rows}) as api:
        run_tap(api.url, PAGED | {"primary_keys": ["id"]}, auth=KEY_IN[place]).ended(0)
        sent = [asked.headers.get("Cookie", "") for asked in api.asked][:5]
        keys = [asked.param("key") for asked in api.asked][:5]
    others = [cookie.replace("session=canary-1", "").strip("; ") for cookie in sent]
    assert others == ["", "", "turn=two", "turn=three", ""]
    if place == "cookie":
        assert all(cookie.count("session=canary-1") == 1 for cookie in sent)
    else:
        assert keys == ["canary-1"] * 5


@pytest.mark.parametrize(
    ("url", "params", "whole"),
    [
        ("http://api.test/rows", {"a": [], "b": []}, "http://api.test/rows"),
        ("http://api.test/rows", {"a": [1, True], "b": "x y"}, "http://api.test/rows?a=1&a=true&b=x+y"),
        ("http://api.test/rows?c=1#part", {"a": 1}, "http://api.test/rows?c=1&a=1#part"),
        ("http://api.test", {"a": 1}, "http://api.test?a=1"),
        ("http://[::1]:8/rows;v=1", {"a": 1}, "http://[::1]:8/rows;v=1?a=1"),
    ],
)
def test_parameters_stand_behind_those_of_a_url(url: str, params: dict[str, Any], whole: str) -> None:
    assert with_params(url, params) == whole


def test_no_two_pages_are_one_by_their_tokens() -> None:
    pages: list[Any] = [-2, -1, 0, 1, "1", "-1", 1.5, True, None, [1]]
    tokens = {_token(Step("http://api.test/rows", {"page": page})) for page in pages}
    assert len(tokens) == len(pages)


@given(
    st.lists(
        st.tuples(st.text(max_size=4), st.text(st.sampled_from("aZ09_.-~ +%&=/?#é\n"), max_size=6)),
        max_size=3,
    )
)
def test_parameters_are_written_as_the_library_writes_them(pairs: list[tuple[str, str]]) -> None:
    assert with_params("http://api.test/rows", dict(pairs)) == (
        f"http://api.test/rows?{urlencode(dict(pairs))}" if pairs else "http://api.test/rows"
    )
