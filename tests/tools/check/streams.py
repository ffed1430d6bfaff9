"""Streams to check: one that keeps every rule, and the least change that breaks each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from singerkit_check.checker import Checker
from singerkit_check.findings import Finding, Findings

__all__ = ["BROKEN", "GOOD", "MARKED", "RECORD", "SCHEMA", "STATE", "check", "text"]

SCHEMA_OF_ORDERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "day": {"type": ["null", "string"], "format": "date"},
        "qty": {"type": ["null", "integer"]},
        "price": {"type": ["null", "number"]},
        "code": {"type": ["null", "string"], "enum": ["a", "b", None]},
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
        "home": {"type": ["null", "object"], "properties": {"city": {"type": "string"}, "zip": {}}},
    },
    "required": ["id"],
}


def SCHEMA(**changes: Any) -> dict[str, Any]:
    message = {
        "type": "SCHEMA",
        "stream": "orders",
        "schema": SCHEMA_OF_ORDERS,
        "key_properties": ["id"],
        "bookmark_properties": ["at"],
    }
    return {key: value for key, value in (message | changes).items() if value is not ...}


def SHAPED(**properties: Any) -> dict[str, Any]:
    """Return a SCHEMA with more properties."""
    return SCHEMA(schema=SCHEMA_OF_ORDERS | {"properties": SCHEMA_OF_ORDERS["properties"] | properties})


def RECORD(n: int = 1, *, more: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    record = {
        "id": n,
        "at": f"2024-01-{n:02d}T00:00:00Z",
        "day": "2024-02-29",
        "qty": 2**70,
        "price": 0.1,
        "code": "a",
        "tags": ["x"],
        "home": {"city": 'Zürich "8001": \\', "zip": 1},
    } | changes
    kept = {key: value for key, value in record.items() if value is not ...}
    envelope = {"type": "RECORD", "stream": "orders", "record": kept} | dict(more or {})
    envelope = {"time_extracted": "2024-05-01T00:00:00.000001Z"} | envelope
    return {key: value for key, value in envelope.items() if value is not ...}


def STATE(n: int | None = None, **bookmarks: Any) -> dict[str, Any]:
    orders = {} if n is None else {"orders": entry(n)}
    return {"type": "STATE", "value": {"bookmarks": orders | bookmarks}}


def entry(n: int) -> dict[str, Any]:
    return {"replication_key": "at", "replication_key_value": f"2024-01-{n:02d}T00:00:00Z"}


def MARKED(*, complete: bool, run: str = "r") -> dict[str, Any]:
    value = {"bookmarks": {"orders": {}}}
    return {
        "type": "STATE",
        "value": value | {"_singerkit": {"run": run, "pipeline": "p", "complete": complete}},
    }


def BATCH(**changes: Any) -> dict[str, Any]:
    encoding = {"format": "jsonl", "compression": "gzip"}
    return {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": ["file:///x"]} | changes


def ACTIVATE(version: Any = 7) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": "orders", "version": version}


def REPLACE(**where: Any) -> dict[str, Any]:
    return {"type": "REPLACE", "stream": "orders", "where": where}


VERSION = {"version": 7}
GOOD: dict[str, list[Any]] = {
    "plain": [SCHEMA(), RECORD(1), RECORD(2), STATE(2), RECORD(2), RECORD(3), STATE(3)],
    "only a state": [STATE(3)],
    "no key, no bookmark": [SCHEMA(key_properties=[], bookmark_properties=...), RECORD(1), RECORD(1)],
    "a schema that allows anything": [
        SCHEMA(schema={}, key_properties=[], bookmark_properties=...),
        RECORD(1, more={"stream": "orders"}),
    ],
    "escapes and numbers": [
        SCHEMA(),
        RECORD(1, at="2024-01-01t00:00:00.123456789+05:30", price=1e300, home=None, tags=[]),
        RECORD(2, price=3, qty=1, code=None, day=None, more={"sequence": 5}),
        STATE(2),
    ],
    "marked": [
        MARKED(complete=False),
        SCHEMA(bookmark_properties=...),
        RECORD(1),
        MARKED(complete=False),
        MARKED(complete=True),
    ],
    "two marked runs": [
        MARKED(complete=True),
        MARKED(complete=False, run="s"),
        MARKED(complete=True, run="s"),
    ],
    "unsorted, the bookmark waits": [
        STATE(1),
        SCHEMA(),
        RECORD(5),
        STATE(1),
        RECORD(3),
        STATE(1),
        RECORD(4),
        STATE(5),
    ],
    "began at a bookmark, with a lookback": [STATE(5), SCHEMA(), RECORD(3), STATE(5), RECORD(4), STATE(5)],
    "a bookmark in the state of singer-python": [
        SCHEMA(),
        RECORD(2),
        STATE(orders={"at": "2024-01-02T00:00:00Z"}),
    ],
    "a bookmark for each partition": [
        SCHEMA(),
        RECORD(2),
        STATE(orders={"partitions": [{"context": {"p": 1}} | entry(9)]}),
        RECORD(1),
        STATE(orders={"partitions": [{"context": {"p": 1}} | entry(9)]}),
    ],
    "versions": [SCHEMA(), RECORD(1, more=VERSION), RECORD(2, more=VERSION), ACTIVATE(), STATE(2)],
    "a batch": [SCHEMA(), BATCH(), BATCH(encoding={"format": "parquet"}), STATE(2)],
    "two streams, mixed": [
        SCHEMA(),
        SCHEMA(stream="lines"),
        RECORD(1),
        RECORD(1, more={"stream": "lines"}),
        RECORD(2),
        STATE(2, lines=entry(1)),
    ],
    "the schema changes": [
        SCHEMA(),
        RECORD(1),
        SHAPED(new={"type": "string"}),
        RECORD(2, new="x"),
        STATE(2),
    ],
}

# name of the check -> stream, the number of the line where it is found
BROKEN: dict[str, tuple[Sequence[Any], int]] = {
    "json": ([b'{"type": "STATE", nothing}'], 1),
    "object": ([SCHEMA(), b"[1]"], 2),
    "newline": ([b'{"type":"STATE","value":{"bookmarks":{"a":{}}}}$'], 1),
    "cut": ([SCHEMA(), b'{"type": "RECORD", "stream": "orders", "rec$'], 2),
    "blank": ([SCHEMA(), b" "], 2),
    "duplicate": (
        [SCHEMA(bookmark_properties=...), b'{"type":"RECORD","stream":"orders","record":{"id":1,"id":2}}'],
        2,
    ),
    "length": ([b"x" * 5000], 1),
    "depth": ([b"[" * 200_000], 1),
    "type": ([{"stream": "orders"}], 1),
    "unknown-type": ([{"type": "LOG"}, {"type": "LOG"}], 1),
    "type-case": ([SCHEMA(type="schema"), SCHEMA(type="schema", stream="other")], 1),
    "bom": ([b"\xef\xbb\xbf" + json.dumps(SCHEMA()).encode()], 1),
    "utf8": ([SCHEMA(), b'{"type":"RECORD","stream":"orders","record":{"id":1,"code":"\xff"}}'], 2),
    "surrogate": ([SHAPED(t={}), RECORD(1, t="\ud83c"), STATE(1)], 2),
    "nan": ([SCHEMA(), RECORD(1), RECORD(2, price=float("nan")), STATE(2)], 3),
    "nul": ([SHAPED(t={}), RECORD(1), RECORD(2, t="a\0"), RECORD(3, t="b\0"), STATE(3)], 3),
    "schema-shape": ([SCHEMA(key_properties="id"), RECORD(1), STATE(1)], 1),
    "key-property": ([SCHEMA(key_properties=["city"]), STATE()], 1),
    "bookmark-property": ([SCHEMA(bookmark_properties=["updated"])], 1),
    "reference": ([SHAPED(r={"$ref": "#/properties/qty"}), RECORD(1, r=1), STATE(1)], 1),
    "reference-lost": ([SHAPED(r={"$ref": "http://localhost:9/x.json"}), RECORD(1, r={}), STATE(1)], 1),
    "draft": ([SHAPED(r={"type": "text"}), RECORD(1, r=1), STATE(1)], 1),
    "schema-again": ([SCHEMA(), SCHEMA(), SCHEMA()], 2),
    "key-change": ([SCHEMA(), SCHEMA(key_properties=["id", "at"])], 2),
    "odd-name": ([SCHEMA(stream="a/../b")], 1),
    "case-name": ([SCHEMA(), SCHEMA(stream="Orders")], 2),
    "annotation": ([SHAPED(r={"x-singer.decimal": "yes"})], 1),
    "record-shape": ([SCHEMA(), RECORD(1, more={"record": [1]})], 2),
    "extracted": ([SCHEMA(), RECORD(1, more={"time_extracted": "2024-05-01T00:00:00"}), STATE(1)], 2),
    "record-early": ([RECORD(1, at=...)], 1),
    "version": ([SCHEMA(), RECORD(1, more={"version": "7"}), STATE(1)], 2),
    "extra-field": ([SCHEMA(), RECORD(1), RECORD(2, more_=1), RECORD(3, more_=1), STATE(3)], 3),
    "required": (
        [SCHEMA(schema=SCHEMA_OF_ORDERS | {"required": ["qty"]}), RECORD(1, qty=...), STATE(1)],
        2,
    ),
    "key-value": ([SCHEMA(), RECORD(1), RECORD(2, id=...), STATE(2)], 3),
    "invalid": ([SCHEMA(), RECORD(1), RECORD(2, home={"city": 5}), STATE(2)], 3),
    "date-time": ([SCHEMA(), RECORD(1, day="2024-02-30"), RECORD(2, day="later"), STATE(2)], 2),
    "zone": (
        [SCHEMA(bookmark_properties=...), RECORD(1, at="2024-01-01 10:00:00"), RECORD(1, at="2024-01-01T1")][
            :2
        ],
        2,
    ),
    "state-value": ([{"type": "STATE"}], 1),
    "state-shape": (
        [{"type": "STATE", "value": {"orders": 1}}, {"type": "STATE", "value": {"orders": 2}}],
        1,
    ),
    "state-rare": ([SCHEMA(), RECORD(1), STATE(1), RECORD(2)], 4),
    "state-ahead": ([STATE(1), SCHEMA(), RECORD(2), STATE(3), RECORD(3), STATE(3)], 4),
    "state-beyond": ([SCHEMA(), RECORD(2), STATE(3)], 3),
    "row-late": ([STATE(1), SCHEMA(), RECORD(4), STATE(4), RECORD(3), STATE(4)], 5),
    "unsorted": ([STATE(1), SCHEMA(), RECORD(4), RECORD(2), STATE(4), RECORD(5), STATE(5)], 6),
    "future": (
        [
            STATE(1),
            SCHEMA(),
            RECORD(1, at="9999-01-01T00:00:00Z"),
            STATE(orders={"at": "9999-01-01T00:00:00Z"}),
        ],
        4,
    ),
    "state-size": ([STATE(orders={"partitions": [entry(1)] * 1001}), SCHEMA()], 1),
    "state-empty": ([STATE(1), STATE()], 2),
    "state-forgets": ([STATE(1, lines={}), STATE(1)], 2),
    "end-missing": ([MARKED(complete=False), SCHEMA(bookmark_properties=...), RECORD(1)], 3),
    "empty": ([], 0),
    "end-passed": ([MARKED(complete=True), SCHEMA(), RECORD(1)][:2], 2),
    "activate-shape": ([SCHEMA(), RECORD(1, more=VERSION), ACTIVATE("7"), STATE(1)], 3),
    "activate-other": ([SCHEMA(), RECORD(1, more=VERSION), ACTIVATE(8), STATE(1)], 3),
    "activate-early": ([SCHEMA(), ACTIVATE()], 2),
    "batch-shape": ([SCHEMA(), BATCH(manifest="file:///x")], 2),
    "batch-format": ([SCHEMA(), BATCH(encoding={"format": "csv"})], 2),
    "batch-compression": ([SCHEMA(), BATCH(encoding={"format": "jsonl", "compression": "rot13"})], 2),
    "batch-early": ([BATCH()], 1),
    "replace-shape": ([SCHEMA(), REPLACE(other=1), STATE(1)], 2),
    "replace-early": ([REPLACE(id=1), STATE(1)], 1),
    "replace-open": ([STATE(1), SCHEMA(), REPLACE(id=1)], 3),
}


def text(messages: Sequence[Any]) -> bytes:
    """Return the stream; bytes stand as they are, those that end with a dollar sign without a newline."""
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
    return b"".join(line[:-1] if line.endswith(b"$") else line + b"\n" for line in lines)


def check(
    data: bytes, *, piece: int = 1 << 16, start: Any = ..., max_line_bytes: int = 250_000
) -> list[Finding]:
    """Return what is found in a stream that comes in pieces of this size."""
    found: list[Finding] = []
    checker = Checker(Findings(found.append, limit=0), max_line_bytes=max_line_bytes)
    if start is not ...:
        checker.begins_at(start)
    for at in range(0, len(data), piece):
        checker.feed(data[at : at + piece])
    checker.end()
    return found
