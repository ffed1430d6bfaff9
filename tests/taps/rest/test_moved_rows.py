"""Rows that come twice show that others may be on no page: an order that is not stable, or rows hidden behind the limit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of, serving
from taps.rest.conftest import RunTap

ROWS = [{"id": number, "name": "x"} for number in range(1, 31)]
MOVED = "came again, unchanged, on a later page"
SHORT = "was shorter than others and not the last"


def stream(**more: Any) -> dict[str, Any]:
    return {
        "name": "rows",
        "path": "/rows",
        "primary_keys": ["id"],
        "pagination": {"type": "page", "size": 10},
    } | more


def unstable(asked: Asked) -> Reply:
    size = int(asked.param("per_page") or asked.param("limit") or 10)
    begin = int(asked.param("offset") or (int(asked.param("page") or 1) - 1) * size)
    rows = list(ROWS)
    if asked.param("sort") is None:
        random.Random(begin).shuffle(rows)
    return json_reply(rows[begin : begin + size])


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_an_order_that_changes_from_page_to_page_is_told(kind: str, run_tap: RunTap) -> None:
    paging = {"type": kind, "size": 10}
    with serving({"/rows": unstable}) as api:
        told = run_tap(api.url, stream(pagination=paging)).ended(0)
        came = [record["id"] for record in told.records("rows")]
        quiet = run_tap(api.url, stream(pagination=paging, params={"sort": "id"})).ended(0)
    twice = len(came) - len(set(came))
    assert twice
    assert f"{twice} of 30 rows of stream `rows` {MOVED}" in told.stderr
    assert MOVED not in quiet.stderr


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_without_a_key_rows_with_an_id_that_come_twice_are_told(kind: str, run_tap: RunTap) -> None:
    """They are doubled, and others are missing; the key of the sentence replaces them."""
    paging = {"type": kind, "size": 10}
    keyless = stream(pagination=paging, primary_keys=[])
    with serving({"/rows": unstable}) as api:
        told = run_tap(api.url, keyless).ended(0)
        came = [record["id"] for record in told.records("rows")]
        quiet = run_tap(api.url, keyless | {"params": {"sort": "id"}}).ended(0)
        assert '`"primary_keys": ["id"]`' in told.stderr
        assert MOVED in run_tap(api.url, keyless | {"primary_keys": ["id"]}).ended(0).stderr
    twice = len(came) - len(set(came))
    assert (
        f"{twice} of 30 rows of stream `rows`, which has no key, {MOVED} of the same read, and are there twice"
        in told.stderr
    )
    assert MOVED not in quiet.stderr


@pytest.mark.parametrize(
    "rows", [[{"id": 1, "v": 1}, {"id": 1, "v": 2}], [{"user_id": 1}], [{"id": None}, {"id": None}]]
)
def test_without_a_key_rows_that_may_say_the_same_are_not_told_of(rows: Any, run_tap: RunTap) -> None:
    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        return json_reply([*rows, {"page": number}] if number < 4 else [])

    keyless = stream(pagination={"type": "page"}, primary_keys=[])
    with serving({"/rows": route}) as api:
        run = run_tap(api.url, keyless).ended(0)
    assert len(run.records("rows")) == 3 * (len(rows) + 1)
    assert MOVED not in run.stderr


class Hidden:
    """As Jira: the offset counts rows that the user may not see, and pages lack them."""

    def __init__(self, hidden: int = 7) -> None:
        self.rows = [row["id"] for row in ROWS]
        self.hidden = hidden

    def __call__(self, asked: Asked) -> Reply:
        begin = int(asked.param("offset") or 0)
        page = self.rows[begin : begin + 10]
        return json_reply([{"id": row, "name": "x"} for row in page if row % 10 != self.hidden])


def test_rows_hidden_behind_the_limit_come_twice_and_without_a_key_it_is_told(run_tap: RunTap) -> None:
    paging = {"type": "offset", "size": 10}
    with serving({"/rows": Hidden()}) as api:
        with_key = run_tap(api.url, stream(pagination=paging)).ended(0)
        without = run_tap(api.url, stream(pagination=paging, primary_keys=[])).ended(0)
    came = [record["id"] for record in without.records("rows")]
    assert len(came) > len(set(came)) == 27
    assert SHORT in without.stderr
    assert SHORT not in with_key.stderr
    assert MOVED not in with_key.stderr, "they were asked for twice"


def test_a_server_that_caps_its_pages_is_no_sign(run_tap: RunTap) -> None:
    def capped(asked: Asked) -> Reply:
        begin = int(asked.param("offset") or 0)
        return json_reply(ROWS[begin : begin + 4])

    paging = {"type": "offset", "size": 100}
    with serving({"/rows": capped}) as api:
        run = run_tap(api.url, stream(pagination=paging, primary_keys=[])).ended(0)
    assert len(run.records("rows")) == 30
    assert SHORT not in run.stderr


def test_rows_hidden_among_many_of_one_value_are_no_sign_of_an_order(run_tap: RunTap) -> None:
    def hidden(asked: Asked) -> Reply:
        at = "2026-01-01T00:00:00Z"
        begin = int(asked.param("offset") or 0)
        rows = [{"id": row["id"], "at": at} for row in ROWS][begin : begin + 10]
        return json_reply([row for row in rows if row["id"] % 10 != 7])

    sorted_ = stream(
        pagination={"type": "offset", "size": 10},
        replication_key="at",
        is_sorted=True,
        incremental={"param": "since"},
    )
    with serving({"/rows": hidden}) as api:
        run = run_tap(api.url, sorted_).ended(0)
    assert {record["id"] for record in run.records("rows")} == {
        row["id"] for row in ROWS if row["id"] % 10 != 7
    }


def test_below_parents_the_same_row_on_the_page_of_another_is_no_sign(run_tap: RunTap) -> None:
    def tags(asked: Asked) -> Reply:
        return json_reply(page_of([{"id": 1, "name": "x"}, {"id": 2, "name": "y"}], asked, 1))

    parents = stream(name="parents", path="/rows", pagination={"type": "single"})
    child = stream(
        path="/tags/{parent.id}", parent={"stream": "parents", "copy": {}}, pagination={"type": "page"}
    )
    routes: dict[str, Any] = {f"/tags/{row['id']}": tags for row in ROWS[:2]}
    with serving(routes | {"/rows": lambda _: json_reply(ROWS[:2])}) as api:
        run = run_tap(api.url, parents, child).ended(0)
    assert MOVED not in run.stderr
