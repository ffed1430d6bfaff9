"""Long answers, whose rows are read from disk a piece at a time: the same rows as of a short one, and all or none of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from taps.rest.api_server import Asked, Reply, Route, json_reply, repeatedly, serving
from taps.rest.conftest import Run

from singerkit_shell.errors import BadDataError, SingerkitError
from singerkit_tap import keys, sync
from singerkit_wire import jsonwalk
from tap_rest.formats.csvtext import CsvReader
from tap_rest.http import storing, transport
from tap_rest.http.storing import Disk, Span
from tap_rest.long import elements, lines, opening
from tap_rest.long.lines import pieces_of_csv
from tap_rest.long.opening import pieces_of_json
from tap_rest.long.rows import LongRows, Pieces, digest_of
from tap_rest.settings.body import CsvSettings
from tap_rest.tap import TapRest

PIECE = 64


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 200 bytes is long, and a piece of it has 64."""
    monkeypatch.setattr(storing, "MEMORY", 200)
    for module in (storing, jsonwalk, lines, opening, transport):
        monkeypatch.setattr(module, "PIECE", PIECE)
    monkeypatch.setattr(jsonwalk, "_SHORT", PIECE)
    monkeypatch.setattr(elements, "_RECORDS", 3)
    monkeypatch.setattr(keys, "_MEMORY", 10)
    monkeypatch.setattr(keys, "_AT_ONCE", 7)
    monkeypatch.setattr(sync, "CHUNK_RECORDS", 7)


pytestmark = pytest.mark.usefixtures("small_pieces")


def span_of(data: bytes) -> Span:
    return Span(Disk(io.BytesIO(b"xx" + data + b"yy")), 2, 2 + len(data))


# Rows on disk


def rows_of(texts: list[bytes], size: int) -> LongRows:
    groups = []
    for group in (texts[: len(texts) // 3], texts[len(texts) // 3 :]):
        pieces = Pieces(span_of(b",".join(group)), jsonwalk.items_of)
        at = 0
        for begin in range(0, len(group), size):
            part = group[begin : begin + size]
            pieces.add(at, len(b",".join(part)), [Raw(one) for one in part])
            at += len(b",".join(part)) + 1
        groups.append(pieces)
    return LongRows(groups)


@pytest.mark.parametrize("skipped", [0, 1, 4, 5, 40])
def test_long_rows_are_a_sequence(skipped: int) -> None:
    texts = [b'{"id":%d}' % number for number in range(30)]
    long, plain = rows_of(texts, 4).behind(skipped), [Raw(text) for text in texts[skipped:]]
    assert len(long) == len(plain)
    assert list(long) == plain
    assert long == plain
    assert long == rows_of(texts, 3).behind(skipped)
    assert long != plain[:-1] or not plain
    assert digest_of(long) == digest_of(rows_of(texts, 7).behind(skipped))
    for cut in (
        slice(0, 5),
        slice(3, 17),
        slice(28, 99),
        slice(-3, None),
        slice(9, 2),
        slice(1, 20, 3),
        slice(None, None, -1),
    ):
        assert long[cut] == plain[cut]
    for index in (0, -1, 7):
        if plain:
            assert bytes(long[index % len(plain)]) == bytes(plain[index % len(plain)])
    with pytest.raises(IndexError):
        long[len(plain)]
    assert [bytes(one) for one in long.changed(lambda rows: [Raw(bytes(row)[::-1]) for row in rows])] == [
        bytes(one)[::-1] for one in plain
    ]
    twice = long.changed(lambda rows: [row for row in rows for _ in range(2)], is_one_each=False)
    assert list(twice) == [row for row in plain for _ in range(2)]
    assert twice[5:9] == [row for row in plain for _ in range(2)][5:9]


# JSON


class Maker:
    """Random JSON with what misleads whoever guesses where a record ends."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        return "".join(
            self.random.choice(['"', "\\", "]", "}", ",", '},{"id"', "é", "🍣", "a", "{", "\n"])
            for _ in range(self.random.randrange(6))
        )

    def value(self, depth: int = 0) -> Any:
        kind = self.random.randrange(7 if depth < 3 else 4)
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.random.choice([None, True, False, 0, -1.5, 10**20])
        if kind in (2, 3):
            return self.random.randrange(10**6)
        if kind == 4:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {name: self.value(depth + 1) for name in ["id", self.text(), "x"][: self.random.randrange(4)]}

    def record(self) -> Any:
        return {
            "id": self.random.randrange(100),
            "lines": [{"id": n} for n in range(self.random.randrange(5))],
        } | {name: self.value() for name in ("a", "b")[: self.random.randrange(3)]}

    def dumps(self, value: Any) -> bytes:
        separators = self.random.choice([(",", ":"), (", ", ": "), (" ,\n ", " : ")])
        return json.dumps(value, separators=separators, ensure_ascii=self.random.random() < 0.5).encode()


@pytest.mark.parametrize("seed", range(60))
def test_any_document_is_cut_as_json_says(seed: int) -> None:
    maker = Maker(seed)
    records = [maker.record() for _ in range(maker.random.randrange(40))]
    others = [maker.value() for _ in range(maker.random.randrange(30))]
    document: Any = {"meta": maker.value(), "a.b": {"data": records}, "others": others, "next": maker.text()}
    if seed % 3 == 0:
        document = records
    text = maker.dumps(document)
    rest, arrays = pieces_of_json(span_of(text), "here")
    around = json.loads(rest)
    found = {
        names: [json.loads(bytes(row)) for row in LongRows([pieces])] for names, pieces in arrays.items()
    }

    def less(value: Any, names: tuple[str, ...]) -> Any:
        """What is to be kept: of long arrays the first item."""
        if names in found:
            assert found[names] == value
            return value[:1]
        return (
            {name: less(one, (*names, name)) for name, one in value.items()}
            if isinstance(value, dict)
            else value
        )

    assert around == less(document, ())
    rows_at = ("a.b", "data") if isinstance(document, dict) else ()
    assert rows_at in found or len(maker.dumps(records)) < 2 * PIECE


@pytest.mark.parametrize(
    "text",
    [
        b'{"data":[%s,]}', b'{"data":[%s}', b'{"data":[%s]', b'[%s', b'[%s] x', b'[%s][1]', b'{"data":[%s] "x":1}', b'[%s,,{"id":1}]',
        b'[%s,{"id":1]', b'{"a":[%s],1:2}', b'{"a" [%s]}', b'[%s,"\xff"]', b'[{"id": 1, "a": "\xff"},%s]', b'[%s,{"a":nul}]',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_before_a_row_is_taken(text: bytes) -> None:
    records = b",".join(b'{"id": %d, "name": "some text to make it long"}' % number for number in range(20))
    with pytest.raises(BadDataError, match="here"):
        pieces_of_json(span_of(text % records), "here")


def test_depth_and_size_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadDataError, match="nested too deeply"):
        pieces_of_json(span_of(b'{"a":' * 5000 + b"1" + b"}" * 5000), "here")
    monkeypatch.setattr(jsonwalk, "_AROUND", 1000)
    with pytest.raises(BadDataError, match="beside the rows"):
        pieces_of_json(span_of(json.dumps({f"id{n}": {"n": n} for n in range(200)}).encode()), "here")
    monkeypatch.setattr(jsonwalk, "_WHOLE", 500)
    with pytest.raises(BadDataError, match="a value of more than"):
        pieces_of_json(span_of(json.dumps([{"a": "x" * 2000}]).encode()), "here")


# CSV


@pytest.mark.parametrize("seed", range(20))
def test_any_csv_is_cut_where_rows_end(seed: int) -> None:
    chooser = random.Random(seed)
    fields = ["a", "", 'say "hi"', "x\ny", "\r\n", ",", "é" * 20, "\n" * 90, '"']
    rows = [[str(n), chooser.choice(fields), chooser.choice(fields)] for n in range(chooser.randrange(60))]
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=chooser.choice(["\n", "\r\n"])).writerows([["n", "a", "b"], *rows])
    reader = CsvReader(CsvSettings(nulls=()), "rows", ["n"], {})
    found = LongRows([pieces_of_csv(span_of(written.getvalue().encode()), reader, "")])
    assert [list(json.loads(bytes(row)).values()) for row in found] == rows


# Runs

Load = Callable[..., Run]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Load:
    """``load(route, **stream)``: a run inside this process; ``config`` are keys of the top level."""
    monkeypatch.setenv("NO_PROXY", "*")

    def run(route: Route | Reply, *, config: Mapping[str, Any] | None = None, **stream: Any) -> Run:
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        caplog.clear()
        code, sentence = 0, ""
        routes = {"/rows": route if callable(route) else lambda _: route}
        with serving(routes) as api, redirect_stdout(written):
            given = {
                "base_url": api.url,
                "streams": [{"name": "rows", "path": "/rows", "pagination": {"type": "single"}} | stream],
                "schema_cache": str(tmp_path / "schemas"),
                "retries": {"tries": 3, "first_wait": 0.01},
            }
            try:
                TapRest(config=json.loads(json.dumps(given | dict(config or {}))), setup_mapper=False).sync()
            except SingerkitError as error:
                code, sentence = error.exit_code, str(error)
        return Run(code, written.buffer.getvalue().decode(), f"{caplog.text}\n{sentence}")

    return run


def test_a_cursor_of_the_last_row_is_taken_of_the_last_row(load: Any) -> None:
    """What is read of a long answer beside its rows is the first of them."""

    def route(asked: Asked) -> Reply:
        begin = int(asked.param("after") or -1) + 1
        return json_reply({"data": ROWS[begin : begin + 30]})

    for pagination in (
        {"type": "cursor", "cursor": "$.data[-1].id", "param": "after"},
        {"type": "cursor", "cursor": "$.data[-1:].id", "param": "after"},
    ):
        run = load(route, records="$.data[*]", pagination=pagination, primary_keys=["id"])
        assert (run.code, [row["id"] for row in run.records("rows")]) == (0, [*range(100)]), run.stderr


ROWS = [{"id": n, "price": f"{n}.10", "name": "x" * (n % 7), "tags": [n, n]} for n in range(100)]
TEXTS = [{"id": str(n), "price": f"{n}.10", "name": "x" * (n % 7) or None} for n in range(100)]
TYPES = {"id": {"type": "integer"}, "price": {"type": "number"}, "name": {"type": ["string", "null"]}}
JSON = json.dumps(ROWS).replace('"price": "', '"price": ').replace('.10"', ".10").encode()
NDJSON = b"\n".join(json.dumps(row).encode() for row in ROWS)
CSV = "\n".join(["id,price,name", *(f"{row['id']},{row['price']},{row['name']}" for row in ROWS)]).encode()
XML = b"<x><next>2</next><rows>%s</rows></x>" % b"".join(
    b"<row><id>%d</id><price>%s</price><name>%s</name></row>" % (row["id"], row["price"].encode(), row["name"].encode()) for row in ROWS
)  # fmt: skip
ARRAYS = json.dumps({"columns": ["id", "name"], "rows": [[row["id"], row["name"]] for row in ROWS]}).encode()


def typed(content_type: str, body: bytes, **more: Any) -> Reply:
    return Reply(body, headers={"Content-Type": content_type, **more})


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return data.getvalue()


def numbers(run: Run) -> list[int]:
    assert run.code == 0, run.stderr
    return [int(record["id"]) for record in run.records("rows")]


WAYS: dict[str, tuple[Reply, dict[str, Any]]] = {
    "json": (json_reply(JSON), {}),
    "json, declared": (json_reply(JSON), {"schema": {"properties": TYPES}}),
    "json at a path": (json_reply(b'{"meta":{"n":1},"data":' + JSON + b',"more":[]}'), {"records": "$.data[*]"}),
    "json, found": (json_reply(b'{"meta":{"n":1},"data":' + JSON + b',"more":null}'), {}),
    "latin-1": (Reply(JSON, headers={"Content-Type": "application/json; charset=latin-1"}), {}),
    "BOM": (json_reply(b"\xef\xbb\xbf" + JSON), {}),
    "filtered, as a whole": (json_reply(JSON), {"records": "$[?(@.id < 1000)]"}),
    "ndjson": (typed("application/x-ndjson", NDJSON), {}),
    "csv": (typed("text/csv", CSV), {"primary_keys": ["id"]}),
    "csv of utf-16": (typed("text/csv; charset=utf-16", CSV.decode().encode("utf-16")), {}),
    "xml": (typed("text/xml", XML), {"format": "xml", "records": "$.x.rows.row[*]", "schema": {"properties": TYPES}}),
    "xml of latin-1": (typed("text/xml; charset=latin-1", XML), {"format": "xml", "records": "$.x.rows.row[*]"}),
    "arrays": (json_reply(ARRAYS), {"layout": "arrays", "records": "$.rows[*]"}),
    "first row": (json_reply(json.dumps([["id", "x"], *([n, "some text"] for n in range(100))]).encode()),
                  {"layout": "arrays", "arrays": {"header": "first_row"}}),
    "columns, as a whole": (json_reply({"id": [*range(100)], "x": ["x"] * 100}), {"layout": "columns"}),
    "exploded": (json_reply([{"l": [{"id": n}, {"id": n + 1}]} for n in range(0, 100, 2)]), {"explode": {"path": "$.l[*]"}}),
    "lifted": (json_reply([{"in": {"id": n}} for n in range(100)]), {"primary_keys": ["in.id"], "copy": {"id": "in.id"}}),
    "gzip": (typed("application/json", gzip.compress(JSON), **{"Content-Encoding": "gzip"}), {}),
    "a file of gzip": (typed("application/gzip", gzip.compress(NDJSON)), {"format": "ndjson"}),
    "a zip": (typed("application/zip", zipped(a_csv=CSV)), {}),
    "a zip of several": (typed("application/zip", zipped(a_jsonl=NDJSON[: NDJSON.index(b"\n", 900)], b_jsonl=NDJSON[NDJSON.index(b"\n", 900) :])), {}),
    "a zip of gzip": (typed("application/zip", zipped(**{"a_csv.gz": gzip.compress(CSV)})), {}),
    "a zip of arrays": (typed("application/zip", zipped(a=JSON, b=b"[]")), {}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_rows_of_a_long_answer(way: str, load: Load) -> None:
    reply, stream = WAYS[way]
    run = load(reply, **stream)
    assert numbers(run) == list(range(100))
    kinds = [message["type"] for message in run.messages]
    assert "SCHEMA" not in kinds[kinds.index("RECORD") :], "all rows are looked at before one is sent"
    if way in ("json", "csv", "xml"):
        sent = run.texts("rows")
        assert sent[7]["price"] == "7.10"
        assert sent[7].get("name") is None or way == "json"


def test_an_answer_is_asked_for_once_though_its_schema_is_inferred(load: Load) -> None:
    asked: list[Asked] = []
    late = [*ROWS, {"id": 100, "late": True}]

    def route(one: Asked) -> Reply:
        asked.append(one)
        return json_reply(late)

    run = load(route, config={"infer": {"records": 5}})
    assert numbers(run) == list(range(101))
    assert len(asked) == 1
    assert "late" in run.schemas("rows")[-1]["properties"]
    assert run.records("rows")[-1]["late"] is True


CUT: dict[str, Reply] = {
    "shorter than announced": Reply(JSON[:900], length=len(JSON)),
    "chunks that end": Reply(JSON[:900], chunked_and_broken=True),
    "gzip without its end": Reply(gzip.compress(JSON)[:-5], headers={"Content-Encoding": "gzip"}),
    "gzip of less": Reply(gzip.compress(NDJSON)[:-9], headers={"Content-Encoding": "gzip"}),
    "a file of gzip": Reply(gzip.compress(JSON)[:-5]),
    "a zip": Reply(zipped(a=JSON)[:-30]),
    "a zip with another sum": Reply(
        zipped(a=JSON).replace(JSON[:4], JSON[:4]).replace(b"PK\x01\x02", b"PK\x01\x03")
    ),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_body_that_was_cut_is_asked_for_again_and_no_row_is_lost_or_doubled(kind: str, load: Load) -> None:
    assert numbers(load(repeatedly(CUT[kind], json_reply(JSON)))) == list(range(100))
    run = load(CUT[kind])
    assert run.code == 69
    assert run.records("rows") == []


BROKEN: dict[str, tuple[Reply, dict[str, Any]]] = {
    "json": (json_reply(JSON[:-1] + b"x]"), {}),
    "json that ends": (Reply(JSON[:-9], until_close=True), {}),
    "a page that nobody asks for": (json_reply(b'{"data":' + JSON + b',"next":"http://x/2"}'), {"pagination": {"type": "next_url", "next": "$.no"}, "records": "$.data[*]"}),
    "an error beside the rows": (json_reply(b'{"data":' + JSON + b',"errors":[{"message":"some"}]}'), {"records": "$.data[*]"}),
    "ndjson as json": (json_reply(NDJSON), {}),
    "ndjson": (typed("application/x-ndjson", NDJSON + b"\n{"), {}),
    "ndjson of other bytes": (typed("application/x-ndjson", NDJSON + b'\n"\xff"'), {}),
    "csv with a row too short": (typed("text/csv", CSV + b"\n1,2"), {}),
    "csv with a quote that is open": (typed("text/csv", CSV + b'\n1,2,"'), {}),
    "csv of other bytes": (typed("text/csv", CSV + b"\n1,2,\xff"), {}),
    "xml that ends": (typed("text/xml", XML[:-9]), {"format": "xml", "records": "$.x.rows.row[*]"}),
    "an array of another length": (json_reply(ARRAYS[:-2] + b",[1]]}"), {"layout": "arrays", "records": "$.rows[*]"}),
    "too large": (json_reply(JSON), {"config": {"limits": {"response_bytes": 1000}}}),
    "too large, compressed": (typed("application/json", gzip.compress(JSON)), {"config": {"limits": {"response_bytes": 1000}}}),
    "too large, zipped": (typed("application/zip", zipped(a_csv=CSV)), {"config": {"limits": {"response_bytes": 1000}}}),
    "too large as a whole": (json_reply(JSON), {"records": "$[?(@.id < 9)]", "whole": 1000}),
    "documents in a zip": (typed("application/zip", zipped(a=b'{"d":%s}' % JSON, b=b'{"d":%s}' % JSON)), {"records": "$.d[*]"}),
}  # fmt: skip
SAID = {
    "a page that nobody asks for": "seems to have a next",
    "an error beside the rows": "come with `errors` beside them",
    "ndjson as json": 'got one JSON value a line; set `"format": "ndjson"`',
    "ndjson": "got other text in line 101, the last one",
    "csv with a row too short": "got 2 in row 101 behind the header",
    "csv with a quote that is open": "(line 102: unexpected end of data)",
    "an array of another length": "got 1 in row 101",
    "too large as a whole": "reads bodies as a whole (since its `records` is no plain path)",
    "documents in a zip": "name one in `zip_members`",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_nothing_is_sent_of_an_answer_that_is_not_right(
    kind: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply, stream = BROKEN[kind]
    if "whole" in stream:
        monkeypatch.setattr(storing.Limits, "of", lambda _: storing.Limits(stream["whole"], 10**9))
    run = load(reply, **{name: value for name, value in stream.items() if name != "whole"})
    assert run.code == 65, run.stderr
    assert SAID.get(kind, "limits.response_bytes" if "large" in kind else "Expected") in run.stderr
    assert run.records("rows") == []


@pytest.mark.parametrize(("first", "again"), [(3, 5), (3, 60), (60, 62), (60, 95)])
@pytest.mark.parametrize("is_same", [True, False])
def test_a_key_that_comes_twice_in_a_long_answer(first: int, again: int, is_same: bool, load: Load) -> None:
    rows = [*ROWS]
    rows[again] = rows[first] | ({} if is_same else {"name": "another"})
    run = load(json_reply(rows), primary_keys=["id"])
    if is_same:
        assert len(numbers(run)) == 100
        return
    assert run.code == 65
    assert "came in one answer with the same key (`id`)" in run.stderr
    assert '"primary_keys": ["id", "name"]' in run.stderr
    kept = load(json_reply(rows), primary_keys=["id"], duplicate_keys="warn")
    assert len(numbers(kept)) == 100
    assert "of 100 rows of stream `rows` came with a key (`id`)" in kept.stderr


def test_pages_that_are_long(load: Load) -> None:
    def pages(*bodies: bytes) -> Route:
        return lambda asked: json_reply(bodies[int(asked.param("cursor") or 0)])

    cut = [json.dumps(ROWS[begin : begin + 40]).encode() for begin in (0, 40, 80)]
    tokens = [
        b'{"data":%s,"next":%s}' % (page, next_)
        for page, next_ in zip(cut, (b'"1"', b'"2"', b"null"), strict=True)
    ]
    cursor = {
        "pagination": {"type": "cursor", "cursor": "$.next"},
        "records": "$.data[*]",
        "primary_keys": ["id"],
    }
    assert numbers(load(pages(*tokens), **cursor)) == list(range(100))
    same = load(pages(tokens[0], tokens[0].replace(b'"1"', b'"2"'), tokens[2]), **cursor)
    assert same.code == 65
    assert "equals the page before" in same.stderr
    offset = {"pagination": {"type": "offset", "size": 40}}
    assert numbers(
        load(lambda asked: json_reply(ROWS[int(asked.param("offset") or 0) :][:40]), **offset)
    ) == list(range(100))


def test_a_load_of_one_long_answer_is_sure(load: Load) -> None:
    run = load(json_reply(JSON), primary_keys=["id"], activate_version=True)
    assert [m["version"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"] == [
        run.messages[2]["version"]
    ]


def test_the_rest_of_a_bookmark_is_read_of_a_long_answer(load: Load) -> None:
    at = [row | {"at": f"2026-01-{1 + row['id'] % 28:02}T00:00:00Z"} for row in ROWS]
    run = load(json_reply(at), primary_keys=["id"], replication_key="at", incremental={"param": "since"})
    assert numbers(run) == list(range(100))
    assert run.state["bookmarks"]["rows"]["replication_key_value"] == "2026-01-28T00:00:00Z"


def test_where_no_file_can_be_made_or_none_has_room(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("No usable temporary directory found")

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(storing.tempfile, "TemporaryFile", none)
        assert numbers(load(json_reply(JSON), primary_keys=["id"])) == list(range(100))
    monkeypatch.setattr(storing.tempfile, "TemporaryFile", lambda *_, **__: Full())
    run = load(json_reply(JSON))
    assert run.code == 74
    assert "No space left on device" in run.stderr
    assert "TMPDIR" in run.stderr


def test_which_files_of_a_zip_are_read(load: Load) -> None:
    files = {"a_csv": CSV, "readme_txt": b"Read me", "__MACOSX/x_csv": b"x", ".hidden_csv": b"x"}
    both = load(typed("application/zip", zipped(**files)))
    assert both.code == 65
    assert numbers(
        load(typed("application/zip", zipped(**files)), format="csv", zip_members="*.csv")
    ) == list(range(100))
    none = load(typed("application/zip", zipped(**files)), format="csv", zip_members="*.tsv")
    assert none.code == 65
    assert "got `a.csv`, `readme.txt`" in none.stderr
