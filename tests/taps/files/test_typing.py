"""A text becomes a number only if it is one in JSON as it stands; a column is what all its texts are."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.files.conftest import Folder
from taps.files.reading_bytes import pieces_of

from singerkit_shell.errors import BadDataError
from singerkit_wire.columnlines import rows_of_columns
from singerkit_wire.exact import date_time
from tap_files.formats import csvtext
from tap_files.formats.cells import CellColumns
from tap_files.settings.csv import csv_settings
from tap_files.typing import texts as texts_of
from tap_files.typing.columns import Columns, NoValue
from tap_files.typing.fields import as_json
from tap_files.typing.texts import CONVERTERS, DECLARED, Misfit, kind_of_texts

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
TEXTS = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.text(alphabet="0123456789.-+eE _٣\n,", max_size=22),
    st.sampled_from(
        ["", "0", "-0", "00", "-", ".", "1.", ".5", "-.5", "0.10", "007", "1.2.3", "1e5", "1_0", " 1", "1 "]
    ),
)


@given(st.lists(st.one_of(st.none(), TEXTS), max_size=4))
@example(["-0", "5"])
@example(["1" * 18, "2" * 19])
def test_a_column_is_of_the_kind_that_each_of_its_texts_is(texts):
    there = [text for text in texts if text]
    digits = [len(text.replace("-", "").replace(".", "")) for text in there]
    if not there:
        kind = ""
    elif all(map(INTEGER.fullmatch, there)) and max(digits) <= 18 and "-0" not in there:
        kind = "integer"
    elif all(map(NUMBER.fullmatch, there)) and max(digits) <= 18:
        kind = "number"
    else:
        kind = "string"
    assert kind_of_texts(texts) == kind
    if kind in ("integer", "number"):
        sent = "".join(f'{{"a":{text or "null"}}}\n' for text in texts).encode()
        assert rows_of_columns({"a": CONVERTERS[kind](texts)}, len(texts)).block == sent


def parts(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


DAYS = st.builds(
    "{}-{}-{}".format,
    parts("2026", "2024", "1900", "2000", "0000", "0001", "12"),
    parts("02", "02", "01", "04", "12", "00", "13", "2"),
    parts("01", "28", "29", "30", "31", "00", "32", "5"),
)
ZONES = parts("", "Z", "+02:00", "-23:59", "+24:00", "+01:60", "+02", "z", " +02:00")
CLOCKS = parts(
    "10:00:00",
    "23:59:59",
    "24:00:00",
    "10:60:00",
    "10:00:60",
    "10:00",
    "1:00",
    "10:00:00,5",
    "a0:00:00",
    "10",
)
MOMENTS = st.builds(
    lambda day, between, clock, fraction, zone: f"{day}{between}{clock}{fraction}{zone}",
    DAYS,
    parts("T", " ", "T", "t", "  "),
    CLOCKS,
    parts("", ".5", ".123456", ".1234567", "."),
    ZONES,
)
ALIKE = st.builds(  # written alike to the digit, so that a column of them is looked at as a whole, and at most one of them none
    lambda year, month, day, hour, between, rest: [
        f"{one}{between}{hour:02}{rest}"
        for one in ("2026-01-30", f"{year:04}-{month:02}-{day:02}", "2026-12-31")
    ],
    st.sampled_from([2024, 2026, 1900, 2000, 1, 0]),
    st.sampled_from([1, 2, 2, 2, 4, 12, 0, 13]),
    st.sampled_from([1, 28, 29, 29, 30, 31, 0, 32]),
    st.sampled_from([0, 9, 19, 23, 24]),
    parts("T", " "),
    parts(
        ":00",
        ":59:59",
        ":60:00",
        ":00:60",
        ":00:00.1234Z",
        ":00:00+23:59",
        ":00:00-24:00",
        ":00:00.5-01:60",
        ":00Z",
    ),
)
WORDS = parts("true", "TRUE", "t", "Yes", "0", "1", "f", "no", "maybe", "\u212a")
KINDS_OF_COLUMNS = {
    "integer": TEXTS,
    "number": TEXTS,
    "boolean": WORDS,
    "string date": DAYS,
    "string date-time": MOMENTS,
    "string": st.text(alphabet='aü😀"\\\x01\t ', max_size=4),
}
COLUMNS = st.sampled_from([*KINDS_OF_COLUMNS]).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.one_of(st.just(""), KINDS_OF_COLUMNS[kind]), min_size=1, max_size=4))
) | st.tuples(st.just("string date-time"), ALIKE)  # fmt: skip


def one_by_one(kind: str, values: list[str]) -> Any:
    """Return what a column is to come out as, looked at value by value; None: it is none of its kind."""
    one = {
        "integer": texts_of._declared_integer,
        "number": texts_of._declared_number,
        "boolean": texts_of._declared_boolean,
        "string date": texts_of._declared_date,
        "string date-time": texts_of._declared_moment,
        "string": str,
    }[kind]
    try:
        return sent([one(value) if value else None for value in values])
    except ValueError:
        return None


def sent(column: Any) -> bytes:
    return rows_of_columns({"a": column}, 0 if isinstance(column, bytes) else len(column)).block


@settings(max_examples=tries(250), deadline=None)
@given(COLUMNS)
@example(("string date-time", ["1900-02-29T10:00:00"]))
@example(("string date-time", ["2026-01-31T24:00:00", "2026-01-31T10:00:00"]))
@example(("string date-time", ["2026-01-31T10:00:60Z"]))
@example(("string date-time", ["2026-01-31 10:00:00", "20260131 10:00:00.5", "2026-01-31T10:00:00"]))
@example(("string date-time", ["2026-01-31 10:00:00", "20260131T1000"]))
def test_a_column_at_once_is_what_its_values_are_one_by_one(made: tuple[str, list[str]]):
    kind, values = made
    expected = one_by_one(kind, values)
    try:
        at_once = sent(DECLARED[kind]([value or None for value in values]))
    except Misfit:
        at_once = None
    assert at_once == expected
    fields = [value.encode() for value in values]
    try:
        found = as_json(kind, fields, frozenset([b""]), is_escaped=False)
    except Misfit:
        return
    assert rows_of_columns({"a": found}, len(fields)).block == expected


ODD_MOMENTS = """2026-W05-1T12:00:00Z 20260131T120000Z 2026-01-31Q12:00 2026-01-31T1200 2026-01-31T12 2026-01-31T12:00:00-00:00:30
2026-01-31T12:00:00,5Z 2026-01-31T12:00 2026-01-31T12:00:00+0200 2026-01-31T12:00:00.1234567+14 2026-031T12:00:00Z"""


@pytest.mark.parametrize("text", [*ODD_MOMENTS.split(), "2026-01-31 12:00:00 +02:00"])
def test_what_is_declared_a_date_time_is_one_to_targets(text: str):
    """Python reads more than they do."""
    for values in ([text], [text, "2026-01-31T12:00:00Z"]):
        try:
            found = DECLARED["string date-time"](values)
        except Misfit:
            assert text in ODD_MOMENTS.split()[:6] + ODD_MOMENTS.split()[-1:]
        else:
            moments = [found] if isinstance(found, bytes) else found
            date_time(str(moments[0]))


@pytest.mark.parametrize("text", ["2026-W05-1", "2026-031", "20260131", "2026-1-31"])
def test_what_is_declared_a_date_is_one_to_targets(text: str):
    with pytest.raises(Misfit):
        DECLARED["string date"]([text])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", ["1", "", "-20"]),
        ("number", ["1.5", "0", "-0.10"]),
        ("boolean", ["true", "", "No"]),
        ("string date", ["2026-01-31", "2024-02-29"]),
        ("string date-time", ["2026-01-31T10:00:00.123456Z", "2024-02-29T23:59:59.999999Z", ""]),
        ("string date-time", ["2026-01-31 10:00", "2026-12-31 23:59"]),
        ("string date-time", ["2026-01-31T10:00:00+02:00", "2026-01-31T10:00:00+11:30"]),
        ("string", ["a", "", 'b"', "\t"]),
    ],
)
def test_columns_as_most_are_written_are_taken_at_once(kind: str, values: list[str]):
    found = as_json(kind, [value.encode() for value in values], frozenset([b""]), is_escaped=False)
    assert rows_of_columns({"a": found}, len(values)).block == one_by_one(kind, values)


LETTERS = 'aü😀"\\\x01\t ,\n\r'
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])


@settings(max_examples=tries(120), deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.text(alphabet=LETTERS, max_size=5), TEXTS, WORDS, MOMENTS | parts("2026-01-31 10:00:00"), st.text(alphabet="ab\"", max_size=3)),
        max_size=5,
    ),
    quoting=QUOTING,
    end=st.sampled_from(["\n", "\r\n"]),
    said=st.sampled_from([{}, {"nulls": ["a", "1"]}, {"quote": "'"}, {"delimiter": "\t"}, {"delimiter": ";", "encoding": "utf-16-le"}]),
    kinds=st.sampled_from([("", "", "", ""), ("string", "number", "boolean", "string date-time"), ("string", "integer", "string", "string")]),
)  # fmt: skip
@example([("\t", "1", "t", "", "")], csv.QUOTE_ALL, "\n", {"delimiter": "\t"}, ("",) * 4)
@example(
    [("x", "1", "t", "m", "b"), ("y", "", "t", "m", "b")],
    csv.QUOTE_ALL,
    "\n",
    {"nulls": ["a"]},
    ("string", "number"),
)
def test_a_file_makes_the_same_lines_by_fields_as_by_texts(rows, quoting, end, said, kinds):
    names = ["a", "n", "w", "m", "b"]
    text = io.StringIO()
    form = {"delimiter": said.get("delimiter", ","), "quotechar": said.get("quote", '"')}
    writer = csv.writer(text, quoting=quoting, lineterminator=end, **form)
    writer.writerows([names, *rows])
    data = text.getvalue().encode(said.get("encoding", "utf-8"))
    declared = {name: schema_of(kind) for name, kind in zip(names, kinds, strict=False) if kind}
    read_by = csv_settings(said, "a.csv")
    for piece in pieces_of(lambda content, start: csvtext.reader_of(read_by, content, start), data):
        found = piece.columns
        assert found is not None
        columns = Columns("t", declared, {})
        columns.look(found)
        if not isinstance(found, CellColumns):
            continue
        by_fields = columns.as_json(found, names)
        try:
            by_texts = columns.convert(found)
        except NoValue:
            by_texts = columns.convert({name: found[name] for name in by_fields})
        mixed = {**by_texts, **by_fields}
        assert rows_of_columns(mixed, piece.count).block == rows_of_columns(by_texts, piece.count).block


def schema_of(kind: str) -> dict[str, Any]:
    kind, _, form = kind.partition(" ")
    return {"type": kind, "format": form} if form else {"type": kind}


def test_what_is_no_number_of_json_stays_text(folder: Folder):
    folder.write(
        "in/a.csv",
        "zip,phone,exp,long,sum,count,mixed,none\n007,+49,1e5,123456789012345678901234567890,1.10,1,1,\n8000,0,2,1,2,-5,x,\n",
    )
    result = folder.sync(file_columns=[])
    assert {name: prop["type"][1:] for name, prop in result.properties().items()} == {
        "zip": ["string"],
        "phone": ["string"],
        "exp": ["string"],
        "long": ["string"],
        "sum": ["number"],
        "count": ["integer"],
        "mixed": ["string"],
        "none": [],
    }
    assert list(map(str, result.rows()[0].values())) == [
        "007", "+49", "1e5", "123456789012345678901234567890", "1.10", "1", "1", "None",
    ]  # fmt: skip


def test_f9_a_type_that_changes_behind_the_sample_is_widened_and_never_narrowed(folder: Folder, monkeypatch):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 8)
    folder.write("in/a.csv", "id,x\n10,\n20,\n30,\n40,5\n50,6.5\n60,abc\n70,7\n")
    result = folder.sync()
    kinds = [one["schema"]["properties"]["x"]["type"] for one in result.of_type("SCHEMA")]
    assert kinds == [["null"], ["null", "integer"], ["null", "number"], ["null", "string"]]
    assert list(map(str, result.column("x"))) == ["None", "None", "None", "5", "6.5", "abc", "7"]
    folder.write("in/b.csv", "id,x\n7,8\n")
    assert folder.sync(result.state).column("x") == ["8"]


def test_f5_columns_are_joined_by_name_where_headers_differ(folder: Folder):
    folder.write("in/a.csv", "id,name\n1,a\n", modified=1_000_000)
    folder.write("in/b.csv", "name,id,more\nb,2,x\n", modified=2_000_000)
    first = folder.sync(file_columns=[])
    assert first.rows() == [{"id": 1, "name": "a", "more": None}, {"id": 2, "name": "b", "more": "x"}]
    folder.write("in/c.csv", "more,new\ny,5\n")
    second = folder.sync(first.state, file_columns=[])
    assert second.rows() == [{"id": None, "name": None, "more": "y", "new": 5}]


@pytest.mark.parametrize(
    ("header", "what"),
    [("id,id", "have the name `id`"), ("id,", "got none for column 2"), ("id,_file", "_file")],
)
def test_f5_a_header_that_names_no_columns_is_refused(folder: Folder, header, what):
    folder.write("in/a.csv", f"{header}\n1,2\n")
    with pytest.raises(BadDataError, match=what):
        folder.sync()


def test_what_is_declared_wins(folder: Folder):
    folder.write("in/a.csv", "zip,paid,sum,day,at\n007,Yes,+1e5,2026-01-31,2026-01-31 10:00:00\n,,,,\n")
    kinds = {
        "zip": {"type": "integer"},
        "paid": {"type": ["boolean", "null"]},
        "sum": {"type": "number"},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
    }
    rows = folder.sync(schema={"properties": kinds}, file_columns=[]).rows()
    assert list(rows[0].values()) == [7, True, 100000, "2026-01-31", "2026-01-31T10:00:00"]
    assert {*rows[1].values()} == {None}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.5"),
        ("number", "1,5"),
        ("boolean", "maybe"),
        ("date", "2026-02-30"),
        ("date-time", "noon"),
    ],
)
def test_a_text_that_is_not_what_was_declared_is_named_by_its_place(folder: Folder, kind, text):
    prop = {"type": "string", "format": kind} if "date" in kind else {"type": kind}
    folder.write("in/a.csv", f'id,x\n1,\n2,"{text}"\n')
    with pytest.raises(BadDataError, match=r"at t\.\$\.x, record 2 \(line 3\), of the file in/a.csv"):
        folder.sync(schema={"properties": {"x": prop}})
