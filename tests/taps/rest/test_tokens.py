"""Streams that go on by a token of the answers, as Google Calendar, Microsoft Graph and Zendesk have it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving


class Changes:
    """An API that tells what has changed since a token: each change has a number, and the token is the last of them."""

    def __init__(self, size: int = 2) -> None:
        self.changes: list[dict[str, Any]] = []
        self.size = size
        self.oldest = 0
        """Tokens below are gone."""

    def set(self, number: int, state: str) -> None:
        self.changes = [row for row in self.changes if row["id"] != number]
        self.changes.append({"id": number, "state": state})
        self.count = getattr(self, "count", 0) + 1
        self.changes[-1]["change"] = self.count

    def since(self, token: str | None) -> list[dict[str, Any]]:
        return [row for row in self.changes if row["change"] > int(token or 0)]

    def google(self, asked: Asked) -> Reply:
        """`nextPageToken` on all pages but the last, which has `nextSyncToken`."""
        token, page = asked.param("syncToken"), int(asked.param("pageToken") or 0)
        if token is not None and asked.param("timeMin") is not None:
            return json_reply({"error": {"code": 400, "message": "timeMin beside syncToken"}}, 400)
        if token is not None and int(token) < self.oldest:
            return json_reply({"error": {"code": 410, "message": "Sync token is no longer valid"}}, 410)
        rows = self.since(token)
        begin = page * self.size
        more = {"nextPageToken": str(page + 1)} if rows[begin + self.size :] else {}
        return json_reply(
            {"items": rows[begin : begin + self.size]} | (more or {"nextSyncToken": str(self.count)})
        )

    def zendesk(self, asked: Asked) -> Reply:
        """`after_cursor` on each page, and `end_of_stream`."""
        cursor = asked.param("cursor")
        if cursor is None and asked.param("start_time") is None:
            return json_reply({"error": "start_time is required"}, 400)
        rows = self.since(cursor)
        after = str(rows[: self.size][-1]["change"]) if rows else cursor
        return json_reply(
            {"tickets": rows[: self.size], "after_cursor": after, "end_of_stream": len(rows) <= self.size}
        )


EVENTS: dict[str, Any] = {
    "name": "events",
    "path": "/events",
    "records": "$.items[*]",
    "primary_keys": ["id"],
    "pagination": {"type": "cursor", "cursor": "$.nextPageToken", "param": "pageToken"},
    "incremental": {
        "param": "syncToken",
        "token": "$.nextSyncToken",
        "first_params": {"timeMin": "{today-1d:%Y}-01-01"},
    },
}


def changes() -> Changes:
    source = Changes()
    for number in (1, 2, 3):
        source.set(number, "new")
    return source


def ids(run: Any, stream: str = "events") -> list[int]:
    return [record["id"] for record in run.records(stream)]


def kept(run: Any, stream: str = "events") -> Any:
    return run.state["bookmarks"][stream].get("_singerkit_continuation", {}).get("whole", {}).get("token")


def warned(run: Any) -> str:
    return " ".join(line for line in run.stderr.splitlines() if "WARNING" in line)


def test_a_token_of_the_last_page(run_tap: Any) -> None:
    source = changes()
    with serving({"/events": source.google}) as api:
        first = run_tap(api.url, EVENTS).ended(0)
        assert (ids(first), kept(first)) == ([1, 2, 3], "3")
        assert warned(first) == ""
        assert all((asked.param("timeMin") or "").startswith("20") for asked in api.asked)
        del api.asked[:]
        quiet = run_tap(api.url, EVENTS, state=first.state).ended(0)
        assert (ids(quiet), kept(quiet), warned(quiet)) == ([], "3", "")
        assert [asked.raw_path for asked in api.asked] == ["/events?syncToken=3"]
        source.set(2, "changed")
        source.set(4, "new")
        source.set(5, "new")
        later = run_tap(api.url, EVENTS, state=quiet.state).ended(0)
        assert (ids(later), kept(later)) == ([2, 4, 5], "6")
        # Token and page go together.
        assert [asked.raw_path for asked in api.asked[-2:]] == [
            "/events?syncToken=3",
            "/events?syncToken=3&pageToken=1",
        ]


def test_a_token_counts_when_all_pages_were_read(run_tap: Any) -> None:
    source = changes()
    with serving({"/events": source.google}) as api:
        state = run_tap(api.url, EVENTS).ended(0).state
        for number in (4, 5, 6, 7):
            source.set(number, "new")
        api.routes["/events"] = lambda asked: (
            json_reply({}, 500) if asked.param("pageToken") == "1" else source.google(asked)
        )
        cut = run_tap(api.url, EVENTS, state=state, state_every=1).ended(69)
        states = [message["value"] for message in cut.messages if message["type"] == "STATE"]
        assert len(states) > 1
        assert ids(cut) == [4, 5]
        assert {
            one["bookmarks"]["events"]["_singerkit_continuation"]["whole"]["token"] for one in states
        } == {"3"}
        api.routes["/events"] = source.google
        again = run_tap(api.url, EVENTS, state=cut.state).ended(0)
        assert (ids(again), kept(again)) == ([4, 5, 6, 7], "7")


@pytest.mark.parametrize("page", [0, 1])
def test_a_token_that_has_expired(page: int, run_tap: Any) -> None:
    source = changes()
    with serving({"/events": source.google}) as api:
        state = run_tap(api.url, EVENTS).ended(0).state
        for number in (1, 4, 5):
            source.set(number, "changed")

        def expired(asked: Asked) -> Reply:
            if asked.param("syncToken") is not None and int(asked.param("pageToken") or 0) == page:
                return json_reply({"error": {"code": 410}}, 410)
            return source.google(asked)

        api.routes["/events"] = expired
        run = run_tap(api.url, EVENTS, state=state).ended(0)
        assert ids(run)[-5:] == [2, 3, 1, 4, 5]
        assert kept(run) == "6"
        assert "all rows are read again; rows that were deleted meanwhile stay in the target" in warned(run)
        # Another status only where a rule says so, and of reads by a token only.
        api.routes["/events"] = lambda asked: (
            json_reply({"message": "sync token is invalid"}, 422)
            if asked.param("syncToken") is not None
            else source.google(asked)
        )
        run_tap(api.url, EVENTS, state=state).ended(65)
        rule = {"status": 422, "path": "$.message", "contains": "sync token", "then": "start_over"}
        stream = EVENTS | {"errors": [rule]}
        assert len(ids(run_tap(api.url, stream, state=state).ended(0))) == 5
        api.routes["/events"] = lambda _: json_reply({"message": "sync token is invalid"}, 422)
        assert "422" in run_tap(api.url, stream, state=state).ended(65).sentence


def test_a_delta_link(run_tap: Any) -> None:
    stream = {
        "name": "users",
        "path": "/users/delta",
        "records": "$.value[*]",
        "primary_keys": ["id"],
        "params": {"$select": "id"},
        "pagination": {"type": "next_url", "next": "$.@odata.nextLink"},
        "incremental": {"token": "$.@odata.deltaLink"},
    }
    host: dict[str, str] = {}

    def delta(asked: Asked) -> Reply:
        place = f"{host['url']}/users/delta"
        if (token := asked.param("$deltatoken")) is not None:
            rows = [{"id": 9}] if token == "a" else []
            return json_reply({"value": rows, "@odata.deltaLink": f"{place}?$deltatoken=b"})
        if asked.param("$skiptoken") is None:
            return json_reply({"value": [{"id": 1}], "@odata.nextLink": f"{place}?$skiptoken=x"})
        return json_reply({"value": [{"id": 2}], "@odata.deltaLink": f"{place}?$deltatoken=a"})

    with serving({"/users/delta": delta}) as api:
        host["url"] = api.url
        first = run_tap(api.url, stream).ended(0)
        second = run_tap(api.url, stream, state=first.state).ended(0)
        assert api.asked[-1].raw_path == "/users/delta?$deltatoken=a"
        third = run_tap(api.url, stream, state=second.state).ended(0)
        assert [ids(run, "users") for run in (first, second, third)] == [[1, 2], [9], []]
        assert warned(third) == ""
        # A link elsewhere is not followed, whoever wrote it.
        host["url"] = "http://localhost:9"
        away = run_tap(api.url, stream, state=second.state).ended(0)
        run = run_tap(api.url, stream, state=away.state).ended(77)
        assert "allowed_hosts" in run.sentence
        # A text that is no link.
        api.routes["/users/delta"] = lambda _: json_reply({"value": [], "@odata.deltaLink": "abc"})
        assert "set `param`" in run_tap(api.url, stream).ended(65).sentence


def test_a_token_that_is_sent_as_the_cursor_of_a_page_is(run_tap: Any) -> None:
    """As Dropbox has it: what goes on has another path, and nothing but the cursor in its body."""
    changes = Changes()
    for number in (1, 2, 3):
        changes.set(number, "new")

    def listed(asked: Asked, since: str | None) -> Reply:
        rows = changes.since(since)
        page = rows[: changes.size]
        cursor = str(page[-1]["change"]) if page else since
        return json_reply({"entries": page, "cursor": cursor, "has_more": len(rows) > changes.size})

    def begin(asked: Asked) -> Reply:
        return listed(asked, None) if asked.json == {"path": ""} else json_reply({"error": "body"}, 400)

    def more(asked: Asked) -> Reply:
        body = asked.json
        return listed(asked, body["cursor"]) if [*body] == ["cursor"] else json_reply({"error": "body"}, 400)

    stream = {
        "name": "files",
        "path": "/list",
        "method": "POST",
        "body": {"path": ""},
        "records": "$.entries[*]",
        "primary_keys": ["id"],
        "pagination": {
            "type": "cursor",
            "cursor": "$.cursor",
            "has_more": "$.has_more",
            "next_request": {"path": "/list/continue", "body": {"cursor": "{cursor}"}},
        },
        "incremental": {"token": "$.cursor"},
    }
    with serving({"/list": begin, "/list/continue": more}) as api:
        first = run_tap(api.url, stream).ended(0)
        changes.set(2, "changed")
        second = run_tap(api.url, stream, state=first.state).ended(0)
        third = run_tap(api.url, stream, state=second.state).ended(0)
        assert [ids(run, "files") for run in (first, second, third)] == [[1, 2, 3], [2], []]
        assert api.asked[-1].path == "/list/continue"


def test_a_link_that_holds_our_credential(run_tap: Any) -> None:
    """The state keeps the link without it, and `auth` adds it again."""
    secret = "k3y-0f-this-client/42"
    stream = {
        "name": "users",
        "path": "/users",
        "records": "$.value[*]",
        "primary_keys": ["id"],
        "incremental": {"token": "$.delta"},
    }
    where = ["/users?since=5&key={key}"]

    def users(asked: Asked) -> Reply:
        assert asked.param("key") == secret
        return json_reply({"value": [{"id": 1}], "delta": where[0].format(key=quote(secret, safe=""))})

    auth = {"type": "api_key", "in": "query", "name": "key", "api_key": secret}
    with serving({"/users": users}) as api:
        first = run_tap(api.url, stream, auth=auth).ended(0)
        run_tap(api.url, stream, auth=auth, state=first.state).ended(0)
        assert api.asked[-1].param("since") == "5"
        assert secret not in unquote(first.stdout)
        where[0] = "/users/{key}/rest"
        refused = run_tap(api.url, stream, auth=auth).ended(65)
        assert "holds a credential" in refused.sentence
        assert secret not in unquote(refused.stdout + refused.stderr)


def test_a_cursor_that_is_the_token_too_and_one_in_a_header(run_tap: Any) -> None:
    source = changes()
    stream = {
        "name": "tickets",
        "path": "/tickets",
        "records": "$.tickets[*]",
        "primary_keys": ["id"],
        "pagination": {
            "type": "cursor",
            "cursor": "$.after_cursor",
            "param": "cursor",
            "is_last": "$.end_of_stream",
        },
        "incremental": {"token": "$.after_cursor", "param": "cursor", "first_params": {"start_time": 0}},
    }
    with serving({"/tickets": source.zendesk}) as api:
        run = run_tap(api.url, stream).ended(0)
        assert ids(run, "tickets") == [1, 2, 3]
        for number in (1, 2, 7):
            source.set(number, "changed")
        run = run_tap(api.url, stream, state=run.state).ended(0)
        assert (ids(run, "tickets"), kept(run, "tickets"), warned(run)) == ([1, 2, 7], "6", "")
        run = run_tap(api.url, stream, state=run.state).ended(0)
        assert (ids(run, "tickets"), kept(run, "tickets"), warned(run)) == ([], "6", "")
        answers = {None: ([{"id": 1}], {"X_Seq": "7"}), "7": ([], {})}
        api.routes["/tickets"] = lambda asked: json_reply(
            answers[asked.param("after")][0], **answers[asked.param("after")][1]
        )
        by_header = {
            "name": "tickets",
            "path": "/tickets",
            "primary_keys": ["id"],
            "incremental": {"token": "header:X-Seq", "param": "after"},
        }
        first = run_tap(api.url, by_header).ended(0)
        # An answer without one leaves it as it was.
        second = run_tap(api.url, by_header, state=first.state).ended(0)
        assert [ids(run, "tickets") for run in (first, second)] == [[1], []]
        assert kept(second, "tickets") == "7"


def test_each_parent_has_a_token(run_tap: Any) -> None:
    calendars = {"name": "calendars", "path": "/calendars", "primary_keys": ["id"]}
    child = EVENTS | {
        "path": "/calendars/{parent.id}/events",
        "parent": {"stream": "calendars"},
        "primary_keys": ["calendars_id", "id"],
    }
    sources = {"1": changes(), "2": changes()}
    routes: dict[str, Any] = {"/calendars": lambda _: json_reply([{"id": 1}, {"id": 2}])}
    routes |= {f"/calendars/{name}/events": source.google for name, source in sources.items()}
    with serving(routes) as api:
        first = run_tap(api.url, calendars, child).ended(0)
        assert len(ids(first)) == 6
        sources["2"].set(8, "new")
        second = run_tap(api.url, calendars, child, state=first.state).ended(0)
        assert [(row["calendars_id"], row["id"]) for row in second.records("events")] == [(2, 8)]
        assert warned(second) == ""
        sources["1"].oldest = 9
        third = run_tap(api.url, calendars, child, state=second.state).ended(0)
        assert [(row["calendars_id"], row["id"]) for row in third.records("events")] == [
            (1, 1),
            (1, 2),
            (1, 3),
        ]


def test_a_token_is_of_what_stands_below_a_parent_and_of_what_is_copied(run_tap: Any) -> None:
    shop = {"id": 1, "slug": "a", "name": "x"}
    child = EVENTS | {
        "path": "/calendars/{parent.slug}/events",
        "parent": {"stream": "calendars", "copy": {"calendar": "id", "name": "name"}},
        "primary_keys": ["calendar", "id"],
    }
    routes: dict[str, Any] = {"/calendars": lambda _: json_reply([shop])}
    routes |= {f"/calendars/{name}/events": changes().google for name in "ab"}
    calendars = {"name": "calendars", "path": "/calendars", "primary_keys": ["id"]}
    with serving(routes) as api:
        run = run_tap(api.url, calendars, child).ended(0)
        for change, came in (({}, 0), ({"name": "y"}, 3), ({}, 0), ({"slug": "b"}, 3), ({}, 0)):
            shop |= change
            run = run_tap(api.url, calendars, child, state=run.state).ended(0)
            assert len(ids(run)) == came


def test_what_is_gone_is_told_by_the_token_though_all_rows_are_read_again(run_tap: Any) -> None:
    """A renamed parent had all rows read without the token, behind which the deletion stood: it never came."""
    calendar, source = {"id": 1, "name": "x"}, changes()
    child = EVENTS | {
        "path": "/calendars/{parent.id}/events",
        "parent": {"stream": "calendars", "copy": {"calendar": "id", "name": "name"}},
        "primary_keys": ["calendar", "id"],
        "deletes": {"field": "state", "equals": "gone"},
    }

    def google(asked: Asked) -> Reply:
        reply = source.google(asked)
        if asked.param("syncToken") is not None:
            return reply
        told = json.loads(reply.body)
        source.set(1, "newer")  # while it is read: it has to come by the next token
        return json_reply(told | {"items": [row for row in told["items"] if row["state"] != "gone"]})

    routes = {"/calendars": lambda _: json_reply([calendar]), "/calendars/1/events": google}
    calendars = {"name": "calendars", "path": "/calendars", "primary_keys": ["id"]}
    with serving(routes) as api:
        source.size = 9
        run = run_tap(api.url, calendars, child).ended(0)
        source.set(2, "gone")
        calendar["name"] = "y"
        run = run_tap(api.url, calendars, child, state=run.state).ended(0)
        told = [(row["id"], row["name"], bool(row.get("_sdc_deleted_at"))) for row in run.records("events")]
        assert told == [(1, "y", False), (2, "y", True), (3, "y", False), (1, "y", False)]
        again = run_tap(api.url, calendars, child, state=run.state).ended(0)
        assert ids(again) == [1]


def test_each_value_of_a_list_has_a_token(run_tap: Any) -> None:
    sources = {"a": changes(), "b": changes()}
    routes: dict[str, Any] = {f"/calendars/{name}/events": source.google for name, source in sources.items()}
    stream = EVENTS | {
        "path": "/calendars/{each.calendar}/events",
        "for_each": {"calendar": ["a", "b"]},
        "primary_keys": ["calendar", "id"],
    }
    with serving(routes) as api:
        first = run_tap(api.url, stream).ended(0)
        assert len(ids(first)) == 6
        sources["a"].set(9, "new")
        second = run_tap(api.url, stream, state=first.state).ended(0)
        assert [(row["calendar"], row["id"]) for row in second.records("events")] == [("a", 9)]
        # A value that comes to the list is read from its beginning, and the others are not.
        sources["c"] = changes()
        api.routes["/calendars/c/events"] = sources["c"].google
        more = stream | {"for_each": {"calendar": ["a", "b", "c"]}}
        third = run_tap(api.url, more, state=second.state).ended(0)
        assert {row["calendar"] for row in third.records("events")} == {"c"}


def test_a_token_belongs_to_a_question(run_tap: Any) -> None:
    source = changes()
    with serving({"/events": source.google}) as api:
        state = run_tap(api.url, EVENTS).ended(0).state
        more = run_tap(api.url, EVENTS | {"params": {"all": "yes"}}, state=state).ended(0)
        assert ids(more) == [1, 2, 3]
        assert "It is read from the beginning" in warned(more)
        # A field that was not sent before is told, not loaded.
        narrow = EVENTS | {"schema": {"properties": {"id": {"type": "integer"}}}}
        state = run_tap(api.url, narrow).ended(0).state
        wide = run_tap(api.url, EVENTS | {"schema": {"properties": {"id": {}, "state": {}}}}, state=state)
        assert ids(wide.ended(0)) == []
        assert "sent with `state`" in warned(wide)


def test_which_of_two_tokens_counts(run_tap: Any) -> None:
    """A row that changes behind the reading point is told by the state of the API when the read began, not when it ended."""
    stamp = {"now": 10}
    rows = {1: 1, 2: 2, 3: 3}
    events: list[int] = []

    def answer(asked: Asked) -> Reply:
        since, page = int(asked.param("since") or 0), int(asked.param("page") or 0)
        found = sorted((at, number) for number, at in rows.items() if at > since)
        shown = found[page * 2 : page * 2 + 2]
        reply = json_reply(
            {
                "items": [{"id": number} for _, number in shown],
                "next": page + 1 if found[page * 2 + 2 :] else None,
            },
            X_Stamp=str(stamp["now"]),
        )
        if page == 0 and not events:
            events.append(1)
            stamp["now"] = rows[1] = 11  # changes when its page has been read
        return reply

    stream = EVENTS | {
        "pagination": {"type": "cursor", "cursor": "$.next", "param": "page"},
        "incremental": {"param": "since", "token": "header:X-Stamp"},
    }
    with serving({"/events": answer}) as api:
        sentence = run_tap(api.url, stream).ended(65).sentence
        assert 'set `"token_of": "first"` in `incremental` if it says how far the API had come' in sentence
        events.clear()
        stamp["now"], rows[1] = 10, 1
        stream["incremental"] |= {"token_of": "first"}
        first = run_tap(api.url, stream).ended(0)
        assert kept(first) == "10"
        assert ids(run_tap(api.url, stream, state=first.state).ended(0)) == [1]


def test_no_token_at_all(run_tap: Any) -> None:
    with serving({"/events": lambda _: json_reply({"items": [{"id": 1}]})}) as api:
        run = run_tap(api.url, EVENTS).ended(65)
        assert "Expected a token at `$.nextSyncToken`" in run.sentence
        assert "events" not in run.state["bookmarks"] or kept(run) is None


@pytest.mark.parametrize(
    ("more", "incremental", "said"),
    [
        ({"replication_key": "at"}, {}, "`streams[0].replication_key` does not go with"),
        ({"primary_keys": []}, {}, "`streams[0].incremental.token` needs `streams[0].primary_keys`"),
        (
            {"path": "/x/{parent.id}", "parent": {"stream": "p", "group": 2, "group_field": "p"}},
            {},
            "`streams[0].parent.group` does not go with `streams[0].incremental.token`",
        ),
        ({"activate_version": True}, {}, "`streams[0].activate_version` has no effect with"),
        ({}, {"lookback": 1}, "`streams[0].incremental.lookback` has no effect beside"),
        ({}, {"param": None}, "a `pagination` of type `cursor` can add nothing"),
        (
            {"params": {"timeMin": 1}},
            {},
            "`streams[0].incremental.first_params.timeMin` is sent by `params`, too",
        ),
        (
            {},
            {"first_params": {"a": "{parent.id}"}},
            "`{parent.id}` in `streams[0].incremental.first_params`",
        ),
        (
            {},
            {"first_params": {"a": "{yesterday}"}},
            "`streams[0].incremental.first_params.a` is no placeholder",
        ),
        ({}, {"token": None}, "`streams[0].incremental.first_params` has no effect without"),
        (
            {"pagination": {"type": "single"}},
            {"token_of": "last"},
            "`streams[0].incremental.token_of` has no effect with",
        ),
        (
            {"errors": [{"status": 410, "then": "start_over"}], "replication_key": "id"},
            {"token": None, "first_params": None},
            "the stream has no `incremental.token` that could expire",
        ),
        (
            {"params": {"syncToken": 1}},
            {},
            "`streams[0].params.syncToken` is lost as soon as there is a token",
        ),
    ],
)
def test_what_is_refused(more: dict[str, Any], incremental: dict[str, Any], said: str, run_tap: Any) -> None:
    asked = {**EVENTS["incremental"], **incremental}
    asked = {name: value for name, value in asked.items() if value is not None}
    run = run_tap("http://127.0.0.1:9", EVENTS | {"incremental": asked} | more).ended(78)
    assert said in run.sentence


def test_a_stream_with_a_token_is_no_parent(run_tap: Any) -> None:
    child = {"name": "x", "path": "/x/{parent.id}", "parent": {"stream": "events"}}
    run = run_tap("http://127.0.0.1:9", EVENTS, child).ended(78)
    assert "`streams[1].parent.stream` names `events`, which goes on by a token" in run.sentence


def test_what_is_promised(run_tap: Any) -> None:
    about = run_tap("http://127.0.0.1:9", EVENTS, args=("--about", "--format=json")).ended(0)
    assert "when it takes a token no more" in about.stdout
