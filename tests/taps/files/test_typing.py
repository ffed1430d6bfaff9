"""A text becomes a number only if it is one in JSON as it stands; a column is what all its texts are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taps.files.conftest import Folder

from singerkit_shell.errors import BadDataError
from singerkit_wire.columnlines import rows_of_columns
from tap_files.typing.texts import CONVERTERS, kind_of_texts

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
