"""A child stream is read once per record of its parent, whose fields stand in its path."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

USERS = [
    {"id": 1, "team": {"code": "a/b"}},
    {"id": 2, "team": {"code": "c d"}},
    {"id": 3, "team": {"code": "é"}},
]
PARENT = {
    "name": "users",
    "path": "/users",
    "primary_keys": ["id"],
    "pagination": {"type": "offset", "size": 2},
    "schema": {"properties": {"id": {"type": "integer"}, "team": {"type": "object"}}},
}
CHILD = {
    "name": "orders",
    "path": "/users/{parent.id}/orders",
    "primary_keys": ["user_id", "no"],
    "parent": {"stream": "users", "copy": {"user_id": "id", "team": "team.code"}},
}


def users(asked: Asked) -> Reply:
    start = int(asked.param("offset") or 0)
    return json_reply(USERS[start : start + 2])


def orders_of(user: int) -> Any:
    return lambda _: json_reply([{"no": number, "sum": f"{user}.{number}0"} for number in range(user)])


def routes() -> dict[str, Any]:
    return {"/users": users, **{f"/users/{n}/orders": orders_of(n) for n in (1, 2, 3)}}


WANTED = [
    {"no": number, "sum": f"{user['id']}.{number}0", "user_id": user["id"], "team": user["team"]["code"]}
    for user in USERS
    for number in range(user["id"])
]


def test_children_of_every_parent_with_its_fields(run_tap: Any) -> None:
    with serving(routes()) as api:
        run = run_tap(api.url, PARENT, CHILD).ended(0)
    assert run.records("users") == USERS
    assert run.records("orders") == WANTED
    assert run.schemas("orders")[0]["properties"]["user_id"]["type"] == "integer"


def test_the_parent_need_not_be_selected(run_tap: Any) -> None:
    with serving(routes()) as api:
        run = run_tap(api.url, PARENT, CHILD, select=["orders"]).ended(0)
    assert run.records("users") == []
    assert run.schemas("users") == []
    assert run.records("orders") == WANTED


def test_the_child_is_not_asked_for_when_it_is_not_selected(run_tap: Any) -> None:
    with serving(routes()) as api:
        run = run_tap(api.url, PARENT, CHILD, select=["users"]).ended(0)
        assert {asked.path for asked in api.asked} == {"/users"}
    assert run.records("users") == USERS


def test_a_child_that_is_not_found(run_tap: Any) -> None:
    schema = {"properties": {"no": {}, "sum": {}, "user_id": {}, "team": {}}}
    some = routes()
    del some["/users/2/orders"]
    with serving(some) as api:
        failed = run_tap(api.url, PARENT, CHILD | {"schema": schema}).ended(65)
        assert "404" in failed.sentence
        skipping = CHILD | {"schema": schema, "parent": CHILD["parent"] | {"on_404": "skip"}}  # type: ignore[operator]
        run = run_tap(api.url, PARENT, skipping).ended(0)
        inferred = run_tap(api.url, PARENT, {k: v for k, v in skipping.items() if k != "schema"}).ended(0)
    wanted = [record for record in WANTED if record["user_id"] != 2]
    assert run.records("orders") == wanted
    assert inferred.records("orders") == wanted
    assert "on_404" in run.stderr


def test_one_that_is_not_found_is_skipped_at_once_whatever_it_says(run_tap: Any) -> None:
    def orders(asked: Asked) -> Reply:
        if asked.path == "/users/2/orders":
            return json_reply({"message": "Not found, please try again later."}, 404)
        return json_reply({"data": [{"no": 1}]})

    schema = {"properties": {"no": {}, "user_id": {}}}
    parent = {"stream": "users", "copy": {"user_id": "id"}, "on_404": "skip"}
    child = CHILD | {"records": "$.data[*]", "schema": schema, "parent": parent}
    with serving({"/users": users, **{f"/users/{n}/orders": orders for n in (1, 2, 3)}}) as api:
        run = run_tap(api.url, PARENT, child).ended(0)
        assert api.paths().count("/users/2/orders") == 1
    assert [record["user_id"] for record in run.records("orders")] == [1, 3]


ROWS_BELOW = [{"no": number, "at": f"2026-01-01T00:00:{number:02d}Z"} for number in range(1, 26)]


def pages_below(pagination: dict[str, Any], *, is_rising: bool, is_lost: bool) -> Any:
    """Return a route of pages of ten rows; ``is_lost``: the second is not found."""

    def answer(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        since = asked.param("since") or ""
        if number == 2 and is_lost:
            return json_reply({"detail": "Not found."}, 404)
        rows = [row for row in ROWS_BELOW if row["at"] >= since]  # type: ignore[operator]
        rows = rows if is_rising else rows[::-1]
        is_last = number * 10 >= len(rows)
        following = None if is_last else number + 1
        link = f"/users/1/orders?page={following}" + (f"&since={since}" if since else "")
        has_link = pagination["type"] == "link_header" and not is_last
        headers = {"Link": f'<{link}>; rel="next"'} if has_link else {}
        body = {"total": len(rows), "next": following, "data": rows[10 * number - 10 : 10 * number]}
        return json_reply(body, **headers)

    return answer


PAGED = {
    "numbers": {"type": "page", "size": 10, "stop_on_short_page": True},
    "a total": {"type": "page", "size": 10, "total_count": "$.total"},
    "a cursor": {"type": "cursor", "cursor": "$.next", "param": "page"},
    "links": {"type": "link_header"},
}


@pytest.mark.parametrize(
    ("name", "bookmarks", "is_sorted"),
    [
        *[(name, "each", False) for name in PAGED],
        ("numbers", "shared", False),
        ("numbers", "each", True),
        ("a total", None, False),
    ],
)
def test_a_later_page_that_is_not_found_is_no_child_that_is_gone(
    name: str, bookmarks: str | None, is_sorted: bool, run_tap: Any
) -> None:
    """No bookmark passes what it would have shown: the next run reads all of it."""
    pagination = PAGED[name]
    child: dict[str, Any] = {
        "name": "orders",
        "path": "/users/{parent.id}/orders",
        "records": "$.data[*]",
        "primary_keys": ["no"],
        "pagination": pagination,
        "schema": {
            "properties": {
                "no": {"type": "integer"},
                "at": {"type": "string", "format": "date-time"},
                "users_id": {},
            }
        },
        "parent": {"stream": "users", "on_404": "skip"},
    }
    if bookmarks is not None:
        child |= {"replication_key": "at", "incremental": {"param": "since"}, "is_sorted": is_sorted}
        child["parent"] |= {"bookmarks": bookmarks}
    parent = {"name": "users", "path": "/users", "primary_keys": ["id"], "pagination": {"type": "single"}}
    route = partial(pages_below, pagination, is_rising=is_sorted)
    with serving(
        {"/users": lambda _: json_reply([{"id": 1}]), "/users/1/orders": route(is_lost=True)}
    ) as api:
        # More than one run: a bookmark that is shared moves in the second only.
        came: set[int] = set()
        failed = None
        for _ in range(2):
            failed = run_tap(api.url, parent, child, state=failed and failed.state).ended(65)
            came |= {row["no"] for row in failed.records("orders")}
        assert failed is not None
        assert "page 2 of stream orders" in failed.sentence
        assert "`on_404` passes over a child whose first page is answered so" in failed.sentence
        assert "Not found." in failed.sentence
        api.routes["/users/1/orders"] = route(is_lost=False)
        ended = run_tap(api.url, parent, child, state=failed.state).ended(0)
    assert came | {row["no"] for row in ended.records("orders")} == set(range(1, 26))


def test_fields_cannot_climb_out_of_the_path(run_tap: Any) -> None:
    schema = {"properties": {"no": {}}}
    with serving({"/users": users}) as api:
        child = {
            "name": "teams",
            "path": "/teams/{parent.team.code}/x",
            "params": {"who": "{parent.id}"},
            "parent": {"stream": "users", "on_404": "skip"},
            "schema": schema,
        }
        run_tap(api.url, PARENT, child).ended(0)
        assert [path for path in api.paths() if "teams" in path] == [
            "/teams/a%2Fb/x?who=1",
            "/teams/c%20d/x?who=2",
            "/teams/%C3%A9/x?who=3",
        ]
    with serving({"/users": lambda _: json_reply([{"id": ".."}])}) as api:
        child = CHILD | {"schema": schema, "primary_keys": [], "parent": {"stream": "users"}}
        run_tap(api.url, PARENT | {"pagination": {"type": "single"}}, child).ended(65)
        assert api.paths() == ["/users"]


def test_a_url_of_the_parent_is_followed_at_home_only(run_tap: Any) -> None:
    schema = {"properties": {"no": {}}}
    child = {"name": "more", "path": "{parent.url}", "parent": {"stream": "users"}, "schema": schema}
    parent = {"name": "users", "path": "/users", "schema": {"properties": {"url": {}}}}
    with serving({"/more": lambda _: json_reply([{"no": 1}])}) as other, serving({}) as api:
        api.routes["/users"] = lambda _: json_reply([{"url": f"{api.url}/more?x=1{{&projection}}"}])
        api.routes["/more"] = lambda _: json_reply([{"no": 2}])
        assert run_tap(api.url, parent, child).ended(0).records("more") == [{"no": 2}]
        assert api.paths()[-1] == "/more?x=1"
        api.routes["/users"] = lambda _: json_reply([{"url": f"{other.url}/more"}])
        run_tap(api.url, parent, child).ended(77)
        assert other.asked == []


@pytest.mark.parametrize(
    ("records", "on_missing", "code", "said"),
    [
        ([{"no": 1}, {"no": 2, "cart": 5}], None, 0, "Records of stream users lack the field `cart`"),
        ([{"no": 1, "cart": None}], None, 0, None),
        ([{"no": 1, "cart": 5}, {"no": 2}], "skip", 0, None),
        ([{"no": 1}, {"no": 2}], "skip", 0, "No record of stream users had the field `cart`"),
        ([{"no": 1, "cart": 5}, {"no": 2}], "fail", 65, "in every record of stream users"),
        ([{"no": 1}, {"no": 2}], None, 65, "got none that has it"),
        ([{"no": 1, "cart": 5}, {"no": 2, "cart": "x"}, {}], None, 0, "lack the field `cart`"),
    ],
)
def test_a_parent_without_the_field(
    records: Any, on_missing: str | None, code: int, said: str | None, run_tap: Any
) -> None:
    single = PARENT | {"pagination": {"type": "single"}, "primary_keys": []}
    parent = {"stream": "users"} | ({"on_missing": on_missing} if on_missing else {})
    child = {
        "name": "carts",
        "path": "/carts/{parent.cart}",
        "parent": parent,
        "schema": {"properties": {"n": {}, "users_cart": {}}},
    }
    cart = {f"/carts/{cart}": lambda _: json_reply([{"n": 1}]) for cart in (5, "x")}
    with serving({"/users": lambda _: json_reply(records), **cart}) as api:
        run = run_tap(api.url, single, child).ended(code)
        assert len(api.paths()) == 1 + len(run.records("carts"))
    if code == 0:
        wanted = [record["cart"] for record in records if record.get("cart")]
        assert [record["users_cart"] for record in run.records("carts")] == wanted
    assert said in run.stderr if said else "the field `cart`" not in run.stderr


def test_a_text_where_the_way_to_a_field_should_lead_on(run_tap: Any) -> None:
    with serving({"/users": lambda _: json_reply([{"id": "x"}])}) as api:
        child = CHILD | {"path": "/users/{parent.id.no}", "parent": {"stream": "users"}, "schema": {}}
        run = run_tap(api.url, PARENT | {"pagination": {"type": "single"}, "schema": {}}, child).ended(65)
    assert "one that has text, a number or a list where an object should be" in run.sentence


def test_incremental_children_share_one_bookmark(run_tap: Any) -> None:
    def items(asked: Asked) -> Reply:
        user = int(asked.path.split("/")[2])
        return json_reply([{"no": user, "at": f"2026-01-0{user}T00:00:00Z"}])

    every = {"/users": users, **{f"/users/{n}/orders": items for n in (1, 2, 3)}}
    child = CHILD | {"replication_key": "at", "incremental": {"param": "since"}}
    with serving(every) as api:
        opening = run_tap(api.url, PARENT, child).ended(0)
        assert "replication_key_value" not in opening.state["bookmarks"]["orders"], "nothing was certain yet"
        first = run_tap(api.url, PARENT, child, state=opening.state).ended(0)
        assert first.records("orders") == []
        bookmark = first.state["bookmarks"]["orders"]
        assert bookmark["replication_key_value"] == "2026-01-03T00:00:00Z"
        assert "partitions" not in bookmark
        del api.asked[:]
        second = run_tap(api.url, PARENT, child, state=first.state).ended(0)
        sent = {asked.param("since") for asked in api.asked if "orders" in asked.path}
    assert sent == {"2026-01-03T00:00:00Z"}
    assert second.records("orders") == []


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, []])
@pytest.mark.parametrize("place", ["path", "params"])
def test_a_list_or_an_object_is_no_place_in_a_path(value: Any, place: str, run_tap: Any) -> None:
    child = {"name": "x", "path": "/x", "params": {"ids": "{parent.ids}"}, "parent": {"stream": "users"}}
    if place == "path":
        child |= {"path": "/x/{parent.ids}", "params": {}}
    single = {"name": "users", "path": "/users", "schema": {"properties": {"ids": {}}}}
    with serving({"/users": lambda _: json_reply([{"ids": value}])}) as api:
        run = run_tap(api.url, single, child | {"schema": {"properties": {"no": {}}}}).ended(65)
        assert api.paths() == ["/users"]
    assert f"got `{'object' if isinstance(value, dict) else 'array'}` as `ids` of the parent" in run.sentence


@pytest.mark.parametrize("read", [None, "all", "changed"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_child_below_a_parent_that_does_not_change(read: str | None, is_sorted: bool, run_tap: Any) -> None:
    """The parent is incremental, and a child appears below a record of it that stays as it was."""
    parents = [{"id": n, "u": f"2026-01-0{n}T00:00:00Z"} for n in (1, 2)]
    below = {n: [{"no": n * 10, "u": f"2026-01-0{n}T00:00:00Z"}] for n in (1, 2)}

    def since(rows: list[dict[str, Any]]) -> Any:
        return lambda asked: json_reply([row for row in rows if row["u"] >= (asked.param("since") or "")])

    incremental = {
        "replication_key": "u",
        "incremental": {"param": "since"},
        "pagination": {"type": "single"},
    }
    parent = {"name": "users", "path": "/users", "primary_keys": ["id"], "is_sorted": is_sorted} | incremental
    child = {"name": "orders", "path": "/users/{parent.id}/orders", "primary_keys": ["no"]} | incremental
    child["parent"] = {"stream": "users"} | ({} if read is None else {"read": read})
    with serving(
        {"/users": since(parents), **{f"/users/{n}/orders": since(below[n]) for n in (1, 2)}}
    ) as api:
        first = run_tap(api.url, parent, child).ended(0)
        assert [row["no"] for row in first.records("orders")] == [10, 20]
        below[1].append({"no": 11, "u": "2026-02-01T00:00:00Z"})
        second = run_tap(api.url, parent, child, state=first.state).ended(0)
        third = run_tap(api.url, parent, child, state=second.state).ended(0)
    assert [row["no"] for row in second.records("orders")] == ([] if read == "changed" else [11])
    assert second.records("users") == []
    assert ("changed records of stream users only" in second.stderr) == (read == "changed")
    assert third.records("orders") == []


def test_changed_needs_a_parent_that_tells(run_tap: Any) -> None:
    child = CHILD | {"parent": {"stream": "users", "read": "changed"}}
    run = run_tap("http://localhost", PARENT, child).ended(78)
    assert "`streams[1].parent.read: changed` needs a `replication_key` of stream `users`" in run.sentence


@pytest.mark.parametrize(
    ("own", "code"), [(9, 65), (None, 65), ("x", 65), (True, 65), (1, 0), ("1", 0), (1.0, 0), ("MISSING", 0)]
)
def test_a_field_of_the_child_in_the_place_of_a_copied_one(own: Any, code: int, run_tap: Any) -> None:
    """The child's own value stood there, in silence, and children of all parents became one."""
    record = {"no": 7} if own == "MISSING" else {"no": 7, "user_id": own}
    single = PARENT | {"pagination": {"type": "single"}}
    child = CHILD | {"parent": {"stream": "users", "copy": {"user_id": "id"}}}
    with serving(
        {"/users": lambda _: json_reply([{"id": 1}]), "/users/1/orders": lambda _: json_reply([record])}
    ) as api:
        run = run_tap(api.url, single, child).ended(code)
        if code == 0:
            assert run.records("orders") == [{"user_id": 1} | record]
            return
        assert run.records("orders") == []
        for words in ("Stream orders copies `id` of stream users to `user_id`", "`primary_keys`"):
            assert words in run.sentence
        assert '"copy": {"parent_user_id": "id"}' in run.sentence
        mended = child | {"parent": {"stream": "users", "copy": {"parent_user_id": "id"}}}
        again = run_tap(api.url, single, mended | {"primary_keys": ["parent_user_id", "no"]}).ended(0)
        assert again.records("orders") == [record | {"parent_user_id": 1}]
        kept = child | {"parent": {"stream": "users", "copy": {}}, "primary_keys": ["no"]}
        assert run_tap(api.url, single, kept).ended(0).records("orders")[0]["user_id"] == own


def test_a_name_that_is_given_by_default_and_not_sent_is_no_matter(run_tap: Any) -> None:
    child = CHILD | {"parent": {"stream": "users"}, "primary_keys": [], "schema": {"properties": {"no": {}}}}
    single = PARENT | {"pagination": {"type": "single"}}
    routes = {
        "/users": lambda _: json_reply([{"id": 1}]),
        "/users/1/orders": lambda _: json_reply([{"no": 7, "users_id": 9}]),
    }
    with serving(routes) as api:
        assert run_tap(api.url, single, child).ended(0).records("orders") == [{"no": 7}]
        inferred = {key: value for key, value in child.items() if key != "schema"}
        run = run_tap(api.url, single, inferred).ended(65)
        assert '"copy": {"parent_users_id": "id"}' in run.sentence
        run_tap(api.url, single, inferred, select=["users", "orders.no"]).ended(0)


def test_a_declared_schema_has_to_name_what_is_copied(run_tap: Any) -> None:
    child = CHILD | {"primary_keys": ["no"], "schema": {"properties": {"no": {}, "team": {}}}}
    run = run_tap("http://localhost", PARENT, child).ended(78)
    assert "`parent.copy` of stream `orders` adds `user_id`, which its `schema` does not name" in run.sentence


@pytest.mark.parametrize(("number", "code"), [("1e99999999999999999999", 65), ("-1e9999999", 65), ("1e3", 0)])
def test_a_number_of_the_parent_that_is_endless(number: str, code: int, run_tap: Any) -> None:
    """It was a fault of ours with a traceback, or a path of gigabytes."""
    parent = {"name": "users", "path": "/users", "schema": {"properties": {"id": {}}}}
    child = {
        "name": "x",
        "path": "/x/{parent.id}",
        "parent": {"stream": "users"},
        "schema": {"properties": {"no": {}}},
    }
    body = f'[{{"id": {number}, "other": 1e-99999999999999999999}}]'.encode()
    with serving({"/users": lambda _: json_reply(body), "/x/1000": lambda _: json_reply([{"no": 1}])}) as api:
        run = run_tap(api.url, parent, child).ended(code)
    assert code == 0 or "as `id`, which stream x is read by" in run.sentence


@pytest.mark.parametrize("bookmarks", ["shared", "each"])
def test_what_changes_below_a_parent_that_is_passed_over_needs_a_bookmark_of_its_own(
    bookmarks: str, run_tap: Any
) -> None:
    """One bookmark moves on while a parent is not in the list, or its children are not found; both are told of."""

    def moment(second: int) -> str:
        return f"2026-01-01T00:00:{second:02d}Z"

    parents = [{"id": 1}, {"id": 2}, {"id": 3}]
    below: dict[int, list[dict[str, Any]]] = {
        n: [{"no": 10 * n, "at": moment(n), "v": "first"}] for n in (1, 2, 3)
    }
    found = {1, 2, 3}

    def children(asked: Asked) -> Reply:
        user = int(asked.path.split("/")[2])
        rows = [row for row in below[user] if row["at"] >= (asked.param("since") or "")]
        return json_reply(rows) if user in found else json_reply({}, 404)

    child = {
        "name": "orders",
        "path": "/users/{parent.id}/orders",
        "primary_keys": ["users_id", "no"],
        "replication_key": "at",
        "incremental": {"param": "since"},
        "parent": {"stream": "users", "on_404": "skip", "bookmarks": bookmarks},
    }
    parent = {key: value for key, value in PARENT.items() if key not in ("schema", "pagination")}
    routes = {"/users": lambda _: json_reply(parents), **{f"/users/{n}/orders": children for n in (1, 2, 3)}}
    stored: dict[int, str] = {}

    def run(state: Any) -> Any:
        ended = run_tap(api.url, parent, child, state=state).ended(0)
        stored.update({record["no"]: record["v"] for record in ended.records("orders")})
        return ended

    with serving(routes) as api:
        first = run(None)
        state = run(first.state).state
        absent = parents.pop(0)
        found.remove(2)
        for user in (1, 2):
            below[user][0] |= {"at": moment(20), "v": "second"}
        below[3].append({"no": 31, "at": moment(40), "v": "first"})
        passed = run(state)
        state = run(passed.state).state
        parents.append(absent)
        found.add(2)
        run(run(state).state)
    assert ("All parents of stream orders share one bookmark" in first.stderr) == (bookmarks == "shared")
    assert ("its one bookmark moves on all the same" in passed.stderr) == (bookmarks == "shared")
    changed = "second" if bookmarks == "each" else "first"
    assert stored == {10: changed, 20: changed, 30: "first", 31: "first"}


class Files:
    """Three parents with a link that is signed anew in each answer, and two rows below each; a name may change, too."""

    def __init__(self) -> None:
        self.answers = 0
        self.name = "a"
        self.numbers = [1, 2, 3]

    def parents(self, asked: Asked) -> Reply:
        self.answers += 1
        url = f"http://{asked.headers['Host']}/files"
        return json_reply(
            [
                {"id": number, "name": self.name, "link": f"{url}/{number}?sig={self.answers}x{number}"}
                for number in self.numbers
            ]
        )

    def rows(self, asked: Asked) -> Reply:
        number = int(asked.path.rpartition("/")[2])
        return json_reply(
            [{"line": f"{number}.{line}", "at": f"2026-01-0{line}T00:00:00Z"} for line in (1, 2)]
        )

    @property
    def routes(self) -> dict[str, Any]:
        return {"/jobs": self.parents, **{f"/files/{number}": self.rows for number in range(1, 7)}}


JOBS = {"name": "jobs", "path": "/jobs", "primary_keys": ["id"], "pagination": {"type": "single"}}


def below_jobs(**parent: Any) -> dict[str, Any]:
    return {
        "name": "lines",
        "path": "{parent.link}",
        "replication_key": "at",
        "pagination": {"type": "single"},
        "parent": {"stream": "jobs", **parent},
    }


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
@pytest.mark.parametrize("keys", [["id"], []])
def test_a_link_that_is_signed_anew_tells_no_parents_apart(bookmarks: str, keys: Any, run_tap: Any) -> None:
    """Without a key of the parents rows would be there twice after each run; the line of the warning, as printed, mends it.

    With one they are recognised, and what is copied of the link is told to be old.
    """
    jobs = JOBS | {"primary_keys": keys}
    files = Files()
    with serving(files.routes) as api:
        first = run_tap(api.url, jobs, below_jobs(bookmarks=bookmarks)).ended(0)
        assert "told apart" not in first.stderr
        again = run_tap(api.url, jobs, below_jobs(bookmarks=bookmarks), state=first.state).ended(0)
        if keys:
            assert again.records("lines") == []
            assert "What stream `lines` copies (`jobs_link`) has changed in 3 parents" in again.stderr
            return
        (told,) = {
            line
            for line in again.stderr.splitlines()
            if "so that its key tells parents apart" in line and "Once" not in line
        }
        assert ("None of the 3 parents that the state knows of stream `lines` came again" in told) == (
            bookmarks == "each"
        )
        assert "`jobs_link`" in told or "`link`" in told
        copy = re.search(r'`"copy": (\{.*?\})`', told)
        assert copy is not None
        assert ('give stream `jobs` its `primary_keys`, like `["id"]`' in told) == (keys == [])
        mended = below_jobs(bookmarks=bookmarks, copy=json.loads(copy[1]))
        fresh = run_tap(api.url, JOBS, mended).ended(0)
        assert len(fresh.records("lines")) == 6
        assert "sig=" not in json.dumps(fresh.state)
        last = run_tap(api.url, JOBS, mended, state=fresh.state).ended(0)
    assert last.records("lines") == []
    assert "came again, and" not in last.stderr
    assert "none is one of them" not in last.stderr


def test_a_copied_field_that_changes_makes_no_other_parent(run_tap: Any) -> None:
    """Nor does one in the state of an older version, which told parents apart by all that is copied."""
    files = Files()
    lines = below_jobs(bookmarks="each", copy={"job": "id", "name": "name"})
    with serving(files.routes) as api:
        first = run_tap(api.url, JOBS, lines).ended(0)
        assert first.records("lines")[0] == {
            "line": "1.1",
            "at": "2026-01-01T00:00:00Z",
            "job": 1,
            "name": "a",
        }
        files.name = "b"
        again = run_tap(api.url, JOBS, lines, state=first.state).ended(0)
        assert again.records("lines") == [], "though they carry another name"
        assert "What stream `lines` copies (`name`) has changed in 3 parents" in again.stderr
        (part,) = [part for name, part in first.state["bookmarks"].items() if name == "lines"]
        for entry in part["partitions"]:
            entry["context"] |= {"name": "a", "parent.link": f"http://x/{entry['context']['job']}?sig=0"}
        older = run_tap(api.url, JOBS, lines, state=first.state).ended(0)
        assert [entry["context"] for entry in older.state["bookmarks"]["lines"]["partitions"]] == [
            {"job": number} for number in (1, 2, 3)
        ]
        files.numbers, files.name = [3, 4], "b"
        some = run_tap(api.url, JOBS, lines, state=again.state).ended(0)
        assert [row["job"] for row in some.records("lines")] == [4, 4]
        assert "came again, and" not in some.stderr
        files.numbers = [5, 6]
        others = run_tap(api.url, JOBS, lines, state=some.state).ended(0).stderr
        assert "None of the 4 parents" in others
        assert "a bookmark for each is of no use" in others
        assert '"copy"' not in others, "their key tells them apart already"


COMPANIES = {
    "name": "companies",
    "path": "/companies",
    "primary_keys": ["id"],
    "selected": False,
    "pagination": {"type": "single"},
    "schema": {"properties": {"id": {}, "slug": {}}},
}


INCREMENTS: dict[str, Any] = {
    "replication_key": "at",
    "incremental": {"param": "since"},
    "parent": {"stream": "companies", "copy": {"company": "id"}, "bookmarks": "each"},
}


def below_companies(**more: Any) -> dict[str, Any]:
    return {
        "name": "orders",
        "path": "/companies/{parent.slug}/orders",
        "pagination": {"type": "single"},
        "parent": {"stream": "companies", "copy": {"company": "id"}},
        "schema": {"properties": {"no": {}, "at": {"type": "string", "format": "date-time"}, "company": {}}},
    } | more


def companies_serving(numbers: dict[str, int | None], days: dict[str, list[int]]) -> Any:
    """Companies by slug, each twice, with their number, and the days of the orders below each."""
    parents = [{"id": number, "slug": slug} for slug, number in numbers.items()]
    return serving(
        {"/companies": lambda _: json_reply([*parents, *parents])}
        | {
            f"/companies/{slug}/orders": lambda asked, slug=slug: json_reply(
                [
                    {"no": f"{slug}{day}", "at": f"2026-01-0{day}T00:00:00Z"}
                    for day in days[slug]
                    if f"2026-01-0{day}" >= (asked.param("since") or "")[:10]
                ]
            )
            for slug in days
        }
    )


@pytest.mark.parametrize("key", [None, 1])
@pytest.mark.parametrize("keys", [["no"], []])
def test_parents_with_one_key_or_none_are_all_read(key: int | None, keys: list[str], run_tap: Any) -> None:
    """Only a parent that is asked for by the same fields has been read; what is copied of it tells nothing then."""
    days = {"a": [5], "b": [1, 2], "c": [3]}
    numbers = {"a": key, "b": key, "c": 3}
    for more in ({}, INCREMENTS):
        orders = below_companies(primary_keys=keys, **more)
        with companies_serving(numbers, days) as api:
            first = run_tap(api.url, COMPANIES, orders).ended(0)
            again = run_tap(api.url, COMPANIES, orders, state=first.state).ended(0)
        with companies_serving(dict(reversed(numbers.items())), days | {"b": [1, 2, 4]}) as api:
            last = run_tap(api.url, COMPANIES, orders, state=again.state).ended(0)
        assert [row["no"] for row in first.records("orders")] == ["a5", "b1", "b2", "c3"]
        assert "b4" in [row["no"] for row in last.records("orders")], (
            "the bookmark of the other does not count"
        )
        told = "Two rows of stream `companies` came in one run with the same `company`" in first.stderr
        assert told == (key is not None and (bool(more) or not keys))
        if key is None and more:
            assert again.records("orders") == []
            assert [row["no"] for row in last.records("orders")] == ["b4"]


def test_parents_with_one_key_are_told_apart_as_advised(run_tap: Any) -> None:
    days = {"a": [5], "b": [1, 2], "c": [3]}
    orders = below_companies(**INCREMENTS)
    with companies_serving({"a": 1, "b": 1, "c": 3}, days) as api:
        told = run_tap(api.url, COMPANIES, orders).ended(0).stderr
        assert '`"duplicate_keys": "warn"` of stream `companies`' in told
        mended = COMPANIES | {"duplicate_keys": "warn"}
        first = run_tap(api.url, mended, orders).ended(0)
        again = run_tap(api.url, mended, orders, state=first.state).ended(0)
    assert [row["no"] for row in first.records("orders")] == ["a5", "b1", "b2", "c3"]
    assert again.records("orders") == []


def moment(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}Z"


@pytest.mark.parametrize("bookmarks", ["each", "shared", None])
def test_a_child_that_is_not_found_for_a_run_below_a_parent_that_does_not_change(
    bookmarks: str | None, run_tap: Any
) -> None:
    """`read: changed` does not list the parent again; the state remembers where to ask."""
    parents = [{"id": n, "u": moment(n), "link": f"/more/{n}"} for n in (1, 2, 3)]
    found = {1, 3}

    def since(asked: Asked, rows: list[dict[str, Any]]) -> Reply:
        return json_reply([row for row in rows if row["u"] >= (asked.param("since") or "")])

    def below(asked: Asked) -> Reply:
        number = int(asked.path.split("/")[2])
        return (
            since(asked, [{"no": 10 * number, "u": moment(number)}])
            if number in found
            else json_reply({}, 404)
        )

    incremental = {"replication_key": "u", "incremental": {"param": "since"}}
    single = {"pagination": {"type": "single"}}
    parent = {"name": "users", "path": "/users", "primary_keys": ["id"]} | incremental | single
    child = {"name": "orders", "path": "{parent.link}", "primary_keys": ["no"]} | single
    child["parent"] = {"stream": "users", "on_404": "skip", "read": "changed", "copy": {"user": "id"}}
    if bookmarks is not None:
        child |= incremental
        child["parent"] |= {"bookmarks": bookmarks}
    routes: dict[str, Any] = {f"/more/{n}": below for n in range(1, 5)}
    with serving({"/users": lambda asked: since(asked, parents), **routes}) as api:
        first = run_tap(api.url, parent, child).ended(0)
        assert [row["no"] for row in first.records("orders")] == [10, 30]
        parents.append({"id": 4, "u": moment(9), "link": "/more/4"})
        second = run_tap(api.url, parent, child, state=first.state).ended(0)
        # Below the newest parent of the run before once more: it may have changed within the same second.
        assert [row["no"] for row in second.records("orders")] == ([30] if bookmarks is None else [])
        assert second.state["bookmarks"]["orders"]["_singerkit_absent"] == [
            {"context": {"user": 4, "parent.link": "/more/4"}, "runs": 1},
            {"context": {"user": 2, "parent.link": "/more/2"}, "runs": 2},
        ]
        found |= {2, 4}
        del api.asked[:]
        third = run_tap(api.url, parent, child, state=second.state).ended(0)
        late = (
            {20: 2, 40: 4} if bookmarks != "shared" else {40: 4}
        )  # the bookmark of all has passed the row below 2
        assert ("its one bookmark moves on all the same" in second.stderr) == (bookmarks == "shared")
        assert {row["no"]: row["user"] for row in third.records("orders")} == late
        assert sorted(asked.path for asked in api.asked) == ["/more/2", "/more/4", "/users"]
        assert "_singerkit_absent" not in third.state["bookmarks"]["orders"]
        del api.asked[:]
        assert run_tap(api.url, parent, child, state=third.state).ended(0).records("orders") == []
        assert {asked.path for asked in api.asked} <= {"/users", "/more/4"}


def test_what_the_state_cannot_name_is_asked_for_below_all_parents(run_tap: Any) -> None:
    """A config that takes another field of the parent by now; ten runs without the child are enough."""
    parents = [{"id": n, "u": moment(n)} for n in (1, 2, 3)]

    def since(asked: Asked) -> Reply:
        return json_reply([row for row in parents if row["u"] >= (asked.param("since") or "")])

    parent = {
        "name": "users",
        "path": "/users",
        "primary_keys": ["id"],
        "replication_key": "u",
        "incremental": {"param": "since"},
        "pagination": {"type": "single"},
    }
    child = {
        "name": "orders",
        "path": "/more/{parent.id}",
        "schema": {"properties": {"no": {"type": "integer"}, "user": {}, "users_id": {}}},
        "primary_keys": ["no"],
        "pagination": {"type": "single"},
        "parent": {"stream": "users", "on_404": "skip", "read": "changed"},
    }
    routes = {f"/more/{n}": lambda asked: json_reply([{"no": int(asked.path[-1])}]) for n in (1, 3)}
    with serving({"/users": since, **routes}) as api:
        state = run_tap(api.url, parent, child).ended(0).state
        [entry] = state["bookmarks"]["orders"]["_singerkit_absent"]
        assert entry == {"context": {"users_id": 2}, "runs": 1}
        entry["runs"] = 10
        last = run_tap(api.url, parent, child, state=state).ended(0)
        assert "`orders` was not found below 1 parent in more than 10 runs" in last.stderr
        assert "_singerkit_absent" not in last.state["bookmarks"]["orders"]
        del api.asked[:]
        run_tap(api.url, parent, child, state=last.state).ended(0)
        assert "/more/2" not in api.paths()
        other = child | {"parent": child["parent"] | {"copy": {"user": "id"}}}  # type: ignore[operator]
        entry["runs"] = 1
        renamed = run_tap(api.url, parent, other, state=state).ended(0)
        assert {row["no"] for row in renamed.records("orders")} == {1, 3}
        assert renamed.state["bookmarks"]["orders"]["_singerkit_driven_by"] == "users"


def test_without_a_key_no_parent_is_left_without_a_bookmark(run_tap: Any) -> None:
    """Rows below it would come again in each run: the run ends before it sends them, and goes on where the setting is raised."""
    rows = [{"event": "made", "at": moment(1)}]
    parent = {"name": "users", "path": "/users", "primary_keys": ["id"], "pagination": {"type": "single"}}
    child: dict[str, Any] = {
        "name": "events",
        "path": "/users/{parent.id}/events",
        "replication_key": "at",
        "incremental": {"param": "since"},
        "pagination": {"type": "single"},
        "parent": {"stream": "users", "bookmarks": "each"},
        "bookmark": {"partitions": 2},
    }
    routes: dict[str, Any] = {f"/users/{n}/events": lambda _: json_reply(rows) for n in (1, 2, 3)}
    routes["/users/4/events"] = lambda _: json_reply([])
    with serving({"/users": lambda _: json_reply([{"id": n} for n in (1, 4, 2, 3)]), **routes}) as api:
        first = run_tap(api.url, parent, child).ended(78)
        assert "has rows in more than 2 partitions" in first.sentence
        assert (
            "raise `bookmark.partitions` of the stream, or give the stream `primary_keys`" in first.sentence
        )
        assert [row["users_id"] for row in first.records("events")] == [1, 2]
        again = run_tap(api.url, parent, child, state=first.state).ended(78)
        assert again.records("events") == []
        child["bookmark"] = {"partitions": 3}
        raised = run_tap(api.url, parent, child, state=again.state).ended(0)
        assert [row["users_id"] for row in raised.records("events")] == [3]
        last = run_tap(api.url, parent, child, state=raised.state).ended(0)
        assert last.records("events") == []
        assert "more than" not in last.stderr
        # With a key rows come again, which the run says, and once more at its end.
        keyed = child | {"primary_keys": ["users_id", "event"], "bookmark": {"partitions": 2}}
        one = run_tap(api.url, parent, keyed).ended(0)
        two = run_tap(api.url, parent, keyed, state=one.state).ended(0)
    assert [row["users_id"] for row in two.records("events")] == [3]
    assert two.stderr.count("Stream `events` has more partitions than bookmarks are kept for (2)") == 2


@pytest.mark.parametrize("has_key", [True, False])
def test_the_bookmark_of_a_child_that_is_not_found_stays(has_key: bool, run_tap: Any) -> None:
    """A row changes behind the reading point of the first run; the second does not read, so the third has to ask for it."""
    rows = {number: moment(number) for number in range(1, 21)}
    is_found, changes = True, True

    def items(asked: Asked) -> Reply:
        if not is_found:
            return json_reply({}, 404)
        since, token = asked.param("since") or "", asked.param("cursor")
        found = [(number, at) for number, at in rows.items() if at >= since]
        page = found[10:] if token else found[:10]
        if changes:
            rows[3] = moment(15)
        following = None if token or len(found) <= 10 else "more-of-it"
        return json_reply({"data": [{"no": number, "at": at} for number, at in page], "next": following})

    parent = {"name": "users", "path": "/users", "primary_keys": ["id"], "pagination": {"type": "single"}}
    child: dict[str, Any] = {
        "name": "items",
        "path": "/users/{parent.id}/items",
        "records": "$.data[*]",
        "schema": {"properties": {"no": {"type": "integer"}, "at": {"type": "string"}, "users_id": {}}},
        "replication_key": "at",
        "incremental": {"param": "since"},
        "bookmark": {"signpost": "read_before"},
        "pagination": {"type": "cursor", "cursor": "$.next"},
        "parent": {"stream": "users", "on_404": "skip", "bookmarks": "each"},
    } | ({"primary_keys": ["no"]} if has_key else {})
    with serving({"/users": lambda _: json_reply([{"id": 1}]), "/users/1/items": items}) as api:
        first = run_tap(api.url, parent, child).ended(0)
        assert len(first.records("items")) == 20
        changes = is_found = False
        second = run_tap(api.url, parent, child, state=first.state).ended(0)
        assert (
            second.state["bookmarks"]["items"]["partitions"]
            == first.state["bookmarks"]["items"]["partitions"]
        )
        is_found = True
        third = run_tap(api.url, parent, child, state=second.state).ended(0)
    assert [(row["no"], row["at"]) for row in third.records("items")] == [(3, moment(15))]
