"""A value that is not of the type of its column ends no run: it stands as it came in a column beside that."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults import loads
from faults.loads import MARKED
from targets.shared.test_databases import INTEGER, MOMENT, TEXT, Database, target_of

KINDS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "integer": ({"type": "integer", "minimum": 0}, 5, {"N/A": "N/A", "b": True, "o": {"a": 1.50}}),
    "number": ({"type": ["number", "null"]}, 1.5, {"t": "1,5", "l": [1, "x"]}),
    "boolean": ({"type": "boolean"}, True, {"t": "yes", "n": 1}),
    "date-time": (MOMENT, "2024-01-01T00:00:00Z", {"t": "soon", "e": "", "n": 17, "z": "2024-02-30"}),
    "date": ({**TEXT, "format": "date"}, "2024-01-01", {"t": "0000-00-00", "d": "2024-01-01T12:00:00Z"}),
    "time": ({**TEXT, "format": "time"}, "12:00:00", {"t": "noon", "o": "12:00:00+02:00"}),
    "uuid": ({**TEXT, "format": "uuid"}, "6c84fb90-12c4-11e1-840d-7b25c5ee775a", {"t": "no uuid"}),
}


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def test_values_of_other_types_stand_beside_their_columns(target: Database) -> None:
    """Of each kind, with exit code 0, one warning a column and the count at the end; the key says which value it is."""
    fields = {kind.replace("-", "_"): schema for kind, (schema, _, _) in KINDS.items()}
    own = SCHEMA("s", {"id": TEXT, **fields}, ["id"])
    good = {kind.replace("-", "_"): value for kind, (_, value, _) in KINDS.items()}
    records = [RECORD("s", {"id": "good", **good})]
    expected: set[tuple[str, str, str]] = set()
    for kind, (_, _, others) in KINDS.items():
        name = kind.replace("-", "_")
        for case, value in others.items():
            records.append(RECORD("s", {"id": f"{name} {case}", **good, name: value}))
            expected.add((name, f"{name} {case}", text_of(value)))
    done = target.run(own, *records, STATE({"a": 1})).expect(0)
    found = {
        (name, key, text)
        for name in good
        for key, text in target.query(f'SELECT id, "{name}__text" FROM s WHERE "{name}" IS NULL')
    }
    assert found == expected
    beside = " OR ".join(f'"{name}__text" IS NOT NULL AND "{name}" IS NOT NULL' for name in good)
    assert target.query(f"SELECT id FROM s WHERE {beside}") == []
    for name in good:
        count = len(KINDS[name.replace("_", "-")][2])
        assert re.search(rf"{count} values? of `{name}` (is|are) not of the type", done.stderr)


def test_a_good_value_clears_the_variant_and_a_field_left_out_keeps_the_pair(target: Database) -> None:
    own = SCHEMA("s", {"id": INTEGER, "qty": INTEGER, "v": TEXT}, ["id"])
    rows = "SELECT id, qty, qty__text, v FROM s ORDER BY id"
    target.run(
        own,
        RECORD("s", {"id": 1, "qty": "N/A", "v": "a"}),
        RECORD("s", {"id": 2, "qty": "N/A", "v": "a"}),
        RECORD("s", {"id": 3, "qty": 3, "v": "a"}),
        STATE({"a": 1}),
    ).expect(0)
    assert target.query(rows) == [(1, None, "N/A", "a"), (2, None, "N/A", "a"), (3, 3, None, "a")]
    done = target.run(
        own,
        RECORD("s", {"id": 1, "qty": 7, "v": "b"}),
        RECORD("s", {"id": 2, "v": "b"}),
        RECORD("s", {"id": 3, "v": "b"}),
        STATE({"a": 2}),
        missing_fields="keep",
    ).expect(0)
    assert target.query(rows) == [(1, 7, None, "b"), (2, None, "N/A", "b"), (3, 3, None, "b")]
    assert "qty__text" not in done.stderr
    target.run(own, RECORD("s", {"id": 2, "v": "c"}), STATE({"a": 3}), missing_fields="null").expect(0)
    assert target.query(rows)[1] == (2, None, None, "c")
    # In one block, and with an escape that has the line read apart.
    again = [
        RECORD("s", {"id": 4, "qty": "x"}),
        RECORD("s", {"id": 4, "v": "d"}),
        RECORD("s", {"id": 5, "qty": "\\u"}),
    ]
    target.run(
        own, *again, RECORD("s", {"id": 5, "v": "\u001f"}), STATE({"a": 4}), missing_fields="keep"
    ).expect(0)
    assert target.query(rows)[3:] == [(4, None, "x", "d"), (5, None, "\\u", "\u001f")]


def test_a_schema_of_another_type_than_the_column_goes_beside_it_and_comes_back(target: Database) -> None:
    """Text in a column of integers, then either of both, then integers again: a row has its value in one of the two columns."""
    rows = "SELECT id, qty, qty__text FROM s ORDER BY id"
    mixed = {"type": ["integer", "string", "null"]}

    def run(kind: dict[str, Any], *values: Any) -> str:
        records = [RECORD("s", {"id": id_, "qty": value}) for id_, value in enumerate(values, 1)]
        own = SCHEMA("s", {"id": INTEGER, "qty": kind}, ["id"])
        return target.run(own, *records, STATE({"a": json.dumps(values)})).expect(0).stderr

    run(INTEGER, 1, 2, 3)
    said = run(TEXT, "1 kg", None)
    assert "in `qty__text` beside it" in said
    assert target.query(rows) == [(1, None, "1 kg"), (2, None, None), (3, 3, None)]
    run(mixed, "2 kg", 5, "6", 7)
    assert target.query(rows) == [(1, None, "2 kg"), (2, 5, None), (3, None, "6"), (4, 7, None)]
    run(INTEGER, 11, None, 13)
    assert target.query(rows) == [(1, 11, None), (2, None, None), (3, 13, None), (4, 7, None)]


@pytest.mark.parametrize(
    ("setting", "code", "stored"),
    [
        ("variant", 0, [(1, 1), (2, None), (3, 3)]),
        ("widen", 0, [(1, "1"), (2, "N/A"), (3, "3")]),
        ("quarantine", 0, [(1, 1), (3, 3)]),
        ("fail", 65, [(1, 1)]),
        ({"*": "fail", "s": "quarantine"}, 0, [(1, 1), (3, 3)]),
        ({"*.qty": "widen", "s.other": "fail"}, 0, [(1, "1"), (2, "N/A"), (3, "3")]),
    ],
    ids=str,
)
def test_what_becomes_of_such_a_value_is_said_by_globs(
    target: Database, setting: Any, code: int, stored: list[tuple[Any, ...]]
) -> None:
    """`fail` ends the run also where invalid records are set aside."""
    own = SCHEMA("s", {"id": INTEGER, "qty": INTEGER}, ["id"])
    target.run(
        own,
        RECORD("s", {"id": 1, "qty": 1}),
        STATE({"a": 1}),
        RECORD("s", {"id": 2, "qty": "N/A"}),
        RECORD("s", {"id": 3, "qty": 3}),
        STATE({"a": 2}),
        on_type_conflict=setting,
        on_invalid="quarantine" if code else "fail",
    ).expect(code)
    assert target.query("SELECT id, qty FROM s ORDER BY id") == stored


def test_numbers_nulls_and_values_in_text_need_no_column_beside(target: Database) -> None:
    """What a wider type of the same kind holds goes there, as it came: a number among integers, anything in text."""
    plain = {"type": "integer"}, {"type": "string"}
    own = SCHEMA("s", {"id": INTEGER, "qty": plain[0], "name": plain[1]}, ["id"])
    records = [{"qty": 1, "name": "a"}, {"qty": 1.5, "name": 7.50}, {"qty": None, "name": None}]
    sent = [RECORD("s", {"id": id_, **record}) for id_, record in enumerate(records)]
    for number in (1, 2):
        target.run(own, *sent, STATE({"a": number})).expect(0)
        assert target.query("SELECT id, qty = 1.5, name FROM s ORDER BY id") == [
            (0, False, "a"),
            (1, True, "7.5"),
            (2, None, None),
        ]
    assert len(target.query("SELECT * FROM s")[0]) == 3


def test_a_committed_column_is_widened_where_the_config_says_so(target: Database) -> None:
    own = SCHEMA("s", {"id": INTEGER, "qty": INTEGER}, ["id"])
    target.run(own, RECORD("s", {"id": 1, "qty": 1}), STATE({"a": 1})).expect(0)
    records = [RECORD("s", {"id": 2, "qty": "N/A"}), RECORD("s", {"id": 3, "qty": 3})]
    target.run(own, *records, STATE({"a": 2}), on_type_conflict="widen").expect(0)
    assert target.query("SELECT * FROM s ORDER BY id") == [(1, "1"), (2, "N/A"), (3, "3")]


def test_a_column_that_others_hold_fast_keeps_its_type(database: str) -> None:
    """A number with decimals, and a longer integer, stand beside one of integers that cannot become longer."""
    loads.query(
        database,
        "CREATE TABLE s (id bigint PRIMARY KEY, qty bigint, twice bigint GENERATED ALWAYS AS (qty * 2) STORED)",
    )
    own = SCHEMA("s", {"id": INTEGER, "qty": INTEGER}, ["id"])
    records = [RECORD("s", {"id": id_, "qty": qty}) for id_, qty in enumerate([5, 1.5, 2**63])]
    for number in (1, 2):
        loads.load(database, own, *records, STATE({"a": number})).expect(0)
        assert loads.query(database, "SELECT qty, twice, qty__text FROM s ORDER BY id") == [
            (5, 10, None),
            (None, None, "1.5"),
            (None, None, str(2**63)),
        ]


def test_a_number_that_the_column_of_another_loader_would_round_stands_beside_it(database: str) -> None:
    """What it holds exactly goes there."""
    loads.query(
        database,
        "CREATE TABLE s (id bigint PRIMARY KEY, cents numeric(12,2), ratio double precision, day date)",
    )
    loads.query(database, "INSERT INTO s VALUES (9, 1.25, 0.5, '2024-02-29')")
    number = {"type": ["number", "null"]}
    own = SCHEMA("s", {"id": INTEGER, "cents": number, "ratio": number, "day": MOMENT}, ["id"])
    loads.load(
        database,
        own,
        RECORD("s", {"id": 1, "cents": 1.5, "ratio": 0.1, "day": "2024-03-01T12:00:00Z"}),
        '{"type": "RECORD", "stream": "s", "record": {"id": 2, "cents": 1.505, "ratio": 0.10000000000000000001, "day": null}}',
        STATE({"a": 1}),
    ).expect(0)
    assert loads.query(
        database,
        "SELECT id, cents, cents__text, ratio, ratio__text, (day AT TIME ZONE 'UTC')::text FROM s ORDER BY id",
    ) == [
        (1, Decimal("1.50"), None, 0.1, None, "2024-03-01 12:00:00"),
        (2, None, "1.505", None, "0.10000000000000000001", None),
        (9, Decimal("1.25"), None, 0.5, None, "2024-02-29 00:00:00"),
    ]


BOTH = [(1, 7, None), (1, None, "N/A"), (2, 2, None)]


@pytest.mark.parametrize(
    ("target", "method", "stored"),
    [
        ("postgres", "append", BOTH),
        ("duckdb", "append", BOTH),
        ("postgres", "overwrite", BOTH[:1]),
        ("duckdb", "overwrite", BOTH[:1]),
        ("postgres", "history", BOTH),
    ],
    indirect=["target"],
)
def test_the_pair_goes_with_each_way_of_loading(target: Database, method: str, stored: list[Any]) -> None:
    own = SCHEMA("s", {"id": INTEGER, "qty": INTEGER}, ["id"])
    begin, end = MARKED({"bookmarks": {}}), MARKED({"bookmarks": {"s": {}}}, complete=True)
    first = [RECORD("s", {"id": 1, "qty": "N/A"}), RECORD("s", {"id": 2, "qty": 2})]
    target.run(begin, own, *first, end, load_method=method).expect(0)
    target.run(begin, own, RECORD("s", {"id": 1, "qty": 7}), end, load_method=method).expect(0)
    assert sorted(target.query("SELECT id, qty, qty__text FROM s"), key=str) == sorted(stored, key=str)


def test_numbers_that_no_column_of_numbers_holds_stand_beside_it(target: Database) -> None:
    number, document = {"type": ["number", "null"]}, {"type": ["object", "number", "null"]}
    own = SCHEMA("s", {"id": INTEGER, "n": number, "i": INTEGER, "t": TEXT, "d": document}, ["id"])
    odd = [
        '"n":NaN',
        '"n":-Infinity',
        '"n":1e200000',
        '"n":-0.5e-200000',
        '"i":Infinity',
        '"i":1e200000',
        '"t":NaN',
    ]
    lines = [
        f'{{"type":"RECORD","stream":"s","record":{{"id":{at},{text}}}}}'
        for at, text in enumerate(['"n":1.5', *odd])
    ]
    raw = [line.encode() for line in lines]
    refused = target.run(own, raw[1], STATE({"x": 1})).expect(65)
    assert "Expected a JSON number, got `nan`" in refused.last_words, "which is no JSON"
    target.run(own, raw[0], raw[3], STATE({"x": 1})).expect(0)
    assert target.query("SELECT n__text FROM s WHERE id = 3") == [("1e200000",)]
    target.run(own, *raw, STATE({"x": 1}), on_type_conflict="variant").expect(0)
    found = target.query(
        "SELECT id, coalesce(n__text, i__text, t) FROM s WHERE n IS NULL AND i IS NULL ORDER BY id"
    )
    assert found == [(at, text.split(":")[1]) for at, text in enumerate(odd, 1)]
    for document_ in ("NaN", "1e200000", '{"a":NaN}'):
        inside = f'{{"type":"RECORD","stream":"s","record":{{"id":9,"d":{document_}}}}}'.encode()
        refused = target.run(own, inside, STATE({"x": 2}))
        kept = target.query("SELECT d FROM s WHERE id = 9")
        assert (refused.code, kept) == (65, []) or (refused.code, "1e200000" in str(kept)) == (0, True), (
            document_
        )
    for how in ({"on_unstorable": "fail"}, {"on_type_conflict": "fail"}):
        target.run(own, raw[1], STATE({"x": 3}), **how).expect(65)
