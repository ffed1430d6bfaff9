"""A field that a record leaves out (DESIGN 6): kept when our taps send it, null when others do, or as the config says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from faults.loads import MARKED, RECORD, SCHEMA, STATE, TARGET, lines, load, query, table

INTEGER = {"type": ["integer", "null"]}
TEXT = {"type": ["string", "null"]}
ORDERS = SCHEMA("orders", {"id": INTEGER, "note": TEXT, "qty": {"type": "integer"}}, ["id"])
ONLY_EXACT = "\\u0000"
both_paths = pytest.mark.parametrize("exact", [False, True], ids=["block path", "exact path"])


def order(exact: bool, **fields: Any) -> dict[str, Any]:
    return RECORD("orders", fields | ({"odd": ONLY_EXACT} if exact else {}))


@both_paths
@pytest.mark.parametrize(
    ("is_marked", "config", "keeps"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, {"missing_fields": "keep"}, True),
        (True, {"missing_fields": "null"}, False),
    ],
    ids=["others", "ours", "others, keep", "ours, null"],
)
def test_who_sends_a_record_says_what_it_leaves_out(
    database: str, is_marked: bool, config: dict[str, Any], keeps: bool, exact: bool
) -> None:
    def messages(number: int, *records: Any) -> list[Any]:
        if not is_marked:
            return [STATE({"n": number - 1}), ORDERS, *records, STATE({"n": number})]
        begin = MARKED({"n": number - 1}) if number > 1 else MARKED({})
        return [begin, ORDERS, *records, MARKED({"n": number}, complete=True)]

    full = [order(exact, id=n, note="a", qty=1) for n in (1, 2)]
    load(database, *messages(1, *full), **config).expect(0)
    # The second record of a key in the same unit, and in the next run; and a column without null in its schema.
    unit = [order(exact, id=1, qty=2), order(exact, id=3, note="c", qty=3), order(exact, id=3, qty=4)]
    load(database, *messages(1, *full, *unit), default_target_schema="unit", **config).expect(0)
    if not is_marked or keeps:
        load(database, *messages(2, *unit, order(exact, id=2, note="b")), **config).expect(0)
        expected = (
            [(1, "a", 2), (2, "b", 1), (3, "c", 4)] if keeps else [(1, None, 2), (2, "b", None), (3, None, 4)]
        )
        assert table(database, "orders", "id", "note", "qty") == expected
    expected = [(1, "a", 2), (2, "a", 1), (3, "c", 4)] if keeps else [(1, None, 2), (2, "a", 1), (3, None, 4)]
    assert table(database, "orders", "id", "note", "qty", schema="unit") == expected


@both_paths
def test_a_column_that_the_schema_does_not_name_keeps_what_is_stored(database: str, exact: bool) -> None:
    load(database, ORDERS, order(exact, id=1, note="a", qty=1)).expect(0)
    narrow = SCHEMA("orders", {"id": INTEGER, "note": TEXT}, ["id"])
    load(database, narrow, order(exact, id=1)).expect(0)
    assert table(database, "orders", "id", "note", "qty") == [(1, None, 1)]


def test_a_field_that_was_met_without_a_schema_keeps_what_is_stored(database: str) -> None:
    load(
        database,
        ORDERS,
        *(order(False, id=1, note="a", qty=1, color="red"), order(False, id=1, qty=2)),
        extra="load",
    ).expect(0)
    assert table(database, "orders", "id", "note", "qty", "color") == [(1, None, 2, "red")]


def test_append_only_stores_null_where_the_column_has_a_default(database: str) -> None:
    query(database, "CREATE TABLE orders (id bigint, note text DEFAULT 'none', qty bigint)")
    rows = [order(False, id=1, note="a", qty=1), order(False, id=2), order(False, id=3, note="c")]
    load(database, ORDERS, *rows, load_method="append-only").expect(0)
    assert table(database, "orders", "id", "note", "qty") == [(1, "a", 1), (2, None, None), (3, "c", None)]


@pytest.mark.parametrize(
    ("type_", "first", "second", "last"),
    [
        ({"type": "number"}, "1.0", "1.00", "1"),
        ({"type": "string", "format": "date-time"}, '"2024-01-01T00:00:00"', '"2024-01-01T00:00:00Z"', None),
        ({"type": ["object", "array"]}, '{"a": 1, "b": [1.0]}', '{"b":[1.00],"a":1.0}', None),
    ],
    ids=["number", "date-time", "document"],
)
def test_rows_of_one_key_in_several_spellings_keep_their_order(
    database: str, type_: Any, first: str, second: str, last: str | None
) -> None:
    """The batches of different columns go in one after the other: a key must be one key here as in the table."""

    def row(key: str, **fields: Any) -> str:
        return f'{{"type": "RECORD", "stream": "s", "record": {{"k": {key}{"".join(f", {json.dumps(n)}: {v}" for n, v in fields.items())}}}}}'

    keyed = SCHEMA("s", {"k": type_, "a": INTEGER, "b": INTEGER}, ["k"])
    rows = [row(first, a=1), row(second, a=2, b=2), row(last or first, a=3)]
    load(database, keyed, *rows, missing_fields="keep").expect(0)
    assert table(database, "s", "a", "b") == [(3, 2)]


def test_documents_that_differ_in_a_late_digit_are_two_keys(database: str) -> None:
    keyed = SCHEMA("s", {"k": {"type": ["object", "array"]}, "a": INTEGER, "b": INTEGER}, ["k"])
    keys = [f"[1.{'0' * 40}{last}]" for last in (1, 2)]
    rows = [f'{{"type": "RECORD", "stream": "s", "record": {{"k": {key}, "a": 1}}}}' for key in keys]
    load(database, keyed, *rows, missing_fields="keep").expect(0)
    assert table(database, "s", "a") == [(1,), (1,)]


@pytest.mark.parametrize(
    ("config", "expected"), [({}, {"id": 1}), ({"missing_fields": "null"}, {"id": 1, "v": None})]
)
def test_files_leave_out_what_a_record_leaves_out(
    tmp_path: Path, config: dict[str, str], expected: Any
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"destination_path": str(tmp_path / "out"), **config}))
    command = [TARGET.replace("postgres", "jsonl"), "--config", str(tmp_path / "config.json")]
    schema = SCHEMA("s", {"id": INTEGER, "v": INTEGER}, ["id"])
    run(command, stdin=lines(schema, RECORD("s", {"id": 1}), RECORD("s", {"id": 2, "v": 3}))).expect(0)
    written = [json.loads(line) for line in (tmp_path / "out" / "s.jsonl").read_text().splitlines()]
    assert written == [expected, {"id": 2, "v": 3}]
