"""Streams as people have them, each written as a Singer file: orders whose schema, values, order or messages are not plain."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orders import json_schema, orders

__all__ = ["PLAIN", "STREAMS", "WIDE", "OddStream", "write"]

ROWS_PER_STATE = 10_000
Record = dict[str, Any]


@dataclass(frozen=True)
class OddStream:
    """``lines`` writes the file of so many rows; ``goal`` is how many times as long as the plain stream a row may take.

    ``config`` is what such a stream needs beside the connection. ``again``: the second load of the same rows counts.
    """

    name: str
    goal: float
    lines: Callable[[int], Iterator[str]]
    config: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False


def write(stream: OddStream, count: int, path: Path) -> None:
    """Write the file unless it is there already."""
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        file.writelines(stream.lines(count))
    unfinished.rename(path)


def _records(count: int, *, nested: bool = False) -> Iterator[Record]:
    return (json.loads(record) for record, _, _ in orders(count, nested=nested))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _schema(schema: Any, stream: str = "orders", keys: Sequence[str] = ("id",)) -> str:
    return _text({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": keys}) + "\n"


def _record(record: Record, stream: str = "orders") -> str:
    return f'{{"type":"RECORD","stream":"{stream}","record":{_text(record)}}}\n'


def _state(number: int) -> str:
    return f'{{"type":"STATE","value":{{"bookmarks":{{"orders":{{"replication_key_value":{number}}}}}}}}}\n'


def _one_stream(schema: Any, records: Iterator[Record]) -> Iterator[str]:
    yield _schema(schema)
    number = 0
    for number, record in enumerate(records, 1):
        yield _record(record)
        if number % ROWS_PER_STATE == 0:
            yield _state(number)
    yield _state(number)


def _plain(count: int) -> Iterator[str]:
    return _one_stream(json_schema(nested=False), _records(count))


def _with(changes: Mapping[str, Any], *, nested: bool = False, **top: Any) -> dict[str, Any]:
    schema: dict[str, Any] = json_schema(nested=nested)
    return {**schema, "properties": {**schema["properties"], **changes}, **top}


_UNSIGNED = {"type": ["null", "integer"], "minimum": 0, "maximum": 2**64 - 1}
_COUNT = {"type": ["null", "integer"], "minimum": 0, "maximum": 1000, "multipleOf": 1}
_PRICE = {"type": ["null", "number"], "minimum": 0, "maximum": 99999999.99, "multipleOf": 0.01}
_TOTAL = {"type": ["null", "number"], "exclusiveMinimum": -1}


def _bounded(count: int) -> Iterator[str]:
    changes = {"coupon_id": _UNSIGNED, "quantity": _COUNT, "price": _PRICE, "total": _TOTAL}
    return _one_stream(_with(changes), _records(count))


_AMOUNT = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]}
_SIZED = {
    "anyOf": [
        {"type": "object", "properties": {"qty": {"type": "integer"}}, "required": ["qty"]},
        {"type": "object", "properties": {"none": {"type": "boolean"}}, "required": ["none"]},
    ]
}


def _any_of_inside(count: int) -> Iterator[str]:
    shipping = {"type": ["null", "object"], "properties": {"carrier": _SIZED, "weight_kg": _AMOUNT}}
    shipping["properties"] |= {
        "carrier": {"anyOf": [{"type": "string", "maxLength": 80}, {"type": "string"}]}
    }
    items = {"type": ["null", "array"], "items": _SIZED}
    return _one_stream(
        _with({"shipping": shipping, "items": items}, nested=True), _records(count, nested=True)
    )


def _pattern_properties(count: int) -> Iterator[str]:
    shipping = {
        "type": ["null", "object"],
        "properties": {"address": {"type": ["null", "object"]}},
        "patternProperties": {"^c": {"type": ["null", "string"]}, "_kg$": {"type": ["null", "number"]}},
    }
    return _one_stream(_with({"shipping": shipping}, nested=True), _records(count, nested=True))


def _any_of_at_the_top(count: int) -> Iterator[str]:
    either = [{"required": ["quantity"]}, {"required": ["coupon_id"]}]
    return _one_stream(_with({}, anyOf=either), _records(count))


def _odd(change: Callable[[Record], Record | str]) -> Callable[[int], Iterator[str]]:
    """One row in a hundred is another one, at random places."""

    def lines(count: int) -> Iterator[str]:
        rng = random.Random(7)
        schema = _with({"created_at": {"type": ["null", "string"], "format": "date-time"}})
        records = (change(record) if rng.random() < 0.01 else record for record in _records(count))
        return _one_stream(schema, records)  # type: ignore[arg-type]

    return lines


def _mixed(record: Record) -> Record:
    kind = record["id"] % 4
    changes: Record = [
        {"quantity": 7.0},
        {"price": float("nan")},
        {"created_at": ""},
        {"note": "a\x00b"},
    ][kind]
    return record | changes


def _without_optional(share: float) -> Callable[[int], Iterator[str]]:
    def lines(count: int) -> Iterator[str]:
        rng = random.Random(11)
        records = (
            {name: value for name, value in record.items() if name == "id" or rng.random() >= share}
            for record in _records(count)
        )
        return _one_stream(json_schema(nested=False), records)

    return lines


def _interleaved(count: int) -> Iterator[str]:
    streams = [f"orders_{number}" for number in range(50)]
    for stream in streams:
        yield _schema(json_schema(nested=False), stream)
    number = 0
    for number, record in enumerate(_records(count), 1):
        yield _record(record, streams[number % 50])
        if number % ROWS_PER_STATE == 0:
            yield _state(number)
    yield _state(number)


def _many_small(count: int) -> Iterator[str]:
    records = _records(count)
    for number in range(count // 20):
        stream = f"orders_{number}"
        yield _schema(json_schema(nested=False), stream)
        for _ in range(20):
            yield _record(next(records), stream)
        yield _state(number)


def _schema_again(count: int) -> Iterator[str]:
    schema = _schema(json_schema(nested=False))
    for number, record in enumerate(_records(count)):
        if number % 100 == 0:
            yield schema
        yield _record(record)
    yield _state(count)


def _state_each(count: int) -> Iterator[str]:
    yield _schema(json_schema(nested=False))
    for number, record in enumerate(_records(count)):
        yield _record(record)
        yield _state(number)


_SMALL = ("quantity", "coupon_id", "price", "paid", "gift")


def _wide(count: int) -> Iterator[str]:
    """1,000 columns: five of 200 orders side by side in each row, which PostgreSQL has a page for."""
    properties = json_schema(nested=False)["properties"]
    columns = {f"{name}_{part}": properties[name] for part in range(200) for name in _SMALL}
    yield _schema({"type": "object", "properties": {"id": {"type": "integer"}, **columns}})
    records = list(_records(1000))
    for number in range(max(count // 50, 1)):
        parts = enumerate(records[(number * 7 + part) % 1000] for part in range(200))
        row = {f"{name}_{part}": one[name] for part, one in parts for name in _SMALL}
        yield _record({"id": number, **row})
    yield _state(count)


_ONE_IN_A_HUNDRED = {"on_invalid": "quarantine", "quarantine_limit": 10**9}
_KEPT = {"missing_fields": "keep"}
PLAIN = OddStream("plain", 1, _plain)
WIDE = OddStream("1,000 columns, by bytes", 2, _wide)
STREAMS = [
    OddStream("numbers with minimum, maximum and multipleOf", 1.3, _bounded),
    OddStream("anyOf in objects and items", 3, _any_of_inside),
    OddStream("patternProperties", 3, _pattern_properties),
    OddStream("anyOf at the top", 3, _any_of_at_the_top),
    OddStream("7.0, NaN, an empty date or NUL in 1 % of rows", 2, _odd(_mixed), {"on_unstorable": "null"}),
    OddStream("a wrong type in 1 % of rows", 2, _odd(lambda r: r | {"quantity": "N/A"}), _ONE_IN_A_HUNDRED),
    OddStream("a wrong type in 1 % of rows, kept beside", 2, _odd(lambda r: r | {"quantity": "N/A"})),
    OddStream("optional fields absent in 10 %", 1.5, _without_optional(0.1)),
    OddStream("optional fields absent in 10 %, again", 1.5, _without_optional(0.1), again=True),
    OddStream("optional fields absent in 50 %", 1.5, _without_optional(0.5)),
    OddStream("optional fields absent in 50 %, again", 1.5, _without_optional(0.5), again=True),
    OddStream("optional fields absent in 10 %, kept", 1.5, _without_optional(0.1), _KEPT),
    OddStream("optional fields absent in 10 %, kept, again", 1.5, _without_optional(0.1), _KEPT, again=True),
    OddStream("optional fields absent in 50 %, kept", 1.5, _without_optional(0.5), _KEPT),
    OddStream("optional fields absent in 50 %, kept, again", 1.5, _without_optional(0.5), _KEPT, again=True),
    OddStream("50 streams interleaved", 1.5, _interleaved),
    OddStream("streams of 20 rows", 10, _many_small),
    OddStream("SCHEMA before each 100 rows", 1.5, _schema_again),
    OddStream("STATE after each row", 1.5, _state_each),
    WIDE,
]
