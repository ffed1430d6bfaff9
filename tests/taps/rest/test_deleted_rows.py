"""Rows that are gone at the source: ACTIVATE_VERSION at the end of loads that are sure to be whole, and of no others."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.conftest import Run

from singerkit_shell.errors import BadDataError
from singerkit_tap.fullload import LOAD
from tap_rest.config import config_conflicts
from tap_rest.tap import TapRest

STAY = "that are gone at the source stay in the target this time"
PAGES = {"type": "page", "size": 3}


Load = Callable[..., Run]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Load:
    """``load(base_url, streams, state)``: a run of the tap inside this process."""
    monkeypatch.setenv("NO_PROXY", "*")

    def run(base_url: str, *streams: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> Run:
        config = {"base_url": base_url, "streams": list(streams), "schema_cache": str(tmp_path / "schemas")}
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        caplog.clear()
        try:
            with redirect_stdout(written):
                TapRest(config=json.loads(json.dumps(config)), state=state, setup_mapper=False).sync()
        except BadDataError:
            return Run(65, written.buffer.getvalue().decode(), caplog.text)
        return Run(0, written.buffer.getvalue().decode(), caplog.text)

    return run


def stream(**more: Any) -> dict[str, Any]:
    return {"name": "rows", "path": "/rows", "primary_keys": ["id"], "activate_version": True} | more


class Table:
    """Rows of an API. ``meanwhile``: what happens to them before answer number so and so."""

    def __init__(self, rows: Sequence[Any], **meanwhile: Callable[[list[Any]], object]) -> None:
        self.rows = [{"id": row} if isinstance(row, int) else row for row in rows]
        self.meanwhile = {int(name[1:]): change for name, change in meanwhile.items()}
        self.answers = 0
        self.headers: dict[str, str] = {}

    def __call__(self, asked: Asked) -> Reply:
        self.answers += 1
        self.meanwhile.get(self.answers, list)(self.rows)
        rows = self.rows
        if (after := asked.param("after")) is not None:
            rows = [row for row in rows if row["id"] > int(after)]
        if (size := int(asked.param("per_page") or asked.param("limit") or 0)) > 0:
            begin = (int(asked.param("page") or 1) - 1) * size
            rows = rows[begin : begin + size]
        reply = json_reply(rows)
        reply.headers.update(self.headers)
        return reply


def without(*gone: int) -> Callable[[list[Any]], object]:
    """Take rows away."""

    def change(rows: list[Any]) -> None:
        rows[:] = [row for row in rows if row["id"] not in gone]

    return change


def activated(run: Run) -> list[tuple[str, int]]:
    return [(m["stream"], m["version"]) for m in run.messages if m["type"] == "ACTIVATE_VERSION"]


def versions(run: Run, name: str = "rows") -> set[Any]:
    return {m.get("version") for m in run.messages if m["type"] == "RECORD" and m["stream"] == name}


def ids(run: Run, name: str = "rows") -> list[int]:
    return [record["id"] for record in run.records(name)]


def is_sure(run: Run, name: str = "rows") -> bool:
    """Tell whether the load ended with the version of its records; a load that is not says so."""
    if not activated(run):
        assert STAY in run.stderr
        return False
    assert {version for of, version in activated(run) if of == name} == versions(run, name)
    kinds = [m["type"] for m in run.messages]
    assert kinds.index("ACTIVATE_VERSION") > max(n for n, kind in enumerate(kinds) if kind == "RECORD")
    assert STAY not in run.stderr
    return True


def test_without_the_setting_no_version_is_sent(load: Load) -> None:
    with serving({"/rows": Table(range(5))}) as api:
        run = load(api.url, stream(activate_version=False))
    assert not activated(run)
    assert versions(run) == {None}
    assert LOAD not in run.state["bookmarks"]["rows"]


@pytest.mark.parametrize("keys", [["id"], []])
@pytest.mark.parametrize("pagination", [{"type": "single"}, PAGES])
def test_a_complete_load_ends_with_its_version(load: Load, keys: list[str], pagination: Any) -> None:
    table = Table(range(1, 8))
    with serving({"/rows": table}) as api:
        config = stream(primary_keys=keys, pagination=pagination)
        first = load(api.url, config)
        asked = table.answers
        without(3)(table.rows)
        second = load(api.url, config, state=first.state)
    assert is_sure(first)
    assert is_sure(second)
    assert activated(second)[0][1] > activated(first)[0][1]
    assert ids(second) == [1, 2, 4, 5, 6, 7], "each row once, however often its page was read"
    assert second.state["bookmarks"]["rows"][LOAD]["rows"] == 6
    # Those for the schema; then one answer holds all, or the pages are read twice.
    assert asked <= (2 if pagination == {"type": "single"} else 4 + 4 + 4)


def test_a_row_that_moves_to_a_page_that_was_read_is_found(load: Load) -> None:
    """Row 1 goes between the first and the second page, so that row 4 is on the first, and nobody looks there."""
    table = Table(range(1, 9))
    config = stream(pagination=PAGES, schema={"properties": {"id": {"type": "integer"}}})
    with serving({"/rows": table}) as api:
        plain = load(api.url, config)
        table.answers = 0
        table.meanwhile = {2: without(1)}
        run = load(api.url, config, state=plain.state)
    assert ids(run) == [1, 2, 3, 5, 6, 7, 8, 4]
    assert is_sure(run)


def test_pages_without_a_key_that_differ_are_not_sure(load: Load) -> None:
    schema = {"properties": {"id": {"type": "integer"}}}
    with serving({"/rows": Table(range(1, 9), a2=without(1))}) as api:
        run = load(api.url, stream(pagination=PAGES, primary_keys=[], schema=schema))
    assert ids(run) == [1, 2, 3, 5, 6, 7, 8], "a row that is new the second time may be one that has changed"
    assert not is_sure(run)


def test_a_source_that_never_rests_is_not_sure(load: Load) -> None:
    def growing(rows: list[Any]) -> None:
        rows.append({"id": len(rows) + 1})

    table = Table(range(1, 7), **{f"a{number}": growing for number in range(1, 60, 2)})
    with serving({"/rows": table}) as api:
        run = load(api.url, stream(pagination=PAGES))
    assert not is_sure(run)
    assert "other rows each time" in run.stderr
    assert len(ids(run)) == len(set(ids(run)))


@pytest.mark.parametrize("v", [2, 3])
def test_an_order_that_gives_rows_twice_is_not_sure(v: int, load: Load) -> None:
    """By a token, where rows that come again are not looked for otherwise."""
    first, second = [{"id": 1, "v": 1}, {"id": 2, "v": 2}], [{"id": 2, "v": v}, {"id": 4, "v": 4}]

    def pages(asked: Asked) -> Reply:
        is_first = asked.param("cursor") is None
        return json_reply({"data": first if is_first else second, "next": "x7" if is_first else None})

    with serving({"/rows": pages}) as api:
        run = load(api.url, stream(pagination={"type": "cursor", "cursor": "$.next"}, records="$.data[*]"))
    assert not is_sure(run)
    assert "the API gave rows twice" in run.stderr


def test_what_is_promised_says_so() -> None:
    for setting in (True, False):
        config = {"base_url": "http://127.0.0.1:9", "streams": [stream(activate_version=setting)]}
        (promise,) = TapRest.deliveries(config)
        assert ("ACTIVATE_VERSION" in promise.reason) is setting


def test_a_keyset_of_the_key_is_read_once(load: Load) -> None:
    schema = {"properties": {"id": {"type": "integer"}, "n": {"type": "integer"}}}
    keyset = {"type": "keyset", "param": "after", "field": "id", "size": 3}
    table = Table(range(1, 9), a2=without(1, 2))
    with serving({"/rows": table}) as api:
        run = load(api.url, stream(pagination=keyset, schema=schema))
        once = table.answers
        other = load(api.url, stream(pagination=keyset, schema=schema, primary_keys=[]))
    assert is_sure(run)
    assert ids(run) == [*range(1, 9)]
    assert is_sure(other)
    assert table.answers - once == 2 * 4, "another field may be of several rows"


def test_pages_of_a_cache_are_not_sure(load: Load) -> None:
    table = Table(range(1, 9))
    with serving({"/rows": table}) as api:
        table.headers = {"Age": "0"}
        assert is_sure(load(api.url, stream(pagination=PAGES)))
        table.headers = {"Age": "7"}
        assert not is_sure(load(api.url, stream())), "it may be of a moment before the last load"
        assert not is_sure(load(api.url, stream(pagination=PAGES)))


@pytest.mark.parametrize(
    ("body", "setting"),
    [
        ({"data": [{"id": 1}], "error": "a shard failed"}, {"partial_answers": "warn"}),
        ({"data": [{"id": 1}], "next": "/rows?page=2"}, {"pagination": {"type": "single"}}),
        ({"data": [{"id": 1}], "total": 9}, {"pagination": {"type": "single"}}),
    ],
)
def test_answers_that_are_warned_of_are_not_sure(body: Any, setting: Any, load: Load) -> None:
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        run = load(api.url, stream(records="$.data[*]", **setting))
    assert ids(run) == [1]
    assert not is_sure(run)


def test_a_load_that_fails_sends_no_version(load: Load) -> None:
    def broken(rows: list[Any]) -> None:
        rows[:] = ["<html>"]

    with serving({"/rows": Table(range(1, 9), a3=broken)}) as api:
        schema = {"properties": {"id": {"type": "integer"}}}
        run = load(api.url, stream(pagination=PAGES, schema=schema))
    assert run.code == 65
    assert versions(run) != {None}
    assert not activated(run)


# --- none, and few ---------------------------------------------------------------------------------------------


def test_no_rows_take_none_away_and_few_have_to_come_twice(load: Load) -> None:
    table = Table(range(100))
    config = stream(schema={"properties": {"id": {"type": "integer"}}})
    state: dict[str, Any] | None = None

    def whole(rows: int) -> bool:
        nonlocal state
        table.rows = [{"id": number} for number in range(rows)]
        run = load(api.url, config, state=state)
        state = run.state
        return is_sure(run)

    with serving({"/rows": table}) as api:
        assert whole(99)
        assert whole(51)
        assert not whole(0)
        assert not whole(0), "an empty list is what an account gets, too, that may see nothing any more"
        assert not whole(21)
        assert whole(19)
        assert whole(99)


@pytest.mark.parametrize(
    ("loads", "sure"),
    [
        # A load that is doubted (so that of exactly 10 rows) has a number, too; it is what the next is compared with, and no proof of one that is small.
        ([11, None, 4, 4], [True, False, False, True]),
        ([None, 2, 2, 11], [False, False, True, True]),
        ([10, 4, 4], [False, False, True]),
        # The second has to be as small as the first of them, and behind it.
        ([11, 4, 2, 2], [True, False, False, True]),
        ([11, 4, 3, 1, 1], [True, False, True, False, True]),
        ([11, 4, 11, 4], [True, False, True, False]),
        ([11, 4, 0, 4, 4], [True, False, False, False, True]),
        ([11, 6, 4, 3, 2], [True] * 5),
    ],
)
def test_few_rows_are_compared_with_the_last_that_took_some_away(
    loads: list[int | None], sure: list[bool], load: Load
) -> None:
    """None: ten rows, of which something is said to have failed."""
    bodies = [
        {"data": [{"id": row} for row in range(10)], "errors": ["a shard failed"]}
        if rows is None
        else {"data": [{"id": row} for row in range(rows)]}
        for rows in loads
    ]
    config = stream(records="$.data[*]", partial_answers="warn")
    config["schema"] = {"properties": {"id": {"type": "integer"}}}
    state: Any = None
    found: list[bool] = []
    with serving({"/rows": lambda _: json_reply(bodies[len(found)])}) as api:
        for _ in loads:
            run = load(api.url, config, state=state)
            state = run.state
            found.append(is_sure(run))
    assert found == sure


def test_a_load_before_the_setting_has_no_number(load: Load) -> None:
    with serving({"/rows": Table(range(9))}) as api:
        first = load(api.url, stream(activate_version=False))
        second = load(api.url, stream(), state=first.state)
        third = load(api.url, stream(), state=second.state)
    assert not is_sure(second), "what the target has of the loads before may be more than all of these"
    assert is_sure(third)


def test_other_questions_take_nothing_away_at_once(load: Load) -> None:
    with serving({"/rows": Table(range(9)), "/others": Table(range(5))}) as api:
        first = load(api.url, stream())
        moved = load(api.url, stream(path="/others"), state=first.state)
        settled = load(api.url, stream(path="/others"), state=moved.state)
    assert is_sure(first)
    assert not is_sure(moved)
    assert is_sure(settled)


# --- children --------------------------------------------------------------------------------------------------

USERS = {"name": "users", "path": "/users", "primary_keys": ["id"]}


def orders(**parent: Any) -> dict[str, Any]:
    return stream(
        name="orders",
        path="/users/{parent.id}/orders",
        primary_keys=["users_id", "id"],
        parent={"stream": "users", **parent},
    )


def test_a_child_has_one_version_over_all_parents(load: Load) -> None:
    routes = {
        "/users": Table([1, 2, 3]),
        **{f"/users/{number}/orders": Table(range(number)) for number in (1, 2, 3)},
    }
    with serving(routes) as api:
        run = load(api.url, USERS, orders())
    assert is_sure(run, "orders")
    assert [of for of, _ in activated(run)] == ["orders"], "the parent does not say so"
    assert len(run.records("orders")) == 6
    assert versions(run, "users") == {None}


def test_a_parent_that_moved_has_its_children_read(load: Load) -> None:
    """A parent that is missed would take all its children away."""
    users = Table(range(1, 9), a2=without(1))
    paths = [f"/users/{number}/orders" for number in range(1, 9)]
    schemas = {"schema": {"properties": {"id": {"type": "integer"}}}}
    child = orders() | {"schema": {"properties": {"id": {}, "users_id": {}}}}
    with serving({"/users": users, **{path: Table([7]) for path in paths}}) as api:
        run = load(api.url, USERS | {"pagination": PAGES} | schemas, child)
    assert sorted(record["users_id"] for record in run.records("orders")) == [*range(1, 9)]
    assert is_sure(run, "orders")


@pytest.mark.parametrize("keys", [["users_id", "id"], ["users_id", "id", "n"]])
def test_a_keyset_below_parents_is_read_twice(load: Load, keys: list[str]) -> None:
    """By which key ever: a row may go to another parent."""
    table = Table([{"id": number, "n": number} for number in range(1, 6)])
    keyset = {"type": "keyset", "param": "after", "field": "id", "size": 2}
    schema = {"properties": {"id": {"type": "integer"}, "n": {"type": "integer"}, "users_id": {}}}
    child = orders() | {"pagination": keyset, "schema": schema, "primary_keys": keys}
    with serving({"/users": Table([1]), "/users/1/orders": table}) as api:
        run = load(api.url, USERS, child)
    assert is_sure(run, "orders")
    assert ids(run, "orders") == [1, 2, 3, 4, 5]
    assert table.answers == 5 * 2, "two, two, one, none, and the last one behind the one before it"


class Tasks:
    """Tasks below projects. ``move``: what happens behind the first answer about project 1, of a read that begins."""

    def __init__(self, move: Callable[[Tasks], object] | None = None, per_answer: int = 99) -> None:
        self.projects = [1, 2, 3]
        self.of = {task: 1 + task % 3 for task in range(1, 13)}
        self.move = move
        self.per_answer = per_answer
        self.asked: list[str] = []

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked.path)
        if asked.path == "/projects":
            return json_reply([{"id": number} for number in self.projects])
        project = int(asked.path.split("/")[2])
        rows = [{"id": task} for task, of in self.of.items() if of == project]
        rows = [row for row in rows if row["id"] > int(asked.param("after") or 0)]
        begin = int(asked.param("offset") or 0)
        if project == 1 and self.move is not None and len(rows[begin:]) < self.per_answer:
            move, self.move = self.move, None
            move(self)
        return json_reply(rows[begin : begin + self.per_answer])

    def routes(self) -> dict[str, Any]:
        return {"/projects": self, **{f"/projects/{number}/tasks": self for number in range(1, 5)}}

    def put(self, project: int, *tasks: int) -> None:
        self.projects = sorted({*self.projects, project})
        self.of.update(dict.fromkeys(tasks, project))


PROJECTS = {
    "name": "projects",
    "path": "/projects",
    "primary_keys": ["id"],
    "schema": {"properties": {"id": {}}},
}


def tasks(copies: Mapping[str, str], **more: Any) -> dict[str, Any]:
    own = {"id": {"type": "integer"}, **{name: {"type": "integer"} for name in copies}}
    return {
        "name": "tasks",
        "path": "/projects/{parent.id}/tasks",
        "primary_keys": ["id"],
        "activate_version": True,
        "schema": {"properties": own},
        "parent": {"stream": "projects", "copy": copies},
    } | more


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "single"},
        {"type": "offset", "size": 2},
        {"type": "keyset", "field": "id", "param": "after", "size": 2},
    ],
    ids=lambda pagination: str(pagination["type"]),
)
@pytest.mark.parametrize("target", [1, 4])
def test_a_row_that_goes_to_another_parent_meanwhile_is_found(
    target: int, pagination: Any, load: Load
) -> None:
    """To one whose rows have come already, or to one that was not there when the list of parents was read."""
    api_of = Tasks(lambda api: api.put(target, 2, 5), 99 if pagination["type"] == "single" else 2)
    config = tasks({}, pagination=pagination)
    with serving(api_of.routes()) as api:
        run = load(api.url, PROJECTS, config)
    assert api_of.move is None
    assert sorted(ids(run, "tasks")) == [*range(1, 13)]
    assert is_sure(run, "tasks")


def test_a_row_that_has_gone_is_told_apart_by_its_parent(load: Load) -> None:
    api_of = Tasks(lambda api: api.put(1, 2))
    config = tasks({"project_id": "id"}, primary_keys=["project_id", "id"])
    with serving(api_of.routes()) as api:
        run = load(api.url, PROJECTS, config)
    assert [r["project_id"] for r in run.records("tasks") if r["id"] == 2] == [1]
    assert is_sure(run, "tasks")


@pytest.mark.parametrize("moves", [True, False])
def test_rows_below_parents_without_a_key_have_to_be_the_same_twice(moves: bool, load: Load) -> None:
    api_of = Tasks((lambda api: api.put(1, 2)) if moves else None)
    with serving(api_of.routes()) as api:
        run = load(api.url, PROJECTS, tasks({}, primary_keys=[]))
    assert len(run.records("tasks")) == (11 if moves else 12)
    assert is_sure(run, "tasks") is not moves


def test_rows_below_parents_that_never_rest_are_not_sure(load: Load) -> None:
    def on(api: Tasks) -> None:
        api.put(1 if api.of[2] != 1 else 3, 2)
        api.move = on

    api_of = Tasks(on)
    with serving(api_of.routes()) as api:
        run = load(api.url, PROJECTS, tasks({}))
    assert not is_sure(run, "tasks")


def test_parents_are_not_read_twice_for_rows_that_stay(load: Load) -> None:
    api_of = Tasks()
    with serving(api_of.routes()) as api:
        load(api.url, PROJECTS, tasks({}, activate_version=False))
        once = len(api_of.asked)
        load(api.url, PROJECTS, tasks({}))
    assert (once, len(api_of.asked) - once) == (4, 8)


def test_a_child_that_is_not_found_keeps_all_rows(load: Load) -> None:
    with serving({"/users": Table([1, 2]), "/users/1/orders": Table([5])}) as api:
        run = load(api.url, USERS, orders(on_404="skip"))
    assert len(run.records("orders")) == 1
    assert not is_sure(run, "orders")


def test_a_doubt_about_parents_is_one_about_children(load: Load) -> None:
    body = {"data": [{"id": 1}], "error": "a shard failed"}
    users = USERS | {"records": "$.data[*]", "partial_answers": "warn"}
    with serving({"/users": lambda _: json_reply(body), "/users/1/orders": Table([5])}) as api:
        run = load(api.url, users, orders())
    assert not is_sure(run, "orders")


@pytest.mark.parametrize(
    ("more", "parent"),
    [
        ({"replication_key": "id"}, {}),
        ({"partial_records": True}, {}),
        ({"parent": {"stream": "users"}, "path": "/users/{parent.id}/orders"}, {"replication_key": "id"}),
    ],
)
def test_where_no_run_reads_all_the_setting_is_refused(more: Any, parent: Any) -> None:
    config = {"base_url": "http://127.0.0.1:9", "streams": [USERS | parent, stream(**more)]}
    (problem,) = config_conflicts(config)
    assert problem.startswith("`streams[1].activate_version` has no effect")
