"""Records are found where the config says, and no character of a value changes on the way."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.rest.api_server import Asked, json_reply, serving

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_rest.answers.answer import Response
from tap_rest.paths import finder_of, opener_of, parse_path
from tap_rest.records import cutting as records
from tap_rest.records.cutting import PageReader

ANY = {"properties": {"id": {}}}
ROWS = [{"id": 1}, {"id": 2}]


def stream(**more: Any) -> dict[str, Any]:
    return {"name": "rows", "path": "/rows", "schema": ANY} | more


FOUND: dict[str, tuple[str | None, Any]] = {
    "array": (None, ROWS),
    "array, by path": ("$[*]", ROWS),
    "array, whole": ("$", ROWS),
    "object": ("$", ROWS[0]),
    "below": ("$.a.b[*]", {"a": {"b": ROWS, "c": 1}, "d": [1]}),
    "below, without star": ("$.a.b", {"a": {"b": ROWS}}),
    "below, without dollar": ("a.b", {"a": {"b": ROWS}}),
    "odd names": ("$['odd name']['@x'][*]", {"odd name": {"@x": ROWS}}),
    "only array of objects": (None, {"meta": {"n": 2}, "data": ROWS, "ids": [1, 2]}),
    "every": ("$.groups[*].rows[*]", {"groups": [{"rows": ROWS[:1]}, {"rows": ROWS[1:]}]}),
    "anywhere": ("$..row", {"a": {"row": ROWS[0]}, "b": [{"row": ROWS[1]}]}),
    "filter": ("$.data[?(@.id < 3)]", {"data": [*ROWS, {"id": 3}]}),
    "index": ("$[0].rows", [{"rows": ROWS[0]}]),
}


@pytest.mark.parametrize("case", FOUND)
def test_where_records_are_found(case: str, run_tap: Any) -> None:
    path, body = FOUND[case]
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        run = run_tap(api.url, stream(**({"records": path} if path else {}))).ended(0)
    assert run.records("rows") == (ROWS[:1] if case in ("object", "index") else ROWS)


TABLES: list[tuple[Any, str | None]] = [
    ({"rows": [[1, "a"], [2, "b"]], "columns": ["id", "n"], "truncated": False}, None),
    ({"rows": [[1, "a"]], "cols": [{"name": "id"}, {"name": "n"}]}, None),
    ({"rows": [[1, "a"]], "columns": ["id", "n"]}, "$.rows[*]"),
    ([[1, "a"], [2, "b"]], None),
]


@pytest.mark.parametrize(("body", "path"), TABLES)
def test_rows_without_names_are_told_from_records(body: Any, path: str | None) -> None:
    """As Datasette has them with `_shape=arrays`; the columns are not the records."""
    response = Response("http://x/rows", 200, {}, json.dumps(body).encode())
    with pytest.raises(BadDataError, match=re.escape('`"params": {"_shape": "objects"}`')):
        PageReader("rows", path, [], "fail").read(response, "page 1")


def test_records_one_level_below_are_named() -> None:
    response = Response("http://x/rows", 200, {}, json.dumps({"data": {"items": ROWS, "n": 2}}).encode())
    with pytest.raises(BadDataError, match=r"set `records` of rows \(`\$\.data\.items\[\*\]`, perhaps\)"):
        PageReader("rows", None, [], "fail").read(response, "page 1")
    assert len(PageReader("rows", "$.data.items[*]", [], "fail").read(response, "page 1").records) == 2


def test_two_candidates_are_named(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply({"data": ROWS, "included": ROWS})}) as api:
        run = run_tap(api.url, stream()).ended(78)
    assert "`$.data[*]`" in run.sentence
    assert "`$.included[*]`" in run.sentence


def test_null_may_mean_no_records(run_tap: Any) -> None:
    for body in ({"data": None}, {"other": 1}, {"data": []}):
        with serving({"/rows": lambda _, body=body: json_reply(body)}) as api:
            run = run_tap(api.url, stream(records="$.data", missing_records="empty")).ended(0)
            assert run.records("rows") == []
            run_tap(api.url, stream(records="$.data")).ended(0 if body == {"data": []} else 65)


def test_a_path_that_is_none(run_tap: Any) -> None:
    for path in ("$.[", "$.a[", "$.a[?("):
        assert "records" in run_tap("http://127.0.0.1:1", stream(records=path)).ended(78).sentence


@pytest.mark.parametrize("step", [".a", "['a']", "[?(@.a)].b", "..a", "[*].a"])
def test_a_path_of_a_sane_length(step: str) -> None:
    longest = parse_path("$" + ".a" * 100, "records")
    found = finder_of([longest])(b'{"a":' * 100 + b"1" + b"}" * 100, "a page")
    assert [bytes(value or b"") for value in found.values()] == [b"1"]
    with pytest.raises(ConfigurationError, match="no more than 100 steps at `records`"):
        parse_path("$" + step * 1000, "records")


NUMBERS = (
    "1.10",
    "1e400",
    "-0.0",
    "12345678901234567890",
    "99999999999999999999999999999999.000000000000000000001",
    "0.1000000000000000055511151231257827",
    "1E-7",
    "9007199254740993",
    "-0",
)


@pytest.mark.parametrize("records", ["$.data[*]", "$.data", "$.data[?(@.keep)]", "$..row"])
def test_numbers_keep_their_text(records: str, run_tap: Any) -> None:
    rows = [f'{{"keep": true, "id": {number}, "in": [{{"n": {number}}}]}}' for number in NUMBERS]
    data = ",".join(rows) if "row" not in records else ",".join(f'{{"row": {row}}}' for row in rows)
    body = f'{{"data": [{data}]}}'.encode()
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        wide = {"properties": {"id": {"type": "number"}, "in": {"type": "array"}}}
        run = run_tap(api.url, stream(records=records, schema=wide)).ended(0)
        inferred = run_tap(api.url, {"name": "rows", "path": "/rows", "records": records}).ended(0)
    assert [row["id"] for row in run.texts("rows")] == list(NUMBERS)
    for texts in (run.texts("rows"), inferred.texts("rows")):
        assert [row["in"][0]["n"] for row in texts] == list(NUMBERS)


def test_texts_keep_every_character(run_tap: Any) -> None:
    body = rb'[{"id": "a\u0000b"}, {"id": "\ud83c\udf63 \u00e9 \/ \\ \" \n"}, {"id": "\ud800 alone"}]'
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        run = run_tap(api.url, stream()).ended(0)
        filtered = run_tap(api.url, stream(records="$[?(@.id)]")).ended(0)
    wanted = ["a\0b", '🍣 é / \\ " \n', "\ud800 alone"]
    assert [row["id"] for row in run.records("rows")] == wanted
    assert [row["id"] for row in filtered.records("rows")] == wanted


def test_pretty_printed_bodies_become_lines(run_tap: Any) -> None:
    body = json.dumps({"data": [{"id": {"a": [1, 2]}}] * 3}, indent=4).replace("\n", "\r\n").encode()
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        assert run_tap(api.url, stream()).ended(0).records("rows") == [{"id": {"a": [1, 2]}}] * 3


def test_parameters_and_headers(run_tap: Any) -> None:
    with serving({"/v1/rows": lambda _: json_reply(ROWS)}) as api:
        params = {"a b": "c&d=é", "n": 5, "flag": True, "many": ["x", "y"], "over": "stream"}
        run_tap(
            f"{api.url}/v1/",
            stream(params=params, headers={"X-One": "1", "X-Two": "stream"}),
            params={"over": "top", "top": "1"},
            headers={"X-Two": "top", "X-Three": "3"},
            user_agent="orders/1.0",
        ).ended(0)
        asked: Asked = api.asked[0]
    assert asked.query == {
        "a b": ["c&d=é"],
        "n": ["5"],
        "flag": ["true"],
        "many": ["x", "y"],
        "over": ["stream"],
        "top": ["1"],
    }
    names = ("User-Agent", "X-One", "X-Two", "X-Three")
    assert [asked.headers[name] for name in names] == ["orders/1.0", "1", "stream", "3"]


def test_a_full_url_of_the_same_origin_is_a_path(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api, serving({}) as other:
        run = run_tap(f"{api.url}/v1", stream(path=f"{api.url}/rows")).ended(0)
        assert run.records("rows") == ROWS
        run_tap(api.url, stream(path=f"{other.url}/rows")).ended(77)
        assert other.asked == []


@pytest.mark.parametrize("missing", ["fail", "empty"])
@pytest.mark.parametrize(
    "body",
    [
        {"ok": False, "error": "missing_scope"},
        {"success": False, "why": "missing_scope"},
        {"status": "error", "data": None, "text": "missing_scope"},
        {"errors": [{"message": "missing_scope"}], "data": None},
        {"error": {"code": 7, "text": "missing_scope"}},
        {"message": "missing_scope", "code": 3},
        {"ok": False, "rows": [], "error": "missing_scope"},
        {"errors": ["missing_scope"], "rows": []},
    ],
)
def test_an_error_in_an_answer_with_status_200(body: Any, missing: str, run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        stream = {"name": "rows", "path": "/rows", "missing_records": missing, "records": "$.rows[*]"}
        run = run_tap(api.url, stream | {"schema": {"properties": {"id": {}}}}).ended(65)
        assert "missing_scope" in run.sentence
        del stream["records"]
        found = run_tap(api.url, stream | {"schema": {"properties": {"id": {}}}}).ended(65)
        assert "missing_scope" in found.sentence


@pytest.mark.parametrize(
    "body",
    [
        {"ok": True, "rows": []},
        {"error": None, "errors": [], "rows": []},
        {"status": "ok", "error": False, "message": "nothing new"},
        {"rows": None, "total": 0, "success": True},
    ],
)
def test_no_rows_and_no_error(body: Any, run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        stream = {"name": "rows", "path": "/rows", "missing_records": "empty", "records": "$.rows[*]"}
        assert (
            run_tap(api.url, stream | {"schema": {"properties": {"id": {}}}}).ended(0).records("rows") == []
        )


# One look at a body

MEMBERS = {
    "data": [[], [{"id": 1}, {"id": 2}], [1, "x"], None, {}, "text"],
    "meta": [{}, {"next": 2}, {"next": None}, {"more": {"url": "x"}}, {"more": None}, None, 7, []],
    "next": ["", "token", None, ["a"], {"a": 1}],
    "odd name": [1, None],
}
PATHS = ["$.meta.next", "$.meta.more.url", "$.next", "$.next[*]", "$.data[*]", "$.meta"]


@settings(max_examples=tries(80), deadline=None)
@given(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in MEMBERS.items()}),
    st.lists(st.sampled_from(PATHS), unique=True, max_size=3),
    st.lists(st.sampled_from(sorted(MEMBERS)), unique=True),
)
@example({"data": [{"id": 1}], "meta": {"next": 2}}, ["$.meta.next"], ["data", "meta"])
def test_one_look_finds_what_two_find(body: dict[str, Any], others: list[str], names: list[str]) -> None:
    rows, fields = parse_path("$.data[*]", "records"), [parse_path(path, "a path") for path in others]
    opener = opener_of(rows, fields, names)
    assert opener is not None
    text = json.dumps(body).encode()
    opened = opener(text)
    if body.keys() <= {*names, "data"} and isinstance(body.get("data", []), list) and not others:
        assert opened is not None
    if opened is None:
        return
    found, members = opened
    assert values_in(found) == values_in(finder_of([rows, *fields])(text, "a page"))
    whole = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if "data" in whole:
        whole["data"] = msgspec.Raw(json.dumps(body["data"][:1]).encode())
    assert values_in(members) == values_in(whole)


def values_in(found: Any) -> Any:
    return json.loads(msgspec.json.encode(found))


def counted(find: Any, looked: list[int]) -> Any:
    def counting(body: bytes, where: str) -> Any:
        looked.append(int(where.rpartition(" ")[2]))
        return find(body, where)

    return counting


def test_members_of_pages_that_change_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages after the second are looked at once, as long as they have members that were there before."""
    reader = PageReader("rows", "$.data[*]", ["$.meta.next"], "fail")
    bodies: list[dict[str, Any]] = [
        *({"data": [{"id": n}], "meta": {"next": n + 1}} for n in range(4)),
        {"data": [{"id": 4}], "meta": {"next": 5}, "hint": "new"},
        {"meta": {}, "data": [{"id": 5}]},
        {"data": [], "hint": None},
    ]
    looked: list[int] = []
    monkeypatch.setattr(records, "finder_of", lambda paths: counted(finder_of(paths), looked))
    for number, body in enumerate(bodies):
        response = Response("http://api.test/rows", 200, {}, json.dumps(body).encode())
        page = reader.read(response, f"page {number}", is_first=number == 0)
        assert [json.loads(bytes(record)) for record in page.records] == body["data"]
        following = body.get("meta", {}).get("next")
        assert page.fields["$.meta.next"] == (
            None if following is None else msgspec.Raw(str(following).encode())
        )
        assert set(response.members or ()) == set(body)
    assert looked == [0, 1, 4]
