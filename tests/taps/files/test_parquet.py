"""Parquet: each type comes as it stands in the file, a read goes on at any record, and what cannot be read is said."""

from __future__ import annotations

import datetime as dt
import io
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from taps.files.ondisk import OnDisk

from tap_files.formats.contract import PIECE_BYTES, Spot, UnreadableFile
from tap_files.formats.parquet import reader_of
from tap_files.settings.parquet import PARQUET, ParquetSettings, parquet_settings

NANOS = 1767225600123456789
DOCUMENT = {"type": ["null", "boolean", "number", "string", "array", "object"]}
TYPES: list[tuple[Any, list[Any], str, dict[str, Any]]] = [
    (pa.int8(), [-128, 127], "-128 127", {"type": "integer"}),
    (pa.uint32(), [0, 2**32 - 1], "0 4294967295", {"type": "integer"}),
    (pa.uint64(), [2**63, 2**64 - 1], "9223372036854775808 18446744073709551615", {"type": "integer"}),
    (pa.float32(), [0.1, 16777216], "0.1 16777216", {"type": "number", "format": "double"}),
    (pa.float64(), [0.1 + 0.2, 5e-324], "0.30000000000000004 5e-324", {"type": "number", "format": "double"}),
    (pa.float16(), [0.1, 65504], "0.1 6.55e+04", {"type": "number", "format": "double"}),
    (pa.decimal128(30, 2), [Decimal("1.10"), Decimal("0")], "1.10 0.00", {"type": "number"}),
    (pa.decimal256(70, 40), [Decimal("1e-40")], "1E-40", {"type": "number"}),
    (pa.bool_(), [True, False], "true false", {"type": "boolean"}),
    (
        pa.string(),
        ['"Zü"\\', "a\n\x00\x1f\x7f"],
        '"\\"Zü\\"\\\\" "a\\n\\u0000\\u001f\x7f"',
        {"type": "string"},
    ),
    (pa.large_string(), ["null"], '"null"', {"type": "string"}),
    (pa.string_view(), ["", "x"], '"" "x"', {"type": "string"}),
    (pa.binary(), [b"\x00\xff", b""], '"AP8=" ""', {"type": "string", "contentEncoding": "base64"}),
    (pa.binary(2), [b"\x00\xff"], '"AP8="', {"type": "string", "contentEncoding": "base64"}),
    (pa.dictionary(pa.int8(), pa.string()), ["b", "a", "b"], '"b" "a" "b"', {"type": "string"}),
    (
        pa.date32(),
        [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
        '"0001-01-01" "9999-12-31"',
        {"type": "string", "format": "date"},
    ),
    (pa.date64(), [dt.date(2026, 1, 31)], '"2026-01-31"', {"type": "string", "format": "date"}),
    (
        pa.time64("ns"),
        [1, 1000],
        '"00:00:00.000000001" "00:00:00.000001"',
        {"type": "string", "format": "time"},
    ),
    (pa.time32("ms"), [dt.time(23, 59, 59, 999000)], '"23:59:59.999"', {"type": "string", "format": "time"}),
    (
        pa.timestamp("ns"),
        [NANOS, NANOS - 789],
        '"2026-01-01T00:00:00.123456789" "2026-01-01T00:00:00.123456"',
        {"type": "string", "format": "date-time"},
    ),
    (
        pa.timestamp("us", "Europe/Berlin"),
        [0],
        '"1970-01-01T00:00:00.000000Z"',
        {"type": "string", "format": "date-time"},
    ),
    (
        pa.timestamp("ms"),
        [253402300800000, -62135596800001],
        '"10000-01-01T00:00:00" "0000-12-31T23:59:59.999"',
        {"type": "string", "format": "date-time"},
    ),
    (pa.duration("ms"), [93784500, -1, 0], '"P1DT2H3M4.5S" "-PT0.001S" "PT0S"', {"type": "string"}),
    (
        pa.list_(pa.timestamp("ns")),
        [[NANOS, None], []],
        '["2026-01-01T00:00:00.123456789",null] []',
        {"type": "array", "items": {"type": ["null", "string"], "format": "date-time"}},
    ),
    (
        pa.list_(pa.int8(), 2),
        [[1, 2]],
        "[1,2]",
        {"type": "array", "items": {"type": ["null", "integer"]}},
    ),
    (
        pa.struct([("a", pa.float32()), ('b"', pa.list_(pa.string()))]),
        [{"a": 0.1, 'b"': None}, {"a": None, 'b"': ['"', None]}],
        r'{"a":0.1,"b\"":null} {"a":null,"b\"":["\"",null]}',
        {
            "type": "object",
            "properties": {
                "a": {"type": ["null", "number"], "format": "double"},
                'b"': {"type": ["null", "array"], "items": {"type": ["null", "string"]}},
            },
        },
    ),
    (
        pa.map_(pa.string(), pa.list_(pa.struct([("x", pa.int8())]))),
        [[('k"', [{"x": 1}, None]), ("l", None)], []],
        r'{"k\"":[{"x":1},null],"l":null} {}',
        {
            "type": "object",
            "additionalProperties": {
                "type": ["null", "array"],
                "items": {"type": ["null", "object"], "properties": {"x": {"type": ["null", "integer"]}}},
            },
        },
    ),
    (
        pa.map_(pa.int32(), pa.decimal128(5, 2)),
        [[(1, Decimal("1.50"))]],
        '{"1":1.50}',
        {"type": "object", "additionalProperties": {"type": ["null", "number"]}},
    ),
    (pa.null(), [None], "null", {"type": "null"}),
    (pa.json_(), ['{"a":\n 1.10}', "null"], '{"a": 1.10} null', DOCUMENT),
    (
        pa.uuid(),
        [bytes(range(16))],
        '"00010203-0405-0607-0809-0a0b0c0d0e0f"',
        {"type": "string", "format": "uuid"},
    ),
]


def _written(path: Path, table: Any, **more: Any) -> Path:
    pq.write_table(table, path, **more)
    return path


START = Spot()


def _rows(path: Path, start: Spot = START, **more: Any) -> list[bytes]:
    """The records of a file as lines, as the tap has them; they are the same by way of values."""
    reader = reader_of(ParquetSettings(), OnDisk(path), start)
    reader.wanted = more.get("wanted")
    rows: list[bytes] = []
    for piece in reader.pieces():
        assert piece.as_rows is not None
        assert piece.columns is not None
        names = list(piece.columns)
        block = piece.as_rows({"_row": piece.numbers, "_file": b'"a"', **dict.fromkeys(names)})
        lines = block.block.splitlines(keepends=True)
        values = [piece.columns[name] for name in names]
        for number, line, *row in zip(piece.numbers, lines, *values, strict=True):
            members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            assert list(members) == ["_row", "_file", *names]
            assert [bytes(members[name]) for name in names] == [
                b"null" if value is None else bytes(value) for value in row
            ]
            rows.append(line.replace(b'{"_row":%d,"_file":"a",' % number, b"{").rstrip())
            assert rows[-1] != line.rstrip()
    return rows


def _array(kind: Any, values: list[Any]) -> Any:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


@pytest.mark.parametrize(("kind", "values", "texts", "schema"), TYPES, ids=[str(one[0]) for one in TYPES])
def test_a_type_comes_as_it_stands(
    tmp_path: Path, kind: Any, values: list[Any], texts: str, schema: dict[str, Any]
) -> None:
    path = _written(tmp_path / "a.parquet", pa.table({"x": _array(kind, [*values, None])}))

    lines = _rows(path)
    shown = [text.replace("~", " ") for text in texts.replace('": ', '":~').split(" ")]
    assert [line.decode() for line in lines] == [f'{{"x":{text}}}' for text in (*shown, "null")]
    fields = reader_of(ParquetSettings(), OnDisk(path), Spot()).fields
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    expected = types if "null" in types else ["null", *types]
    assert fields == {"x": {**schema, "type": expected}}


def test_a_slice_of_nested_columns_has_its_own_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "l": [[number, None] if number % 3 else None for number in range(500)],
            "m": pa.array(
                [[(str(number), number)] for number in range(500)], pa.map_(pa.string(), pa.int64())
            ),
            "s": [{"a": number, "b": [str(number)]} for number in range(500)],
            "t": ["x" * 20_000] * 500,
        }
    )
    path = _written(tmp_path / "a.parquet", table, row_group_size=200)

    assert [json.loads(line) for line in _rows(path)] == table.to_pylist(maps_as_pydicts="strict")
    pieces = list(reader_of(ParquetSettings(), OnDisk(path), Spot()).pieces())
    assert len(pieces) >= 10
    for piece in pieces:
        assert piece.as_rows is not None
        assert len(piece.as_rows({"t": None}).block) < 2 * PIECE_BYTES


def test_duckdb_reads_the_same_values(tmp_path: Path) -> None:
    chance = random.Random(7)
    count = 300
    table = pa.table(
        {
            "i": pa.array([chance.choice([None, chance.randrange(-(2**63), 2**63)]) for _ in range(count)]),
            "u": pa.array([chance.randrange(2**64) for _ in range(count)], pa.uint64()),
            "d": pa.array([Decimal(chance.randrange(-(10**37), 10**37)).scaleb(-9) for _ in range(count)], pa.decimal128(38, 9)),
            "f": pa.array([chance.uniform(-1, 1) * 10 ** chance.randrange(-300, 300) for _ in range(count)]),
            "g": pa.array([chance.uniform(-1, 1) * 10 ** chance.randrange(-30, 30) for _ in range(count)], pa.float32()),
            "t": pa.array(["".join(chance.choices('aü"\\\n\t😀 ', k=9)) for _ in range(count)]),
            "b": pa.array([chance.randbytes(7) for _ in range(count)]),
            "ts": pa.array([chance.randrange(-(10**16), 10**17) for _ in range(count)], pa.timestamp("us")),
            "date": pa.array([chance.randrange(-700_000, 2_900_000) for _ in range(count)], pa.int32()).cast(pa.date32()),
            "l": pa.array([[None, chance.random()] for _ in range(count)]),
        }
    )  # fmt: skip
    path = _written(tmp_path / "a.parquet", table, row_group_size=77)

    lines = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]) for line in _rows(path)]
    # floats are compared as what their text stands for in their own width, all else as text
    read = duckdb.sql(
        f"select i::varchar, u::varchar, d::varchar, f, g, t, base64(b), strftime(ts, '%Y-%m-%dT%H:%M:%S.%f'), date::varchar, l "
        f"from '{path}'"
    ).fetchall()
    for line, row in zip(lines, read, strict=True):
        texts = {name: msgspec.json.decode(value) for name, value in line.items()}
        i, u, d, f, g, t, b, ts, date, items = row
        assert [bytes(line[name]).decode() for name in "iu"] == [i or "null", u]
        assert Decimal(bytes(line["d"]).decode()) == Decimal(d)
        assert float(bytes(line["f"])) == f
        assert pa.scalar(float(bytes(line["g"]))).cast(pa.float32()).as_py() == g
        assert [texts[name] for name in ("t", "b", "ts", "date", "l")] == [t, b, ts, date, items]


def test_a_read_goes_on_behind_any_piece_and_reads_no_group_before_it(tmp_path: Path) -> None:
    table = pa.table({"id": list(range(300)), "t": ["y" * 30_000] * 300})
    path = _written(tmp_path / "a.parquet", table, row_group_size=100)
    whole = _rows(path)

    spots = [piece.behind for piece in reader_of(ParquetSettings(), OnDisk(path), Spot()).pieces()]
    assert len(spots) > 5
    for spot in [spots[0], spots[len(spots) // 2], spots[-1]]:
        assert spot is not None
        assert _rows(path, start=spot) == whole[spot.row :]

    content = bytearray(path.read_bytes())
    first = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content[first.dictionary_page_offset + 20 : first.dictionary_page_offset + 60] = bytes(40)
    path.write_bytes(content)
    assert _rows(path, start=Spot(row=100)) == whole[100:]
    assert len(_rows(path, wanted=["id"])) == 300  # the damaged column is not read
    with pytest.raises(UnreadableFile, match=r"damage in row group 1 \(rows 1 to 100, from byte 4 on\)"):
        _rows(path)


def test_without_a_column_the_rows_are_counted(tmp_path: Path) -> None:
    path = _written(tmp_path / "a.parquet", pa.table({"id": [1, 2], "a.b": [3, 4]}))
    reader = reader_of(ParquetSettings(), OnDisk(path), Spot())
    reader.wanted = []
    assert [piece.count for piece in reader.pieces()] == [2]
    assert _rows(path, wanted=["a.b"]) == [b'{"a.b":3}', b'{"a.b":4}']


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    path = _written(tmp_path / "a.parquet", pa.table({"id": pa.array([], pa.int64())}))
    reader = reader_of(ParquetSettings(), OnDisk(path), Spot())
    assert reader.fields == {"id": {"type": ["null", "integer"]}}
    assert list(reader.pieces()) == []


def test_numbers_that_json_does_not_have_end_the_run_or_are_null(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pa.table({"x": [1.0, float("nan")], "l": [[float("inf")], [0.5]]})
    path = _written(tmp_path / "a.parquet", table)

    with pytest.raises(
        UnreadableFile, match=r"in rows 1 to 2: its column `x` holds a number that is NaN.*`parquet`"
    ):
        _rows(path)
    reader = reader_of(parquet_settings({"infinity": "null"}), OnDisk(path), Spot())
    (piece,) = iterated = list(reader.pieces())
    assert piece.as_rows is not None
    assert piece.as_rows({"x": None, "l": None}).block == b'{"x":1,"l":[null]}\n{"x":null,"l":[0.5]}\n'
    assert iterated
    assert PARQUET["properties"]["infinity"]["default"] == ParquetSettings().infinity


def test_the_numbers_that_are_null_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _written(tmp_path / "a.parquet", pa.table({"x": [float("nan")] * 3}))
    for piece in reader_of(ParquetSettings("null"), OnDisk(path), Spot()).pieces():
        assert piece.as_rows is not None
        piece.as_rows({"x": None})
    assert "3 numbers that are NaN or infinite were sent as null" in caplog.text


def test_moments_of_int96_are_of_any_year(tmp_path: Path) -> None:
    micros = [253402300799999999, -62135596800000000, 0, None]
    path = _written(
        tmp_path / "a.parquet",
        pa.table({"x": pa.array(micros, pa.timestamp("us"))}),
        use_deprecated_int96_timestamps=True,
    )
    assert _rows(path) == [
        b'{"x":"9999-12-31T23:59:59.999999000"}',
        b'{"x":"0001-01-01T00:00:00"}',
        b'{"x":"1970-01-01T00:00:00"}',
        b'{"x":null}',
    ]
    nanos = pa.table({"x": pa.array([NANOS], pa.timestamp("ns"))})
    path = _written(tmp_path / "b.parquet", nanos, use_deprecated_int96_timestamps=True)
    assert _rows(path) == [b'{"x":"2026-01-01T00:00:00.123456789"}']
    inside = pa.table({"x": pa.array([[NANOS]], pa.list_(pa.timestamp("ns")))})
    path = _written(tmp_path / "c.parquet", inside, use_deprecated_int96_timestamps=True)
    with pytest.raises(UnreadableFile, match="old INT96 inside of another column"):
        reader_of(ParquetSettings(), OnDisk(path), Spot())


def _file(table: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


GOOD = _file(pa.table({"id": [1]}))
NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "without the end that each has"),
        (b"id,name\n1,x\n", "without the end that each has"),
        (GOOD[:-9], "without the end that each has"),
        (GOOD[:-4] + b"PARE", "Expected Parquet that is not encrypted"),
        (_file(pa.table([[1], [2]], names=["a", "a"])), "two that are called `a`"),
        (
            _file(pa.table({"m": pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()))})),
            "its column `m` holds a map with the same key twice",
        ),
        (_file(pa.table({"t": NOT_UTF8})), "damage in row group 1 .*UTF8"),
        (
            _file(pa.table({"j": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{a}"]))})),
            "its column `j` holds a document that is no JSON",
        ),
    ],
    ids=["empty", "csv", "cut", "encrypted", "two names", "two keys", "not UTF-8", "no JSON"],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=sentence) as told:
        _rows(path)
    assert "\n" not in str(told.value)
