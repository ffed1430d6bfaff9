"""Conditional requests: what the API says has not changed is not sent again, and nothing is lost for it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of, serving
from taps.rest.in_process import Messages, Run, warned

from singerkit_shell.errors import ConfigurationError

PLANS: dict[str, Any] = {
    "name": "plans",
    "path": "/plans",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
    "conditional": True,
}


class Versioned:
    """A list under an ETag that is made of it; ``asked`` are the conditions it was asked under."""

    def __init__(self, *ids: int) -> None:
        self.rows: list[dict[str, Any]] = [{"id": number, "name": "a"} for number in ids]
        self.asked: list[str | None] = []

    def page(self, asked: Asked) -> Any:
        return self.rows

    def __call__(self, asked: Asked) -> Reply:
        condition = asked.headers.get("If-None-Match")
        self.asked.append(condition)
        found = json.dumps(self.page(asked)).encode()
        etag = f'"{hashlib.sha256(found).hexdigest()[:8]}"'
        if condition == etag:
            return Reply(b"", 304, {"ETag": etag})
        return json_reply(found, ETag=etag)


def ids(found: Messages) -> list[int]:
    return [row["id"] for row in found.rows]


def test_nothing_new(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    plans = Versioned(1, 2)
    with serving({"/plans": plans}) as api:
        first = run(api, PLANS)
        second = run(api, PLANS, state=first.state)
        assert (ids(first), ids(second), warned(caplog)) == ([1, 2], [], "")
        assert plans.asked[0] is None
        assert plans.asked[1] is not None
        assert second.state["bookmarks"] == first.state["bookmarks"]
        plans.rows[1]["name"] = "b"
        third = run(api, PLANS, state=second.state)
        assert [row["name"] for row in third.rows] == ["a", "b"]
        assert ids(run(api, PLANS, state=third.state)) == []
        # A target that has failed leaves the state before: what it lost comes again.
        again = run(api, PLANS, state=second.state)
        assert again.rows == third.rows
        states = [message["value"] for message in third.all if message["type"] == "STATE"]
        assert states[0]["bookmarks"] == second.state["bookmarks"]
        # Without the setting, nothing of it.
        run(api, {**PLANS, "conditional": False}, state=third.state)
        assert plans.asked[-1] is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}},
        {"schema": {"properties": {"id": {"type": "string"}}}},
        {"params": {"all": 1}},
        {"primary_keys": []},
        {"headers": {"Accept-Language": "de"}},
        {"copy": {"label": "name"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_asks_for_all_again(change: dict[str, Any], run: Run) -> None:
    plans = Versioned(1, 2)
    stream = PLANS | {"schema": {"properties": {"id": {"type": "integer"}}}}
    with serving({"/plans": plans}) as api:
        state = run(api, stream).state
        assert ids(run(api, stream, state=state)) == []
        changed = stream | change
        if "copy" in change:
            changed["schema"] = {"properties": {"id": {"type": "integer"}, "label": {"type": "string"}}}
        assert ids(run(api, changed, state=state)) == [1, 2]
        assert plans.asked[-1] is None


def test_a_selection_asks_for_all_again(run: Run) -> None:
    plans = Versioned(1)
    with serving({"/plans": plans}) as api:
        state = run(api, PLANS, select=["plans", "!plans.name"]).state
        assert run(api, PLANS, state=state, select=["plans", "!plans.name"]).rows == []
        assert run(api, PLANS, state=state, select=["plans"]).rows == [{"id": 1, "name": "a"}]


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"Last_Modified": "Wed, 01 Jul 2026 10:00:00 GMT"}, "Wed, 01 Jul 2026 10:00:00 GMT"),
        # A second change in this minute may have the same time.
        ({"Last_Modified": "NOW"}, None),
        ({"Last_Modified": "nonsense"}, None),
        ({"Last_Modified": "NOW", "ETag": '"1"'}, None),
        ({"Last_Modified": "Wed, 01 Jul 2026 10:00:00 GMT", "ETag": 'W/"1"'}, 'W/"1"'),
    ],
)
def test_which_version_counts(headers: dict[str, str], sent: str | None, run: Run) -> None:
    from email.utils import formatdate

    def answer(asked: Asked) -> Reply:
        named = {name: text.replace("NOW", formatdate(usegmt=True)) for name, text in headers.items()}
        return json_reply([{"id": 1}], **named)

    with serving({"/plans": answer}) as api:
        run(api, PLANS, state=run(api, PLANS).state)
        asked = api.asked[-1].headers
        assert (asked.get("If-None-Match") or asked.get("If-Modified-Since")) == sent


def test_what_may_be_the_first_of_several_pages_has_no_version(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """The first page stays what it was, to its ETag, when a second one comes."""
    plans = Versioned(*range(1, 11))
    plans.page = lambda asked: page_of(plans.rows, asked, 10)  # type: ignore[method-assign]
    with serving({"/plans": plans}) as api:
        full = run(api, PLANS)
        plans.rows.append({"id": 11, "name": "b"})
        assert len(ids(run(api, PLANS, state=full.state))) == 10
        assert set(plans.asked) == {None}
        api.routes["/plans"] = lambda _: json_reply([{"id": 1}])
        run(api, PLANS)
        assert "neither `ETag` nor `Last-Modified`, so that `conditional` has no effect" in warned(caplog)


@pytest.mark.parametrize("headers", [{"Link": '</plans?page=2>; rel="next"'}, {"X-Total-Count": "4"}])
def test_304_that_shows_another_page_is_not_believed(
    headers: dict[str, str], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    plans = Versioned(1, 2, 3)
    more: dict[str, str] = {"X-Total-Count": "3"}

    def answer(asked: Asked) -> Reply:
        reply = plans(asked)
        reply.headers = {**reply.headers, **more}
        return reply

    with serving({"/plans": answer}) as api:
        first = run(api, PLANS)
        assert ids(run(api, PLANS, state=first.state)) == []
        more.update(headers)
        assert ids(run(api, PLANS, state=first.state)) == [1, 2, 3]
        assert "there is another page" in warned(caplog) or "`single`" in warned(caplog)


@pytest.mark.parametrize(
    "change",
    [
        {"deletes": {"field": "name", "equals": "a"}},
        {"end_date": "2027-01-01T00:00:00Z"},
        {"missing_records": "empty"},
        {"errors": [{"status": 418, "then": "fail"}]},
    ],
)
def test_another_way_to_read_asks_for_all_again(change: dict[str, Any], run: Run) -> None:
    plans = Versioned(1, 2)
    plans.rows = [row | {"at": "2026-01-01"} for row in plans.rows]
    stream = PLANS | {"replication_key": "at", "bookmark": {"signpost": "none"}}
    with serving({"/plans": plans}) as api:
        first = run(api, stream)
        run(api, stream | change, state=run(api, stream, state=first.state).state)
        assert [condition is None for condition in plans.asked] == [True, False, True]


def test_rows_from_the_end_date_on_are_left_out(run: Run) -> None:
    plans = Versioned(1, 2)
    plans.rows = [{"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 2, "at": "2026-01-20T00:00:00Z"}]
    stream = PLANS | {"replication_key": "at", "bookmark": {"signpost": "none"}}
    with serving({"/plans": plans}) as api:
        early = run(api, stream | {"end_date": "2026-01-10T00:00:00Z"})
        assert ids(early) == [1]
        assert ids(run(api, stream, state=early.state)) == [2]


def test_an_answer_in_doubt_has_no_version(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def answer(asked: Asked) -> Reply:
        return json_reply({"data": [{"id": 1}], "errors": [{"message": "one is missing"}]}, ETag='"same"')

    stream = PLANS | {"records": "$.data[*]", "partial_answers": "warn"}
    with serving({"/plans": answer}) as api:
        run(api, stream, state=run(api, stream).state)
        assert "others may be missing" in warned(caplog)
        assert all("If-None-Match" not in asked.headers for asked in api.asked)


def test_rows_that_are_listed_no_more(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    plans = Versioned(1, 2, 3, 4, 5, 6)
    stream = PLANS | {"activate_version": True}

    def activated(found: Messages) -> bool:
        return any(message["type"] == "ACTIVATE_VERSION" for message in found.all)

    with serving({"/plans": plans}) as api:
        first = run(api, stream)
        second = run(api, stream, state=first.state)
        # Nothing comes, and nothing goes.
        assert (activated(first), activated(second), ids(second), warned(caplog)) == (True, False, [], "")
        plans.rows = plans.rows[:2]
        # Few rows have to come twice before others go: a load that is in doubt leaves no version.
        doubted = run(api, stream, state=second.state)
        assert (activated(doubted), ids(doubted)) == (False, [1, 2])
        sure = run(api, stream, state=doubted.state)
        assert (activated(sure), ids(sure)) == (True, [1, 2])
        assert ids(run(api, stream, state=sure.state)) == []


def test_below_parents(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    shops = {"name": "shops", "path": "/shops", "primary_keys": ["id"]}
    child = PLANS | {
        "path": "/shops/{parent.id}/plans",
        "parent": {"stream": "shops"},
        "primary_keys": ["id", "shops_id"],
    }
    plans = {"1": Versioned(1), "2": Versioned(2)}
    routes: dict[str, Any] = {"/shops": lambda _: json_reply([{"id": 1}, {"id": 2}])}
    routes |= {f"/shops/{name}/plans": found for name, found in plans.items()}

    def below(found: Messages) -> list[tuple[int, int]]:
        return [(row["shops_id"], row["id"]) for row in found.rows if "shops_id" in row]

    with serving(routes) as api:
        first = run(api, shops, child)
        plans["2"].rows.append({"id": 3, "name": "c"})
        second = run(api, shops, child, state=first.state)
        third = run(api, shops, child, state=second.state)
        assert [below(found) for found in (first, second, third)] == [[(1, 1), (2, 2)], [(2, 2), (2, 3)], []]
        assert warned(caplog) == ""


def test_what_is_copied_from_a_parent_counts(run: Run) -> None:
    """A copied field that changes is sent though the answer has not; and a row below two parents needs both keys."""
    shops = [{"id": 1, "name": "a"}]
    stream = PLANS | {
        "path": "/shops/{parent.id}/plans",
        "parent": {"stream": "shops", "copy": {"shop_id": "id", "shop": "name"}},
        "primary_keys": ["id", "shop_id"],
    }
    above = {"name": "shops", "path": "/shops", "primary_keys": ["id"]}
    with serving({"/shops": lambda _: json_reply(shops), "/shops/1/plans": Versioned(1)}) as api:
        first = run(api, above, stream)
        shops[0]["name"] = "b"
        again = run(api, above, stream, state=first.state)
        assert [row["shop"] for row in again.rows if "shop" in row] == ["b"]
        with pytest.raises(ConfigurationError, match="needs `shop` or `shop_id` among its `primary_keys`"):
            run(api, above, stream | {"primary_keys": ["id"]})


def test_beside_a_bookmark_rows_stay_known(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """What the state remembers of rows without a key is not forgotten by an answer without any."""
    plans = Versioned()
    plans.rows = [{"id": number, "at": f"2026-01-0{number}"} for number in (1, 2, 3)]
    stream = PLANS | {"primary_keys": [], "replication_key": "at"}
    with serving({"/plans": plans}) as api:
        found = [first := run(api, stream)]
        for _ in range(3):
            found.append(run(api, stream, state=found[-1].state))
        plans.rows.append({"id": 4, "at": "2026-01-03"})
        found.append(run(api, stream, state=found[-1].state))
        assert [ids(one) for one in found] == [[1, 2, 3], [], [], [], [4]]
        assert found[3].state["bookmarks"] == first.state["bookmarks"]
        assert warned(caplog) == ""


SHOPS = {"name": "shops", "path": "/shops"}
BELOW = {"parent": {"stream": "shops"}, "path": "/shops/{parent.id}"}


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        (
            [PLANS | {"incremental": {"token": "$.t", "param": "t"}}],
            "does not go with `streams[0].incremental.token`",
        ),
        (
            [PLANS | {"replication_key": "at", "incremental": {"param": "a", "window": "P1D"}}],
            "`streams[0].conditional` does not go with `streams[0].incremental.window`",
        ),
        (
            [PLANS | {"method": "POST"}],
            "`streams[0].conditional` has no effect with a `streams[0].method` other than GET",
        ),
        (
            [SHOPS | {"conditional": True}, PLANS | BELOW],
            "does not go with stream `plans`, which is read below its records",
        ),
        (
            [SHOPS, PLANS | BELOW | {"parent": {"stream": "shops", "group": 2, "group_field": "s"}}],
            "`streams[1].conditional` does not go with `streams[1].parent.group`",
        ),
        (
            [SHOPS, PLANS | BELOW | {"activate_version": True}],
            "`streams[1].activate_version` of a stream that is read in parts",
        ),
        ([SHOPS, PLANS | BELOW | {"replication_key": "at"}], "set `streams[1].parent.bookmarks` to `each`"),
        (
            [PLANS | {"pagination": {"type": "link_header"}}],
            "`streams[0].conditional` does not go with a `pagination` of more than one page",
        ),
    ],
)
def test_what_is_refused(streams: list[dict[str, Any]], said: str, run_tap: Any) -> None:
    assert said in run_tap("http://127.0.0.1:9", *streams).ended(78).sentence
