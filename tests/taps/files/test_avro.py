"""Avro: each type comes as it stands in the file, a read goes on behind any piece, and damage is said with its byte."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from taps.files.ondisk import OnDisk

from singerkit_wire.typedrows import RowMaker
from tap_files.formats.avro import reader_of
from tap_files.formats.contract import OtherSettings, Piece, Spot, UnreadableFile
from tap_files.settings.avro import AvroSettings, avro_settings

START = Spot()
NUMBER = {"type": ["null", "number"]}
TEXT = {"type": ["null", "string"]}


def _logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def _moment(name: str) -> dict[str, Any]:
    return _logical("long", name)


def _fixed(size: int, **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": "f", "size": size, **more}


MOMENT = {**TEXT, "format": "date-time"}
DAY = 86_400_000
TYPES: list[tuple[str, Any, list[Any], str, dict[str, Any]]] = [
    ("null", "null", [None], "null", {"type": ["null"]}),
    ("boolean", "boolean", [True, False], "true false", {"type": ["null", "boolean"]}),
    ("long", "long", [-(2**63), 2**63 - 1], "-9223372036854775808 9223372036854775807", {"type": ["null", "integer"]}),
    ("float", "float", [0.1, 16777217.0, 3e38, 1e-45], "0.1 16777216.0 3e38 1e-45", {**NUMBER, "format": "double"}),
    ("double", "double", [0.1 + 0.2, 1e300], "0.30000000000000004 1e300", {**NUMBER, "format": "double"}),
    ("string", "string", ['ü"\n'], r'"ü\"\n"', TEXT),
    ("bytes", "bytes", [b"\x00\xff", b""], '"AP8=" ""', {**TEXT, "contentEncoding": "base64"}),
    ("fixed", _fixed(2), [b"\x00\xff"], '"AP8="', {**TEXT, "contentEncoding": "base64"}),
    ("enum", {"type": "enum", "name": "e", "symbols": ["A", "B"]}, ["B", "A"], '"B" "A"', TEXT),
    (
        "decimal",
        _logical("bytes", "decimal", precision=60, scale=2),
        [(110).to_bytes(1, "big"), (-(10**50)).to_bytes(30, "big", signed=True)],
        f"1.10 -1{'0' * 48}.00",
        NUMBER,
    ),
    ("decimal as fixed", _fixed(2, logicalType="decimal", precision=4, scale=0), [b"\xff\xfe"], "-2", NUMBER),
    ("no decimal", _logical("bytes", "decimal", precision=2, scale=3), [b"\x01"], '"AQ=="', {**TEXT, "contentEncoding": "base64"}),
    ("date", _logical("int", "date"), [0, 2932897, -719163], '"1970-01-01" "10000-01-01" "0000-12-31"', {**TEXT, "format": "date"}),
    ("time-millis", _logical("int", "time-millis"), [DAY - 1], '"23:59:59.999"', {**TEXT, "format": "time"}),
    ("time-micros", _logical("long", "time-micros"), [1], '"00:00:00.000001"', {**TEXT, "format": "time"}),
    ("timestamp-millis", _moment("timestamp-millis"), [-1], '"1969-12-31T23:59:59.999Z"', MOMENT),
    ("timestamp-micros", _moment("timestamp-micros"), [2**53], '"2255-06-05T23:47:34.740992Z"', MOMENT),
    ("timestamp-nanos", _moment("timestamp-nanos"), [1767225600123456789], '"2026-01-01T00:00:00.123456789Z"', MOMENT),
    ("local-timestamp-micros", _moment("local-timestamp-micros"), [0], '"1970-01-01T00:00:00"', MOMENT),
    ("uuid", _logical("string", "uuid"), ["0" * 8], '"00000000"', {**TEXT, "format": "uuid"}),
    ("uuid as fixed", _fixed(16, logicalType="uuid"), [bytes(range(16))], '"00010203-0405-0607-0809-0a0b0c0d0e0f"', {**TEXT, "format": "uuid"}),
    ("duration", _fixed(12, logicalType="duration"), [struct.pack("<III", 14, 3, 1500)], '"P14M3DT1.5S"', TEXT),
    ("unknown logical type", _logical("long", "furlongs"), [7], "7", {"type": ["null", "integer"]}),
    ("or null", ["null", _logical("int", "date")], [None, 1], 'null "1970-01-02"', {**TEXT, "format": "date"}),
    (
        "one of several",
        ["null", _logical("int", "date"), "long", "bytes", "string", {"type": "array", "items": "float"}],
        [None, ("int", 1), 2**40, b"\x00", "x", [0.1]],
        'null "1970-01-02" 1099511627776 "AA==" "x" [0.1]',
        {"type": ["null", "integer", "string", "array"]},
    ),
    (
        "array",
        {"type": "array", "items": ["null", _logical("int", "date")]},
        [[None, 1], []],
        '[null,"1970-01-02"] []',
        {"type": ["null", "array"], "items": {**TEXT, "format": "date"}},
    ),
    (
        "map",
        {"type": "map", "values": _logical("bytes", "decimal", precision=4, scale=2)},
        [{'k"': b"\x01"}, {}],
        r'{"k\"":0.01} {}',
        {"type": ["null", "object"], "additionalProperties": NUMBER},
    ),
    (
        "record",
        {"type": "record", "name": "n.r", "fields": [{"name": "a", "type": "float"}, {"name": "b", "type": ["null", "r"]}]},
        [{"a": 0.1, "b": {"a": 0.5, "b": None}}],
        '{"a":0.1,"b":{"a":0.5,"b":null}}',
        {
            "type": ["null", "object"],
            "properties": {
                "a": {**NUMBER, "format": "double"},
                "b": {"type": ["null", "boolean", "number", "string", "array", "object"]},
            },
        },
    ),
]  # fmt: skip


def _without_logical(avro: Any) -> Any:
    """A schema by which fastavro writes the numbers and bytes that are given, and not what they stand for."""
    if isinstance(avro, dict):
        return {key: _without_logical(value) for key, value in avro.items() if key != "logicalType"}
    return [_without_logical(one) for one in avro] if isinstance(avro, list) else avro


def _record(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "row", "fields": [{"name": "x", "type": kind}]}


def _file(kind: Any, values: Sequence[Any], codec: str = "null", interval: int = 16000, **more: Any) -> bytes:
    """A file whose schema has its logical types, with values that are written as they are."""
    file = io.BytesIO()
    bare = _without_logical(_record(kind))
    fastavro.writer(file, fastavro.parse_schema(bare), [{"x": value} for value in values], codec=codec, sync_interval=interval, **more)  # fmt: skip
    content = file.getvalue()
    start, _ = content.split(b"avro.schema", 1)
    text = json.dumps(_record(kind)).encode()
    length = _zigzag(len(text))
    old = json.dumps(fastavro.reader(io.BytesIO(content))._schema)
    del start
    place = content.index(b"avro.schema") + len(b"avro.schema")
    end = place + len(_zigzag(len(old))) + len(old)
    return content[:place] + length + text + content[end:]


def _zigzag(number: int) -> bytes:
    written, rest = b"", number << 1
    while rest > 127:
        written += bytes([rest & 127 | 128])
        rest >>= 7
    return written + bytes([rest])


def _pieces(path: Path, start: Spot = START, **said: Any) -> list[Piece]:
    return list(reader_of(avro_settings(said), OnDisk(path, start.byte), start).pieces())


def _lines(pieces: Sequence[Piece]) -> list[str]:
    lines = []
    for piece in pieces:
        assert piece.columns is not None
        assert piece.count == len(piece.numbers)
        rows = RowMaker(list(piece.columns)).rows(zip(*piece.columns.values(), strict=True))
        lines += [bytes(row).decode() for row in rows]
    return lines


@pytest.mark.parametrize(("kind", "values", "texts", "schema"), [one[1:] for one in TYPES], ids=[one[0] for one in TYPES])  # fmt: skip
def test_a_type_comes_as_it_stands(
    tmp_path: Path, kind: Any, values: list[Any], texts: str, schema: dict[str, Any]
) -> None:
    path = tmp_path / "a.avro"
    path.write_bytes(_file(kind, values))
    assert reader_of(AvroSettings(), OnDisk(path), START).fields == {"x": schema}
    assert _lines(_pieces(path)) == [f'{{"x":{text}}}' for text in texts.split(" ")]


def test_values_that_are_no_records_have_a_column(tmp_path: Path) -> None:
    path = tmp_path / "a.avro"
    with path.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema("long"), [1, 2])
    assert _lines(_pieces(path)) == ['{"value":1}', '{"value":2}']


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_a_codec_is_unpacked_and_a_read_goes_on_behind_any_piece(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.avro"
    values = [f"{number:06}" * 500 for number in range(1200)]
    path.write_bytes(_file("string", values, "null" if codec == "zstandard" else codec, 200_000))
    if codec == "zstandard":
        path.write_bytes(_as_zstandard(path.read_bytes()))
    pieces = _pieces(path)
    assert _lines(pieces) == [f'{{"x":"{value}"}}' for value in values]
    if codec == "null":
        assert len(pieces) > 2
    for piece in pieces:
        assert piece.behind is not None
        # the state holds JSON
        spot = msgspec.json.decode(msgspec.json.encode(piece.behind), type=Spot)
        rest = _pieces(path, spot)
        assert _lines(rest) == [f'{{"x":"{value}"}}' for value in values[piece.behind.row :]]
        assert [number for one in rest for number in one.numbers] == [*range(piece.behind.row + 1, 1201)]


def _as_zstandard(content: bytes) -> bytes:
    """The same file, each block packed: fastavro needs a package for it that is none of ours."""
    from backports import zstd

    sync = content[-16:]
    head, *blocks = content.split(sync)
    written = head.replace(b"avro.codec\x08null", b"avro.codec" + _zigzag(9) + b"zstandard") + sync
    for block in blocks[:-1]:
        file = io.BytesIO(block)
        count, size = _read_long(file), _read_long(file)
        packed = zstd.compress(file.read(size))
        written += _zigzag(count) + _zigzag(len(packed)) + packed + sync
    return written


def _read_long(file: io.BytesIO) -> int:
    number = shift = 0
    while (byte := file.read(1)[0]) > 127:
        number |= (byte & 127) << shift
        shift += 7
    return (number | byte << shift) >> 1


def test_behind_a_long_header_a_read_passes_blocks_over(tmp_path: Path) -> None:
    path = tmp_path / "a.avro"
    kind = {"type": "string", "doc": "x" * 10_000}
    values = [f"{number:06}" * 500 for number in range(1000)]
    path.write_bytes(_file(kind, values, interval=200_000))
    spots = [piece.behind for piece in _pieces(path)]
    assert spots[0] is not None
    assert spots[0].byte == 0
    assert _lines(_pieces(path, spots[0])) == [f'{{"x":"{value}"}}' for value in values[spots[0].row :]]
    assert _lines(_pieces(path, Spot(row=3)))[0] == f'{{"x":"{values[3]}"}}'


def test_numbers_that_json_does_not_have_end_the_run_or_are_null(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.avro"
    path.write_bytes(_file({"type": "array", "items": ["null", "double"]}, [[float("nan"), 1.5, None]]))
    with pytest.raises(OtherSettings, match=r"in the block at byte \d+ .*NaN or infinite"):
        _pieces(path)
    assert _lines(_pieces(path, infinity="null")) == ['{"x":[null,1.5,null]}']
    assert "1 numbers that are NaN" in caplog.text


GOOD = _file("string", ["abc"] * 400, interval=400)
PACKED = _file("string", ["abc"] * 400, codec="deflate")
SNAPPY = _file("string", ["abc"] * 400, codec="snappy")
FIRST = GOOD.index(GOOD[-16:]) + 16


def _with(content: bytes, place: int, byte: int) -> bytes:
    return content[:place] + bytes([byte]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "got one of 0 bytes"),
        (b"id,name\n", "it is of another format"),
        (GOOD[: FIRST - 3], "Expected the header of 16 bytes, got the end of the file at byte"),
        (
            GOOD[:-3],
            f"Expected the marker behind a block of 16 bytes, got the end of the file at byte {len(GOOD) - 3}",
        ),
        (GOOD[:-40], f"Expected a block of .*, got the end of the file at byte {len(GOOD) - 40}"),
        (_with(GOOD, len(GOOD) - 1, GOOD[-1] ^ 1), f"got other bytes at byte {len(GOOD) - 16}"),
        (_with(GOOD, FIRST, 127), f"at byte {FIRST}, got one that says it has -64 records"),
        (
            _with(GOOD, FIRST + 5, 200),
            f"Expected values as the schema of the file says in the block at byte {FIRST} ",
        ),
        (GOOD[:FIRST] + b"\xff" * 12, "a number of more than 64 bits"),
        (GOOD[:FIRST] + _zigzag(1) + _zigzag(1 << 40), "block of at most"),
        (
            PACKED[:-30] + b"\xff" * 8 + PACKED[-22:],
            "the block at byte .* as its codec packs it|its beginning",
        ),
        (_with(SNAPPY, len(SNAPPY) - 17, SNAPPY[-17] ^ 1), "with its checksum, got another"),
        (
            GOOD.replace(b"avro.codec\x08null", b"avro.codec\x08lz77"),
            "Expected a codec of Avro .* got `lz77`",
        ),
        (GOOD.replace(b'"string"', b'"strang"'), "Expected a schema of Avro in the header"),
        (_file({"type": "array", "items": "null"}, []), "an array of values that take no bytes"),
    ],
)
def test_damage_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a.avro"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=sentence) as told:
        _pieces(path)
    assert "\n" not in str(told.value)
