"""What is written: rows as COPY reads them, nested values as JSON text, the value of a STATE.

COPY's reading is done here by code of its own, as PostgreSQL documents its CSV; `test_fuzz.py` lets the server read
too. Numbers keep every digit, text every character, and one line stays one line.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Raw

from singerkit_state.value import decode, encode
from singerkit_wire.exact import RejectedRow, compile_exact
from singerkit_wire.stream import stream_of
from singerkit_wire.unstorable import Policy
from target_postgres.rows import as_csv

__all__ = ["check", "expected", "rows_in", "seeds"]

COLUMNS = 4
_exact = compile_exact(
    stream_of("s", {"properties": {"j": {}}}, ()),
    validate=True,
    policy=Policy.QUARANTINE,
    extra=(),
    forbid_extra=False,
)


def check(data: bytes) -> None:
    """Raise when a property of this module does not hold for what ``data`` stands for."""
    rows = rows_in(data)
    if rows:
        assert read_csv(as_csv(rows)) == [expected(row) for row in rows]
    _check_json(data)


# --- rows -----------------------------------------------------------------------------------------------------


def rows_in(data: bytes) -> list[tuple[Any, ...]]:
    """Rows of values: a byte for the kind, a byte for the length, the bytes that the value is made of."""
    values: list[Any] = []
    at = 0
    while at + 2 <= len(data) and len(values) < 400:
        kind, size = data[at], data[at + 1]
        values.append(_value(kind, data[at + 2 : at + 2 + size]))
        at += 2 + size
    values += [None] * (-len(values) % COLUMNS)
    return [tuple(values[start : start + COLUMNS]) for start in range(0, len(values), COLUMNS)]


def _value(kind: int, data: bytes) -> Any:
    number = int.from_bytes(data, "big", signed=True)
    text = data.decode("utf-8", "ignore").replace("\x00", "")
    match kind % 11:
        case 0:
            return None
        case 1:
            return bool(number % 2)
        case 2:
            return number % 2**63 if number % 2 else -(number % 2**63)
        case 3 | 4:
            return text
        case 5:  # text as it stands on the wire, as the block path leaves it
            return Raw(json.dumps(text, ensure_ascii=False).encode())
        case 6:
            return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
                seconds=number % (2**33), microseconds=number % 10**6
            )
        case 7:
            return datetime.date.fromordinal(1 + number % 3_652_059)
        case 8:
            return uuid.UUID(int=number % 2**128)
        case 9:
            return Raw(f"{number}.{abs(number) % 1000:03}e{number % 300}".encode())
        case _:
            return json.dumps({"a": text, text: [number]})


def expected(row: tuple[Any, ...]) -> list[str | None]:
    """What COPY must read: text, or None for NULL."""
    return [_text_of(value) for value in row]


def _text_of(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Raw):
        text = bytes(value).decode()
        return str(json.loads(text)) if text.startswith('"') else text
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value if isinstance(value, str) else str(value)


def read_csv(data: bytes) -> list[list[str | None]]:
    """Read CSV as COPY does with QUOTE '"', ESCAPE '\\', NULL 'null': a quote may hold anything, a newline too."""
    rows: list[list[str | None]] = [[]]
    text, at = data.decode(), 0
    while at < len(text):
        value, quoted = "", False
        while at < len(text) and text[at] not in ",\n":
            if text[at] != '"':
                value, at = value + text[at], at + 1
                continue
            quoted, at = True, at + 1
            while text[at] != '"':
                if text[at] == "\\" and text[at + 1] in '"\\':
                    at += 1
                value, at = value + text[at], at + 1
            at += 1
        rows[-1].append(None if value == "null" and not quoted else value)
        assert at < len(text), "the last line has no end"
        if text[at] == "\n":
            rows.append([])
        at += 1
    assert rows.pop() == []
    return rows


# --- JSON -----------------------------------------------------------------------------------------------------


def _check_json(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        value = decode(text)
    except ValueError:
        return
    again = encode(value)
    again.encode()
    assert "\n" not in again
    assert _same(decode(again), value), f"{value!r} became {again}"
    line = b'{"type": "RECORD", "stream": "s", "record": {"j": ' + again.encode() + b"}}\n"
    try:
        (stored,) = _exact.decode(line)
    except RejectedRow as rejected:
        if rejected.is_malformed:
            raise
        return
    if stored is None:
        assert value is None
        return
    read = bytes(stored).decode() if isinstance(stored, Raw) else stored
    assert "\n" not in read
    assert _same(decode(read), value), f"{value!r} was stored as {read}"


def _same(one: Any, other: Any) -> bool:
    """Equal, numbers by value and digits, and of the same kind: True is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        try:
            return Decimal(one) == Decimal(other)
        except InvalidOperation:
            return False
    return type(one) is type(other) and bool(one == other)


def seeds() -> Iterator[bytes]:
    """Inputs to begin with: rows, and JSON."""

    def row(*values: tuple[int, bytes]) -> bytes:
        return b"".join(bytes([kind, len(data)]) + data for kind, data in values)

    for text in (
        '"',
        "\\",
        "\\.",
        "\n",
        "\r\n\t\b\f",
        "null",
        "],[",
        "]\n[",
        "\x01\x1f",
        "é😀\u2028",
        "",
        '\\"',
        "\\u0041",
    ):
        yield row((3, text.encode()), (5, text.encode()), (10, text.encode()), (4, (text * 3).encode()))
    yield row((0, b""), (1, b"\x01"), (2, b"\xff\x00\xff"), (6, b"\x7f\x11\x22\x33"))
    yield row((7, b"\x10\x20\x30"), (8, b"0123456789abcdef"), (9, b"\x01\x02"), (2, b"\x80" + b"\x00" * 7))
    yield b'{"bookmarks":{"orders":{"at":1.10,"n":12345678901234567890,"e":1E400}},"_singerkit":{"run":"r"}}'
    yield b'["\\udfff","\\udc00\\ud83d","\\ud83d\\ude00",{"\\uda00":"\\ud900"}]'
    yield b'["\\ud800","\\u0000",null,true,-0,-0.0,1e-400,{"":{}}]'
    yield b"[" * 400 + b"]" * 400
