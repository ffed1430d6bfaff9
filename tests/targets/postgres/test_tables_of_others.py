"""Tables that other loaders have made: types by glob, those that are there taken as they are, and arrays of PostgreSQL's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import load, query
from targets.shared.test_databases import Database, target_of

from target_postgres.arrays import with_arrays

MOMENT = {"type": ["string", "null"], "format": "date-time"}
NUMBER = {"type": ["number", "null"]}


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def test_types_by_glob_and_the_most_exact_one(target: Database) -> None:
    schema = SCHEMA("s", {"id": {"type": "integer"}, "a_at": MOMENT, "b_at": MOMENT}, ["id"])
    types = {"*.*_at": "timestamp", "s.b_at": "date", "*.gone": "text"}
    told = target.run(schema, RECORD("s", {"id": 1}), STATE({"a": 1}), column_types=types).expect(0).stderr
    found = target.query(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 's' ORDER BY 1"
    )
    assert [type_.lower() for _, type_ in found][:2] in (
        ["timestamp without time zone", "date"],
        ["timestamp", "date"],
    )
    assert "`column_types` names `*.gone`" in told


def test_the_types_that_are_there_are_taken_by_choice(target: Database) -> None:
    target.query("CREATE TABLE s (id bigint, moment timestamp, amount double precision)")
    schema = SCHEMA(
        "s", {"id": {"type": "integer"}, "moment": MOMENT, "amount": NUMBER, "more": NUMBER}, ["id"]
    )
    row = RECORD("s", {"id": 1, "moment": "2026-01-01T00:00:00+02:00", "amount": 0.1, "more": 1.5})
    taken = {"s.*": "existing"}
    for _ in range(2):
        target.run(schema, row, STATE({"a": 1}), column_types=taken, on_type_conflict="fail").expect(0)
    assert target.query("SELECT CAST(moment AS text), amount, CAST(more AS text) FROM s") in (
        [("2025-12-31 22:00:00", 0.1, "1.5")],
        [("2025-12-31 22:00:00", 0.1, "1.500000000")],
    )


ARRAYS = {
    "words": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
    "counts": {"type": ["array", "null"], "items": {"type": "integer"}},
    "prices": {"type": ["array", "null"], "items": {"type": "number"}},
    "flags": {"type": ["array", "null"], "items": {"type": "boolean"}},
    "things": {"type": ["array", "null"]},
}
VALUES: list[dict[str, Any]] = [
    {
        "words": ["a", "", "NULL", None, 'q"u\\o{t},e', "\u00fc\n\t", " "],
        "counts": [1, -(2**63), 7.0],
        "prices": [0.1, 12345678901234567.25, 1e22],
        "flags": [True, False],
        "things": [{"a": [1, None]}, [1.50, "x"], None, "s", [], {}],
    },
    {"words": [], "counts": [], "prices": [], "flags": [], "things": []},
    dict.fromkeys(ARRAYS),
]


@pytest.mark.parametrize("exact", [False, True])
def test_arrays_of_others_keep_every_value(database: str, exact: bool) -> None:
    query(
        database,
        "CREATE TABLE s (id bigint PRIMARY KEY, words text[], counts bigint[], prices numeric[], flags boolean[], things jsonb[])",
    )
    odd = {"x": {"type": ["integer", "null"], "enum": [1, None]}} if exact else {}
    schema = SCHEMA("s", {"id": {"type": "integer"}, **ARRAYS, **odd}, ["id"])
    rows = [RECORD("s", {"id": number, **values}) for number, values in enumerate(VALUES)]
    for at in (1, 2):
        load(database, schema, *rows, STATE({"a": at})).expect(0)
    columns = ", ".join(f"to_json({name})::text" for name in ARRAYS)
    found = query(database, f"SELECT {columns} FROM s ORDER BY id")
    for values, stored in zip(VALUES, found, strict=True):
        read = [None if text is None else json.loads(text) for text in stored]
        assert read == list(values.values())
    columns_there = query(database, "SELECT count(*) FROM information_schema.columns WHERE table_name = 's'")
    assert columns_there == [(6 + len(odd),)]
    before = query(database, "SELECT xmin::text FROM s ORDER BY id")
    load(database, schema, *rows, STATE({"a": 3})).expect(0)
    assert query(database, "SELECT xmin::text FROM s ORDER BY id") == before


def test_an_array_of_unknown_elements_stands_beside_a_column_of_texts(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY, words text[])")
    schema = SCHEMA("s", {"id": {"type": "integer"}, "words": {"type": ["array", "null"]}}, ["id"])
    load(database, schema, RECORD("s", {"id": 1, "words": ["a", 5]}), STATE({"a": 1})).expect(0)
    assert query(database, "SELECT words, words__text FROM s") == [(None, '["a", 5]')]


def test_what_an_array_does_not_hold_is_set_aside(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY, words text[])")
    any_ = SCHEMA("s", {"id": {"type": "integer"}, "words": {"type": ["array", "object", "null"]}}, ["id"])
    rows = [
        RECORD("s", {"id": 1, "words": ["a"]}),
        RECORD("s", {"id": 2, "words": ["a", 5]}),
        RECORD("s", {"id": 3, "words": {}}),
        RECORD("s", {"id": 4, "words": [["a"]]}),
    ]
    chosen = {"column_types": {"s.words": "text[]"}, "on_invalid": "quarantine"}
    load(database, any_, *rows, STATE({"a": 1}), **chosen).expect(0)
    assert query(database, "SELECT id, words FROM s") == [(1, ["a"])]
    assert query(database, "SELECT count(*) FROM _singerkit_rejects") == [(3,)]


def test_what_is_no_array_is_none_to_postgresql() -> None:
    rows = [("{}",), ('"x"',), ("[1e400]",), ("[1.5]",), (None,)]
    assert with_arrays(rows, {0: "_int8"}) == [("[{}",), ('["x"',), ("[[1e400]",), ("[[1.5]",), (None,)]
