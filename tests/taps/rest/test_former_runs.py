"""What a run knows of former ones beside the bookmark: fields that were sent, what was asked for, where the records were."""

from __future__ import annotations

import json
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from conformance.processes import run as run_process
from faults.loads import query
from faults.pipes import PIPELINE, pipe
from taps.rest.api_server import Asked, Reply, Table, dated, json_reply, page_of, repeatedly, serving

from singerkit_shell.errors import ConfigurationError
from singerkit_tap.fullload import LOAD
from singerkit_tap.starts import checked_state
from tap_rest.tap import TapRest

READ = "_singerkit_read"
ROWS: list[dict[str, Any]] = [
    {"id": 1, "at": "2026-01-01T00:00:00Z", "note": "old", "qty": 5},
    {"id": 2, "at": "2026-01-02T00:00:00Z", "note": "old"},
]


def whole(**more: Any) -> dict[str, Any]:
    given = dated(**more)
    del given["replication_key"], given["incremental"]
    return given


# Fields that no record has any more


@pytest.mark.parametrize("make", [dated, whole])
def test_a_field_that_is_gone_is_emptied_without_the_schema_cache(
    make: Any, database: str, tmp_path: Path
) -> None:
    source = Table([dict(ROWS[0]), dict(ROWS[1])])
    with serving({"/rows": source}) as api:
        pipe(database, api.url, make(), schema_cache=str(tmp_path / "one")).expect(0, 0)
        source.rows = [{"id": 1, "at": "2026-01-03T00:00:00Z"}, {"id": 2, "at": "2026-01-03T00:00:00Z"}]
        for cache in ("two", "three"):
            ended = pipe(database, api.url, make(), schema_cache=str(tmp_path / cache)).expect(0, 0)
            assert query(database, "SELECT id, note, qty FROM rows ORDER BY id") == [
                (1, None, None),
                (2, None, None),
            ]
            assert "is read otherwise" not in ended.tap.stderr
    types = query(database, "SELECT pg_typeof(note)::text, pg_typeof(qty)::text FROM rows LIMIT 1")
    assert types == [("text", "bigint")]


def test_a_former_field_keeps_its_kind_and_what_others_know_of_the_state(
    run_tap: Any, tmp_path: Path
) -> None:
    sent = {**ROWS[0], "day": "2026-01-01", "tags": [1], "more": {"a": 1}, "nothing": None, "mixed": 1.5}
    rows: list[dict[str, Any]] = [sent, {**sent, "id": 2, "mixed": "x"}]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        first = run_tap(api.url, whole(), infer=EARLY).ended(0)
        rows[:] = [{"id": 3, "day": "soon"}]
        # A run that began before states had it, and one by a tap of others, which hands on what it does not know.
        foreign = {"singer_state": first.state}
        second = run_tap(
            api.url, whole(), infer=EARLY, state=foreign, schema_cache=str(tmp_path / "new")
        ).ended(0)
        (schema,) = second.schemas("rows")
        assert {name: prop.get("type") for name, prop in schema["properties"].items()} == {
            "id": ["integer"] if isinstance(schema["properties"]["id"]["type"], list) else "integer",
            "day": ["null", "string"],
            "at": ["null", "string"],
            "note": ["null", "string"],
            "qty": ["null", "integer"],
            "tags": ["null", "array"],
            "more": ["null", "object"],
            "nothing": ["null"],
            "mixed": ["null", "number", "string"],
        }
        assert schema["properties"]["at"]["format"] == "date-time"
        assert second.records("rows") == [
            dict.fromkeys(schema["properties"], None) | {"id": 3, "day": "soon"}
        ]
        former = {"bookmarks": {"rows": {}}}
        third = run_tap(
            api.url, whole(), infer=EARLY, state=former, schema_cache=str(tmp_path / "newer")
        ).ended(0)
        assert third.records("rows") == rows
        # It comes back, with another type.
        rows[:] = [{"id": 3, "day": "soon", "qty": "many", "nothing": 1}]
        fourth = run_tap(
            api.url, whole(), infer=EARLY, state=second.state, schema_cache=str(tmp_path / "n4")
        ).ended(0)
    assert fourth.records("rows")[0]["qty"] == "many"


def test_a_field_that_is_gone_is_told_once(run_tap: Any, tmp_path: Path) -> None:
    full: list[dict[str, Any]] = [{"id": 1, "note": "old", "qty": 5}, {"id": 2, "qty": None}]
    rows: list[dict[str, Any]] = list(full)

    def told(run: Any) -> list[str]:
        return [line for line in run.stderr.splitlines() if "any more; " in line]

    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        first = run_tap(api.url, whole()).ended(0)
        rows[:] = full[1:]
        optional = run_tap(api.url, whole(), state=first.state).ended(0)
        assert "No record of stream `rows` has `note` any more; it is null from now on" in told(optional)[0]
        assert len(told(optional)) == 2  # then, and at the end
        again = run_tap(api.url, whole(), state=optional.state).ended(0)
        assert told(again) == []
        rows[:] = []
        none = run_tap(api.url, whole(), state=again.state).ended(0)
        assert told(none) == [], "of no record nothing can be said"
        rows[:] = full
        back = run_tap(api.url, whole(), state=none.state).ended(0)
        rows[:] = [{"id": 1}]
        both = run_tap(api.url, whole(), state=back.state).ended(0)
        assert "`note`, `qty` any more; they are null" in told(both)[0]
        # Partial records leave out what has not changed, and so do few rows of a stream that goes on from its bookmark.
        assert told(run_tap(api.url, whole(partial_records=True), state=back.state).ended(0)) == []
        rows[:] = list(ROWS)
        cache = {"schema_cache": str(tmp_path / "cache")}
        started = run_tap(api.url, dated(), **cache).ended(0)
        rows[:] = [{"id": 3, "at": "2026-01-03T00:00:00Z"}]
        later = run_tap(api.url, dated(), state=started.state, **cache).ended(0)
        assert told(later) == []
        assert told(run_tap(api.url, whole(), state=later.state, **cache).ended(0)) != [], "now all were read"
        # A field that is declared and has never come is not gone.
        declared = whole(
            schema={"properties": {"id": {"type": "integer"}, "x": {"type": ["null", "string"]}}}
        )
        once = run_tap(api.url, declared).ended(0)
        assert once.state["bookmarks"]["rows"][READ]["gone"] == ["x"]
        twice = run_tap(api.url, declared, state=once.state).ended(0)
        assert told(twice) == []
        assert twice.state["bookmarks"]["rows"][READ] == once.state["bookmarks"]["rows"][READ]


def test_what_is_not_sent_any_more_is_not_emptied(run_tap: Any, tmp_path: Path) -> None:
    rows = [dict(ROWS[0])]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        first = run_tap(api.url, whole()).ended(0)
        del rows[0]["note"], rows[0]["qty"]
        # Neither what is not selected, nor what a declared schema leaves out.
        fresh = {"state": first.state, "schema_cache": str(tmp_path / "new")}
        chosen = run_tap(api.url, whole(), select=["rows", "!rows.note"], state=first.state).ended(0)
        assert chosen.records("rows") == [{**rows[0], "qty": None}]
        assert "note" not in chosen.state["bookmarks"]["rows"][READ]["fields"]
        declared = run_tap(api.url, whole(schema={"properties": {"id": {"type": "integer"}}}), **fresh).ended(
            0
        )
        assert declared.records("rows") == [{"id": 1}]
        # And partial records say nothing of what they leave out.
        partial = run_tap(api.url, whole(partial_records=True), **fresh).ended(0)
        assert partial.records("rows") == rows
        assert "qty" in partial.schemas("rows")[0]["properties"]


MIXED: list[dict[str, Any]] = [
    {
        "id": 1,
        "at": "2026-01-01T00:00:00Z",
        "n": 1,
        "t": "2026-01-01T00:00:00Z",
        "d": "2026-01-01",
        "o": {"a": 1},
    },
    {"id": 2, "at": "2026-01-02T00:00:00Z", "n": "x", "t": "soon", "d": "2026-01-01", "o": ["a"]},
]
EARLY = {"format_values": 1}
KINDS = {
    "id": {"type": "integer"},
    "at": {"type": ["null", "string"], "format": "date-time"},
    "n": {"type": ["null", "integer", "string"]},
    "t": {"type": ["null", "string"]},
    "d": {"type": ["null", "string"], "format": "date"},
    "o": {"type": ["null", "array", "object"], "properties": {"a": {"type": ["null", "integer"]}}},
}


@pytest.mark.parametrize("has_catalog", [False, True])
def test_types_that_were_sent_are_sent_without_the_schema_cache(
    run_tap: Any, tmp_path: Path, has_catalog: bool
) -> None:
    rows = list(MIXED)
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        old = json.loads(run_tap(api.url, whole(), args=("--discover",), infer=EARLY).ended(0).stdout)
        run = run_tap(api.url, whole(), infer=EARLY).ended(0)
        rows[:] = [{**MIXED[0], "n": 1.5}]
        given = {"catalog": old} if has_catalog else {}
        for number in range(2):
            cache = str(tmp_path / str(number))
            run = run_tap(api.url, whole(), state=run.state, schema_cache=cache, **given).ended(0)
            (schema,) = run.schemas("rows") if not has_catalog else run.schemas("rows")[-1:]
            kinds = {name: {**prop} for name, prop in schema["properties"].items()}
            kinds["o"].pop("items", None)
            kinds["o"]["type"].sort(key=["null", "array", "object"].index)
            assert kinds == KINDS | {"n": {"type": ["null", "number", "string"]}}
            assert run.records("rows") == rows


def test_a_column_of_two_types_goes_on_without_the_schema_cache(database: str) -> None:
    source = Table([dict(row) for row in MIXED])
    with serving({"/rows": source}) as api:
        pipe(database, api.url, dated()).expect(0, 0)
        source.rows = [{**MIXED[0], "n": 6, "at": "2026-01-03T00:00:00Z"}]
        pipe(database, api.url, dated()).expect(0, 0)
    assert query(database, "SELECT n::text, t, o::text FROM rows WHERE id = 1") == [
        ("6", "2026-01-01T00:00:00Z", '{"a": 1}')
    ]


def test_a_type_that_comes_in_mid_load_is_known_before_as_the_warning_says(
    run_tap: Any, tmp_path: Path
) -> None:
    rows = [{"id": n, "n": "x" if n == 6 else n} for n in range(9)]

    def answer(asked: Asked) -> Reply:
        return json_reply(page_of(rows, asked, 1))

    stream = whole(pagination={"type": "page"})
    with serving({"/rows": answer}) as api:
        for limit in ({}, {"infer": {"pages": 100, "records": 3}}):
            cache = {"schema_cache": str(tmp_path / f"one{len(limit)}")}
            first = run_tap(api.url, stream, **limit, **cache).ended(0)
            assert len(first.schemas("rows")) == 2
            (advised,) = re.findall(r"`(\"infer\": .*?\})` reads as far as this", first.stderr)
            assert ("records" in advised) == bool(limit)
            cache = {"schema_cache": str(tmp_path / f"two{len(limit)}")}
            second = run_tap(api.url, stream, **json.loads("{" + advised + "}"), **cache).ended(0)
            assert len(second.schemas("rows")) == 1
        # What goes on from a bookmark has other pages than the first ones.
        source = Table([{"id": 1, "n": 1, "at": "2026-01-01"}, {"id": 2, "n": "x", "at": "2026-01-02"}], 1)
        api.routes["/rows"] = source
        later = run_tap(
            api.url, dated(pagination={"type": "page"}), start_date="2026-01-02T00:00:00Z", infer={"pages": 1}
        ).ended(0)
    assert "have it known before: a declared `schema` needs no page" in later.stderr


# Fields that the config adds


def child(copy: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    parent = {} if copy is None else {"parent": {"stream": "p", "copy": copy}}
    path = "/lines" if copy is None else "/p/{parent.id}/lines"
    return (
        {"name": "lines", "path": path, "primary_keys": ["id"], "pagination": {"type": "single"}}
        | parent
        | more
    )


def lines_api(rows: list[dict[str, Any]]) -> Any:
    answer = lambda _: json_reply(rows)  # noqa: E731  one answer at two places
    return serving({"/p": lambda _: json_reply([{"id": 7}]), "/p/7/lines": answer, "/lines": answer})


P = {"name": "p", "path": "/p", "primary_keys": ["id"], "pagination": {"type": "single"}}
BY_DATE = {"replication_key": "at", "bookmark": {"signpost": "none"}}
FIELDS = {
    "id": {"type": "integer"},
    "pid": {"type": ["null", "integer"]},
    "no": {"type": ["null", "integer"]},
}
WITHDRAWN = "Stream `lines` is sent without `pid` from now on, unless its records have it"


@pytest.mark.parametrize(
    ("more", "cache", "later"),
    [
        ({}, "fresh", {"no": "id"}),
        ({}, "one", None),
        (BY_DATE, "one", {"no": "id"}),
        (BY_DATE, "fresh", {}),
        ({"schema": {"properties": FIELDS}}, "one", {"no": "id"}),
    ],
)
def test_a_field_that_the_config_adds_no_more_is_not_sent_as_null(
    run_tap: Any, tmp_path: Path, more: Any, cache: str, later: Any
) -> None:
    with lines_api([{"id": 1, "at": "2026-01-01T00:00:00Z"}]) as api:

        def run(copy: Any, number: int, state: Any = None) -> Any:
            place = str(tmp_path / (cache if cache == "one" else str(number)))
            return run_tap(api.url, P, child(copy, **more), state=state, schema_cache=place).ended(0)

        def properties(of: Any) -> set[str]:
            return set(of.schemas("lines")[-1]["properties"])

        first = run({"pid": "id"}, 1)
        assert first.records("lines")[0]["pid"] == 7
        renamed = run(later, 2, first.state)
        assert "pid" not in properties(renamed)
        assert not [row for row in renamed.records("lines") if "pid" in row]
        assert renamed.stderr.count(WITHDRAWN) == 2  # then, and at the end
        assert "No record of stream" not in renamed.stderr
        again = run(later, 3, renamed.state)
        assert "pid" not in properties(again)
        assert WITHDRAWN not in again.stderr
        back = run({"pid": "id"}, 4, again.state)
        assert {"pid", "no"} & properties(back) == {"pid"}


@pytest.mark.parametrize("has_key", [True, False])
def test_without_a_key_of_the_parent_rows_are_not_recognised_without_it(has_key: bool, run_tap: Any) -> None:
    parent = P if has_key else {name: value for name, value in P.items() if name != "primary_keys"}
    with lines_api([{"id": 1, "at": "2026-01-01T00:00:00Z"}]) as api:
        keyless = {**BY_DATE, "primary_keys": []}
        first = run_tap(api.url, parent, child({"pid": "id"}, **keyless)).ended(0)
        again = run_tap(api.url, parent, child({"pid": "id"}, **keyless), state=first.state).ended(0)
        assert again.records("lines") == []
        renamed = run_tap(api.url, parent, child({"no": "id"}, **keyless), state=first.state).ended(0)
    assert len(renamed.records("lines")) == (0 if has_key else 1)
    told = (
        "are there twice, since the stream has no key: to have each once, run the target's command line, its config and all, to which "
        "`--state-file" in renamed.stderr
    )
    assert told != has_key


def test_a_catalog_does_not_bring_it_back(run_tap: Any, tmp_path: Path) -> None:
    with lines_api([{"id": 1}]) as api:
        old = json.loads(run_tap(api.url, P, child({"pid": "id"}), args=("--discover",)).ended(0).stdout)
        for state in (run_tap(api.url, P, child({"pid": "id"})).ended(0).state, None):
            for copy in ({"no": "id"}, None):
                run = run_tap(api.url, P, child(copy), catalog=old, state=state).ended(0)
                assert run.records("lines") == [{"id": 1, **({"no": 7} if copy else {})}]
                assert "pid" not in run.schemas("lines")[-1]["properties"]
        # A catalog of another tool has no mark: then the state says it, for as long as no record has the field.
        for item in (item for entry in old["streams"] for item in entry["metadata"]):
            item["metadata"].pop("copied-from-parent", None)
        state = run_tap(api.url, P, child({"pid": "id"})).ended(0).state
        for _ in range(2):
            run = run_tap(api.url, P, child({"no": "id"}), catalog=old, state=state).ended(0)
            assert run.records("lines") == [{"id": 1, "no": 7}]
            state = run.state


@pytest.mark.parametrize("more", [{}, {"schema": {"properties": FIELDS}}])
@pytest.mark.parametrize("has_catalog", [False, True])
def test_a_field_that_records_have_is_theirs(
    run_tap: Any, tmp_path: Path, more: dict[str, Any], has_catalog: bool
) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "pid": 7}]
    with lines_api(rows) as api:
        old = json.loads(
            run_tap(api.url, P, child({"pid": "id"}, **more), args=("--discover",)).ended(0).stdout
        )
        first = run_tap(api.url, P, child({"pid": "id"}, **more)).ended(0)
        rows[:] = [{"id": 1, "pid": 8}]
        given = {"catalog": old} if has_catalog else {}
        own = run_tap(api.url, P, child({"no": "id"}, **more), state=first.state, **given).ended(0)
        assert own.records("lines") == [{"id": 1, "pid": 8, "no": 7}]
        rows[:] = [{"id": 1}]
        fresh = {"schema_cache": str(tmp_path / "fresh")}
        emptied = run_tap(api.url, P, child({"no": "id"}, **more), state=own.state, **fresh, **given).ended(0)
    assert emptied.records("lines") == [{"id": 1, "pid": None, "no": 7}]


def test_a_key_that_only_the_config_had_leaves_with_it(run_tap: Any, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    with lines_api(rows) as api:
        first = run_tap(api.url, child(None, primary_keys=["idd"])).ended(0)
        assert first.schemas("lines")[-1]["properties"] == {"idd": {"type": ["null"]}}
        rows.append({"id": 1})
        right = run_tap(api.url, child(None), state=first.state).ended(0)
        assert right.records("lines") == [{"id": 1}]
        del rows[:]
        fresh = {"schema_cache": str(tmp_path / "fresh")}
        empty = run_tap(api.url, child(None), state=right.state, **fresh).ended(0)
    assert empty.state["bookmarks"]["lines"][READ]["fields"] == {"id": "integer"}


# Fields that are left out from now on


RESENT = "but a target that appends has them twice"


@pytest.mark.parametrize("how", ["select", "catalog", "schema"])
def test_a_field_that_is_not_sent_any_more_is_told_once(how: str, run_tap: Any, tmp_path: Path) -> None:
    """What is stored of it grows old, in rows that change, too."""
    told = "Stream `rows` is sent without `note` from now on"
    source = Table([dict(row) for row in ROWS])
    with serving({"/rows": source}) as api:

        def run(*leaves_out: Any, state: Any = None, **more: Any) -> Any:
            if how == "select":
                return run_tap(
                    api.url, dated(), state=state, **({"select": ["*", "!rows.note"]} if leaves_out else {})
                )
            if how == "schema":
                names = ("id", "at", "qty", *(() if leaves_out else ("note",)))
                return run_tap(
                    api.url, dated(schema={"properties": {name: {} for name in names}}), state=state
                )
            catalog = run_tap(api.url, dated(), args=("--discover",)).ended(0).stdout
            entry = json.loads(catalog)
            for part in entry["streams"][0]["metadata"]:
                part["metadata"]["selected"] = part["breadcrumb"] != ["properties", "note"] or not leaves_out
            file = tmp_path / "catalog.json"
            file.write_text(json.dumps(entry))
            return run_tap(api.url, dated(), state=state, args=("--catalog", str(file)))

        first = run().ended(0)
        source.rows[0] = {**ROWS[0], "at": "2026-01-03T00:00:00Z", "note": "new"}
        second = run("note", state=first.state).ended(0)
        assert "note" not in second.records("rows")[0]
        assert second.stderr.count(told) == 2, "when it happens, and at the end"
        assert RESENT in second.stderr
        third = run("note", state=second.state).ended(0)
        assert told not in third.stderr
        assert RESENT not in first.stderr + third.stderr
        fourth = run(state=third.state).ended(0)
    assert "it is sent with `note`, which the run before did not send" in fourth.stderr
    assert told not in first.stderr + fourth.stderr


def test_another_key_changes_no_type(run_tap: Any, tmp_path: Path) -> None:
    """A part of a key is never null; of a field that is none any more nothing else is new. Nor does a field inside another."""
    rows: list[dict[str, Any]] = [{**row, "in": {"a": [{"b": number}]}} for number, row in enumerate(ROWS)]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        for number, keys in enumerate((["id"], [], ["id"], ["at"])):
            run = run_tap(api.url, whole(primary_keys=keys), schema_cache=str(tmp_path / "one")).ended(0)
            assert ("were not known" in run.stderr) == (number > 0)
            assert ("new inside: `in`" in run.stderr) == (number > 0)
            assert "of another type" not in run.stderr
            rows[0][f"new_{number}"] = 1
            rows[0]["in"]["a"][0][f"new_{number}"] = [1, None][number % 2]


# A config that asks for more


def moved(api_url: str) -> dict[str, tuple[dict[str, Any], dict[str, Any], str]]:
    """Return, by what changes: changes of the stream, changes at the top, and what the warning says."""
    return {
        "path": ({"path": "/others"}, {}, "`base_url` or `path` names another place"),
        "base_url": ({}, {"base_url": api_url + "/v2"}, "`base_url` or `path` names another place"),
        "params": (
            {"params": {"status": "any"}},
            {},
            "`params`, `headers`, `pagination` or the like ask for something else",
        ),
        "top params": (
            {},
            {"params": {"status": "any"}},
            "`params`, `headers`, `pagination` or the like ask",
        ),
        "headers": ({"headers": {"X-Tenant": "7"}}, {}, "`params`, `headers`, `pagination` or the like ask"),
        "pagination": (
            {"pagination": {"type": "page"}},
            {},
            "`params`, `headers`, `pagination` or the like ask",
        ),
        "start_date": ({}, {"start_date": "2024-01-01T00:00:00+02:00"}, "`start_date` is earlier"),
        "no start_date": ({}, {"start_date": None}, "there is no `start_date` any more"),
        "records": ({"records": "$.rows[*]"}, {}, "`records` names another place"),
        "select": ({}, {"select": ["rows"]}, "it is sent with `note`, which the run before did not send"),
    }


def config(
    api_url: str, changes: dict[str, Any], top: dict[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    given = {"start_date": "2025-01-01T00:00:00+00:00", "select": ["rows", "!rows.note"]} | top
    return (
        given.pop("base_url", api_url),
        dated(**changes),
        {k: v for k, v in given.items() if v is not None},
    )


def test_what_is_asked_for_more_is_told_once(run_tap: Any) -> None:
    source = Table(list(ROWS))
    many = {"/rows": source, "/others": source, "/v2/rows": source}
    with serving(many) as api:

        def run(changes: dict[str, Any], top: dict[str, Any], state: Any = None) -> Any:
            url, given, more = config(api.url, changes, top)
            return run_tap(url, given, state=state, **more).ended(0)

        first = run({}, {})
        assert [record["id"] for record in first.records("rows")] == [1, 2]
        assert "is read otherwise" not in run({}, {}, first.state).stderr
        for changes, top, words in moved(api.url).values():
            api.routes["/rows"] = source
            if "records" in changes:
                api.routes["/rows"] = lambda asked: json_reply({"rows": json.loads(source(asked).body)})
            if changes.get("pagination", {}).get("type") == "page":
                api.routes["/rows"] = lambda asked: (
                    source(asked) if asked.param("page") == "1" else json_reply([])
                )
            changed = run(changes, top, first.state)
            told = [
                line
                for line in changed.stderr.splitlines()
                if "is read otherwise than by the run before" in line
            ]
            assert len(told) == 2, (words, changed.stderr)  # then, and at the end
            assert words in told[0]
            assert told[0].count(";") == 1, "of one change"
            assert "the target's command line, its config and all, to which `--state-file " in told[0]
            assert (
                " --start-over --stream rows --pipeline tap-rest` is added (where it keeps no state itself, with "
                in told[0]
            )
            assert "is read otherwise" not in run(changes, top, changed.state).stderr


@pytest.mark.parametrize("where", ["params", "path"])
def test_what_comes_from_the_environment_is_compared_too(
    run_tap: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    source = Table(list(ROWS))
    given = {"params": {"region": {"env": "ASKED"}}, "path": {"env": "ASKED"}}[where]
    with serving({"/north": source, "/south": source, "/rows": source}) as api:
        monkeypatch.setenv("ASKED", "/north")
        first = run_tap(api.url, dated(**{where: given})).ended(0)
        assert "is read otherwise" not in run_tap(api.url, dated(**{where: given}), state=first.state).stderr
        monkeypatch.setenv("ASKED", "/south")
        assert "is read otherwise" in run_tap(api.url, dated(**{where: given}), state=first.state).stderr


def test_what_brings_no_other_rows_is_no_change(run_tap: Any) -> None:
    source = Table(list(ROWS))
    secret = canary("tap-rest parameter that is a key")
    with serving({"/rows": source}) as api:
        one = dated(params={"api_key": secret + "1", "status": "any"}, headers={"X-Token": secret + "3"})
        first = run_tap(api.url + "/", one, start_date="2025-01-01T00:00:00Z").ended(0)
        other = dated(params={"status": "any", "api_key": secret + "2"}, headers={"x-token": secret + "4"})
        other["pagination"] = {"type": "single"}
        other["incremental"] = {"param": "since", "lookback": 60}
        again = run_tap(
            api.url.replace("127.0.0.1", "127.0.0.1"),
            other,
            state=first.state,
            start_date="2025-02-01T00:00:00Z",
        ).ended(0)
        assert "is read otherwise" not in again.stderr
        # Later, and back: all of it was read.
        back = run_tap(api.url, other, state=again.state, start_date="2025-01-01T00:00:00Z").ended(0)
        assert "is read otherwise" not in back.stderr
        # A state from before they said so, and one without a bookmark.
        for part in ({key: item for key, item in back.state["bookmarks"]["rows"].items() if key != READ}, {}):
            state = {"bookmarks": {"rows": part}}
            assert "is read otherwise" not in run_tap(api.url, one, state=state).ended(0).stderr
    said = back.state["bookmarks"]["rows"][READ]["source"]
    assert set(said) - {"schema"} == {"where", "asks", "records", "keys"}
    assert all(len(said[name]) == 12 for name in ("where", "asks"))


def test_a_child_and_a_stream_that_is_read_as_a_whole(run_tap: Any) -> None:
    child = dated(name="lines", path="/rows/{parent.id}/lines", parent={"stream": "rows"})
    routes = {f"/rows/{n}/lines": Table([{"id": n, "at": ROWS[0]["at"]}]) for n in (1, 2)}
    with serving({"/rows": Table(list(ROWS)), **routes}) as api:

        def run(state: Any, **more: Any) -> Any:
            return run_tap(api.url, whole(**more), child, state=state).ended(0)

        second = run(run(None).state)
        assert "is read otherwise" not in second.stderr
        changed = run(second.state, params={"status": "any"})
    assert "its parent is read from another place, or asked for something else" in changed.stderr
    assert "rows that only came before stay in the target" in changed.stderr


def test_the_command_that_loads_it(database: str, tmp_path: Path) -> None:
    old = [{**row, "at": f"2020-01-0{row['id']}T00:00:00Z", "id": row["id"] + 10} for row in ROWS]
    source = Table([*old, *ROWS])
    url = f"{database}{'&' if '?' in database else '?'}pipeline={PIPELINE}&schema=public"
    with serving({"/rows": source}) as api:

        def run(start_date: str) -> str:
            more = {"start_date": start_date, "schema_cache": str(tmp_path / "cache")}
            return pipe(database, api.url, dated(), **more).expect(0, 0).tap.stderr

        run("2026-01-01T00:00:00Z")
        assert "`start_date` is earlier" in run("2019-01-01T00:00:00Z")
        assert query(database, "SELECT count(*) FROM rows") == [(2,)]
        tool = str(Path(sys.executable).with_name("singerkit-state"))
        assert run_process([tool, "reset", url, "--stream", "rows", "--yes"]).code == 0
        assert "is read otherwise" not in run("2019-01-01T00:00:00Z")
    assert query(database, "SELECT count(*) FROM rows") == [(4,)]


def test_another_key_brings_back_no_rows_that_were_lost_by_the_former_one(
    database: str, tmp_path: Path
) -> None:
    lines = [
        {"order": order, "line": line, "at": "2026-01-01T00:00:00Z"} for order in (1, 2) for line in (1, 2, 3)
    ]
    url = f"{database}{'&' if '?' in database else '?'}pipeline={PIPELINE}&schema=public"
    tool = str(Path(sys.executable).with_name("singerkit-state"))
    reset = [tool, "reset", url, "--stream", "rows", "--yes"]
    with serving({"/rows": Table(lines)}) as api:

        def run(*keys: str) -> Any:
            given = dated(primary_keys=list(keys), duplicate_keys="warn")
            return pipe(database, api.url, given, schema_cache=str(tmp_path / "cache")).expect(0, 0)

        first = run("order").tap.stderr
        assert "to have those come again, run `singerkit-state reset 'postgresql://" in first
        assert "' --stream rows --yes` and run again" in first
        assert query(database, "SELECT count(*) FROM rows") == [(2,)]
        corrected = run("line", "order")
        assert "read otherwise than by the run before: `primary_keys` were `order`." in corrected.tap.stderr
        assert "' --stream rows --yes` and run again" in corrected.tap.stderr
        assert "stream `rows` is `line`, `order` now, and was `order`: rows that" in corrected.target.stderr
        silent = run("order", "line")
        assert "read otherwise" not in silent.tap.stderr
        assert "and was" not in silent.target.stderr
        assert run_process(reset).code == 0
        run("order", "line")
        assert query(database, "SELECT count(*) FROM rows") == [(6,)]


def test_another_key_of_streams_of_all_kinds(run_tap: Any) -> None:
    child = whole(name="lines", path="/rows/{parent.id}/lines", parent={"stream": "rows", "read": "changed"})
    routes = {f"/rows/{n}/lines": Table([{"id": n, "at": ROWS[0]["at"]}]) for n in (1, 2)}
    with serving({"/rows": Table(list(ROWS)), **routes}) as api:

        def told(make: Any, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
            state = run_tap(api.url, make(), child | before).ended(0).state
            run = run_tap(api.url, make(), child | after, state=state).ended(0)
            return [line for line in run.stderr.splitlines() if "read otherwise" in line]

        one, two, none = {"primary_keys": ["id"]}, {"primary_keys": ["rows_id", "id"]}, {"primary_keys": []}
        driven = told(dated, one, two)
        assert "`primary_keys` were `id`. It is read for parents that have changed all the same" in driven[0]
        assert " --stream lines --yes`) and run again" in driven[0]
        assert "it had no `primary_keys`" in told(dated, none, two)[0]
        assert "empty its table" in told(dated, two, none)[0]
        assert told(dated, two, two) == []
        child["parent"]["read"] = "all"
        assert told(dated, one, two) == [], "all rows come anyway"
        child["parent"]["read"] = "changed"
        # The advice, for the child of parents that have not changed.
        state = run_tap(api.url, dated(), child | one).ended(0).state
        again = run_tap(api.url, dated(), child | two, state=state).ended(0)
        assert [row["id"] for row in again.records("lines")] == [2], "of the newest parent alone"
        del state["bookmarks"]["lines"]
        assert len(run_tap(api.url, dated(), child | two, state=state).ended(0).records("lines")) == 2


# Records that are found by themselves


def test_records_are_looked_for_where_former_runs_found_them(run_tap: Any, tmp_path: Path) -> None:
    bodies: list[Any] = [{"orders": [{"id": 1, "v": "a"}]}]
    with serving({"/rows": lambda _: json_reply(bodies[-1])}) as api:

        def run(state: Any, **more: Any) -> Any:
            cache = str(tmp_path / f"{len(bodies)} {len(more)}")
            return run_tap(api.url, whole(**more), state=state, schema_cache=cache)

        first = run(None).ended(0)
        for body in (
            {"orders": None, "deleted": [{"id": 1}]},
            {"deleted": [{"id": 1}]},
            [{"id": 1}],
        ):
            bodies.append(body)
            refused = run(first.state).ended(65)
            assert (
                "Expected records at `$.orders[*]` in page 1 of stream rows, where they were found before"
                in refused.sentence
            )
            advice = '`"records": "$.orders[*]", "missing_records": "empty"`'
            assert (advice in refused.sentence) == isinstance(body, dict)
        # The advice.
        bodies.append({"orders": None, "deleted": [{"id": 1}]})
        advised = run(first.state, records="$.orders[*]", missing_records="empty").ended(0)
        assert advised.records("rows") == []
        bodies.append({"deleted": [{"id": 2}]})
        told = run(first.state, records="$.deleted[*]").ended(0)
        assert told.records("rows")[0]["id"] == 2
        assert "`records` names another place" in told.stderr
        # What is there, others beside it or not.
        for body in ({"orders": [], "deleted": [{"id": 1}]}, {"orders": [{"id": 3}], "deleted": [{"id": 1}]}):
            bodies.append(body)
            assert [record["id"] for record in run(first.state).ended(0).records("rows")] in ([], [3])


def test_pages_of_one_run_have_their_records_at_one_place(run_tap: Any) -> None:
    def page(asked: Asked) -> Reply:
        if asked.param("cursor") is None:
            return json_reply({"orders": [{"id": 1}], "next": "x"})
        return json_reply({"orders": None, "facets": [{"id": 9}], "next": None})

    with serving({"/rows": page}) as api:
        given = whole(pagination={"type": "cursor", "cursor": "$.next"})
        assert "page 2 of stream rows" in run_tap(api.url, given).ended(65).sentence


@pytest.mark.parametrize("missing", ["fail", "empty"])
@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"data": [{"id": 2}]}, "got an object with the keys `data`; say where they are now in `records`"),
        ({"id": 2}, "got an object with the keys `id`"),
        ({"message": "No results"}, "got an error with status 200; it says"),
    ],
)
def test_an_object_is_no_record_where_an_array_was(
    second: Any, words: str, missing: str, run_tap: Any
) -> None:
    page = repeatedly(json_reply([{"id": 1}]), json_reply(second))
    given = whole(schema={"properties": {"id": {"type": "integer"}}}, missing_records=missing)
    with serving({"/rows": page}) as api:
        refused = run_tap(api.url, given | {"pagination": {"type": "page"}}).ended(65)
    assert words in refused.sentence


def test_names_that_no_state_can_hold(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply([ROWS[0] | {"a\0b": 1}])}) as api:
        first = run_tap(api.url, dated()).ended(0)
        assert set(first.state["bookmarks"]["rows"][READ]["fields"]) == set(ROWS[0])
        again = run_tap(api.url, dated(), state=first.state).ended(0)
    assert "is read otherwise" not in again.stderr


WHOLE: dict[str, Any] = {"initial_full_table_complete": True}
ONE_PARENT = {"context": {"id": 1}, "replication_key": "at", "replication_key_value": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("name", "selected", "said", "is_refused"),
    [
        ("top", True, {LOAD: {"version": 1}}, True),
        ("top", False, {LOAD: {"version": 1}}, False),
        ("low", True, WHOLE, True),
        ("low", True, WHOLE | {"partitions": [ONE_PARENT]}, False),
    ],
)
def test_rows_of_full_loads_matter_where_they_would_be_sent_once_more(
    name: str, selected: bool, said: dict[str, Any], is_refused: bool
) -> None:
    """Not of a stream that is read for those below it, nor where bookmarks say how far it has come since."""
    shape = {"schema": {"properties": {"id": {}, "at": {"type": "string", "format": "date-time"}}}}
    top = {"name": "top", "path": "/top", "replication_key": "at", "selected": selected}
    low = {"name": "low", "path": "/{parent.id}", "replication_key": "at"}
    low["parent"] = {"stream": "top", "bookmarks": "each"}
    config = {"base_url": "http://127.0.0.1:9", "streams": [top | shape, low | shape]}
    streams = [*TapRest(config=config, setup_mapper=False).streams.values()]
    state = {"bookmarks": {name: said}}
    with pytest.raises(ConfigurationError, match="as a whole before") if is_refused else nullcontext():
        checked_state(state, "tap-rest", streams, None)
