"""Keys that stand inside other fields of a record: they are sent at its top, where every target looks for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of, serving

ISSUES: dict[str, Any] = {
    "name": "issues",
    "path": "/issues",
    "primary_keys": ["info.id"],
    "replication_key": "fields.updated",
    "incremental": {"param": "since"},
    "pagination": {"type": "single"},
}
DECLARED = {
    "properties": {
        "info": {"type": "object", "properties": {"id": {"type": "integer"}}},
        "fields": {
            "anyOf": [
                {"type": "null"},
                {"type": "object", "properties": {"updated": {"type": "string", "format": "date-time"}}},
            ]
        },
    }
}


def issue(number: int, day: int, **more: Any) -> dict[str, Any]:
    return {"info": {"id": number}, "fields": {"updated": f"2026-01-{day:02}T00:00:00Z", **more}}


def api_of(rows: list[dict[str, Any]], size: int | None = None) -> Callable[[Asked], Reply]:
    """Issues in the order of `fields.updated`, from `since` on."""

    def answer(asked: Asked) -> Reply:
        since = asked.param("since") or ""
        found = sorted(
            (row for row in rows if row["fields"]["updated"] >= since),
            key=lambda row: (row["fields"]["updated"], row["info"]["id"]),
        )
        return json_reply(found if size is None else page_of(found, asked, size))

    return answer


def ids(run: Any, stream: str = "issues") -> list[int]:
    return [record["info_id"] for record in run.records(stream)]


@pytest.mark.parametrize("more", [{}, {"schema": DECLARED}], ids=["inferred", "declared"])
def test_both_keys_from_inside(more: dict[str, Any], run_tap: Any) -> None:
    rows = [issue(1, 1), issue(2, 2)]
    stream = ISSUES | more | {"bookmark": {"signpost": "none"}}
    with serving({"/issues": api_of(rows)}) as api:
        first = run_tap(api.url, stream).ended(0)
        schema = next(m for m in first.messages if m["type"] == "SCHEMA")
        assert (schema["key_properties"], schema["bookmark_properties"]) == (["info_id"], ["fields_updated"])
        properties = schema["schema"]["properties"]
        assert "integer" in properties["info_id"]["type"]
        assert properties["fields_updated"]["format"] == "date-time"
        assert first.records("issues") == [
            row | {"info_id": row["info"]["id"], "fields_updated": row["fields"]["updated"]} for row in rows
        ]
        bookmark = first.state["bookmarks"]["issues"]
        assert (bookmark["replication_key"], bookmark["replication_key_value"]) == (
            "fields_updated",
            "2026-01-02T00:00:00Z",
        )
        # A row of the same moment, one that has changed under its value, and one that is known.
        rows[:] = [issue(1, 1), issue(2, 2, state="closed"), issue(3, 2)]
        second = run_tap(api.url, stream, state=first.state).ended(0)
        assert api.asked[-1].param("since") == "2026-01-02T00:00:00Z"
        assert ids(second) == [2, 3]
        assert ids(run_tap(api.url, stream, state=second.state).ended(0)) == []


def test_pages_follow_a_key_from_inside_and_rows_that_move_are_found(run_tap: Any) -> None:
    rows = [issue(number, number) for number in range(1, 8)]
    stream = ISSUES | {"is_sorted": True, "pagination": {"type": "page", "size": 3}}
    answer = api_of(rows, 3)

    def moving(asked: Asked) -> Reply:
        reply = answer(asked)
        if len([one for one in api.asked if one.path == "/issues"]) == 1:
            rows.remove(rows[0])  # the fourth row moves to the page that was read
        return reply

    with serving({"/issues": moving}) as api:
        stream |= {"schema": DECLARED}
        assert sorted(ids(run_tap(api.url, stream).ended(0))) == [1, 2, 3, 4, 5, 6, 7]
        assert "2026-01-03T00:00:00Z" in {asked.param("since") for asked in api.asked}
        rows[:] = [issue(1, 3), issue(2, 2)]
        answer = api_of(list(reversed(rows)))
        api.routes["/issues"] = lambda _: json_reply(rows)
        unsorted = run_tap(api.url, stream).ended(65)
        assert "`fields_updated`" in unsorted.sentence


def test_a_keyset_of_a_key_from_inside(run_tap: Any) -> None:
    def after(asked: Asked) -> Reply:
        rows = [{"a.b": {"id": number}} for number in range(1, 6)]
        return json_reply([row for row in rows if row["a.b"]["id"] > int(asked.param("after") or 0)][:2])

    field = "['a.b'].id"
    stream = {
        "name": "issues",
        "path": "/issues",
        "primary_keys": [field],
        "activate_version": True,
        "pagination": {"type": "keyset", "field": field, "param": "after", "template": "{value}"},
    }
    with serving({"/issues": after}) as api:
        run = run_tap(api.url, stream | {"schema": {"properties": {"a.b_id": {"type": "integer"}}}}).ended(0)
        assert run.records("issues") == [{"a.b_id": number} for number in range(1, 6)]
        # Read once: by a keyset of the whole key no row can move.
        asked = [one.param("after") for one in api.asked]
        assert asked[:3] == [None, "2", "4"]
        assert None not in asked[1:]


def test_names_with_dots_and_a_name_of_ones_own(run_tap: Any) -> None:
    rows = [{"up.dated": 5, "in": {"my.id": "a", "@odata.etag": "W/1"}}]
    stream = {
        "name": "issues",
        "path": "/issues",
        "copy": {"key": "in['my.id']", "etag": "$.in.@odata.etag"},
        "primary_keys": ["in['my.id']"],
        "replication_key": "['up.dated']",
    }
    with serving({"/issues": lambda _: json_reply(rows)}) as api:
        run = run_tap(api.url, stream).ended(0)
        assert run.records("issues") == [rows[0] | {"key": "a", "etag": "W/1"}]
        assert run.messages[1]["key_properties"] == ["key"]
        assert run.state["bookmarks"]["issues"]["replication_key"] == "up.dated"
        catalog = json.loads(run_tap(api.url, stream, args=("--discover",)).ended(0).stdout)
        assert catalog["streams"][0]["key_properties"] == ["key"]
        run = run_tap(api.url, stream | {"primary_keys": ["key"]}, catalog=catalog).ended(0)
        assert run.records("issues") == [rows[0] | {"key": "a", "etag": "W/1"}]
        # A field that is copied no more leaves the schema, and what is stored of it stays.
        del stream["copy"]
        run = run_tap(api.url, stream | {"primary_keys": ["up.dated"][:0]}, state=run.state).ended(0)
        assert {"key", "etag"}.isdisjoint(run.schemas("issues")[-1]["properties"])


def test_exact_text_and_records_that_lack_it(run_tap: Any) -> None:
    body = b'[{"in":{"n":1.10}} , { "in" : null, "x":"\\ud800" }, {}, {"in":{"n":null}}]'
    stream = {"name": "issues", "path": "/issues", "copy": {"n": "in.n"}}
    with serving({"/issues": lambda _: json_reply(body)}) as api:
        found = [record.get("n") for record in run_tap(api.url, stream).ended(0).texts("issues")]
        assert found == ["1.10", None, None, None]
        partial = run_tap(api.url, stream | {"partial_records": True}).ended(0)
        assert ["n" in record for record in partial.records("issues")] == [True, False, False, True]


def test_a_field_of_that_name_with_another_value(run_tap: Any) -> None:
    stream = {"name": "issues", "path": "/issues", "primary_keys": ["info.id"]}
    with serving({"/issues": lambda _: json_reply([{"info": {"id": 1}, "info_id": 1}])}) as api:
        assert run_tap(api.url, stream).ended(0).stdout.count('"info_id":1') == 1
        api.routes["/issues"] = lambda _: json_reply([{"info": {"id": 1}, "info_id": 2}])
        sentence = run_tap(api.url, stream).ended(65).sentence
        assert "has a field `info_id` of its own with another value" in sentence
        advised = json.loads("{" + sentence.split("`")[-2] + "}")
        run = run_tap(api.url, stream | advised).ended(0)
        assert run.records("issues") == [{"info": {"id": 1}, "info_id": 2, "inner_info_id": 1}]
        assert run.messages[1]["key_properties"] == ["inner_info_id"]


def test_duplicates_are_told_with_the_paths_that_fit(run_tap: Any) -> None:
    rows = [{"in": {"order": 1}, "line": 1}, {"in": {"order": 1}, "line": 2}]
    stream = {"name": "lines", "path": "/lines", "primary_keys": ["in.order"]}
    with serving({"/lines": lambda _: json_reply(rows)}) as api:
        sentence = run_tap(api.url, stream).ended(65).sentence
        assert '`"primary_keys": ["in.order", "line"]`' in sentence
        assert len(run_tap(api.url, stream | {"primary_keys": ["in.order", "line"]}).ended(0).messages) > 3


def test_a_parent_with_a_key_from_inside(run_tap: Any) -> None:
    users = {"name": "users", "path": "/users", "primary_keys": ["meta.id"], "replication_key": "meta.at"}
    posts = {
        "name": "posts",
        "path": "/users/{parent.meta.id}/posts",
        "primary_keys": ["user_id", "post.no"],
        "parent": {"stream": "users", "copy": {"user_id": "meta.id"}},
    }
    people = [{"meta": {"id": number, "at": f"2026-01-0{number}"}} for number in (1, 2)]
    routes = {
        "/users": lambda _: json_reply(people),
        "/users/1/posts": lambda _: json_reply([{"post": {"no": 1}}]),
        "/users/2/posts": lambda _: json_reply([{"post": {"no": 1}}]),
    }
    with serving(routes) as api:
        run = run_tap(api.url, users, posts).ended(0)
        assert run.records("posts") == [
            {"post": {"no": 1}, "user_id": number, "post_no": 1} for number in (1, 2)
        ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"replication_key": "fields..updated"}, "`streams[0].replication_key`, or the names down to it"),
        ({"primary_keys": ["list[0].id"]}, "`streams[0].primary_keys[0]`, or the names down to it"),
        ({"copy": {"a": "a"}}, "`streams[0].copy.a` has no effect: that field is there under this name"),
        ({"primary_keys": ["a.b_c", "a_b.c"]}, "two fields that would both be `a_b_c`"),
        (
            {"pagination": {"type": "keyset", "field": "a..b", "param": "p"}},
            "pagination.field`, or the names",
        ),
        (
            {"primary_keys": ["info.id"], "schema": {"properties": {"info": {"type": "object"}}}},
            "does not say what that is; add `info_id` to the properties of `schema`",
        ),
        (
            {"replication_key": "fields.update"},
            "The replication key `fields_update` of stream `issues` is what stands at `fields.update`, and none of the 1 record",
        ),
    ],
)
def test_what_is_refused(more: dict[str, Any], said: str, run_tap: Any) -> None:
    with serving({"/issues": lambda _: json_reply([issue(1, 1)])}) as api:
        run = run_tap(api.url, {"name": "issues", "path": "/issues"} | more).ended(78)
        assert said in run.sentence
        assert run.stdout == ""
