"""Streams that are read once for each value of a list in the config: the value in the request and in the rows, a bookmark for each."""

from __future__ import annotations

from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Table, dated, json_reply, serving
from taps.rest.levels import EveryPath

from tap_rest.config import config_conflicts

SALES = dated("sales", path="/accounts/{each.account}/sales", for_each={"account": ["1", "b/2"]})


class Accounts:
    """Rows of each account, in a table of its own."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.tables = {name: Table(of_account) for name, of_account in rows.items()}

    def __call__(self, asked: Asked) -> Reply:
        return self.tables[asked.param("account") or ""](asked)


def row(number: int, day: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": f"2026-01-{day:02d}T00:00:00Z", **more}


def test_each_value_and_combination_is_asked_for_and_stands_in_the_rows(run_tap: Any) -> None:
    def rates(asked: Asked) -> Reply:
        return json_reply([{"rate": f"{asked.path} {asked.param('to')} {asked.headers['X-Day']}"}])

    stream = {
        "name": "rates",
        "path": "/rates/{each.base}",
        "params": {"to": "{each.quote}"},
        "headers": {"X-Day": "{each.day}"},
        "for_each": {"base": ["EUR", "x/y"], "quote": ["USD", "GBP"], "day": [7]},
    }
    with serving({"/rates/EUR": rates, "/rates/x%2Fy": rates}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert run.records("rates") == [
        {"rate": f"/rates/{path} {quote} 7", "base": base, "quote": quote, "day": 7}
        for base, path in [("EUR", "EUR"), ("x/y", "x%2Fy")]
        for quote in ("USD", "GBP")
    ]
    assert run.schemas("rates")[0]["properties"]["day"]["type"] == ["null", "integer"]


def test_lists_come_from_elsewhere_too(run_tap: Any) -> None:
    stream = {
        "name": "m",
        "path": "/m",
        "params": {"of": "{each.account}"},
        "for_each": {"account": {"env": "ACCOUNTS"}},
    }
    with serving({"/m": lambda asked: json_reply([{"id": asked.param("of")}])}) as api:
        by_commas = run_tap(api.url, stream, env={"ACCOUNTS": "a-long-account,b"}).ended(0)
        by_json = run_tap(api.url, stream, env={"ACCOUNTS": '["a-long-account", "b"]'}).ended(0)
    assert by_commas.records("m") == [{"id": name, "account": name} for name in ("a-long-account", "b")]
    assert by_json.records("m") == by_commas.records("m")


@pytest.mark.parametrize("keys", [["id"], []])
def test_each_value_has_its_bookmark_and_a_new_one_begins_at_the_start(keys: list[str], run_tap: Any) -> None:
    accounts = Accounts(a=[row(1, 1), row(2, 5)], b=[row(3, 9)], c=[row(4, 2)])
    stream = dated(
        "sales", params={"account": "{each.account}"}, primary_keys=keys, bookmark={"signpost": "date_header"}
    )
    with serving({"/sales": accounts}) as api:
        first = run_tap(api.url, stream | {"for_each": {"account": ["a", "b"]}}).ended(0)
        accounts.tables["a"].rows.append(row(5, 6))
        second = run_tap(
            api.url, stream | {"for_each": {"account": ["b", "a", "c"]}}, state=first.state
        ).ended(0)
        left = run_tap(api.url, stream | {"for_each": {"account": ["c"]}}, state=second.state).ended(0)
    entries = [
        {name: entry[name] for name in ("context", "replication_key", "replication_key_value")}
        for entry in first.state["bookmarks"]["sales"]["partitions"]
    ]
    assert entries == [
        {"context": {"account": "a"}, "replication_key": "at", "replication_key_value": row(0, 5)["at"]},
        {"context": {"account": "b"}, "replication_key": "at", "replication_key_value": row(0, 9)["at"]},
    ]
    assert [(sale["account"], sale["id"]) for sale in second.records("sales")] == [("a", 5), ("c", 4)]
    assert left.records("sales") == []
    assert len(left.state["bookmarks"]["sales"]["partitions"]) == 3
    assert "otherwise than" not in second.stderr + left.stderr


def test_what_stands_below_a_value(run_tap: Any) -> None:
    """A child sees the value as a field of its parent's record, and has values of its own beside it."""
    shops = {
        "name": "shops",
        "path": "/{each.account}/shops",
        "for_each": {"account": ["a", "b"]},
        "primary_keys": ["account", "id"],
    }
    stock = {
        "name": "stock",
        "path": "/{parent.account}/shops/{parent.id}/{each.kind}",
        "for_each": {"kind": ["new", "used"]},
        "parent": {"stream": "shops", "copy": {"account": "account", "shop": "id"}},
    }
    with serving({f"/{name}/shops": lambda _: json_reply([{"id": 7}]) for name in "ab"}) as api:
        for name in "ab":
            for kind in ("new", "used"):
                api.routes[f"/{name}/shops/7/{kind}"] = lambda asked: json_reply([{"of": asked.path}])
        run = run_tap(api.url, shops, stock).ended(0)
    assert run.records("stock") == [
        {"of": f"/{name}/shops/7/{kind}", "account": name, "shop": 7, "kind": kind}
        for name in "ab"
        for kind in ("new", "used")
    ]


def test_values_of_a_shared_bookmark_are_part_of_what_was_asked(run_tap: Any) -> None:
    shops = {
        "name": "shops",
        "path": "/{each.account}/shops",
        "for_each": {"account": ["a"]},
        "primary_keys": ["account", "id"],
    }
    sales = dated(
        "sales",
        params={"account": "{parent.account}"},
        parent={"stream": "shops", "copy": {"account": "account"}},
    )
    with serving({"/sales": Accounts(a=[row(1, 1)], b=[row(2, 1)])}) as api:
        api.routes |= {f"/{name}/shops": lambda _: json_reply([{"id": 7}]) for name in "ab"}
        state = run_tap(api.url, shops, sales).ended(0).state
        state = run_tap(api.url, shops, sales, state=state).ended(0).state
        more = run_tap(api.url, shops | {"for_each": {"account": ["a", "b"]}}, sales, state=state).ended(0)
    told = [line for line in more.stderr.splitlines() if "`for_each` lists other values" in line]
    assert "Stream `sales` is read otherwise than by the run before" in told[0]
    assert not any("Stream `shops`" in line for line in told)


def test_rows_that_one_key_takes_for_one_below_two_values(run_tap: Any) -> None:
    stream = {
        "name": "m",
        "path": "/m",
        "params": {"of": "{each.account}"},
        "for_each": {"account": ["a", "b"]},
        "primary_keys": ["id"],
    }
    with serving({"/m": lambda asked: json_reply([{"id": 1, "name": asked.param("of")}])}) as api:
        run = run_tap(api.url, stream).ended(65)
        assert 'set `"primary_keys": ["account", "id"]`' in run.sentence
        good = run_tap(api.url, stream | {"primary_keys": ["account", "id"]}).ended(0)
    assert [record["account"] for record in good.records("m")] == ["a", "b"]


def test_a_field_of_the_record_in_the_place_of_the_value(run_tap: Any) -> None:
    stream = {"name": "m", "path": "/m", "params": {"of": "{each.account}"}, "for_each": {"account": ["a"]}}
    with serving({"/m": lambda _: json_reply([{"account": {"id": "a"}}])}) as api:
        run = run_tap(api.url, stream).ended(65)
    assert "give the list another name" in run.sentence


class Moving:
    """Rows of two accounts; one goes from the second to the first while the second is waited for."""

    def __init__(self) -> None:
        self.rows = {"a": [1, 2], "b": [3, 4]}

    def __call__(self, asked: Asked) -> Reply:
        rows = json_reply([{"id": number} for number in self.rows[asked.param("of") or ""]])
        if asked.param("of") == "a" and 3 not in self.rows["a"]:
            self.rows = {"a": [1, 2, 3], "b": [4]}
        return rows


def test_a_row_that_goes_from_value_to_value_does_not_leave_the_target(run_tap: Any) -> None:
    stream = {
        "name": "m",
        "path": "/m",
        "params": {"of": "{each.account}"},
        "for_each": {"account": ["a", "b"]},
        "primary_keys": ["id"],
        "activate_version": True,
        "schema": {"properties": {"id": {"type": "integer"}, "account": {"type": "string"}}},
    }
    with serving({"/m": Moving()}) as api:
        run = run_tap(api.url, stream).ended(0)
        assert [(record["id"], record["account"]) for record in run.records("m")] == [
            (1, "a"),
            (2, "a"),
            (4, "b"),
            (3, "a"),
        ]
        assert "ACTIVATE_VERSION" in run.stdout
        fewer = run_tap(api.url, stream | {"for_each": {"account": ["a"]}}, state=run.state).ended(0)
    assert "ACTIVATE_VERSION" not in fewer.stdout
    assert "`for_each` lists other values" in fewer.stderr


def test_bookmarks_of_values_and_one_for_all_are_not_taken_for_each_other(run_tap: Any) -> None:
    stream = dated(
        "sales", params={"account": "{each.account}"}, primary_keys=[], bookmark={"signpost": "date_header"}
    )
    listed, plain = stream | {"for_each": {"account": ["a"]}}, stream | {"params": {"account": "a"}}
    with serving({"/sales": Accounts(a=[row(1, 1)])}) as api:
        of_values = run_tap(api.url, listed).ended(0).state
        of_all = run_tap(api.url, plain).ended(0).state
        assert "has bookmarks of partitions" in run_tap(api.url, plain, state=of_values).ended(78).sentence
        assert "has one bookmark, and the stream" in run_tap(api.url, listed, state=of_all).ended(78).sentence
        keyed = run_tap(api.url, listed | {"primary_keys": ["id"]}, state=of_all).ended(0)
    assert len(keyed.records("sales")) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"path": "/m/{each.acount}"}, "did you mean `{each.account}`?"),
        (
            {"path": "/m"},
            "`streams[0].for_each.account` has no effect, since no `{each.account}` stands in what is asked",
        ),
        ({"for_each": {"account": ["1", 1]}}, "`streams[0].for_each.account` has `1` twice"),
        ({"for_each": {"account": ["a ", "b"]}}, "without a blank at its ends"),
        ({"for_each": {"account": [""]}}, "without a blank at its ends"),
        ({"for_each": {"account": []}}, "streams[0].for_each.account"),
        ({"for_each": {}}, "streams[0].for_each"),
        ({"for_each": {"a.b": ["1"]}, "path": "/m/{each.a.b}"}, "as the name of a list"),
        ({"for_each": None}, "means nothing in a stream that has no `for_each`"),
        (
            {"parent": {"stream": "p", "copy": {"account": "id"}}, "path": "/{parent.id}/{each.account}"},
            "both add the field `account`",
        ),
    ],
)
def test_lists_that_mean_nothing_are_refused(more: dict[str, Any], said: str, run_tap: Any) -> None:
    stream = {"name": "m", "path": "/m/{each.account}", "for_each": {"account": ["1", "2"]}} | more
    stream = {key: value for key, value in stream.items() if value is not None}
    run = run_tap("http://127.0.0.1:9", stream, {"name": "p", "path": "/p"}).ended(78)
    assert said in run.sentence


SERVICES = {"name": "services", "path": "/services", "primary_keys": ["id"], "pagination": {"type": "page"}}
SLOTS = {
    "name": "slots",
    "path": "/slots/{parent.id}/{each.service}",
    "for_each": {"service": {"stream": "services", "field": "code.short"}},
    "parent": {"stream": "places", "copy": {"place": "id"}},
}
PLACES = {"name": "places", "path": "/places", "primary_keys": ["id"]}


class Town:
    """Places, and pages of services; slots are those of a place and a service."""

    def __init__(self) -> None:
        self.services: list[list[dict[str, Any]]] = [
            [{"id": 1, "code": {"short": "a"}}, {"id": 2, "code": None}],
            [{"id": 3, "code": {"short": "b"}}, {"id": 4, "code": {"short": "a"}}],
            [],
        ]

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/services":
            return json_reply(self.services[int(asked.param("page") or 1) - 1])
        if asked.path == "/places":
            return json_reply([{"id": 7}, {"id": 8}])
        return json_reply([{"of": asked.path}])


@pytest.mark.parametrize("order", [[PLACES, SLOTS, SERVICES], [SERVICES, PLACES, SLOTS]])
def test_a_list_of_what_another_stream_holds(order: list[dict[str, Any]], run_tap: Any) -> None:
    """Of two streams every combination; the one that gives the list is asked for no page twice."""
    with serving({}) as api:
        api.routes = EveryPath(Town().answer)
        run = run_tap(api.url, *order).ended(0)
        paths = api.paths()
    assert [(row["place"], row["service"]) for row in run.records("slots")] == [
        (7, "a"),
        (7, "b"),
        (8, "a"),
        (8, "b"),
    ]
    assert len(run.records("services")) == 4
    assert sum(path.startswith("/services") for path in paths) == 3


def test_a_list_that_grows_begins_with_the_new_value_at_its_start(run_tap: Any) -> None:
    accounts = Accounts(a=[row(1, 1)], b=[row(2, 1)])
    names = [{"name": "a"}]
    listed = {"name": "accounts", "path": "/accounts", "selected": False}
    sales = dated("sales", params={"account": "{each.account}"}, bookmark={"signpost": "date_header"})
    sales |= {"for_each": {"account": {"stream": "accounts", "field": "name"}}}
    with serving({"/accounts": lambda _: json_reply(names), "/sales": accounts}) as api:
        first = run_tap(api.url, listed, sales).ended(0)
        names.append({"name": "b"})
        second = run_tap(api.url, listed, sales, state=first.state).ended(0)
    assert [(sale["account"], sale["id"]) for sale in second.records("sales")] == [("b", 2)]
    assert first.records("accounts") == []


@pytest.mark.parametrize(
    ("field", "rows", "said"),
    [
        ("cod", [{"code": "a"}], "Expected a field of its records as `cod` of stream services"),
        (
            "code",
            [{"code": ["a"]}],
            "Expected text on one line or a whole number as `code` of stream services",
        ),
        ("code", [{"code": 1.5}], "Expected text on one line or a whole number"),
    ],
)
def test_what_is_no_list(field: str, rows: Any, said: str, run_tap: Any) -> None:
    slots = {"name": "slots", "path": "/slots/{each.service}", "schema": {}}
    slots |= {"for_each": {"service": {"stream": "services", "field": field}}}
    with serving({"/services": lambda _: json_reply(rows)}) as api:
        run = run_tap(
            api.url, SERVICES | {"pagination": {"type": "single"}, "primary_keys": []}, slots
        ).ended(65)
    assert said in run.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"for_each": {"x": {"stream": "nobody", "field": "id"}}},
            "names `nobody`, which is not among the streams",
        ),
        (
            {"for_each": {"x": {"stream": "m", "field": "id"}}},
            "names `m`, which needs stream `m` itself: a circle",
        ),
        (
            {"for_each": {"x": {"stream": "below", "field": "id"}}},
            "names `below`, which needs stream `m` itself: a circle",
        ),
        (
            {"activate_version": True},
            "`streams[0].activate_version` does not go with a list of `for_each` that another",
        ),
    ],
)
def test_lists_of_streams_that_cannot_be_are_refused(more: dict[str, Any], said: str, run_tap: Any) -> None:
    stream = {
        "name": "m",
        "path": "/m/{each.x}",
        "for_each": {"x": {"stream": "other", "field": "id"}},
    } | more
    below = {"name": "below", "path": "/{parent.id}", "parent": {"stream": "m"}}
    run = run_tap("http://127.0.0.1:9", stream, below, {"name": "other", "path": "/o"}).ended(78)
    assert said in run.sentence


def test_a_list_of_what_several_streams_hold(run_tap: Any) -> None:
    """Comments of issues and of pull requests, whose numbers are those of one list: each is asked for once, and has its bookmark."""
    numbers = {"/issues": [1, 2, 4], "/pulls": [2, 3]}
    issues, pulls = (
        {"name": name, "path": f"/{name}", "primary_keys": ["n"]} for name in ("issues", "pulls")
    )
    comments = dated("comments", path="/{each.n}/comments", bookmark={"signpost": "date_header"})
    comments["for_each"] = {"n": [9, *({"stream": name, "field": "n"} for name in ("issues", "pulls"))]}

    def answer(asked: Asked) -> Reply:
        if asked.path in numbers:
            return json_reply([{"n": n} for n in numbers[asked.path]])
        number = int(asked.path.split("/")[1])
        return Table([row(10 * number, number), row(10 * number + 1, number)])(asked)

    with serving({}) as api:
        api.routes = EveryPath(answer)
        first = run_tap(api.url, issues, comments, pulls).ended(0)
        numbers["/pulls"].append(5)
        second = run_tap(api.url, issues, comments, pulls, state=first.state).ended(0)
        asked = [one.path for one in api.asked]
    assert [one["n"] for one in first.records("comments")] == [9, 9, 1, 1, 2, 2, 4, 4, 3, 3]
    assert [one["id"] for one in second.records("comments")] == [50, 51]
    assert (asked.count("/2/comments"), asked.count("/issues")) == (2, 2)
    contexts = [part["context"]["n"] for part in second.state["bookmarks"]["comments"]["partitions"]]
    assert sorted(contexts) == [1, 2, 3, 4, 5, 9]


def test_urls_that_several_streams_hold(run_tap: Any) -> None:
    """Their paths need not be alike: a path that is a value alone is the URL that the API itself gave."""
    notes = {"name": "notes", "path": "{each.of}"}
    notes |= {"for_each": {"of": [{"stream": name, "field": "notes_url"} for name in ("deals", "people")]}}

    def answer(asked: Asked) -> Reply:
        if asked.path in ("/deals", "/people"):
            return json_reply([{"notes_url": f"{asked.path}/7/notes"}])
        return json_reply([{"id": asked.path}])

    parents = ({"name": name, "path": f"/{name}"} for name in ("deals", "people"))
    with serving({}) as api:
        api.routes = EveryPath(answer)
        run = run_tap(api.url, *parents, notes).ended(0)
    assert [note["id"] for note in run.records("notes")] == ["/deals/7/notes", "/people/7/notes"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"stream": "nobody", "field": "id"}, "names `nobody`, which is not among the streams"),
        ({"stream": "m", "field": "id"}, "names `m`, which needs stream `m` itself: a circle"),
        ({"stream": "p", "field": "id"}, "has `id of p` twice"),
        (" 7", "Expected text on one line without a blank at its ends"),
    ],
)
def test_several_streams_of_which_one_cannot_be_are_refused(other: Any, said: str) -> None:
    stream = {"name": "m", "path": "/m/{each.x}", "for_each": {"x": [{"stream": "p", "field": "id"}, other]}}
    config = {"base_url": "http://127.0.0.1:9", "streams": [stream, {"name": "p", "path": "/p"}]}
    assert said in "; ".join(config_conflicts(config))


def test_a_list_of_what_a_stream_of_windows_holds_has_all_of_them(run_tap: Any) -> None:
    days = [{"id": day, "at": f"2026-01-{day:02}T00:00:00Z"} for day in (1, 3, 20)]

    def visits(asked: Asked) -> Reply:
        ends = str(asked.param("from")), str(asked.param("to"))
        return json_reply([one for one in days if ends[0] <= str(one["at"]) <= ends[1]])

    listed = dated("visits", incremental={"param": "from", "until_param": "to", "window": "P7D"})
    listed |= {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-02-01T00:00:00Z"}
    pages = {"name": "pages", "path": "/{each.visit}/pages"}
    pages |= {"for_each": {"visit": {"stream": "visits", "field": "id"}}}
    with serving({}) as api:
        api.routes = EveryPath(
            lambda asked: visits(asked) if asked.path == "/visits" else json_reply([{"of": asked.path}])
        )
        run = run_tap(api.url, listed, pages).ended(0)
    assert [page["visit"] for page in run.records("pages")] == [1, 3, 20]
