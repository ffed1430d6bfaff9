"""Inputs that every target must take: one piece a rule, each with streams of its own.

A piece gets a function that makes stream names and returns messages. All pieces together are one run of the
target; where that run fails, each is loaded by itself, so that one fault does not hide the other rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from singerkit_check.suite.singer import RECORD, SCHEMA, STATE

__all__ = ["PIECES", "Names"]

Names = Callable[[str], str]
INTEGER, TEXT = {"type": "integer"}, {"type": ["string", "null"]}
ID = {"id": INTEGER}
ORDER = {"id": INTEGER, "name": TEXT}
TIME = {"type": ["string", "null"], "format": "date-time"}


def o03(stream: Names) -> list[Any]:
    unknown = {"type": "HEARTBEAT", "stream": stream("o03"), "at": 1}
    return [
        unknown,
        SCHEMA(stream("o03"), ORDER, ["id"]),
        unknown,
        RECORD(stream("o03"), {"id": 1, "name": "a"}),
        unknown,
        RECORD(stream("o03"), {"id": 2, "name": "b"}),
    ]


def o04(stream: Names) -> list[Any]:
    schema, one, two = (
        SCHEMA(stream("o04"), ORDER, ["id"]),
        RECORD(stream("o04"), {"id": 1}),
        RECORD(stream("o04"), {"id": 2}),
    )
    return [
        schema | {"type": "schema"},
        one | {"type": "record"},
        two | {"type": "Record"},
        STATE({"o04": 2}) | {"type": "State"},
    ]


def o05(stream: Names) -> list[Any]:
    text = "Größe – 寿司 🍣"
    return [
        SCHEMA(stream("o05"), ORDER, ["id"]),
        json.dumps(RECORD(stream("o05"), {"id": 1, "name": text}), ensure_ascii=False),
        json.dumps(RECORD(stream("o05"), {"id": 2, "name": text}), ensure_ascii=True),
    ]


DECIMALS = ["0.1", "-0.30000000000000004", "12345678901234567890.123456789012345678901234567890"]
INTEGERS = [9007199254740993, -9223372036854775808, 9223372036854775807]


def o07(stream: Names) -> list[Any]:
    properties = {"id": INTEGER, "big": {"type": ["integer", "null"]}, "exact": {"type": ["number", "null"]}}
    name = json.dumps(stream("o07"))
    rows = [f'{{"id": {n}, "big": {INTEGERS[n]}, "exact": {DECIMALS[n]}}}' for n in range(3)]
    return [
        SCHEMA(stream("o07"), properties, ["id"]),
        *(f'{{"type": "RECORD", "stream": {name}, "record": {row}}}' for row in rows),
    ]


def r03(stream: Names) -> list[Any]:
    return [
        SCHEMA(stream("r03"), ORDER, ["id"]),
        RECORD(stream("r03"), {"id": 1, "name": "a"}, time_extracted="2024-05-06T07:08:09.123456+02:00"),
    ]


def r05(stream: Names) -> list[Any]:
    a, b = stream("r05_a"), stream("r05_b")
    mixed = [RECORD((a, b)[n % 2], {"id": n, "name": f"row {n}"}) for n in range(20)]
    return [SCHEMA(a, ORDER, ["id"]), mixed[0], SCHEMA(b, ORDER, ["id"]), *mixed[1:]]


def r07(stream: Names) -> list[Any]:
    return [
        SCHEMA(stream("r07"), ORDER, ["id"]),
        RECORD(stream("r07"), {"id": 1, "name": "a"}, version=1541199424491),
    ]


def r08(stream: Names) -> list[Any]:
    rows = [{"id": n, "name": "a", "surplus": n} for n in range(3)]
    return [SCHEMA(stream("r08"), ORDER, ["id"]), *(RECORD(stream("r08"), row) for row in rows)]


def r09(stream: Names) -> list[Any]:
    properties = ORDER | {"note": TEXT}
    rows: list[dict[str, Any]] = [
        {"id": 1, "name": "a", "note": "x"},
        {"id": 2, "name": "b"},
        {"id": 3},
        {"id": 4, "note": None},
    ]
    return [SCHEMA(stream("r09"), properties, ["id"]), *(RECORD(stream("r09"), row) for row in rows)]


def s01(stream: Names) -> list[Any]:
    return [SCHEMA(stream("s01"), ORDER, []), RECORD(stream("s01"), {"id": 1, "name": "a"})]


def s04(stream: Names) -> list[Any]:
    schema = SCHEMA(stream("s04"), ORDER | {"at": TIME}, ["id"])
    row = RECORD(stream("s04"), {"id": 1, "name": "a", "at": "2024-01-01T00:00:00Z"})
    return [schema | {"bookmark_properties": ["at"]}, row]


def s06(stream: Names) -> list[Any]:
    schema = {
        "type": "SCHEMA",
        "stream": stream("s06"),
        "schema": {"properties": ORDER},
        "key_properties": ["id"],
    }
    return [schema, RECORD(stream("s06"), {"id": 1, "name": "a"})]


def s08(stream: Names) -> list[Any]:
    schema = {"type": "SCHEMA", "stream": stream("s08"), "schema": {}, "key_properties": []}
    return [schema, RECORD(stream("s08"), {"any": [1, {"b": None}], "thing": "x"})]


def s09(stream: Names) -> list[Any]:
    address = {"type": ["object", "null"], "properties": {"city": TEXT, "zip": {"$ref": "#/definitions/zip"}}}
    schema = {
        "type": "object",
        "definitions": {"zip": {"type": ["integer", "null"]}, "address": address},
        "properties": {
            "id": INTEGER,
            "zip": {"$ref": "#/definitions/zip"},
            "home": {"$ref": "#/definitions/address"},
        },
    }
    message = {"type": "SCHEMA", "stream": stream("s09"), "schema": schema, "key_properties": ["id"]}
    return [message, RECORD(stream("s09"), {"id": 1, "zip": 8000, "home": {"city": "Zürich", "zip": 8001}})]


def s11(stream: Names) -> list[Any]:
    old = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": {"id": INTEGER, "score": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
    }
    new = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"positive": {"type": "number", "exclusiveMinimum": 0}},
        "properties": {
            "id": INTEGER,
            "score": {"$ref": "#/$defs/positive"},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        },
    }
    return [
        {"type": "SCHEMA", "stream": stream("s11_old"), "schema": old, "key_properties": ["id"]},
        RECORD(stream("s11_old"), {"id": 1, "score": 0.5}),
        {"type": "SCHEMA", "stream": stream("s11_new"), "schema": new, "key_properties": ["id"]},
        RECORD(stream("s11_new"), {"id": 1, "score": 0.5, "pair": [1, "x"]}),
    ]


INSTANTS = [
    "2024-02-29T12:00:00Z",
    "2024-02-29T12:00:00.123456+05:30",
    "2024-02-29 12:00:00",
    "1969-12-31T23:59:59-08:00",
]


def s14(stream: Names) -> list[Any]:
    properties = {"id": INTEGER, "at": TIME, "price": {"type": ["number", "null"]}}
    rows = [{"id": n, "at": text, "price": n + 0.25} for n, text in enumerate(INSTANTS)]
    return [SCHEMA(stream("s14"), properties, ["id"]), *(RECORD(stream("s14"), row) for row in rows)]


def s15(stream: Names) -> list[Any]:
    first = SCHEMA(stream("s15"), ORDER, ["id"])
    changed = SCHEMA(stream("s15"), ORDER | {"added": {"type": ["integer", "null"]}}, ["id"])
    return [
        first,
        RECORD(stream("s15"), {"id": 1, "name": "a"}),
        first,
        RECORD(stream("s15"), {"id": 2, "name": "b"}),
        changed,
        RECORD(stream("s15"), {"id": 3, "name": "c", "added": 30}),
        first,
        RECORD(stream("s15"), {"id": 4, "name": "d"}),
        changed,
        RECORD(stream("s15"), {"id": 1, "name": "newest", "added": 10}),
    ]


MIXED: list[dict[str, Any]] = [
    {"id": 1, "any": "2024-01-01T00:00:00Z", "one": 1, "types": "x", "all": 1.5},
    {"id": 2, "any": None, "one": "two", "types": 2, "all": 2},
    {"id": 3, "any": "not a date", "one": None, "types": None, "all": None},
    {"id": 4, "any": None, "one": 4, "types": {"deep": [1]}, "all": 4},
]


def s16(stream: Names) -> list[Any]:
    properties = {
        "id": INTEGER,
        "any": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]},
        "one": {"oneOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        "types": {"type": ["string", "integer", "object", "null"]},
        "all": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    }
    return [SCHEMA(stream("s16"), properties, ["id"]), *(RECORD(stream("s16"), row) for row in MIXED)]


def s17(stream: Names) -> list[Any]:
    odd, other = stream("s17:A!b? c"), stream("S17:a!B? C")
    properties = {
        "_Id": INTEGER,
        "Name": TEXT,
        "name": TEXT,
        "agent:os!version?": TEXT,
        "with blank": TEXT,
        'say "hi"; --': TEXT,
        "select": TEXT,
        "%(x)s": TEXT,
    }
    return [
        SCHEMA(odd, properties, ["_Id"]),
        RECORD(odd, {name: 1 if name == "_Id" else f"value of {name}" for name in properties}),
        SCHEMA(other, ORDER, ["id"]),
        RECORD(other, {"id": 1, "name": "the other stream"}),
    ]


def g11(stream: Names) -> list[Any]:
    name = stream("g11")
    rows = [{"id": n % 3, "name": f"version {n}"} for n in range(9)]
    return [
        SCHEMA(name, ORDER, ["id"]),
        *(RECORD(name, row) for row in rows[:5]),
        STATE({"g11": 5}),
        *(RECORD(name, row) for row in rows[5:]),
        SCHEMA(stream("g11_two"), ORDER, ["name", "id"]),
        RECORD(stream("g11_two"), {"id": 1, "name": "a"}),
        RECORD(stream("g11_two"), {"id": 1, "name": "b"}),
        RECORD(stream("g11_two"), {"id": 1, "name": "a"}),
    ]


def g12(stream: Names) -> list[Any]:
    return [
        SCHEMA(stream("g12"), ORDER, []),
        *(RECORD(stream("g12"), {"id": 1, "name": "same"}) for _ in range(3)),
    ]


def g15(stream: Names) -> list[Any]:
    one, two = (json.dumps(RECORD(stream("g15"), {"id": n, "name": "a"})) for n in (1, 2))
    return [b"\n", SCHEMA(stream("g15"), ORDER, ["id"]), b"\n", b"  \n", one + "\r\n", b"\r\n", two]


def x11(stream: Names) -> list[Any]:
    properties = {
        "id": INTEGER,
        "code": {"type": ["string", "null"], "x-sql-datatype": "varchar(12)"},
        "price": {"type": ["string", "null"], "x-singer.decimal": True},
        "blob": {"type": ["string", "null"], "contentEncoding": "base64"},
    }
    return [
        SCHEMA(stream("x11"), properties, ["id"]),
        RECORD(stream("x11"), {"id": 1, "code": "abc", "price": "12.50", "blob": "AAEC/w=="}),
    ]


PIECES: dict[str, Callable[[Names], list[Any]]] = {
    piece.__name__: piece
    for piece in (
        o03,
        o04,
        o05,
        o07,
        r03,
        r05,
        r07,
        r08,
        r09,
        s01,
        s04,
        s06,
        s08,
        s09,
        s11,
        s14,
        s15,
        s16,
        s17,
        g11,
        g12,
        g15,
        x11,
    )
}
