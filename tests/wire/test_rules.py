"""What no typed decoder can judge: the fast path takes it all the same, and gives what the exact path gives."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschemas import NAMES, schemas, values
from sampling import IS_SAMPLE, tries

from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.kinds import Kind
from singerkit_wire.messages import Run
from singerkit_wire.stream import Stream, stream_of
from singerkit_wire.unstorable import Policy

ARBITRARY = settings(
    max_examples=tries(40),
    deadline=None,
    derandomize=IS_SAMPLE,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def stream(schema: Any) -> Stream:
    """As of a SCHEMA message, whose numbers are decimals."""
    return stream_of("s", json.loads(json.dumps(schema), parse_float=Decimal), ())


def outcome(
    schema: Any, records: list[str], *, always_exact: bool
) -> tuple[list[Any], list[tuple[int, str]]]:
    decoder = BlockDecoder(
        stream(schema),
        Judgement(quarantine=True, unstorable=Policy.QUARANTINE, extra="ignore"),
        lambda stream: stream,
        logging.getLogger("rules"),
        always_exact=always_exact,
    )
    lines = [f'{{"type":"RECORD","stream":"s","record":{record}}}\n' for record in records]
    batches, rejects = decoder.decode(Run("s", "".join(lines).encode(), len(lines), 1))
    rows = [
        [_plain(value, column.kind) for column, value in zip(batch.columns, row, strict=True)]
        for batch in batches
        for row in batch.rows()
    ]
    return rows, [(reject.line, reject.path) for reject in rejects]


def _plain(value: Any, kind: Kind) -> Any:
    read = json.loads(value, parse_float=Decimal, parse_int=Decimal) if kind is Kind.JSON and value else value
    return repr(read)


@ARBITRARY
@given(
    schemas(),
    schemas(),
    st.lists(st.dictionaries(st.sampled_from(["n", *NAMES]), values, max_size=3), min_size=1, max_size=4),
)
def test_both_paths_judge_by_any_schema_in_one_way(prop: Any, record: Any, records: list[Any]) -> None:
    beside = record if isinstance(record, dict) else {}
    properties = {"n": {"type": ["integer", "null"]}, "a": prop if isinstance(prop, dict) else {}}
    schema = {**{key: value for key, value in beside.items() if key != "type"}, "properties": properties}
    texts = [json.dumps({"n": number, **one}) for number, one in enumerate(records)]
    assert outcome(schema, texts, always_exact=False) == outcome(schema, texts, always_exact=True)


SIZED = {
    "anyOf": [
        {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]},
        {"type": "object", "properties": {"none": {"type": "boolean"}}, "required": ["none"]},
    ]
}
NUMBER = {"type": ["number", "null"]}
ASKED: dict[str, tuple[Any, Any, str, str]] = {
    "anyOf of objects": (SIZED, {}, '{"v":{"q":1}}', '{"v":{"q":"1"}}'),
    "anyOf in items": ({"type": "array", "items": SIZED}, {}, '{"v":[{"none":true},{"q":0}]}', '{"v":[{}]}'),
    "patternProperties": (
        {"type": "object", "patternProperties": {"^c": {"type": "string"}}},
        {},
        '{"v":{"city":"x","b":1}}',
        '{"v":{"city":1}}',
    ),
    "enum of integers": ({"type": "integer", "enum": [1, 2]}, {}, '{"v":2}', '{"v":3}'),
    "enum of numbers": ({**NUMBER, "enum": [0.5, None]}, {}, '{"v":0.50}', '{"v":0.51}'),
    "const true": ({"type": "boolean", "const": True}, {}, '{"v":true}', '{"v":false}'),
    "a length of a moment": (
        {"type": "string", "format": "date-time", "maxLength": 20},
        {},
        '{"v":"2026-01-01T00:00:00Z"}',
        '{"v":"2026-01-01T00:00:00.00Z"}',
    ),
    "unsigned": (
        {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
        {},
        f'{{"v":{2**63 - 1}}}',
        '{"v":-1}',
    ),
    "multiples of 2": ({"type": "integer", "multipleOf": 2}, {}, '{"v":-4}', '{"v":3}'),
    "multiples of 1.5": ({"type": "integer", "multipleOf": 1.5}, {}, '{"v":6}', '{"v":4}'),
    "cents": ({**NUMBER, "minimum": 0, "multipleOf": 0.01}, {}, '{"v":12.340}', '{"v":12.345}'),
    "cents with an exponent": ({**NUMBER, "multipleOf": 0.01}, {}, '{"v":1234e-2}', '{"v":12345e-3}'),
    "multiples of 0.25": ({**NUMBER, "multipleOf": 0.25}, {}, '{"v":1.75}', '{"v":1.76}'),
    "anyOf at the top": ({}, {"anyOf": [{"required": ["v"]}, {"required": ["w"]}]}, '{"w":1}', '{"x":1}'),
    "if at the top": ({}, {"if": {"required": ["v"]}, "then": {"required": ["w"]}}, '{"x":1}', '{"v":1}'),
    "names at the top": ({}, {"propertyNames": {"maxLength": 1}}, '{"v":1}', '{"wide":1}'),
    "other fields": ({}, {"additionalProperties": {"type": "string"}}, '{"v":1}', '{"v":1,"y":2}'),
    "a field that is required and not declared": ({}, {"required": ["y"]}, '{"y":1}', '{"v":1}'),
}


@pytest.mark.parametrize("name", ASKED)
def test_only_what_is_not_valid_is_for_jsonschema(name: str, judged_exactly: list[bytes]) -> None:
    prop, beside, good, bad = ASKED[name]
    schema = {"properties": {"v": prop, "w": {}, "x": {}}, **beside}
    records = [good] * 5
    if '"y"' not in good:  # met once: a field that the schema does not name is told of
        outcome(schema, records, always_exact=False)
        assert not judged_exactly
    rows, rejects = outcome(schema, [*records, bad, good], always_exact=False)
    assert (len(rows), [line for line, _ in rejects]) == (6, [6])
    judged_exactly.clear()
    assert (rows, rejects) == outcome(schema, [*records, bad, good], always_exact=True)


BOUNDS = [0, 100, -0.5, 0.1, 1e20, 123456789.123456789]
NEAR = ["{}", "{}e0", "{}.0", "-{}", "{}0000000000001", "0", "null", "1e300", "1e-300", "1e400", "-1e999"]


@pytest.mark.parametrize("keyword", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
@pytest.mark.parametrize("bound", BOUNDS)
def test_a_number_next_to_its_bound_is_judged_with_all_digits(keyword: str, bound: float) -> None:
    text = f"{Decimal(str(bound)):f}"
    wires = {near.format(text) for near in NEAR} | {f"{text}{'' if '.' in text else '.'}00000000000000000001"}
    records = [f'{{"v":{wire}}}' for wire in sorted(wires) if _is_json(wire)]
    schema = {"properties": {"v": {**NUMBER, keyword: bound}}}
    for record in records:
        assert outcome(schema, [record], always_exact=False) == outcome(
            schema, [record], always_exact=True
        ), record
    assert outcome(schema, records, always_exact=False) == outcome(schema, records, always_exact=True)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
