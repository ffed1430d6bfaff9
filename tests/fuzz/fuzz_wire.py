"""The wire, from bytes to rows: `lines.py`, `messages.py`, and a block decoded by both paths.

Whatever the bytes are, nothing but `BadDataError` comes out; however they are cut into chunks, the messages are the
same, and what a plain reading of each line says; and both paths give the same rows and set the same records aside.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import StopFlag
from singerkit_wire.batch import Batch
from singerkit_wire.blocks import BlockDecoder, Judgement, MalformedLine
from singerkit_wire.kinds import Kind
from singerkit_wire.lines import Chunk, read_chunks
from singerkit_wire.messages import Run, Splitter
from singerkit_wire.stream import stream_of
from singerkit_wire.unstorable import Policy

__all__ = ["SCHEMA", "check", "seeds"]

LONGEST = 4000
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "i": {"type": ["integer", "null"]},
        "n": {"type": ["number", "null"]},
        "b": {"type": ["boolean", "null"]},
        "t": {"type": ["string", "null"]},
        "d": {"type": ["string", "null"], "format": "date"},
        "dt": {"type": ["string", "null"], "format": "date-time"},
        "ti": {"type": ["string", "null"], "format": "time"},
        "u": {"type": ["string", "null"], "format": "uuid"},
        "x": {"type": ["string", "null"], "contentEncoding": "base64"},
        "o": {"type": ["object", "null"], "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "l": {"type": ["array", "null"], "items": {"type": ["string", "number"]}},
        "j": {},
        "s": {"type": "string", "minLength": 1, "maxLength": 5},
    },
}
_log = logging.getLogger("fuzz")
_log.disabled = True


class _Pieces:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size, self._at = data, size, 0

    def read(self, _size: int) -> bytes:
        piece = self._data[self._at : self._at + self._size]
        self._at += len(piece)
        return piece


def check(data: bytes) -> None:
    """Raise when a property of this module does not hold for ``data``; its first byte says how it is cut."""
    if not data:
        return
    size, wire = data[0] + 1, data[1:]
    small, whole = _messages(wire, size), _messages(wire, len(wire) + 1)
    assert small == whole, f"cut into {size}: {small}\nwhole: {whole}"
    _compare_with_plain_reading(wire, whole)
    for run in _runs(wire):
        fast, exact = _rows(run, always_exact=False), _rows(run, always_exact=True)
        assert fast == exact or _is_known(run, exact), f"block path: {fast}\nexact path: {exact}"


def _is_known(run: Run, exact: Any) -> bool:
    """Bytes that are not UTF-8 in a member that nobody reads: the block path does not see them, nothing is stored."""
    try:
        run.data.decode()
    except UnicodeDecodeError:
        return isinstance(exact, str)
    return False


def _chunks(wire: bytes, size: int) -> Iterator[Chunk]:
    source: Any = _Pieces(wire, size)
    yield from read_chunks(source, chunk_bytes=size, max_line_bytes=LONGEST, wait_seconds=60, stop=StopFlag())


Seen = tuple[str, str, int, bytes]
"""A message: its type, its stream, its line number, the line."""


def _messages(wire: bytes, size: int) -> tuple[list[Seen], str]:
    """Every message up to the first that is none, and what was said about that."""
    found: list[Seen] = []
    splitter = Splitter()
    try:
        for chunk in _chunks(wire, size):
            for part in splitter.split(chunk):
                if isinstance(part, Run):
                    lines = part.data.removesuffix(b"\n").split(b"\n")
                    # A run may hold blank lines at its end: where the chunk did.
                    for index, line in enumerate(lines):
                        if line.strip():
                            found.append(("RECORD", part.stream, part.line_number(index), line))
                else:
                    found.append((part.type, part.stream or "", part.number, part.line))
    except BadDataError as error:
        # Records after the last other message are given up with the line that is none: they wait in a run or not.
        while found and found[-1][0] == "RECORD":
            found.pop()
        return _in_order(found), str(error)
    return _in_order(found), ""


def _in_order(found: list[Seen]) -> list[Seen]:
    """As they came: between two other messages a chunk gives the records of each stream together."""
    return sorted(found, key=lambda seen: seen[2])


def _compare_with_plain_reading(wire: bytes, seen: tuple[list[Seen], str]) -> None:
    """Every line up to the end, or up to the complaint, was taken for what it plainly says."""
    found, complaint = seen
    by_number = {number: (kind, stream) for kind, stream, number, _ in found}
    assert len(by_number) == len(found), "a line came twice"
    last = max(by_number, default=0)
    text = wire.removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(text.split(b"\n"), 1):
        if complaint and number > last:
            return
        if not line or line.isspace():
            assert number not in by_number
            continue
        said = _plainly(line)
        if said is not None:
            kind, stream = by_number[number]
            assert kind == said[0].upper(), (number, kind, said)
            assert kind != "RECORD" or stream == said[1], (number, stream, said)


def _plainly(line: bytes) -> tuple[str, str] | None:
    """Type and stream of a line that is a JSON object which names each of them once; else None."""
    try:
        pairs: Any = json.loads(line, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    if not line.lstrip().startswith(b"{") or not all(isinstance(pair, tuple) for pair in pairs):
        return None
    kinds = [value for key, value in pairs if key == "type"]
    streams = [value for key, value in pairs if key == "stream"]
    if len(kinds) != 1 or len(streams) > 1 or not isinstance(kinds[0], str):
        return None
    if not all(isinstance(stream, str) for stream in streams):
        return None
    return kinds[0], streams[0] if streams else ""


def _runs(wire: bytes) -> Iterator[Run]:
    splitter = Splitter()
    try:
        for chunk in _chunks(wire, len(wire) + 1):
            yield from (part for part in splitter.split(chunk) if isinstance(part, Run))
    except BadDataError:
        return


def _rows(run: Run, *, always_exact: bool) -> Any:
    """Rows as what they mean and places of the records set aside; or the line that is no message."""
    judgement = Judgement(unstorable=Policy.QUARANTINE, quarantine=True)
    stream = stream_of(run.stream or "s", SCHEMA, ())
    decoder = BlockDecoder(stream, judgement, lambda stream: stream, _log, always_exact=always_exact)
    try:
        batches, rejects = decoder.decode(run)
    except MalformedLine as error:
        return f"malformed at {error}".partition(" at line ")[2].partition(",")[0]
    return _meanings(batches), [(reject.line, reject.path) for reject in rejects]


def _meanings(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    return [
        {
            column.name: _meaning(value, column.kind)
            for column, value in zip(batch.columns, row, strict=True)
            if value is not msgspec.UNSET
        }
        for batch in batches
        for row in batch.wire_rows
    ]


def _meaning(value: Any, kind: Kind) -> Any:
    if value is None or (isinstance(value, msgspec.Raw) and bytes(value) == b"null"):
        return None  # NULL, either way
    if isinstance(value, datetime.datetime):
        return (
            value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC)
            if value.year > 1
            else str(value)
        )
    if isinstance(value, datetime.time) and value.tzinfo is not None and not value.utcoffset():
        return value.replace(tzinfo=None)  # the column has no zone
    raw = bytes(value).decode() if isinstance(value, msgspec.Raw) else None
    if kind in (Kind.NUMBER, Kind.BIG_INTEGER, Kind.INTEGER):
        return Decimal(raw.strip('"') if raw is not None else str(value))
    if kind is Kind.JSON:
        return "JSON", _exactly(raw if raw is not None else str(value))  # the JSON null is not NULL
    return json.loads(raw) if raw is not None else value


def _exactly(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    good = {
        "i": 7,
        "n": 1.10,
        "b": True,
        "t": 'plain "quoted" \\ é',
        "d": "2026-02-28",
        "dt": "2026-02-28T23:59:58.123456+05:30",
        "ti": "23:59:59",
        "u": "01234567-89ab-cdef-0123-456789abcdef",
        "x": "AAH/",
        "o": {"a": 1},
        "l": ["a", 1.5],
        "j": {"deep": [None, {}]},
        "s": "abc",
    }

    def record(**fields: Any) -> bytes:
        return json.dumps({"type": "RECORD", "stream": "s", "record": good | fields}).encode()

    yield b"\x40" + b"\n".join([record(i=number) for number in range(4)]) + b"\n"
    yield b"\x00" + record() + b"\r\n\r\n" + record(t=None) + b"\n\n"
    yield b"\xff\xef\xbb\xbf" + record(d="2026-02-30") + b"\n" + record(dt="0000-01-01T00:00:00Z")
    yield (
        b"\x10"
        + b'{"stream":"s","type":"record","record":{"i":1}}\n{"type":"STATE","value":{}}\n'
        + record()
        + b"\n"
    )
    yield b"\x20" + b'{"type":"RECORD","stream":"s","record":{"i":1e3,"n":1E400,"t":"\\u0000"}}\n'
    yield b"\x20" + b'{"type":"RECORD","stream":"s","record":{"t":"\\ud800","j":NaN}}\n'
    yield b"\x21" + b'{"type":"RECORD","stream":"s","record":{"i":9223372036854775808,"i":1}}\n'
    yield b"\x22" + b'{"type":"SCHEMA","stream":"s","schema":{},"key_properties":[]}\n{"type":"Odd"}\n[]\n'
    yield (
        b"\x23"
        + b'{"type":"RECORD","stream":"a","record":{}}\n{"type":"RECORD","stream":"b","record":{}}\n' * 2
    )
    yield (
        b"\x27"
        + b"\n".join([record(ti=text) for text in ("23:59:59.9999999", "24:00:00", "23:59:60", "1:2:3")])
        + b"\n"
    )
    moments = (
        "2026-02-28T23:59:59.999999+05:30",
        "2016-12-31T23:59:60Z",
        "9999-12-31T23:59:59.9999999Z",
        "0001-01-01T00:00:00+14:00",
        "2026-02-28",
    )
    yield b"\x28" + b"\n".join([record(dt=text, d=text) for text in moments]) + b"\n"
    yield b"\x24" + b'{"type":"RECORD","stream":"s","record":{"j":' + b"[" * 300 + b"]" * 300 + b"}}\n"
    yield b"\x25" + b'{"type": "RECORD", "stream": "s", "record": {"t": "cut'
    yield (
        b"\x26" + b'{"type":"RECORD","stream":"s","record":{"extra":1,"s":"","l":[true],"o":{}}}\n' + record()
    )
    short = b'{"type":"RECORD","stream":"s","record":{"s":"a"}}\n'
    state = b'{"type":"STATE","value":{}}\n'
    yield b"\xff" + (short * 3 + state + b'{"type":"RECORD","stream":"r","record":{}}\n') * 6
    yield b"\xfe" + (short * 3 + state) * 8
    yield b"\x2b" + record(ti="10:00:00+05:00") + b"\n" + record(ti="10:00:00Z") + b"\n"
    yield b"\x29" + b"\n".join([record(t="nul \x00"), record(j={"a": "\x00"}), record(j={"\x00": 1})]) + b"\n"
    numbers = (b"1e99999", b"-0", b"1E+2", b"0." + b"1" * 50)
    yield b"\x2a" + b"\n".join([record().replace(b'"n": 1.1', b'"n": ' + text) for text in numbers])
