"""`Batch.rows` and `Batch.arrow`: one value and one type for each kind, whichever path a record has taken."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from sampling import IS_SAMPLE, tries

from singerkit_wire.arrow import arrow_schema
from singerkit_wire.batch import Batch
from singerkit_wire.batches import Missing
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.domain import Numbers
from singerkit_wire.fit import DoesNotFit
from singerkit_wire.kinds import Kind
from singerkit_wire.messages import Run
from singerkit_wire.stream import Stream, stream_of
from singerkit_wire.unstorable import Policy
from singerkit_wire.values import JsonText, plain_values
from singerkit_wire.wirecolumns import WireColumns

LOG = logging.getLogger("values")
LEFT_OUT = ""


@dataclass(frozen=True)
class Case:
    """A kind: its schema, what a loader may say of its column, texts of values on the wire, and its type."""

    kind: Kind
    prop: Any
    wires: st.SearchStrategy[str]
    type: type
    said: dict[str, Any] = field(default_factory=dict)

    def stream(self) -> Stream:
        found = stream_of("s", {"properties": {"v": self.prop}}, ())
        return dataclasses.replace(found, columns=(dataclasses.replace(found.columns[0], **self.said),))


def texts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return st.builds(lambda value, is_ascii: json.dumps(value, ensure_ascii=is_ascii), values, st.booleans())


some_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
) | st.sampled_from(
    ["null", "true", '"', "\\", '\\"', "a\nb\t\r", "/", "12.50", "", " x ", "é\u2028", '"quoted"', "{}"]
)
some_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | some_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(some_text, inner, max_size=3),
    max_leaves=6,
)
spaced = st.builds(
    lambda value, blanks: json.dumps(value, separators=(blanks + ",", ": " if blanks else ":")),
    some_json,
    st.sampled_from(["", " "]),
)
documents = spaced | st.sampled_from(
    [
        "1.10",
        "-0",
        "1E2",
        "-0.0",
        '{"a": 1.50, "a": [1e3]}',
        '{"a":"\\u0041\\/"}',
        '{"b":1 , "a":2}',
        '"x"',
        "[ ]",
    ]
)
digits = st.from_regex(r"-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?([eE][+-]?[0-2])?", fullmatch=True)
numbers = digits | st.sampled_from(
    ["-0", "0.000", "12.50", "1e5", "-0.0", "9" * 29, "1" + "0" * 29, "0.0000000001", "1.10000000000"]
)
whole = st.integers(-(2**63), 2**63 - 1).map(str) | st.sampled_from(["-0", "12.0", "12e3", "1.20e1", "0e0"])
wide = whole | st.integers(-(10**40), 10**40).map(str) | st.sampled_from(["1e30", "9" * 38, "1" + "0" * 38])
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))
offsets = st.sampled_from(["", "Z", "z", "+00:00", "-00:00", "+02:00", "-05:30", "+14:00", "-15:59"])
date_times = st.builds(
    lambda moment, offset: json.dumps(moment.isoformat() + offset), moments, offsets
) | st.sampled_from(
    [
        '"0001-01-01T00:00:00+10:00"',
        '"9999-12-31T23:59:59-10:00"',
        '"2026-01-01"',
        '"2026-01-01T24:00:00Z"',
        '"2026-01-01 10:00"',
        '"2026-01-01T10:00:00.1234565Z"',
        '"2026-12-31T23:59:59.9999999+02:00"',
        '"2016-12-31T23:59:60Z"',
    ]
)
dates = st.dates().map(lambda day: f'"{day}"') | st.just('"2026-01-01T00:00:00Z"')
odd_times = st.sampled_from(
    ['"10:00:00.1234565"', '"23:59:59.9999999"', '"10:00:00.0000005Z"', '"10:00"', '"10:00:00+02:00"']
)
times = (
    st.builds(lambda at, zone: f'"{at}{zone}"', st.times(), st.sampled_from(["", "Z", "+00:00"])) | odd_times
)
uuids = st.builds(
    lambda value, how: json.dumps(how(str(value))), st.uuids(), st.sampled_from([str, str.upper])
)
base64s = st.binary(max_size=9).map(lambda value: json.dumps(base64.b64encode(value).decode()))
decimal_texts = digits.map(lambda text: f'"{text}"') | st.sampled_from(['"007"', '"-0.50"', '".5"', '"+1"'])


def string(**more: Any) -> dict[str, Any]:
    return {"type": ["string", "null"], **more}


CASES = [
    Case(Kind.INTEGER, {"type": ["integer", "null"]}, whole, int),
    Case(Kind.BIG_INTEGER, {"type": ["integer", "null"]}, wide, int, {"kind": Kind.BIG_INTEGER}),
    Case(Kind.NUMBER, {"type": ["number", "null"]}, numbers, Decimal),
    Case(Kind.NUMBER, string(**{"x-singer.decimal": True}), decimal_texts, Decimal),
    Case(Kind.BOOLEAN, {"type": ["boolean", "null"]}, st.sampled_from(["true", "false"]), bool),
    Case(Kind.STRING, string(), texts(some_text), str),
    Case(Kind.STRING, string(maxLength=6), texts(some_text), str),
    Case(Kind.DATE_TIME, string(format="date-time"), date_times, datetime),
    Case(Kind.DATE, string(format="date"), dates, date),
    Case(Kind.TIME, string(format="time"), times, time),
    Case(Kind.UUID, string(format="uuid"), uuids, uuid.UUID),
    Case(Kind.BINARY, string(contentEncoding="base64"), base64s, bytes),
    Case(Kind.JSON, {}, documents, JsonText),
    Case(
        Kind.JSON, {"type": ["object", "null"]}, documents.filter(lambda wire: wire.startswith("{")), JsonText
    ),
    Case(Kind.ANY_TEXT, {}, documents | texts(some_text), str, {"kind": Kind.ANY_TEXT}),
]
per_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind.value} {case.prop}")
QUICK: dict[str, Any] = dict(
    deadline=None, derandomize=IS_SAMPLE, database=None, suppress_health_check=list(HealthCheck)
)


def decoded(stream: Stream, wires: Sequence[str], *, exact: bool = False, **judged: Any) -> list[Batch]:
    judgement = Judgement(unstorable=Policy.QUARANTINE, quarantine=True, missing=Missing.APPEND, **judged)
    decoder = BlockDecoder(stream, judgement, lambda stream: stream, LOG, always_exact=exact)
    fields = [f'"v":{wire}' if wire != LEFT_OUT else "" for wire in wires]
    lines = [f'{{"type":"RECORD","stream":"s","record":{{{field}}}}}\n' for field in fields]
    batches, _ = decoder.decode(Run("s", "".join(lines).encode(), len(lines), 1))
    return batches


def shown(value: Any) -> tuple[type, str]:
    """A value so that those that compare equal and are not the same differ: `1.0` and `1.00`, an instant in two zones."""
    return type(value), value.isoformat() if isinstance(value, datetime) else str(value)


def values(batches: Sequence[Batch]) -> list[Any]:
    return [value for batch in batches for (value,) in batch.rows()]


@per_case
@settings(max_examples=tries(12), **QUICK)
@given(data=st.data())
def test_every_kind_has_the_same_values_from_both_paths_and_in_columns(
    case: Case, data: st.DataObject
) -> None:
    wires = data.draw(st.lists(case.wires | st.sampled_from(["null", LEFT_OUT]), min_size=1, max_size=8))
    stream = case.stream()
    exactly = values(decoded(stream, wires, exact=True))
    together = decoded(stream, wires)
    one_by_one = [batch for wire in wires for batch in decoded(stream, [wire])]
    assert [shown(value) for value in values(together)] == [shown(value) for value in exactly]
    assert [shown(value) for value in values(one_by_one)] == [shown(value) for value in exactly]
    assert {type(value) for value in exactly if value is not None} <= {case.type}
    for batch in (*together, *one_by_one, *decoded(stream, wires, exact=True)):
        assert_in_columns(batch)
        assert_plain(batch)


def assert_plain(batch: Batch) -> None:
    """The same values, in the forms that `plain_values` names."""
    (column,) = batch.columns
    found: list[Any] = list(plain_values(column, [value for (value,) in batch.wire_rows]))
    if column.kind in (Kind.NUMBER, Kind.BIG_INTEGER):
        read: Any = Decimal if column.kind is Kind.NUMBER else lambda text: int(Decimal(text))
        found = [None if text == "null" else read(text) for text in (bytes(one).decode() for one in found)]
    elif column.kind is Kind.DATE_TIME:
        found = [one.replace(tzinfo=UTC) if one is not None and one.tzinfo is None else one for one in found]
    expected = [str(value) if type(value) is JsonText else value for (value,) in batch.rows()]
    assert [shown(value) for value in found] == [shown(value) for value in expected]


def assert_in_columns(batch: Batch) -> None:
    expected = [value for (value,) in batch.rows()]
    (column,) = batch.columns
    places = {Kind.NUMBER: Numbers.fixed(38, 9), Kind.BIG_INTEGER: Numbers.fixed(38, 0)}.get(column.kind)
    too_much = [
        index
        for index, value in enumerate(expected)
        if places and value is not None and not places.hold(Decimal(value))
    ]
    if too_much:
        with pytest.raises(DoesNotFit) as caught:
            batch.arrow()
        assert [(misfit.row, misfit.field) for misfit in caught.value.misfits] == [
            (row, "v") for row in too_much
        ]
        return
    found = batch.arrow()
    found.validate(full=True)
    assert found.schema == arrow_schema(batch.columns)
    if column.kind is Kind.DATE_TIME:  # Python has no such year for some of them
        since = [
            value and (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            for value in expected
        ]
        assert found["v"].cast(pa.int64()).to_pylist() == since
    else:
        assert found["v"].to_pylist() == expected


def test_every_kind_is_asked() -> None:
    assert {case.kind for case in CASES} == set(Kind)


@pytest.mark.parametrize("exact", [False, True], ids=["block", "exact"])
def test_a_value_is_none_of_the_texts_that_stand_on_the_wire(exact: bool) -> None:
    """The trap that `rows` takes away: `"n0"` was text with its quotes on one path, and without on the other."""
    (batch,) = decoded(CASES[5].stream(), ['"n0"', "null"], exact=exact)
    assert batch.rows() == [("n0",), (None,)]
    assert batch.arrow()["v"].to_pylist() == ["n0", None]
    on_wire = [value for (value,) in batch.wire_rows]
    assert on_wire == (["n0", None] if exact else [Raw(b'"n0"'), Raw(b"null")])


def test_who_reads_texts_finds_none_that_stands_as_on_the_wire() -> None:
    stream = CASES[5].stream()
    decoder = BlockDecoder(stream, Judgement(reads_texts=True), lambda stream: stream, LOG)
    texts = ['"n0"', "null", '"a \\"b\\" \\\\ Größe"']
    lines = [f'{{"type":"RECORD","stream":"{stream.name}","record":{{"v":{text}}}}}\n' for text in texts]
    (batch,), _ = decoder.decode(Run(stream.name, "".join(lines).encode(), len(lines), 1))
    assert list(batch.wire_rows) == batch.rows() == [("n0",), (None,), ('a "b" \\ Größe',)]


@pytest.mark.parametrize("exact", [False, True], ids=["block", "exact"])
def test_a_record_that_is_stored_whole_and_what_its_message_says(exact: bool) -> None:
    decoder = BlockDecoder(
        stream_of("s", {}, ()), Judgement(with_metadata=True), lambda stream: stream, LOG, always_exact=exact
    )
    line = b'{"type":"RECORD","stream":"s","record":{"a": 1.50},"time_extracted":"2026-01-01T00:00:00","version":7}\n'
    (batch,), _ = decoder.decode(Run("s", line, 1, 1))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert batch.names == ("_record", "_sdc_extracted_at", "_sdc_table_version")
    assert batch.rows() == [('{"a": 1.50}', moment, 7)]
    assert type(batch.rows()[0][0]) is JsonText
    assert [column.to_pylist() for column in batch.arrow().columns] == [['{"a": 1.50}'], [moment], [7]]


@pytest.mark.parametrize("exact", [False, True], ids=["block", "exact"])
def test_of_two_equal_keys_the_first_hides_nothing_that_cannot_be_stored(exact: bool) -> None:
    (batch,) = decoded(CASES[12].stream(), [r'{"a":"\u0000","a":1}', '{"a":2,"a":3}'], exact=exact)
    assert [json.loads(value) for (value,) in batch.rows()] == [{"a": 1}, {"a": 3}]
    assert "\\u0000" not in batch.rows()[0][0]


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.BIG_INTEGER])
def test_columns_have_the_digits_that_the_loader_says(kind: Kind) -> None:
    for numbers, type_ in (
        (Numbers.fixed(12, 2), pa.decimal128(12, 2)),
        (Numbers.fixed(50, 3), pa.decimal256(50, 3)),
    ):
        stream = dataclasses.replace(
            CASES[2].stream(),
            columns=(dataclasses.replace(CASES[2].stream().columns[0], kind=kind, numbers=numbers),),
        )
        assert arrow_schema(stream.columns).types == [type_]
        (batch,) = decoded(stream, ["12"])
        assert batch.arrow()["v"].to_pylist() == [Decimal(12)]
    column = dataclasses.replace(
        CASES[2].stream().columns[0], numbers=Numbers(131_072, 16_383, "PostgreSQL's numeric")
    )
    with pytest.raises(ValueError, match="147455 digits"):
        arrow_schema([column])


def test_a_batch_without_rows_has_its_columns_all_the_same() -> None:
    columns = tuple(column for case in CASES for column in case.stream().columns)
    named = tuple(dataclasses.replace(column, name=f"v{index}") for index, column in enumerate(columns))
    batch = Batch(named, [], 1)
    assert (batch.rows(), batch.arrow().num_rows) == ([], 0)
    assert batch.arrow().schema == arrow_schema(named)


def test_without_pyarrow_a_sentence_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from singerkit_shell.errors import ConfigurationError\n"
        "from singerkit_wire.batch import Batch\n"
        "try: Batch((), [], 1).arrow()\n"
        "except ConfigurationError as error: print(error.exit_code, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("78 ")
    assert "pip install 'singerkit[arrow]'" in done.stdout


def test_columns_that_were_made_of_other_rows_are_not_those_of_a_batch() -> None:
    stream = stream_of("s", {"properties": {"v": {"type": "integer"}}}, ())
    rows = [(1,), (2,), (3,)]
    seen = WireColumns(rows)
    assert list(seen[0]) == [1, 2, 3]
    batch = Batch(stream.columns, rows, 1, seen=seen)
    assert batch.by_column is seen
    assert dataclasses.replace(batch, wire_rows=rows[1:]).rows() == [(2,), (3,)]
