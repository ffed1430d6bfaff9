"""JSON and JSON Lines: the records that another library reads, as they stand; what is none, with its line and byte."""

from __future__ import annotations

import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from taps.files.conftest import Folder
from taps.files.contents import Data, continued_everywhere, faults_of, numbers_of, read_all, records_of

from singerkit_shell.errors import BadDataError
from singerkit_wire import jsonwalk
from tap_files.formats import jsonfile, jsonlines, wholelines
from tap_files.formats.contract import Spot, UnreadableFile
from tap_files.settings.jsonfile import JsonSettings, json_problems, json_settings
from tap_files.settings.jsonlines import JsonLinesSettings

ODD_RECORDS = [
    rb'{"a":1.10,"b":1e5,"c":-0,"d":123456789012345678901234567890,"e":1E+400}',
    rb'{"a":"\ud800","b":"\u0000","c":"\\n"}',
    '{"ü":"日本","emoji":"😀"}'.encode(),
    b'{"a" : [ {"b":{}} , [] ], "a":2 }',
    b"{}",
    b'{"text":"\xe2\x80\xa8 is no end of line, nor is \xc2\x85 or \x7f"}',
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece has 64 bytes."""
    for module in (wholelines, jsonfile):
        monkeypatch.setattr(module, "PIECE_BYTES", 64)
    monkeypatch.setattr(jsonwalk, "PIECE", 64)
    monkeypatch.setattr(jsonwalk, "_SHORT", 64)


def lines_of(data: bytes, is_whole: bool = True, most: int = 1 << 20, **settings: Any) -> list[Any]:
    return read_all(jsonlines.reader_of(JsonLinesSettings(**settings), Data(data, is_whole, most), Spot()))


def documents_of(data: bytes, records: str | None = None, most: int = 1 << 20, **settings: Any) -> list[Any]:
    said = json_settings(settings | ({"records": records} if records else {}), "")
    return read_all(jsonfile.reader_of(said, Data(data, most=most), Spot()))


@pytest.mark.usefixtures("small")
def test_lines_come_as_they_stand_whatever_the_pieces():
    chosen = random.Random(3)
    records = [chosen.choice(ODD_RECORDS) for _ in range(60)]
    end = {0: b"\n", 1: b"\r\n", 2: b"\n\n", 3: b"  \r\n \t\n"}
    data = b"".join(record + end[chosen.randrange(4)] for record in records)
    for most in (1, 7, 64, 1 << 20):
        pieces = lines_of(data, most=most)
        assert records_of(pieces) == records
        assert numbers_of(pieces) == list(range(1, 61))
        assert not faults_of(pieces)
        stripped = [number for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        assert [line for piece in pieces for line in piece.lines] == stripped
    assert len(pieces) > 10
    continued_everywhere(
        lambda content, start: jsonlines.reader_of(JsonLinesSettings(), content, start), data, records_of
    )


BAD_LINES = {
    b'{"a":NaN}': "got text that is not (NaN is not JSON)",
    b'{"a":Infinity}': "got text that is not",
    b'{"a":1} {"b":2}': "got text that is not (Extra data, character 8)",
    b'{"a":1},{"b":2}': "got text that is not",
    b'{"a":': "got text that is not",
    b'{"a":[1': "got text that is not",
    b"1]}": "got text that is not",
    b"[1]": "Expected `object`, got `array`",
    b"7": "Expected `object`, got `number`",
    b'"x"': "Expected `object`, got `string`",
    b"null": "Expected `object`, got `null`",
    b"true": "Expected `object`, got `boolean`",
    b'{"a":"\xff"}': "Expected `utf-8`, got other bytes (byte 6 of the line)",
    b'{"a":"' + b"x" * 3000 + b'"}': "Expected a line of at most 1000 bytes, got a longer one",
    b'{"a":' * 3000: "Expected a line of at most 1000 bytes",
    b'{"a":01}': "got text that is not",
    b'{"a":1.}': "got text that is not",
    b"{'a':1}": "got text that is not",
    b'{"a":"\t"}': "got text that is not",
    b'{"a":1}\x00': "got text that is not",
    b"\xef\xbb\xbf{}": "got a BOM in the middle of the file",
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("most", [5, 1 << 20])
def test_bad_lines_are_told_with_line_and_byte_and_take_no_other_with_them(most):
    good = b'{"id":1}'
    data = good + b"\n" + b"".join(line + b"\n" + good + b"\n" for line in BAD_LINES)
    pieces = lines_of(data, most=most, max_row_bytes=1000)
    assert records_of(pieces) == [good] * (len(BAD_LINES) + 1)
    assert numbers_of(pieces) == list(range(1, 2 * len(BAD_LINES) + 2, 2))
    found = faults_of(pieces)
    for (text, reason), (row, line, byte, said) in zip(BAD_LINES.items(), found, strict=True):
        assert row == line
        assert data[byte : byte + len(text)] == text
        assert reason in said
    bad = [bad for piece in pieces for bad in piece.bad]
    assert bad[0].text == '{"a":NaN}'
    assert bad[12].text == '{"a":"\\xff"}'


def test_two_lines_that_make_one_object_are_none():
    """Three lines that are four values in brackets, and two that are one: as many as there are lines."""
    pieces = lines_of(b'{"a":1},{"b":2}\n{"c":[3\n4]}\n')
    assert records_of(pieces) == []
    assert [line for _, line, _, _ in faults_of(pieces)] == [1, 2, 3]


def test_a_last_line_without_its_end_waits_where_the_file_may_grow():
    data = b'{"a":1}\n{"a":2}'
    assert records_of(lines_of(data)) == [b'{"a":1}', b'{"a":2}']
    pieces = lines_of(data, is_whole=False)
    assert records_of(pieces) == [b'{"a":1}']
    spot = pieces[-1].behind
    assert (spot.byte, spot.line, spot.row) == (8, 1, 1)
    later = jsonlines.reader_of(
        JsonLinesSettings(), Data((data + b"5}\n")[spot.byte :].replace(b"}5", b"5")), spot
    )
    assert records_of(read_all(later)) == [b'{"a":25}']
    assert lines_of(b"", is_whole=False) == lines_of(b"") == []


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "windows-1252", "shift_jis"])
def test_encodings_that_a_bom_tells_or_the_config(codec):
    text = "".join(
        f'{{"n":{number},"t":"{"é" if codec != "shift_jis" else "日ソ"}\u0a0a"}}\n' for number in range(40)
    )
    text = text if codec.startswith("utf") else text.replace("\u0a0a", "")
    data = text.encode(codec)
    encoding = {} if codec in ("utf-8-sig", "utf-16", "utf-32") else {"encoding": codec}
    for most in (1, 1 << 20):
        assert records_of(lines_of(data, most=most, **encoding)) == text.encode().splitlines()
    settings = JsonLinesSettings(**encoding)
    continued_everywhere(
        lambda content, start: jsonlines.reader_of(settings, content, start), data, records_of
    )
    array = ("[" + text.rstrip().replace("\n", ",\n") + "]").encode(codec)
    assert records_of(documents_of(array, **encoding)) == text.encode().splitlines()
    broken = "x\n".encode(codec) + data
    (first, *_) = faults_of(lines_of(broken, **encoding))
    assert first[:3] == (1, 1, len("".encode(codec)))


VEGA = sorted((Path(str(find_spec("vega_datasets").origin)).parent / "_data").glob("*.json"))  # type: ignore[union-attr]


def same(records: list[bytes], expected: list[Any]) -> None:
    exact = {"parse_float": str, "parse_int": str}
    assert [json.loads(record, **exact) for record in records] == expected


@pytest.mark.parametrize("path", VEGA, ids=lambda path: path.stem)
def test_public_files_are_read_as_pythons_json_reads_them(path):
    data = path.read_bytes()
    whole = json.loads(data, parse_float=str, parse_int=str)
    at, rows = None, whole if isinstance(whole, list) else [whole]
    if isinstance(whole, dict):
        lists = [
            name
            for name, value in whole.items()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        at, rows = (f"$['{lists[0]}'][*]", whole[lists[0]]) if lists else (None, [whole])
    objects = [row for row in rows if isinstance(row, dict)]
    pieces = documents_of(data, at, most=100_000)
    same(records_of(pieces), objects)
    assert len(faults_of(pieces)) == len(rows) - len(objects)
    in_lines = b"\n".join(json.dumps(row, ensure_ascii=False).encode() for row in objects)
    same(records_of(lines_of(in_lines)), objects)


@pytest.mark.usefixtures("small")
def test_documents_of_all_shapes_are_continued_where_a_run_ended():
    items = ODD_RECORDS * 6
    array = b" [\n" + b" ,\n".join(items) + b"\n] \n"
    for data, records in (
        (array, "$[*]"),
        (
            b'\xef\xbb\xbf{"x":[1,{"rows":[{}]}],"data":{"more":"]","rows":'
            + array
            + b',"next":[[1]]},"end":1}',
            "$.data.rows[*]",
        ),
        (b"\n".join(items), "$"),
        (b"\n\n".join(items[:20]) + b"\n" + b" ".join(items[20:]), "$"),
        (b"".join(items), "$"),
        (b'{"rows":' + b'} \n {"rows":'.join(items) + b"}", "$.rows"),
    ):
        settings = json_settings({"records": records}, "")
        for most in (1, 1 << 20):
            assert records_of(documents_of(data, records, most)) == items
        continued_everywhere(
            lambda content, start, at=settings: jsonfile.reader_of(at, content, start), data, records_of
        )
    several = documents_of(array + array, "$[*]")
    assert records_of(several) == items * 2
    assert several[-1].behind is None, "in the second array of a file no run goes on"


def test_items_that_are_no_objects_are_told_with_line_and_byte():
    data = b'[{"a":1},\n\n 7 , null,{"a":2},\n[1,\n2]]'
    pieces = documents_of(data)
    assert records_of(pieces) == [b'{"a":1}', b'{"a":2}']
    assert numbers_of(pieces) == [1, 4]
    assert [(row, line, data[byte : byte + 1]) for row, line, byte, _ in faults_of(pieces)] == [
        (2, 3, b"7"),
        (3, 3, b"n"),
        (5, 4, b"["),
    ]


@pytest.mark.parametrize(
    ("data", "records", "said"),
    [
        (b'[{"a":1},\n{"a":2}', None, r"got an end in the middle \(byte 9\) in line 1"),
        (b'[{"a":1}\n,{"a":NaN}]', None, "Expected JSON in the file"),
        (b'[{"a":1}] x', None, r"in line 1|at `\$` of each JSON document"),
        (
            b'{"a":1}\n<html>',
            None,
            r"Expected an array of records, or one record, at `\$` of each JSON document, got none",
        ),
        (b"7", None, "got none in document 1; say where they are in `json.records`"),
        (b'{"data":null}', "$.data[*]", r"at `\$\.data` of each JSON document, got none in document 1"),
        (b'{"data":[],"data":[{}]}', "$.data[*]", "`data` twice"),
        (b'{"data":{},"data":{}}', "$.data", "`data` twice"),
        (b'[{"a":"\xff"}]', None, "Expected UTF-8 in the file"),
        (b"[" * 5000, None, "nested too deeply|end in the middle"),
        (b"\xff\xfe[\x00{\x00", None, "an end in the middle"),
    ],
)
def test_files_that_are_none_say_where(data, records, said):
    with pytest.raises(UnreadableFile, match=said):
        documents_of(data, records)


@pytest.mark.usefixtures("small")
def test_what_stands_before_the_damage_is_read():
    data = b"[" + b",".join(b'{"id":%d}' % number for number in range(50)) + b',{"id":'
    found = []
    pieces = jsonfile.reader_of(JsonSettings(), Data(data), Spot()).pieces()
    try:
        for piece in pieces:
            found.append(piece)
    except UnreadableFile:
        pass
    assert len(records_of(found)) == 50


def test_a_path_that_is_more_than_names_is_refused():
    assert not list(json_problems({"records": "$.data['odd name'].rows[*]"}, "streams.0.json"))
    for path in ("$.data[?(@.a > 1)]", "data", "$..rows", "$.a[*].b[*]", "$.a[0]"):
        (problem,) = json_problems({"records": path}, "streams.0.json")
        assert "Expected a JSONPath of names" in problem
    assert "encoding" in next(json_problems({"encoding": "utf-9"}, "streams.0.json"))


def test_a_field_of_the_name_of_a_part_of_the_path_is_refused_and_no_other(folder: Folder) -> None:
    folder.stream = {"path": "in/dt=*/*.jsonl"}
    folder.write("in/dt=1/a.jsonl", '{"a": 1}\n', modified=1)
    first = folder.sync()
    folder.write("in/dt=2/b.jsonl", '{"a": "x", "new": 1}\n', modified=2)
    second = folder.sync(first.state)
    assert [*first.column("dt"), *second.column("dt")] == [1, 2], "though the schema has grown"
    for value in ('"x"', "3"):
        folder.write("in/dt=3/c.jsonl", f'{{"a": 1, "dt": {value}}}\n', modified=3)
        with pytest.raises(
            BadDataError, match=r"^Expected no column `dt`, which says where a row comes from"
        ):
            folder.sync(second.state)


def test_a_document_that_is_damaged_behind_its_array_is_so_in_each_run(folder: Folder) -> None:
    folder.stream = {"path": "in/*.json", "json": {"records": "$.d[*]"}}
    for text, problem in (
        ('{"d": [{"a": 1}], "d": [{"a": 2}]}', r"`d` twice"),
        ('{"d": [{"a": 1}], {"a": 2}}', r"an object without a name"),
        ('{"d": [{"a": 1}]', r"no `,` where there has to be one"),
    ):
        folder.write("in/a.json", text)
        state = None
        for rows in (1, 0, 0):
            with pytest.raises(BadDataError, match=problem):
                folder.sync(state)
            assert len(folder.result().rows()) == rows
            state = folder.result().state


def test_a_document_behind_another_one_comes_when_the_file_grows(folder: Folder) -> None:
    folder.stream = {"path": "in/*.json", "json": {"records": "$[*]"}}
    folder.write("in/a.json", '[{"a": 1}]\n')
    first = folder.sync()
    folder.append("in/a.json", '[{"a": 2}]\n')
    assert [*first.column("a"), *folder.sync(first.state).column("a")] == [1, 2]
