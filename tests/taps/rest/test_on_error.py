"""One stream, child or partition that fails: the others are read, its bookmark stays, and the run ends with the error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Table, json_reply, serving
from taps.rest.drive import Drive, drive

__all__ = ["drive"]

SCHEMA = {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}}
REFUSED = json_reply({"message": "no access"}, 403)
GOOD = json_reply([{"id": 1}])


def of(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": f"/{name}", "pagination": {"type": "single"}, **more}


def always(reply: Reply) -> Callable[[Asked], Reply]:
    return lambda _: reply


# Streams


@pytest.mark.parametrize("declared", [{}, {"schema": SCHEMA}])
def test_a_stream_that_fails_does_not_keep_others_from_being_read(
    declared: dict[str, Any], drive: Any
) -> None:
    streams = [of(name, primary_keys=["id"], **declared) for name in "abc"]
    run = drive(a=always(GOOD), b=always(REFUSED), c=always(GOOD)).run(*streams)
    assert (run.code, run.ids("a"), run.ids("b"), run.ids("c")) == (77, [1], [], [1])
    assert "b answered 403" in run.sentence
    assert run.sentence.endswith(
        "Not read as a whole: stream `b`; all else was read, and its bookmark stays."
    )
    assert not run.is_complete
    assert run.state["bookmarks"].keys() >= {"a", "c"}
    run.api.routes["/b"] = always(GOOD)
    again = run.run(*streams, state=run.state)
    assert (again.code, again.ids("b"), again.is_complete) == (0, [1], True)


@pytest.mark.parametrize(
    ("reply", "code", "others"),
    [
        (json_reply({}, 404), 65, True),
        (json_reply({}, 500), 69, True),
        (json_reply({"oops": 1}), 65, True),
        (json_reply({"ok": False, "error": "missing_scope"}), 65, True),
        (json_reply({}, 401), 77, False),
        (json_reply({}, 429), 69, False),
        (Reply(hang_up=True), 69, False),
    ],
)
def test_what_is_a_matter_of_all_streams_ends_the_run(
    reply: Reply, code: int, others: bool, drive: Any
) -> None:
    run = drive(a=always(reply), b=always(GOOD)).run(of("a"), of("b"))
    assert (run.code, run.ids("b")) == (code, [1] * others), run.sentence


def test_a_stream_can_end_the_run_at_once(drive: Any) -> None:
    served = drive(a=always(REFUSED), b=always(GOOD))
    for declared in ({}, {"schema": SCHEMA}):
        run = served.run(of("a", on_error="fail", **declared), of("b"))
        assert (run.code, run.ids("b")) == (77, [])
        assert "Not read" not in run.sentence


@pytest.mark.parametrize("declared", [{}, {"schema": SCHEMA}])
def test_a_server_that_fails_for_three_streams_in_a_row_is_asked_no_more(declared: Any, drive: Any) -> None:
    down = always(json_reply({}, 503))
    served = drive(**dict.fromkeys("abcd", down), z=always(GOOD))
    run = served.run(*(of(name, **declared) for name in "abcdz"), retries={"tries": 1})
    assert (run.code, [asked.path for asked in run.api.asked], run.ids("z")) == (69, ["/a", "/b", "/c"], [])
    served.api.routes["/b"] = always(GOOD)
    run = served.run(*(of(name, **declared) for name in "abcdz"), retries={"tries": 1})
    assert (run.code, run.ids("z")) == (69, [1])


@pytest.mark.parametrize("declared", [{}, {"schema": SCHEMA}])
def test_where_there_is_one_stream_its_error_is_told_once(declared: Any, drive: Any) -> None:
    run = drive(a=always(REFUSED)).run(of("a", **declared), of("b"), select=["a"])
    assert (run.code, run.warnings) == (77, "")
    assert run.sentence.endswith('it says: `{"message": "no access"}`')


def test_all_that_fails_is_named_and_the_first_error_counts(drive: Any) -> None:
    routes = {"a": GOOD, "b": json_reply({}, 400), "c": REFUSED, "d": json_reply({}, 503), "e": GOOD}
    run = drive(**{name: always(reply) for name, reply in routes.items()}).run(*(of(name) for name in routes))
    assert (run.code, run.ids("e")) == (65, [1])
    assert "Not read as a whole: stream `b`, stream `c`, stream `d`;" in run.sentence
    assert run.warnings.count("could not be read (the run goes on with any others): ") == 3


def paged(pages: int, **row: Any) -> Callable[[Asked], Reply]:
    """Pages of one row; the one behind them is refused."""

    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        return json_reply([{"id": number, **row}]) if number <= pages else json_reply({}, 400)

    return route


def test_rows_that_were_written_come_again_and_replace_themselves(drive: Any) -> None:
    at = "2026-01-01T00:00:00Z"
    keyed = of("a", primary_keys=["id"], schema=SCHEMA, pagination={"type": "page"})
    for more in ({}, {"replication_key": "at"}):
        run = drive(a=paged(2, at=at), b=always(GOOD)).run(keyed | more, of("b"))
        assert (run.code, run.ids("a"), run.ids("b")) == (65, [1, 2], [1])
        assert run.bookmark("a") is None
        assert run.state["bookmarks"]["a"]["_singerkit_read"]["fields"].keys() == {"id", "at"}


def test_where_rows_without_a_key_would_be_doubled_the_run_ends(drive: Any) -> None:
    keyless = of("a", schema=SCHEMA, pagination={"type": "page"})
    for more in ({}, {"replication_key": "at"}):
        run = drive(a=paged(2, at="2026-01-01T00:00:00Z"), b=always(GOOD)).run(keyless | more, of("b"))
        assert (run.code, run.ids("a"), run.ids("b")) == (65, [1, 2], [])
        assert "What comes behind it was not read, since rows without a key had been written" in run.sentence
        assert run.messages[-1]["type"] == "RECORD", "no STATE commits them"


def test_a_stream_that_is_whole_up_to_the_failure_goes_on_from_there(drive: Any) -> None:
    table = Table([{"id": n, "at": f"2026-01-0{n}T00:00:00Z"} for n in range(1, 10)], size=2)

    def route(asked: Asked) -> Reply:
        reply = table(asked)
        return json_reply({}, 400) if b'"id": 8' in reply.body and not mended else reply

    mended: list[bool] = []
    ordered = of("a", schema=SCHEMA, is_sorted=True, replication_key="at", incremental={"param": "since"})
    ordered |= {"pagination": {"type": "page", "size": 2}}
    run = drive(a=route, b=always(GOOD)).run(ordered, of("b"))
    came = run.ids("a")
    assert (run.code, run.ids("b"), len(came) > 2) == (65, [1], True), run.sentence
    mended.append(True)
    assert came + run.run(ordered, of("b"), state=run.state).ids("a") == [*range(1, 10)]


def test_what_select_says_of_a_stream_that_could_not_be_read(drive: Any) -> None:
    served = drive(a=always(REFUSED), b=always(GOOD))
    for rules in (["a", "b", "!a.note"], ["a.note", "b"]):
        run = served.run(of("a"), of("b"), select=rules)
        assert (run.code, run.ids("b")) == (77, [1]), run.sentence
        assert "Not read as a whole: stream `a`;" in run.sentence
    assert served.run(of("a"), of("b"), select=["b"]).code == 0


@pytest.mark.parametrize("args", [("--test",), ("--discover",)])
def test_where_a_config_is_looked_at_the_first_error_ends_it(args: tuple[str, ...], run_tap: Any) -> None:
    with serving(
        {"/a": always(REFUSED), "/b": always(GOOD), "/m": always(GOOD), "/m/1/k": always(REFUSED)}
    ) as api:
        run_tap(api.url, of("a"), of("b"), args=args).ended(77)
        known = K | {"schema": SCHEMA} if args == ("--test",) else K
        run_tap(api.url, M, known, args=args).ended(77)


# Children


M = of("m", primary_keys=["id"], schema=SCHEMA)
K = {
    "name": "k",
    "path": "/m/{parent.id}/k",
    "parent": {"stream": "m"},
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
}


class Tree:
    """Parents by number and the rows below each; ``refused`` are those whose children are not shown."""

    def __init__(self, parents: int = 3, *, day: int = 1) -> None:
        self.parents, self.day = parents, day
        self.days: dict[int, int] = {}
        """Of rows that do not change each day."""
        self.refused: dict[int, Reply] = {}
        self.asked: list[int] = []

    def row(self, number: int) -> dict[str, Any]:
        return {"id": number, "at": f"2026-01-{self.days.get(number, self.day):02d}T00:00:00Z"}

    def m(self, asked: Asked) -> Reply:
        return json_reply([self.row(number) for number in range(1, self.parents + 1)])

    def k(self, asked: Asked) -> Reply:
        number = int(asked.path.split("/")[2])
        self.asked.append(number)
        return self.refused.get(number) or json_reply([self.row(number * 10)])

    def serve(self, drive: Any) -> Drive:
        below = {f"m/{number}/k": self.k for number in range(1, self.parents + 1)}
        run: Drive = drive(m=self.m, **below)
        return run


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"schema": SCHEMA},
        {"primary_keys": []},
        {"replication_key": "at", "schema": SCHEMA},
        {"replication_key": "at", "parent": {"stream": "m", "bookmarks": "each"}},
        {"replication_key": "at", "primary_keys": [], "parent": {"stream": "m", "bookmarks": "each"}},
    ],
)
def test_a_child_that_is_refused_below_one_parent_is_read_below_the_others(
    more: dict[str, Any], drive: Any
) -> None:
    tree = Tree()
    tree.refused = {2: REFUSED}
    run = tree.serve(drive).run(M, K | more)
    assert (run.code, run.ids("m"), run.ids("k")) == (77, [1, 2, 3], [10, 30]), run.sentence
    assert "Not read as a whole: stream `k` (1 part of it);" in run.sentence
    assert not run.is_complete
    has_own = more.get("parent", {}).get("bookmarks") == "each"
    if "replication_key" in more:
        assert run.bookmark("k") is None
    tree.refused = {}
    again = run.run(M, K | more, state=run.state)
    assert again.code == 0
    if has_own:
        assert again.ids("k") == [20], "what was read below the others is not read again"
    else:
        assert 20 in again.ids("k")


def test_the_bookmark_that_all_parents_share_stays(drive: Any) -> None:
    tree = Tree()
    child = K | {"replication_key": "at", "schema": SCHEMA}
    served = tree.serve(drive)
    first = served.run(M, child)
    state = served.run(M, child, state=first.state).state
    tree.refused, tree.days = {2: REFUSED}, {20: 2}
    before = state["bookmarks"]["k"]["replication_key_value"]
    for tree.day in (2, 3, 4):
        failed = served.run(M, child, state=state)
        assert (failed.code, failed.ids("k"), failed.bookmark("k")) == (77, [10, 30], before)
        state = failed.state
    tree.refused = {}
    assert served.run(M, child, state=state).ids("k") == [20], "10 and 30 are recognised"


def test_without_a_key_a_shared_bookmark_that_stays_would_double_rows(drive: Any) -> None:
    tree = Tree()
    tree.refused = {2: REFUSED}
    run = tree.serve(drive).run(M, K | {"replication_key": "at", "primary_keys": [], "schema": SCHEMA})
    assert (run.code, run.ids("k")) == (77, [10])
    assert "What comes behind it was not read, since rows without a key" in run.sentence
    assert "`primary_keys`" in run.sentence


def test_a_part_without_a_key_that_fails_behind_its_first_page_ends_the_run(drive: Any) -> None:
    child = K | {"primary_keys": [], "schema": SCHEMA, "pagination": {"type": "page"}}
    run = drive(**{"m": Tree(2).m, "m/1/k": paged(2), "m/2/k": paged(0)}).run(M, child)
    assert (run.code, run.ids("k")) == (65, [1, 2])
    assert "rows without a key had been written" in run.sentence


def test_a_parent_that_does_not_change_is_asked_for_again_after_a_failure(drive: Any) -> None:
    tree = Tree()
    tree.refused = {2: REFUSED}
    parent = M | {"replication_key": "at", "incremental": {"param": "since"}}
    child = K | {"parent": {"stream": "m", "read": "changed"}, "schema": SCHEMA}
    run = tree.serve(drive).run(parent, child)
    assert run.ids("k") == [10, 30]
    tree.asked.clear()
    tree.refused = {}
    tree.parents = 0
    assert run.run(parent, child, state=run.state).ids("k") == [20]
    assert tree.asked == [2]


def test_a_child_that_fails_below_many_parents_in_a_row_is_given_up(drive: Any) -> None:
    tree = Tree(28)
    tree.days = {number: number for number in range(1, 29)}
    tree.refused = dict.fromkeys(range(5, 29), REFUSED)
    child = K | {"schema": SCHEMA, "parent": {"stream": "m", "read": "changed"}}
    parent = M | {"replication_key": "at", "incremental": {"param": "since"}}
    run = tree.serve(drive).run(parent, child)
    assert (run.code, run.ids("k"), len(tree.asked)) == (77, [10, 20, 30, 40], 4 + 20)
    assert "stream `k` (given up after 20 parts that failed)" in run.sentence
    tree.refused = {}
    again = run.run(parent, child, state=run.state)
    assert sorted(again.ids("k")) == [n * 10 for n in range(1, 29)], "all parents are asked for again"


def test_failures_between_which_a_child_is_read_are_not_counted(drive: Any) -> None:
    tree = Tree(31)
    tree.refused = {number: REFUSED for number in range(1, 32) if number != 16}
    run = tree.serve(drive).run(M, K | {"schema": SCHEMA})
    assert (run.ids("k"), len(tree.asked)) == ([160], 31)


def test_a_child_that_has_no_answer_in_time_is_given_up_sooner(drive: Any) -> None:
    tree = Tree(10)
    tree.refused = dict.fromkeys(range(1, 11), json_reply({}, 503))
    run = tree.serve(drive).run(M, K | {"schema": SCHEMA}, retries={"tries": 1})
    assert (run.code, tree.asked) == (69, [1, 2, 3])


def test_a_child_can_end_the_run_at_once(drive: Any) -> None:
    tree = Tree()
    tree.refused = {2: REFUSED}
    served = tree.serve(drive)
    served.api.routes["/z"] = always(GOOD)
    run = served.run(
        M | {"pagination": {"type": "page"}}, K | {"on_error": "fail", "schema": SCHEMA}, of("z")
    )
    assert (run.code, run.ids("k"), run.ids("z"), tree.asked) == (77, [10], [], [1, 2])
    assert "Not read" not in run.sentence


@pytest.mark.parametrize("keyed", [{"primary_keys": ["id", "of"]}, {"replication_key": "at"}])
def test_a_value_of_a_list_that_is_refused_does_not_keep_the_others_from_being_read(
    keyed: dict[str, Any], drive: Any
) -> None:
    tree = Tree()
    tree.refused = {2: REFUSED}
    below = {f"m/{number}/k": tree.k for number in (1, 2, 3)}
    each = {
        "name": "k",
        "path": "/m/{each.of}/k",
        "for_each": {"of": ["1", "2", "3"]},
        "pagination": {"type": "single"},
    }
    run = drive(**below).run(each | keyed)
    assert (run.code, run.ids("k")) == (77, [10, 30])
    assert "stream `k` (1 part of it)" in run.sentence
    skipping = {"errors": [{"status": 403, "then": "skip"}]}
    assert run.run(each | keyed | skipping).code == 0
    tree.refused = {}
    again = run.run(each | keyed, state=run.state)
    assert again.ids("k") == ([20] if "replication_key" in keyed else [10, 20, 30])


def test_no_row_of_what_failed_leaves_the_target(drive: Any) -> None:
    tree = Tree()
    streams = [one | {"activate_version": True, "schema": SCHEMA} for one in (M, K)]
    served = tree.serve(drive)
    first = served.run(*streams)
    assert first.activated == ["m", "k"]
    tree.refused = {2: REFUSED}
    failed = served.run(*streams, state=first.state)
    assert failed.activated == ["m"]
    assert "of this load, a part of it could not be read" in failed.warnings
    tree.refused = {}
    assert served.run(*streams, state=failed.state).activated == ["m", "k"]


def test_what_stands_below_a_part_that_failed_keeps_its_bookmark(drive: Any) -> None:
    tree = Tree()
    third = {"name": "l", "path": "/l", "params": {"of": "{parent.id}"}, "parent": {"stream": "k"}}
    third |= {
        "replication_key": "at",
        "primary_keys": ["id"],
        "schema": SCHEMA,
        "pagination": {"type": "single"},
    }
    served = tree.serve(drive)
    served.api.routes["/l"] = lambda asked: json_reply([tree.row(int(asked.param("of") or 0) * 10)])
    streams = (M, K | {"schema": SCHEMA}, third)
    state = served.run(*streams, state=served.run(*streams).state).state
    tree.refused, tree.days = {2: REFUSED}, {200: 2}
    for tree.day in (2, 3, 4):
        failed = served.run(*streams, state=state)
        assert (failed.code, failed.ids("l")) == (77, [100, 300])
        state = failed.state
    tree.refused = {}
    assert served.run(*streams, state=state).ids("l") == [200]
    tree.refused, keyless = {2: REFUSED}, third | {"primary_keys": []}
    failed = served.run(M, K | {"schema": SCHEMA}, keyless)
    assert (failed.code, failed.ids("l")) == (77, [100])
    assert "rows without a key had been written" in failed.sentence


def test_a_schema_is_inferred_from_the_parents_that_answer(drive: Any) -> None:
    tree = Tree()
    tree.refused = {1: REFUSED, 2: REFUSED}
    run = tree.serve(drive).run(M, K)
    assert run.ids("k") == [30]
    tree.refused[3] = REFUSED
    nothing = Tree()
    nothing.refused = tree.refused
    child = K | {"name": "other"}
    failed = nothing.serve(drive).run(M, child)
    assert (failed.code, failed.ids("m")) == (77, [1, 2, 3])
    assert "Not read as a whole: stream `other`;" in failed.sentence
