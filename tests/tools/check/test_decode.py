"""The fast way finds what the closer look finds, line by line, and is taken by ordinary rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampling import tries
from tools.check.streams import BROKEN, GOOD, RECORD, SCHEMA, STATE, check, text

from singerkit_check import records
from singerkit_check.decode import compile_fast
from singerkit_check.findings import Finding, Findings
from singerkit_check.schemas import declare

Found = list[tuple[str, int, str]]


def both(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Found, Found]:
    """Return what the fast way finds, and what is found without it."""
    fast = check(data)
    with monkeypatch.context() as patch:
        patch.setattr(records, "compile_fast", lambda *_, **__: None)
        slow = check(data)
    return _plain(fast), _plain(slow)


def _plain(found: list[Finding]) -> Found:
    return [(one.check, one.line, one.sentence) for one in found]


@pytest.mark.parametrize("name", [*GOOD, *BROKEN])
def test_both_ways_find_the_same_in_known_streams(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = both(text(GOOD[name] if name in GOOD else BROKEN[name][0]), monkeypatch)
    assert fast == slow


@pytest.mark.parametrize("beside", [{"maxLength": 40}, {"minItems": 0}, {"minLength": 0, "maxLength": 0}])
@pytest.mark.parametrize("format_", ["date-time", "date"])
def test_a_format_beside_a_bound(
    format_: str, beside: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prop = {"type": "string", "format": format_, **beside}
    schema = {"type": "SCHEMA", "stream": "s", "key_properties": [], "schema": {"properties": {"a": prop}}}
    lines = [schema, *({"type": "RECORD", "stream": "s", "record": {"a": ""}} for _ in range(2))]
    fast, slow = both("".join(json.dumps(line) + "\n" for line in lines).encode(), monkeypatch)
    assert fast == slow
    assert [check for check, _, _ in fast].count("date-time") == 1


@pytest.mark.parametrize("beside", [{}, {"maxLength": 40}])
@pytest.mark.parametrize(("value", "wanted"), [("yesterday", "date-time"), ("2026-01-01T00:00:00", "zone")])
def test_a_date_that_is_the_replication_key(
    value: str, wanted: str, beside: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prop = {"type": "string", "format": "date-time", **beside}
    schema = {"type": "SCHEMA", "stream": "s", "key_properties": [], "bookmark_properties": ["a"]}
    rows = ["2026-01-01T00:00:00Z", value, value]
    lines = [
        schema | {"schema": {"properties": {"a": prop}}},
        *({"type": "RECORD", "stream": "s", "record": {"a": row}} for row in rows),
    ]
    fast, slow = both("".join(json.dumps(line) + "\n" for line in lines).encode(), monkeypatch)
    assert fast == slow
    assert [(check, line) for check, line, _ in fast if check == wanted] == [(wanted, 3)]


def test_a_number_beyond_all_exponents(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {
        "type": "SCHEMA",
        "stream": "s",
        "key_properties": [],
        "schema": {"properties": {"a": {"type": "number"}}},
    }
    line = '{"type":"RECORD","stream":"s","record":{"a":1e1000000000000000000000}}'
    fast, slow = both(f"{json.dumps(schema)}\n{line}\n".encode(), monkeypatch)
    assert fast == slow


TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
SMALL = st.integers(-3, 300)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> Any:
    """Draw schemas of the keywords that the fast way knows, and of some that it leaves to jsonschema."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([True, {}, {"enum": ["a", 1, None]}, {"const": 1.0}, {"pattern": "^a"}]))
    if depth and draw(st.integers(0, 5)) == 0:
        return {
            draw(st.sampled_from(["anyOf", "oneOf"])): draw(
                st.lists(schemas(depth - 1), min_size=1, max_size=3)
            )
        }
    types = draw(st.lists(TYPES, min_size=1, max_size=3, unique=True))
    schema: dict[str, Any] = {"type": types if len(types) > 1 or draw(st.booleans()) else types[0]}
    for keyword, values in (
        ("minLength", st.integers(0, 3)),
        ("maxLength", st.integers(0, 3)),
        ("minimum", SMALL),
        ("maximum", SMALL),
        ("multipleOf", st.sampled_from([2, 0.01])),
        ("format", st.sampled_from(["date-time", "date", "uuid"])),
        ("required", st.just(["a"])),
        ("additionalProperties", st.booleans()),
        ("minItems", st.integers(0, 2)),
    ):
        if draw(st.integers(0, 4)) == 0:
            schema[keyword] = draw(values)
    if depth and "array" in types and draw(st.booleans()):
        schema["items"] = draw(schemas(depth - 1))
    if depth and "object" in types and draw(st.booleans()):
        schema["properties"] = draw(st.dictionaries(st.sampled_from("ab"), schemas(depth - 1), max_size=2))
    return schema


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}:{value}" for key, value in pairs) + "}"


NUMBERS = [
    "0",
    "1",
    "-2",
    "1.0",
    "2.50",
    "1e2",
    "12345678901234567890",
    "36893488147419103232",
    "0.1",
    "1e400",
    "-0.0",
]
TEXTS = ["", "a", "abcd", "\\u0061", 'q\\":', "\\ud83c", "\U0001f363", "2024-01-01"]
TIMES = ["2024-01-01T00:00:00Z", "2024-01-01 00:00", "2024-02-30T00:00:00+01:00"]
SCALARS = st.sampled_from(
    ["null", "true", "false", "NaN", *NUMBERS, *(f'"{text}"' for text in (*TEXTS, *TIMES))]
)
KEYS = st.sampled_from(['"a"', '"b"', '"c"', '"\\u0061"', '"a" '])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")
        | st.lists(st.tuples(KEYS, inner), max_size=3).map(_joined)
    ),
    max_leaves=6,
)


@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    properties=st.dictionaries(st.sampled_from("ab"), schemas(), min_size=1),
    more=st.sampled_from(
        [
            {},
            {"required": ["b"]},
            {"additionalProperties": False},
            {"type": "object"},
            {"$schema": "http://json-schema.org/draft-04/schema#"},
            {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        ]
    ),
    key=st.sampled_from([[], ["a"]]),
    rows=st.lists(st.lists(st.tuples(KEYS, VALUES), max_size=4).map(_joined), min_size=1, max_size=4),
)
def test_both_ways_find_the_same(
    monkeypatch: pytest.MonkeyPatch, properties: Any, more: Any, key: list[str], rows: list[str]
) -> None:
    schema = {"properties": properties} | more
    message = {"type": "SCHEMA", "stream": "s", "schema": schema, "key_properties": key}
    lines = [f'{{"type":"RECORD","stream":"s","record":{row},"version":1}}'.encode() for row in rows]
    fast, slow = both(
        text([message | {"bookmark_properties": ["a"] if "a" in properties else []}, *lines]), monkeypatch
    )
    assert fast == slow


NULLABLE = {"type": ["null", "integer"]}
TEXT = {"type": "string"}
INNER = {"type": "object", "properties": {"b": TEXT}}
TRICKY = [
    (NULLABLE, ["a"], '{"a":null}', "key-value"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["a"], '{"a":null}', "key-value"),
    ({}, ["a"], '{"a":null}', "key-value"),
    (NULLABLE, [], '{"a":1,"a":2}', "duplicate"),
    (NULLABLE, [], '{"a":1, "a" :2}', "duplicate"),
    (INNER, [], '{"a":{"b":"x","b":"y"}}', "duplicate"),
    ({"type": "array", "items": INNER}, [], '{"a":[{"b":"x"},{"b":"x","b":"y"}]}', "duplicate"),
    (TEXT, [], '{"a":"\\"b\\":","a":"c"}', "duplicate"),
    (INNER | {"additionalProperties": False}, [], '{"a":{"b":"x","c":1}}', "invalid"),
    (INNER | {"required": ["c"]}, [], '{"a":{"b":"x"}}', "required"),
    ({"type": "integer"}, [], '{"a":1.5}', "invalid"),
    ({"type": "integer"}, [], '{"a":true}', "invalid"),
    ({"type": "number"}, [], '{"a":"1"}', "invalid"),
    ({"type": "number", "maximum": 0.3}, [], '{"a":0.30000000000000001}', "invalid"),
    ({"type": "integer", "maximum": 2**63}, [], '{"a":9223372036854775809}', "invalid"),
    ({"type": "string", "maxLength": 1}, [], '{"a":"\U0001f363\U0001f363"}', "invalid"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, [], '{"a":1}', "invalid"),
    (TEXT, [], '{"a":"x"}, "record":{"a":1}', "duplicate"),
]


@pytest.mark.parametrize(("schema", "key", "row", "expected"), TRICKY)
def test_the_fast_way_does_not_take(
    schema: Any, key: list[str], row: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"properties": {"a": schema}}
    message = {"type": "SCHEMA", "stream": "s", "schema": whole, "key_properties": key}
    line = f'{{"type":"RECORD","stream":"s","record":{row}}}'.encode()
    fast, slow = both(text([message, line]), monkeypatch)
    assert fast == slow
    assert expected in [name for name, _, _ in fast]


def test_ordinary_rows_are_taken_by_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    look = records.Stream.look

    def counting(self: records.Stream, message: Any, line: bytes, number: int) -> None:
        looked.append(number)
        look(self, message, line, number)

    monkeypatch.setattr(records.Stream, "look", counting)
    lines = [RECORD(n, qty=n) for n in range(1, 29)]
    assert check(text([SCHEMA(), *lines, STATE(28)])) == []
    assert looked == []
    # what was told once does not slow down the rows after it
    odd = [RECORD(n, more={"sequence": 1}, day="one day", new_field={"a": [1]}) for n in range(1, 20)]
    assert [one.check for one in check(text([SCHEMA(), *odd, STATE(19)]))] == ["extra-field", "date-time"]
    assert len(looked) <= 3


@pytest.mark.parametrize(
    "prefix", ['{"time_extracted": "2024-05-01T00:00:0%dZ", ', '{"record": {"id": %d}, ', '{"version": %d, ']
)
def test_a_record_is_recognised_whatever_the_order_of_its_keys(prefix: str) -> None:
    middle = '"type": "RECORD", "stream": "orders"'
    tail = "}" if "record" in prefix else ', "record": {"id": 1}}'
    lines = [(prefix % n + middle + tail).encode() for n in range(1, 9)]
    schema = SCHEMA(bookmark_properties=...)
    assert check(text([schema, *lines])) == []
    bad = (
        (prefix % 9 + middle + tail).replace('"id": 1', '"id": "x"').replace('"id": 9', '"id": "x"').encode()
    )
    assert [one.check for one in check(text([schema, *lines, bad]))] == ["invalid"]


def test_a_line_that_begins_like_a_record_of_another_stream_is_not_taken_for_one() -> None:
    twice = b'{"type":"RECORD","stream":"orders","record":{"id":1},"stream":"lines"}'
    found = check(
        text(
            [SCHEMA(bookmark_properties=...), b'{"type":"RECORD","stream":"orders","record":{"id":1}}', twice]
        )
    )
    assert [one.check for one in found] == ["duplicate", "record-early"]


@pytest.mark.parametrize(
    "schema",
    [
        {"patternProperties": {"^a": {"type": "string"}}},
        {"properties": {"id": {}}, "required": ["other"]},
        {"type": "string"},
        {"$schema": "http://json-schema.org/draft-03/schema#", "properties": {"id": {"type": "integer"}}},
    ],
)
def test_a_schema_without_an_exact_form_has_no_fast_way(schema: dict[str, Any]) -> None:
    findings = Findings(lambda _: None)
    declared = declare(
        json.loads(json.dumps(SCHEMA(schema=schema, key_properties=[]))), "orders", 1, findings
    )
    assert compile_fast(declared, envelope=(), extra=(), lenient=(), replication_key=None) is None
