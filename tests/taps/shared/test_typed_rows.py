"""Pages of typed rows, as databases have them: the same lines and the same bookmarks as of raw JSON."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_wire.encode import RecordEncoder
from singerkit_wire.typedrows import RowMaker

ODD = ['say "hi"; --', "back\\slash", "line\nend", "", "é", "f0"]
ROWS = [
    {"id": 1, "at": "2024-01-01T00:00:00Z", "price": 1.5, "note": 'a "b"\n\0 é'},
    {"id": 2, "at": "2024-01-02T00:00:00Z", "price": None, "note": None},
    {"id": 2**63 - 1, "at": "2024-01-02T00:00:00Z", "price": 0.1, "note": ""},
]


def lines(result: Any) -> list[Any]:
    return [
        {key: value for key, value in message.items() if key != "time_extracted"}
        for message in result.messages
        if message["type"] != "STATE"
    ]


@pytest.mark.parametrize("keys", [["id"], []])
@pytest.mark.parametrize("key", ["at", None])
def test_typed_rows_are_sent_and_remembered_as_raw_ones(example, keys, key):
    example.pages(ROWS[:1], ROWS[1:])
    configs = [
        example.config(
            example.stream(key_properties=keys, typed=typed, **({"replication_key": key} if key else {}))
        )
        for typed in (False, True)
    ]
    raw, typed = map(example.sync, configs)
    assert lines(typed) == lines(raw)
    assert typed.state["bookmarks"] == raw.state["bookmarks"]
    if key is not None:  # each knows the rows that the other has sent
        assert example.sync(configs[1], raw.state).ids == example.sync(configs[0], typed.state).ids == []


def test_bytes_are_base64_and_numbers_keep_their_shortest_text() -> None:
    schema = {"properties": {"b": {"type": "string"}, "n": {"type": "number"}}}
    rows = RowMaker(["b", "n"]).rows([(b"\xff\0", 0.1), (None, 1e300), (b"", -0.0)])
    encoder = RecordEncoder("s", schema, {("properties", "b"): True, ("properties", "n"): True})  # type: ignore[arg-type]  a mask
    found = encoder.lines(encoder.decode(rows), "t").splitlines()
    assert [line.split(b'"record":')[1].split(b',"time')[0] for line in found] == [
        b'{"b":"/wA=","n":0.1}',
        b'{"b":null,"n":1e300}',
        b'{"b":"","n":-0.0}',
    ]


@pytest.mark.parametrize("name", ODD)
def test_any_name_of_a_column_is_written_as_it_is(example, name):
    schema = {"type": "object", "properties": {name: {"type": ["null", "integer"]}}}
    example.pages([{name: 7}])
    config = example.config(example.stream(schema=schema, key_properties=[], typed=True))
    assert example.sync(config).records() == [{name: 7}]


def test_rows_are_looked_at_in_any_of_their_columns() -> None:
    row, other = RowMaker(["a", "b"]).rows([(1, "x\ny"), (None, "z")])
    encoder = RecordEncoder(
        "s", {"properties": {"a": {}, "b": {}}}, {("properties", "a"): True, ("properties", "b"): True}
    )  # type: ignore[arg-type]  a mask
    assert [bytes(value) for value in encoder.column([row, other], "a")] == [b"1", b"null"]
    assert [bytes(value) for value in encoder.column([row, other], "b")] == [b'"x\\ny"', b'"z"']
    assert [bytes(value) for value in encoder.column([row, other], "c")] == [b"null", b"null"]
    assert bytes(row) == b'{"a":1,"b":"x\\ny"}'
    assert len(row) == len(bytes(row))
