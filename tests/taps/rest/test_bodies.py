"""Bodies that are not one JSON document of objects, as in docs/tap-rest/bodies.md."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Route, serving
from taps.rest.conftest import Run

from singerkit_shell.errors import SingerkitError
from tap_rest.config import config_conflicts
from tap_rest.tap import TapRest

NDJSON, CSV, XML = "application/x-ndjson", "text/csv", "application/xml"
Load = Callable[..., Run]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Load:
    """``load(reply, **stream)``: a run over one answer, or a route, inside this process; ``config`` are keys of the top level."""
    monkeypatch.setenv("NO_PROXY", "*")

    def run(reply: Reply | Route, *, config: Mapping[str, Any] | None = None, **stream: Any) -> Run:
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        caplog.clear()
        code, sentence = 0, ""
        with (
            serving({"/rows": reply if callable(reply) else lambda _: reply}) as api,
            redirect_stdout(written),
        ):
            given = {
                "base_url": api.url,
                "streams": [{"name": "rows", "path": "/rows", "pagination": {"type": "single"}} | stream],
                "schema_cache": str(tmp_path / "schemas"),
                "retries": {"tries": 2, "first_wait": 0.01},
            }
            try:
                TapRest(config=json.loads(json.dumps(given | dict(config or {}))), setup_mapper=False).sync()
            except SingerkitError as error:
                code, sentence = error.exit_code, str(error)
        return Run(code, written.buffer.getvalue().decode(), f"{caplog.text}\n{sentence}")

    return run


def body(text: str | bytes, content_type: str = "", **more: Any) -> Reply:
    data = text if isinstance(text, bytes) else text.encode()
    return Reply(data, headers={"Content-Type": content_type} if content_type else {}, **more)


# One JSON value a line

LINES = '{"id": 1, "n": 1.10}\n\n{"id": 2, "n": 1e400, "s": "a\\nb"}\r\n'


@pytest.mark.parametrize(
    ("content_type", "stream"),
    [
        (NDJSON, {}),
        ("application/jsonl; charset=utf-8", {}),
        ("text/plain", {"format": "ndjson"}),
        ("application/json", {"format": "ndjson", "records": "$[*]"}),
    ],
)
def test_ndjson(content_type: str, stream: dict[str, Any], load: Load) -> None:
    run = load(body(LINES, content_type), **stream)
    assert run.code == 0, run.stderr
    assert run.texts("rows") == [
        {"id": "1", "n": "1.10", "s": None},
        {"id": "2", "n": "1e400", "s": "a\nb"},
    ]


def test_ndjson_without_rows_and_below_a_member(load: Load) -> None:
    assert load(body("\n", NDJSON)).code == 65
    assert load(body("\n", NDJSON), missing_records="empty").records("rows") == []
    wrapped = load(body('{"row": {"id": 1}}\n{"row": {"id": 2}}', NDJSON), records="$[*].row")
    assert wrapped.records("rows") == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": 1}\n{"id": 2', "got other text in line 2, the last one, so that the body may have been cut"),
        ('{"id": 1} {"id": 2}\n{"id": 3}', "in line 1"),
        ('[\n{"id": 1}\n]', "got JSON in line 1; if the body is one JSON document, leave `format` out"),
        ("<a/>", "got XML in line 1"),
    ],
)
def test_lines_that_are_no_json(text: str, words: str, load: Load) -> None:
    run = load(body(text, NDJSON), format="ndjson")
    assert run.code == 65
    assert words in run.stderr
    assert run.records("rows") == []


@pytest.mark.parametrize(
    ("text", "more", "code"),
    [
        ('{"id": 1}\n{"error": "timeout"}', {}, 65),
        ('{"error": {"type": "x"}, "status": 500}', {}, 65),
        ('{"id": 1}\n{"exception": "Code: 241"}', {"partial_answers": "warn"}, 0),
        # Entries of several kinds, and rows that have an error among others.
        ('{"error": "a"}\n{"request": 1}\n{"error": "b"}', {}, 0),
        ('{"id": 1}\n{"id": 2, "error": "b"}', {}, 0),
        ('{"error": "a", "at": "2026-01-01"}', {}, 0),
        ('{"id": 1}\n{"error": null}', {}, 0),
    ],
)
def test_an_api_that_fails_behind_its_rows(text: str, more: dict[str, Any], code: int, load: Load) -> None:
    run = load(body(text, NDJSON), **more)
    assert run.code == code, run.stderr
    told = "the API may have failed in the middle of them" in run.stderr
    assert told == (code == 65 or bool(more))
    assert len(run.records("rows")) == (0 if code else text.count("\n") + 1)


# CSV


def test_csv_stays_text_unless_the_schema_says_otherwise(load: Load) -> None:
    text = 'id,price,name,is_new,tags\r\n1,1.10,"a ""b"", c\nd",TRUE,"[1.50]"\r\n\r\n2,1e400,,no,\r\n'
    assert load(body(text, CSV)).records("rows") == [
        {"id": "1", "price": "1.10", "name": 'a "b", c\nd', "is_new": "TRUE", "tags": "[1.50]"},
        {"id": "2", "price": "1e400", "name": None, "is_new": "no", "tags": None},
    ]
    types = {"id": "integer", "price": ["null", "number"], "name": ["string", "null"], "is_new": "boolean"}
    schema = {
        "properties": {name: {"type": kind} for name, kind in types.items()} | {"tags": {"type": "array"}}
    }
    typed = load(body(text, "application/octet-stream"), format="csv", schema=schema, csv={"nulls": []})
    assert typed.texts("rows") == [
        {"id": "1", "price": "1.10", "name": 'a "b", c\nd', "is_new": True, "tags": ["1.50"]},
        {"id": "2", "price": "1e400", "name": "", "is_new": "no", "tags": ""},
    ]


@pytest.mark.parametrize(
    ("text", "csv"),
    [
        ("id;name\n1;a,b\n", {"delimiter": ";"}),
        ("id,name\n1,'a,b'\n", {"quote": "'"}),
        ("id,name\n1,a\\,b\n", {"escape": "\\", "quote": ""}),
        ('1,"a,b"\n', {"names": ["id", "name"]}),
        ('made by a machine\n\nid,name\n1,"a,b"\n', {"skip_lines": 2}),
        ('id,name\n1,"a,b"\n-,-\n', {"nulls": ["-"]}),
    ],
)
def test_ways_to_write_csv(text: str, csv: dict[str, Any], load: Load) -> None:
    run = load(body(text, CSV), format="csv", csv=csv)
    assert run.code == 0, run.stderr
    assert run.records("rows")[0] == {"id": "1", "name": "a,b"}
    assert run.records("rows")[1:] == ([{"id": None, "name": None}] if "nulls" in csv else [])


def test_csv_of_other_charsets(load: Load) -> None:
    text = "id\tname\n1\té\n"
    tabs = "text/tab-separated-values"
    for data, content_type, csv in (
        (text.encode("utf-8-sig"), tabs, {}),
        (text.encode("latin-1"), f"{tabs}; charset=latin-1", {}),
        (text.encode("utf-16"), tabs, {"encoding": "utf-16"}),
    ):
        run = load(body(data, content_type), format="csv", csv=csv)
        assert run.records("rows") == [{"id": "1", "name": "é"}], run.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,name\n1,a\n2\n", "Expected 2 fields in each row of CSV, got 1 in row 2"),
        ("id,name\n1,a,b\n", "got 3 in row 1"),
        ('id,name\n1,"a\n', "got text that is not (line 2: unexpected end of data)"),
        ("id,id\n1,2\n", "Two columns of the header of CSV have the name `id`"),
        ("id,\n1,2\n", "got none for column 2"),
        ("a;b\n1;2\n", '"csv": {"delimiter": ";"}'),
        ("name\na\n", "Expected a header with `id` as the first line of CSV, got `name`"),
        ("Too many requests", "Expected a header with `id`"),
        ("", "got an empty body"),
        ('[{"id": 1}]', "Expected CSV (`format` of stream rows), got JSON; leave `format` out"),
        ("<html>", "got an HTML page"),
    ],
)
def test_csv_that_is_none(text: str, words: str, load: Load) -> None:
    run = load(body(text, CSV), format="csv", primary_keys=["id"])
    assert run.code == 65
    assert words in run.stderr
    assert run.records("rows") == []


# XML

FEED = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://a.example/" xmlns:g="http://g.example/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" page="1">
  <next>/p2</next>
  <entry id="7" g:kind="x"><title> A &amp; &lt;b&gt;<![CDATA[<c> ]]></title><g:price>1.10</g:price><tag>a</tag><tag>b</tag></entry>
  <entry id="8"><title/><g:price xsi:nil="true"/><tag>c</tag><at place="here">now</at>
    <line><qty>2</qty></line></entry>
</feed>"""
ENTRIES = [
    {
        "@id": "7",
        "@g:kind": "x",
        "title": " A & <b><c> ",
        "g:price": "1.10",
        "tag": ["a", "b"],
        "at": None,
        "line": None,
    },
    {
        "@id": "8",
        "@g:kind": None,
        "title": None,
        "g:price": None,
        "tag": ["c"],
        "at": {"@place": "here", "#text": "now"},
        "line": [{"qty": "2"}],
    },
]


def xml(text: str | bytes, records: str = "$.feed.entry[*]", **more: Any) -> dict[str, Any]:
    return {"reply": body(text, XML), "format": "xml", "records": records} | more


def test_xml(load: Load) -> None:
    run = load(**xml(FEED, xml={"lists": ["tag", "line"]}))
    assert run.code == 0, run.stderr
    assert run.records("rows") == ENTRIES


def test_xml_takes_its_types_from_the_schema(load: Load) -> None:
    line = {"type": "object", "properties": {"qty": {"type": "integer"}}}
    types = {
        "@id": {"type": "integer"},
        "g:price": {"type": ["number", "null"]},
        "tag": {"type": "array", "items": {"type": "string"}},
        "line": {"type": ["array", "null"], "items": line},
    }
    run = load(**xml(FEED, schema={"properties": types}, primary_keys=["@id"]))
    assert run.texts("rows") == [
        {"@id": "7", "g:price": "1.10", "tag": ["a", "b"], "line": None},
        {"@id": "8", "g:price": None, "tag": ["c"], "line": [{"qty": "2"}]},
    ]
    assert run.stdout.count('"@id":7') == 1


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("<a><i n='1'/></a>", ["1"]),
        ("<a> </a>", []),
        ("<a/>", []),
        ("<a total='0'><other/></a>", []),
        ("<a><i n='1'/><other/><i n='2'/></a>", ["1", "2"]),
        ("\n <a><i n='1'/></a>", ["1"]),
    ],
)
def test_one_element_or_none_is_an_array_too(text: str, ids: list[str], load: Load) -> None:
    run = load(**xml(text, "$.a.i[*]"))
    assert run.code == 0, run.stderr
    assert [record["@n"] for record in run.records("rows")] == ids


def test_records_inside_several_elements_are_all_read(load: Load) -> None:
    run = load(**xml("<a><g><i n='1'/></g><g><i n='2'/><i n='3'/></g></a>", "$.a.g.i"))
    assert [record["@n"] for record in run.records("rows")] == ["1", "2", "3"]


def test_a_namespace_has_the_prefix_of_the_config(load: Load) -> None:
    text = (
        "<a xmlns:x='http://g.example/' xmlns:g='http://h.example/'><x:i><x:n>1</x:n><g:m>2</g:m></x:i></a>"
    )
    run = load(**xml(text, "$.a['g:i'][*]", xml={"namespaces": {"g": "http://g.example/"}}))
    assert run.records("rows") == [{"g:n": "1", "{http://h.example/}m": "2"}], run.stderr


@pytest.mark.parametrize("charset", ["", "; charset=latin-1"])
def test_the_charset_of_xml(charset: str, load: Load) -> None:
    text = "<?xml version='1.0' encoding='iso-8859-1'?><a><i><n>é</n></i></a>"
    reply = body(text.encode("latin-1"), XML + charset)
    assert load(reply, format="xml", records="$.a.i[*]").records("rows") == [{"n": "é"}]


_LOL = "<!DOCTYPE a [<!ENTITY l 'lol'><!ENTITY m '&l;&l;&l;&l;'>]><a><i><n>&m;</n></i></a>"
_FILE = "<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><a><i><n>&f;</n></i></a>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_LOL, "declares entities of its own"),
        (_FILE, "declares entities of its own"),
        (
            "<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/x.dtd'><a><i><n>&f;</n></i></a>",
            "takes in what stands elsewhere",
        ),
        ("<a>" * 5000, "got more than 200 elements in each other"),
        ("<a><i><n>1</n></i>", "got text that is not (no element found: line 1, column 18)"),
        ("<a><i></a>", "got text that is not (mismatched tag"),
        ('[{"id": 1}]', "got JSON"),
        ("Busy", "got text"),
        ("", "Expected XML, got an empty body"),
        (
            "<b><i/></b>",
            "Expected records at `$.a.i[*]` in page 1 of stream rows, got an object with the keys `b`",
        ),
        ("<html><body>Log in</body></html>", "Expected records at `$.a.i[*]`"),
    ],
)
def test_xml_that_is_not_read(text: str, words: str, load: Load) -> None:
    run = load(**xml(text, "$.a.i[*]"))
    assert run.code == 65
    assert words in run.stderr
    assert run.records("rows") == []


def test_the_next_page_by_a_link_in_xml(load: Load) -> None:
    run = load(**xml(FEED, pagination={"type": "next_url", "next": "$.feed.next"}))
    assert "404" in run.stderr, "of /p2, which was asked for"


# Rows that are no objects

GA4 = {
    "dimensionHeaders": [{"name": "day"}, {"name": "country"}],
    "metricHeaders": [{"name": "users", "type": "TYPE_INTEGER"}],
    "rows": [
        {"dimensionValues": [{"value": "20260101"}, {"value": "NL"}], "metricValues": [{"value": "12"}]},
        {"dimensionValues": [{"value": "20260102"}, {"value": "BE"}], "metricValues": [{"value": "7"}]},
    ],
    "rowCount": 2,
}
CHART = '{"cols": [{"id": "a", "label": "A"}, {"id": "b"}], "rows": [{"c": [{"v": 1.10}, {"v": "x"}]}]}'
ONE = [{"a": "1.10", "b": "x"}]
TWO = [*ONE, {"a": "1e400", "b": None}]


@pytest.mark.parametrize(
    ("body", "is_doubtful"),
    [
        ('{"dimensionHeaders": [{"name": "a"}], "metricHeaders": [{"name": "b"}], "kind": "x"}', False),
        ('{"columns": [{"name": "a"}]}', False),
        ('{"dimensionHeaders": [{"name": "a"}], "items": [{"a": 1}]}', True),
    ],
)
def test_the_header_of_a_table_without_rows_is_no_other_place(
    body: str, is_doubtful: bool, load: Any
) -> None:
    ended = load(Reply(body.encode()), layout="arrays", records="$.rows[*]", missing_records="empty").ended(0)
    assert ended.records("rows") == []
    assert ("`$.items[*]` holds some; check `records`" in ended.stderr) == is_doubtful
    assert ("holds some" in ended.stderr) == is_doubtful


@pytest.mark.parametrize(
    ("text", "stream", "rows"),
    [
        ('{"a": [1.10, 1e400], "b": ["x", null], "unit": "m"}', {"layout": "columns"}, TWO),
        ('{"hourly": {"a": [1.10], "b": ["x"]}}', {"layout": "columns", "records": "$.hourly"}, ONE),
        (
            '[{"h": {"a": [1.10], "b": ["x"]}}, {"h": {"a": [1e400], "b": [null]}}]',
            {"layout": "columns", "records": "$[*].h"},
            TWO,
        ),
        ('{"h": {"a": [], "b": []}}', {"layout": "columns", "records": "$.h"}, []),
        ('{"s": "none"}', {"layout": "columns", "missing_records": "empty"}, []),
        ('{"columns": ["a", "b"], "rows": [[1.10, "x"], [1e400, null]]}', {"layout": "arrays"}, TWO),
        ('{"rows": [], "columns": []}', {"layout": "arrays"}, []),
        (
            '{"fields": [{"name": "a"}, {"name": "b"}], "x": {"data": [[1.10, "x"]]}}',
            {"layout": "arrays", "records": "$.x.data[*]"},
            ONE,
        ),
        (
            '{"x": {"cols": ["a", "b"], "rows": [[1.10, "x"]]}}',
            {"layout": "arrays", "records": "$.x.rows", "arrays": {"header": "$.x.cols"}},
            ONE,
        ),
        (
            '[["a", "b"], [1.10, "x"], [1e400, null]]',
            {"layout": "arrays", "arrays": {"header": "first_row"}},
            TWO,
        ),
        ('[[1.10, "x"]]', {"layout": "arrays", "arrays": {"names": ["a", "b"]}}, ONE),
        (
            '[["A", "B"], [1.10, "x"]]',
            {"layout": "arrays", "arrays": {"names": ["a", "b"], "header": "first_row"}},
            ONE,
        ),
        (
            CHART,
            {
                "layout": "arrays",
                "records": "$.rows[*]",
                "arrays": {"header": "$.cols[*].id", "cells": ["$.c[*].v"]},
            },
            ONE,
        ),
        (
            '["a", 1]\n["b", 2]',
            {"layout": "arrays", "format": "ndjson", "arrays": {"names": ["n", "v"]}},
            [{"n": "a", "v": "1"}, {"n": "b", "v": "2"}],
        ),
    ],
)
def test_rows_that_are_no_objects(text: str, stream: dict[str, Any], rows: list[Any], load: Load) -> None:
    run = load(body(text), **stream)
    assert run.code == 0, run.stderr
    assert run.texts("rows") == rows


def test_the_rows_of_google_analytics(load: Load) -> None:
    types = {"day": {}, "country": {"type": "string"}, "users": {"type": "integer"}}
    one = {"day": "20260101", "country": "NL", "users": 12}
    stream = {"layout": "arrays", "records": "$.rows[*]", "schema": {"properties": types}}
    run = load(body(json.dumps(GA4)), **stream)
    assert run.records("rows") == [one, {"day": "20260102", "country": "BE", "users": 7}], run.stderr
    cells = ["$.dimensionValues[*].value", "$.metricValues[*].value"]
    header = ["$.dimensionHeaders[*].name", "$.metricHeaders[*].name"]
    said = load(body(json.dumps(GA4)), **stream, arrays={"header": header, "cells": cells})
    assert said.records("rows") == run.records("rows")


@pytest.mark.parametrize(
    ("text", "stream", "words"),
    [
        (
            '{"a": [1, 2], "b": [3]}',
            {"layout": "columns"},
            "columns of one length in page 1 of stream rows, got 2 in `a`, 1 in `b`",
        ),
        ('{"h": {"a": [1]}}', {"layout": "columns"}, "say where it is in `records` (`$.h`)"),
        ('[{"a": 1}]', {"layout": "columns"}, "Expected an object of arrays"),
        ('{"columns": ["a", "b"], "rows": [[1, 2], [3]]}', {"layout": "arrays"}, "got 1 in row 2"),
        ('{"columns": ["a"], "rows": [[1, 2]]}', {"layout": "arrays"}, "Expected 1 values in each row"),
        ('{"columns": ["a", "a"], "rows": [[1, 2]]}', {"layout": "arrays"}, "got `a` twice"),
        ('{"columns": ["a", 7], "rows": [[1, 2]]}', {"layout": "arrays"}, "got none for column 2"),
        (
            '{"rows": [[1, 2]]}',
            {"layout": "arrays"},
            'got none; say where they are (`"arrays": {"header": "$.columns"}`',
        ),
        ('{"rows": [[1]], "more": [[2]]}', {"layout": "arrays"}, "got several: `$.rows[*]`, `$.more[*]`"),
        ('[{"id": 1}]', {"layout": "arrays"}, "got `object`; leave `layout` out"),
        ('{"columns": ["a"], "rows": [[1]]}', {}, 'set `"layout": "arrays"`'),
    ],
)
def test_tables_that_are_not_read(text: str, stream: dict[str, Any], words: str, load: Load) -> None:
    run = load(body(text), **stream)
    assert run.code in (65, 78)
    assert words in run.stderr
    assert run.records("rows") == []


# Around it


def test_what_is_asked_for_is_what_is_read(load: Load) -> None:
    def accepted(config: dict[str, Any] | None = None, **stream: Any) -> str:
        asked: list[str] = []

        def route(one: Asked) -> Reply:
            asked.append(one.headers["Accept"])
            return body("id\n1\n", CSV)

        load(route, config=config, **stream)
        return asked[0]

    assert accepted() == "application/json, */*;q=0.5"
    assert accepted(format="csv") == "text/csv, */*;q=0.5"
    assert accepted(format="csv", headers={"accept": "text/plain"}) == "text/plain"
    assert accepted(format="csv", config={"headers": {"ACCEPT": "text/x"}}) == "text/x"


def test_an_error_in_xml_is_one_by_its_rule(load: Load) -> None:
    reply = body("<Error><Code>Busy</Code></Error>", XML, status=400)
    rule = {"status": 400, "path": "$.Error.Code", "equals": "Busy", "then": "retry"}
    run = load(reply, format="xml", records="$.a.i[*]", errors=[rule])
    assert (run.code, "to be asked for again by `errors`" in run.stderr) == (69, True), run.stderr


@pytest.mark.parametrize("kind", ["csv", "ndjson", "json", "csv, gzip"])
def test_lines_whose_end_nobody_tells(kind: str, load: Load) -> None:
    text = '{"id": 1}\n{"id": 2}' if kind == "ndjson" else '[{"id": 1}]' if kind == "json" else "id\n1\n"
    reply = body(text, {"ndjson": NDJSON, "json": "application/json"}.get(kind, CSV), until_close=True)
    if "gzip" in kind:
        reply.body = gzip.compress(reply.body)
        reply.headers = {**reply.headers, "Content-Encoding": "gzip"}
    run = load(reply, primary_keys=["id"], activate_version=True)
    assert run.code == 0, run.stderr
    assert ("do not say where they end" in run.stderr) == (kind in ("csv", "ndjson"))
    assert any(m["type"] == "ACTIVATE_VERSION" for m in run.messages) == (kind not in ("csv", "ndjson"))


# What is said against each other


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ({"csv": {"delimiter": ";"}}, '`streams[0].csv` has no effect without `"format": "csv"`'),
        ({"xml": {"lists": ["a"]}, "format": "csv"}, "`streams[0].xml` has no effect"),
        ({"format": "csv", "csv": {"delimiter": '"'}}, "Expected different characters"),
        (
            {"format": "csv", "csv": {"encoding": "klingon"}},
            "Expected a charset at `streams[0].csv.encoding`",
        ),
        ({"format": "csv", "csv": {"names": ["a", "a"]}}, "Expected a different name for each column"),
        ({"format": "csv", "records": "$.data[*]"}, "Expected `streams[0].records` to take rows of an array"),
        ({"format": "xml"}, "Expected the elements down to a record at `streams[0].records`"),
        ({"arrays": {"names": ["a"]}}, '`streams[0].arrays` has no effect without `"layout": "arrays"`'),
        ({"layout": "arrays", "format": "csv"}, "`streams[0].layout` has no effect"),
        ({"layout": "arrays", "arrays": {"names": ["a"], "header": "$.b"}}, "header` has no effect beside"),
        (
            {"layout": "arrays", "arrays": {"cells": ["$..a"]}},
            "Expected the path of an array at `streams[0].arrays`",
        ),
        ({"layout": "arrays", "arrays": {"names": []}}, "a different name for each column"),
        ({"format": "xml", "records": "$..entry"}, "Expected the elements down to a record"),
        (
            {"format": "xml", "records": "$.a", "xml": {"namespaces": {"a": "u", "b": "u"}}},
            "a different namespace",
        ),
    ],
)
def test_settings_that_say_nothing_or_too_much(stream: dict[str, Any], words: str) -> None:
    config = {"base_url": "https://api.example", "streams": [{"name": "s", "path": "/s"} | stream]}
    assert words in " ".join(config_conflicts(config))


# What came is named


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LINES, 'got one JSON value a line; set `"format": "ndjson"` in the stream'),
        ("id,name\n1,a\n", 'got CSV with `,` between its fields; set `"format": "csv"` in the stream'),
        ("id;name\n1;a\n", '`"format": "csv", "csv": {"delimiter": ";"}`'),
        (
            "a\tb\n3\t4\n",
            'got CSV with a tab between its fields; set `"format": "csv", "csv": {"delimiter": "\\t"}`',
        ),
        ('<?xml version="1.0"?><a/>', 'got XML (status 200); set `"format": "xml"` in the stream'),
        ("<!DOCTYPE html><html>", "got an HTML page (status 200); check `base_url`, `path`"),
        ("", "got an empty body (status 200)"),
        ("Busy", "got text that is not"),
        ('{"id": 1', "got text that is not"),
    ],
)
def test_what_came_is_named_with_the_setting_that_fits(text: str, words: str, load: Load) -> None:
    run = load(body(text, "text/plain"))
    assert run.code == 65
    assert words in run.stderr


def test_json_under_another_type_is_json(load: Load) -> None:
    for content_type in (CSV, XML, "text/html"):
        assert load(body('[{"id": 1}]', content_type)).records("rows") == [{"id": 1}]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    ("text", "code"), [("café", 0), (b"caf\xe9", 65), (b"\xed\xa0\x80", 65), (b"caf\xc3", 65)]
)
def test_json_that_is_no_utf_8_is_refused_before_a_row(
    content_type: str, text: str | bytes, code: int, load: Load
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    fields = {"properties": {"id": {"type": "integer"}, "a": {"type": "string"}}}
    run = load(body(b'[{"id": 1, "a": "%b"}]' % data, content_type), schema=fields, primary_keys=["id"])
    assert (run.code, run.records("rows")) == (code, [] if code else [{"id": 1, "a": text}])
    assert ("UTF-8" in run.stderr or "utf-8" in run.stderr) == bool(code)
