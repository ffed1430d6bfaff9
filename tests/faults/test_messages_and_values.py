"""FAULTS.md, "Messages and values", for target-postgres: every row with its stated outcome and exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from conformance.processes import run
from conformance.singer import MARK
from faults.loads import (
    MARKED,
    RECORD,
    SCHEMA,
    STATE,
    TARGET,
    Running,
    command,
    connected,
    lines,
    load,
    query,
    state_row,
    table,
)
from psycopg2.sql import SQL, Identifier
from state.state_tool import state_url

from singerkit_state.location import read_start_state

INTEGER = {"type": ["integer", "null"]}
TEXT = {"type": ["string", "null"]}
NUMBER = {"type": ["number", "null"]}
ANY_OBJECT = {"type": ["object", "null"]}
DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
CONTENT = "tell-nobody-7319"
"""Stands in records; no log line and no error may show it."""

ORDERS = SCHEMA("orders", {"id": INTEGER, "note": TEXT}, ["id"])


def order(number: int, note: str = CONTENT) -> dict[str, Any]:
    return RECORD("orders", {"id": number, "note": note})


# --- M1 -----------------------------------------------------------------------------------------------------

MALFORMED = {
    "not JSON": f"{CONTENT} not json",
    "torn": f'{{"type": "RECORD", "stream": "orders", "record": {{"id": 3, "note": "{CONTENT}',
    "array": f'["{CONTENT}"]',
    "number": "7319",
    "no type": f'{{"stream": "orders", "record": {{"id": 3, "note": "{CONTENT}"}}}}',
    "type is a number": f'{{"type": 1, "stream": "orders", "record": {{"note": "{CONTENT}"}}}}',
    "no stream": f'{{"type": "RECORD", "record": {{"id": 3, "note": "{CONTENT}"}}}}',
    "bytes that are not UTF-8": b'{"type": "RECORD", "stream": "orders", "record": {"id": 3, "note": "\xff'
    + CONTENT.encode()
    + b'"}}',
    "two objects": json.dumps(order(3)) + json.dumps(order(4)),
    "raw control character": f'{{"type": "RECORD", "stream": "orders", "record": {{"id": 3, "note": "{CONTENT}\x02"}}}}',
    "record is text": f'{{"type": "RECORD", "stream": "orders", "record": "{CONTENT}"}}',
    "no record": '{"type": "RECORD", "stream": "orders"}',
    "schema without stream": '{"type": "SCHEMA", "schema": {}, "key_properties": []}',
    "schema is a list": '{"type": "SCHEMA", "stream": "t", "schema": [], "key_properties": []}',
    "schema of no object": '{"type": "SCHEMA", "stream": "t", "schema": {"properties": []}, "key_properties": []}',
    "schema is no schema": '{"type": "SCHEMA", "stream": "t", "schema": {"type": "objekt"}, "key_properties": []}',
    "remote reference": '{"type": "SCHEMA", "stream": "t", "schema": {"properties": {"a": {"$ref": "http://localhost/a"}}}}',
    "state without value": '{"type": "STATE"}',
}


@pytest.mark.fault("M1", exit=[65])
@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
def test_m01_a_malformed_line_ends_the_run_at_the_last_state(database: str, malformed: Any) -> None:
    before = [ORDERS, order(1), STATE({"at": 1}), order(2)]
    outcome = load(database, *before, malformed, order(9)).expect(65)
    assert "line 5" in outcome.last_words
    assert CONTENT not in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert table(database, "orders", "id") == [(1,)]
    assert state_row(database) == (1, {"at": 1})
    assert [json.loads(line) for line in outcome.stdout.splitlines()] == [{"at": 1}]


@pytest.mark.fault("M1", exit=[65])
@pytest.mark.parametrize("name", ["not JSON", "torn", "bytes that are not UTF-8"])
def test_m01_what_is_no_json_is_named_by_line_and_byte(database: str, name: str) -> None:
    before = [ORDERS, order(1), order(2)]
    outcome = load(database, *before, MALFORMED[name], order(9)).expect(65)
    assert "line 4" in outcome.last_words
    assert f"byte {len(lines(*before))}" in outcome.last_words


@pytest.mark.fault("M1", exit=[0])
def test_m01_byte_order_mark_blank_lines_and_crlf_are_tolerated(database: str) -> None:
    text = lines(ORDERS, "", order(1, "a"), "   ", order(2, "b"), "", STATE({"at": 2})).replace(
        b"\n", b"\r\n"
    )
    load(database, b"\xef\xbb\xbf" + text).expect(0)
    assert table(database, "orders", "id", "note") == [(1, "a"), (2, "b")]
    assert state_row(database) == (1, {"at": 2})


# --- M2 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("M2", exit=[0])
def test_m02_unknown_types_are_skipped_with_one_warning_each(database: str) -> None:
    odd = {"type": "HEARTBEAT", "stream": "orders"}
    outcome = load(database, ORDERS, order(1), odd, order(2), odd, odd, STATE({"at": 2})).expect(0)
    assert outcome.stderr.count("HEARTBEAT") == 1
    assert table(database, "orders", "id") == [(1,), (2,)]


@pytest.mark.fault("M2", exit=[0])
def test_m02_the_type_is_read_in_any_case(database: str) -> None:
    load(
        database,
        {**ORDERS, "type": "Schema"},
        {**order(1, "a"), "type": "record"},
        {**order(2, "b"), "type": "RECORD"},
        {**order(3, "c"), "type": "Record"},
        {**STATE({"at": 3}), "type": "state"},
    ).expect(0)
    assert table(database, "orders", "id") == [(1,), (2,), (3,)]
    assert state_row(database) == (1, {"at": 3})


# --- M3 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("M3", exit=[65])
def test_m03_a_record_before_its_schema_is_refused(database: str) -> None:
    outcome = load(database, ORDERS, order(1), RECORD("lines", {"id": 1})).expect(65)
    assert "stream `lines`" in outcome.last_words
    assert "line 3" in outcome.last_words


@pytest.mark.fault("M3", exit=[0])
def test_m03_schemas_that_change_and_flip_back_flush_in_order(database: str) -> None:
    """The known defect of others: after a change in mid-stream an older row overwrites a newer one."""
    wide = SCHEMA("orders", {"id": INTEGER, "note": TEXT, "qty": INTEGER}, ["id"])
    load(
        database,
        *(ORDERS, order(1, "first"), order(2, "first")),
        *(wide, RECORD("orders", {"id": 1, "note": "second", "qty": 5})),
        *(ORDERS, order(1, "third")),
        *(ORDERS, order(2, "fourth")),
        *(wide, RECORD("orders", {"id": 3, "note": "fifth", "qty": 6})),
    ).expect(0)
    assert table(database, "orders", "id", "note", "qty") == [
        (1, "third", 5),
        (2, "fourth", None),
        (3, "fifth", 6),
    ]


@pytest.mark.fault("M3", exit=[0])
def test_m03_a_key_change_takes_effect_where_it_stands(database: str) -> None:
    by_note = {**ORDERS, "key_properties": ["note"]}
    load(
        database,
        *(ORDERS, order(1, "a"), order(1, "b"), order(2, "c")),
        *(by_note, order(7, "b"), order(2, "d")),
    ).expect(0)
    assert table(database, "orders", "id", "note") == [(2, "c"), (2, "d"), (7, "b")]


@pytest.mark.fault("M3", exit=[65])
def test_m03_a_key_that_the_stored_rows_break_is_refused(database: str) -> None:
    load(database, ORDERS, order(1, "same"), order(2, "same")).expect(0)
    outcome = load(database, {**ORDERS, "key_properties": ["note"]}, order(3, "x")).expect(65)
    assert "note" in outcome.last_words
    assert table(database, "orders", "id") == [(1,), (2,)]


# --- M4 -----------------------------------------------------------------------------------------------------

EMPTY_STATES = [None, {}, {"bookmarks": {}}]


@pytest.mark.fault("M4", exit=[0])
@pytest.mark.parametrize("empty", EMPTY_STATES, ids=json.dumps)
def test_m04_an_empty_state_erases_nothing_of_an_earlier_run(
    database: str, empty: Any, tmp_path: Path
) -> None:
    good, file = {"bookmarks": {"orders": {"replication_key_value": 1}}}, tmp_path / "state.json"
    arguments = ["--state-file", str(file)]
    load(database, ORDERS, order(1), STATE(good), arguments=arguments).expect(0)
    outcome = load(database, ORDERS, order(3), STATE(empty), arguments=arguments).expect(0)
    assert outcome.stdout == b""
    assert state_row(database) == (2, good)
    assert json.loads(file.read_text()) == good
    assert table(database, "orders", "id") == [(1,), (3,)]
    assert "forget that state with `target-postgres --config " in outcome.stderr
    assert f"--state-file {file} --start-over`" in outcome.stderr


@pytest.mark.fault("M4", exit=[0])
@pytest.mark.parametrize("empty", EMPTY_STATES, ids=json.dumps)
def test_m04_an_empty_state_clears_what_this_run_has_said(database: str, empty: Any, tmp_path: Path) -> None:
    """A tap that keeps a marker to resume by while it reads a full table, and takes it away at the end."""
    marker, file = {"bookmarks": {"orders": {"last_pk_fetched": 2}}}, tmp_path / "state.json"
    kept = {} if empty is None else empty

    def run(*messages: Any, start: Any = None, resumes: str = "file") -> Any:
        opening = []
        if start is not None:
            opening = [MARKED(start)]
            opening[0]["value"][MARK]["resumes"] = resumes
        arguments = ["--state-file", str(file)]
        return load(database, *opening, ORDERS, *messages, arguments=arguments, commit_rows=1).expect(0)

    outcome = run(order(1), STATE(marker), SCHEMA("lines", {"id": INTEGER}), order(2), STATE(empty))
    assert [json.loads(line) for line in outcome.stdout.splitlines()] == [marker, kept]
    assert json.loads(file.read_text()) == kept
    assert state_row(database) == (2, kept)
    assert (read_start_state(state_url(database)) or {}) == kept

    run(order(1, "changed"), order(2))  # by a tap of others, from the file or from stdout
    for place in ("file", "url"):
        run(MARKED({}, complete=True), start=kept, resumes=place)
    assert table(database, "orders", "id", "note") == [(1, "changed"), (2, CONTENT)]


@pytest.mark.fault("M4", exit=[0])
def test_m04_a_state_with_fewer_streams_is_the_taps_own_word(database: str) -> None:
    both = {"bookmarks": {"orders": {"id": 1}, "lines": {"id": 1}}}
    less = {"bookmarks": {"orders": {"id": 2}}}
    load(database, ORDERS, order(1), STATE(both), order(2), STATE(less)).expect(0)
    assert state_row(database) == (1, less)


# --- M5 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("M5", exit=[0])
@pytest.mark.parametrize("opening", [[], [MARKED({})]], ids=["a tap of others", "a tap of singerkit"])
def test_m05_a_missing_field_is_unknown_from_our_taps_and_null_from_others(
    database: str, opening: list[Any]
) -> None:
    orders = SCHEMA("orders", {"id": INTEGER, "note": TEXT, "qty": INTEGER}, ["id"])
    rows = [{"id": number, "note": "a", "qty": 1} for number in (1, 2, 3, 4)]
    end = [MARKED({}, complete=True)] if opening else []
    load(database, *opening, orders, *(RECORD("orders", row) for row in rows), *end).expect(0)
    changes = [{"id": 1}, {"id": 2, "note": None}, {"id": 3, "qty": 2}, {"id": 4, "note": "b", "qty": None}]
    load(database, *opening, orders, *(RECORD("orders", row) for row in changes), *end).expect(0)
    kept = [(1, "a", 1), (2, None, 1), (3, "a", 2), (4, "b", None)]
    emptied = [(1, None, None), (2, None, None), (3, None, 2), (4, "b", None)]
    assert table(database, "orders", "id", "note", "qty") == (kept if opening else emptied)


# --- M6 -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("M6", exit=[0])
def test_m06_an_integer_beyond_bigint_widens_the_column(database: str) -> None:
    values = SCHEMA("values", {"id": INTEGER, "v": INTEGER}, ["id"])

    def column_type() -> str:
        return str(
            query(database, "SELECT pg_typeof(v)::text FROM values LIMIT 1".replace("values", '"values"'))[0][
                0
            ]
        )

    load(database, values, RECORD("values", {"id": 1, "v": 2**63 - 1})).expect(0)
    assert column_type() == "bigint"
    outcome = load(
        database, values, RECORD("values", {"id": 2, "v": 2**63}), RECORD("values", {"id": 3, "v": 4})
    )
    outcome.expect(0)
    assert column_type() == "numeric"
    assert "`v`" in outcome.stderr
    load(
        database, values, RECORD("values", {"id": 4, "v": -(10**40)}), RECORD("values", {"id": 1, "v": 5})
    ).expect(0)
    assert table(database, "values", "id", "v") == [(1, 5), (2, 2**63), (3, 4), (4, -(10**40))]


@pytest.mark.fault("M6", exit=[0])
def test_m06_a_key_beyond_bigint_widens_too_in_mid_run(database: str) -> None:
    keyed = SCHEMA("keyed", {"id": INTEGER, "v": TEXT}, ["id"])
    rows = [{"id": 1, "v": "a"}, {"id": 2**70, "v": "b"}, {"id": 1, "v": "c"}, {"id": 2**70, "v": "d"}]
    messages = [part for n, row in enumerate(rows) for part in (RECORD("keyed", row), STATE({"at": n}))]
    load(database, keyed, *messages, commit_rows=1).expect(0)
    assert table(database, "keyed", "id", "v") == [(1, "c"), (2**70, "d")]


# --- M7 to M12: every such value and policy is in tests/targets/postgres/test_values.py --------------------------------------------

UNSTORABLE = {
    "m07_nan": (NUMBER, "NaN", "$.v"),
    "m07_infinity_inside": (ANY_OBJECT, '{"a": [-Infinity]}', "$.v.a[0]"),
    "m10_year_0": (DATE_TIME, '"0000-12-31T00:00:00Z"', "$.v"),
    "m10_year_10000": (DATE_TIME, '"10000-01-01T00:00:00Z"', "$.v"),
    "m10_before_christ": (DATE_TIME, '"-0044-03-15T00:00:00Z"', "$.v"),
    "m10_30_february": (DATE_TIME, '"2026-02-30T00:00:00Z"', "$.v"),
    "m11_nul": (TEXT, r'"a\u0000b"', "$.v"),
    "m11_nul_inside": (ANY_OBJECT, r'{"a": {"b": "\u0000"}}', "$.v.a.b"),
    "m11_nul_in_a_key": (ANY_OBJECT, r'{"a": {"\u0000": 1}}', "$.v.a"),
    "m12_lone_surrogate": (TEXT, r'"\ud83d"', "$.v"),
    "m12_lone_surrogate_inside": (ANY_OBJECT, r'{"a": [["\udc00"]]}', "$.v.a[0][0]"),
    "m12_lone_surrogate_in_a_key": (ANY_OBJECT, r'{"a": {"\ud800": 1}}', "$.v.a"),
}


@pytest.mark.fault("M7", exit=[65], only="m07")
@pytest.mark.fault("M10", exit=[65], only="m10")
@pytest.mark.fault("M11", exit=[65], only="m11")
@pytest.mark.fault("M12", exit=[65], only="m12")
@pytest.mark.parametrize("case", UNSTORABLE.values(), ids=UNSTORABLE)
def test_m07_m10_m11_m12_a_value_that_cannot_be_stored_fails_naming_the_field(
    database: str, case: tuple[Any, str, str]
) -> None:
    schema, wire, path = case
    outcome = load(
        database,
        SCHEMA("s", {"id": INTEGER, "v": schema}),
        RECORD("s", {"id": 1, "v": None}),
        STATE({"at": 1}),
        f'{{"type": "RECORD", "stream": "s", "record": {{"id": 2, "v": {wire}}}}}',
        STATE({"at": 2}),
        on_unstorable="fail",
    ).expect(65)
    assert f"at s.{path} (line 4)" in outcome.last_words
    assert (
        "set `on_unstorable` to `quarantine` to set such records aside, or to `replace`" in outcome.last_words
    )
    assert table(database, "s", "id") == [(1,)]
    assert state_row(database) == (1, {"at": 1})


@pytest.mark.fault("M7", exit=[0], only="m07")
@pytest.mark.fault("M10", exit=[0], only="m10")
@pytest.mark.fault("M11", exit=[0], only="m11")
@pytest.mark.fault("M12", exit=[0], only="m12")
@pytest.mark.parametrize("case", UNSTORABLE.values(), ids=UNSTORABLE)
def test_m07_m10_m11_m12_a_value_that_cannot_be_stored_may_be_set_aside(
    database: str, case: tuple[Any, str, str]
) -> None:
    schema, wire, path = case
    line = f'{{"type": "RECORD", "stream": "s", "record": {{"id": 2, "v": {wire}}}}}'
    messages = [
        SCHEMA("s", {"id": INTEGER, "v": schema}),
        RECORD("s", {"id": 1, "v": None}),
        line,
        STATE({"at": 2}),
    ]
    load(database, *messages, on_invalid="quarantine", on_unstorable="fail").expect(0)
    assert table(database, "s", "id") == [(1,)]
    assert query(database, "SELECT stream, path FROM _singerkit_rejects") == [("s", path)]


@pytest.mark.fault("M7", exit=[0])
def test_m07_nan_is_allowed_as_null(database: str) -> None:
    record = '{"type": "RECORD", "stream": "s", "record": {"v": NaN}}'
    load(database, SCHEMA("s", {"v": NUMBER}), record, on_unstorable="null").expect(0)
    assert table(database, "s", "v") == [(None,)]


@pytest.mark.fault("M7", exit=[65])
@pytest.mark.parametrize("policy", ["null", "replace"])
def test_m07_a_key_is_never_nulled(database: str, policy: str) -> None:
    keyed = SCHEMA("s", {"v": NUMBER}, ["v"])
    outcome = load(
        database, keyed, '{"type": "RECORD", "stream": "s", "record": {"v": NaN}}', on_unstorable=policy
    )
    outcome.expect(65)
    assert "$.v" in outcome.last_words


def test_of_a_key_that_cannot_be_stored_the_advice_is_what_works(database: str) -> None:
    keyed = SCHEMA("s", {"v": {"type": "string", "format": "date-time"}}, ["v"])
    record = '{"type": "RECORD", "stream": "s", "record": {"v": "0000-01-01T00:00:00Z"}}'
    said = load(database, keyed, record).expect(65).last_words
    assert "set `on_unstorable` to `quarantine` to set such records aside, then run again" in said
    load(database, keyed, record, on_unstorable="quarantine").expect(0)


@pytest.mark.fault("M8", exit=[0])
def test_m08_decimals_of_any_length_are_exact(database: str) -> None:
    texts = ["0.12345678901234567", "1." + "0123456789" * 99 + "7", "1e400", "1.10", "-0.00", "9" * 1000]
    records = [
        f'{{"type": "RECORD", "stream": "s", "record": {{"id": {n}, "v": {t}}}}}' for n, t in enumerate(texts)
    ]
    load(database, SCHEMA("s", {"id": INTEGER, "v": NUMBER}), *records).expect(0)
    stored = [text for (text,) in query(database, "SELECT v::text FROM s ORDER BY id")]
    assert stored == [texts[0], texts[1], "1" + "0" * 400, "1.10", "0.00", texts[5]]


@pytest.mark.fault("M9", exit=[0])
def test_m09_timestamps_keep_their_instant_whatever_the_servers_zone(database: str) -> None:
    texts = {
        "2026-07-01T12:00:00+02:00": "2026-07-01 10:00:00+00",
        "2026-07-01T12:00:00": "2026-07-01 12:00:00+00",
        "2026-07-01T12:00:00.123456789Z": "2026-07-01 12:00:00.123457+00",
        "2016-12-31T23:59:60Z": "2017-01-01 00:00:00+00",
    }
    query(database, SQL("ALTER DATABASE {} SET timezone TO 'Asia/Kolkata'").format(_name_of(database)))
    records = [RECORD("s", {"id": number, "v": text}) for number, text in enumerate(texts)]
    load(database, SCHEMA("s", {"id": INTEGER, "v": DATE_TIME}), *records).expect(0)
    assert [text for (text,) in query(database, "SELECT v::text FROM s ORDER BY id")] == list(texts.values())


def _name_of(database: str) -> Identifier:
    return Identifier(urlsplit(database).path.removeprefix("/"))


# --- M13 ----------------------------------------------------------------------------------------------------


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def deep(levels: int) -> dict[str, list[Any]]:
    """The parts of a run with something of so many levels in it."""
    any_value = SCHEMA("s", {"id": INTEGER, "v": {}}, ["id"])
    record = '{{"type": "RECORD", "stream": "s", "record": {{"id": {}, "v": {}}}}}'
    properties = '{"properties": {"a": ' * levels + "{}" + "}}" * levels
    return {
        "in the first record": [any_value, record.format(1, nested(levels))],
        "in a record of a block": [
            any_value,
            *(record.format(n, 1) for n in range(9)),
            record.format(9, nested(levels)),
        ],
        "beside what only the exact path reads": [
            SCHEMA("s", {"v": {}, "w": {}}),
            f'{{"type": "RECORD", "stream": "s", "record": {{"w": "\\\\u0000 \\ud800", "v": {nested(levels)}}}}}',
        ],
        "before the stream's name": [f'{{"type": "RECORD", "record": {nested(levels)}, "stream": "s"}}'],
        "in a state": [ORDERS, f'{{"type": "STATE", "value": {{"a": {nested(levels)}}}}}'],
        "in a schema": [f'{{"type": "SCHEMA", "stream": "s", "schema": {properties}, "key_properties": []}}'],
        "in a message of unknown type": [ORDERS, f'{{"type": "ODD", "a": {nested(levels)}}}'],
    }


@pytest.mark.fault("M13", exit=[65])
@pytest.mark.parametrize("place", deep(1))
def test_m13_a_hundred_thousand_levels_are_refused(database: str, place: str) -> None:
    outcome = load(database, *deep(100_000)[place]).expect(65)
    assert len(outcome.last_words) < 600
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("levels", [300, 980])
def test_m13_near_the_limit_a_document_is_stored_or_refused(database: str, levels: int) -> None:
    """Between what is surely read and what is surely refused there is no crash."""
    for place, messages in deep(levels).items():
        outcome = load(database, *messages, default_target_schema=place).expect(0, 65)
        assert "Traceback" not in outcome.stderr, place


def test_m13_two_hundred_levels_are_stored(database: str) -> None:
    load(database, *deep(200)["in a record of a block"]).expect(0)
    assert query(database, "SELECT v::text FROM s WHERE id = 9") == [(nested(200),)]


# --- M14 ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("M14", exit=[65])
@pytest.mark.parametrize("ending", ["\n", ""], ids=["ended", "cut"])
def test_m14_a_line_over_the_limit_is_refused(database: str, ending: str) -> None:
    first = lines(ORDERS, order(1), STATE({"at": 1}))
    outcome = load(
        database, first + json.dumps(order(2, "x" * 5000)).encode() + ending.encode(), max_line_bytes=4000
    )
    outcome.expect(65)
    assert "max_line_bytes" in outcome.last_words
    assert "line 4" in outcome.last_words
    assert table(database, "orders", "id") == [(1,)]


@pytest.mark.fault("M14", exit=[65])
def test_m14_a_line_far_over_the_limit_is_not_read_to_its_end(database: str) -> None:
    outcome = load(database, ORDERS, order(1, "x" * 6_000_000), order(2), max_line_bytes=1_000_000)
    outcome.expect(65)
    assert "line 2" in outcome.last_words


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
@pytest.mark.fault("M14", exit=[65], main=True)
def test_m14_a_line_of_a_gigabyte_is_refused_in_bounded_memory(database: str, tmp_path: Path) -> None:
    words = ["prlimit", "--as=900000000", *command(tmp_path, database, {})]
    piece = b"x" * (1 << 20)
    with Running(words) as target:
        target.send(lines(ORDERS, order(1), STATE({"at": 1})))
        target.send(b'{"type": "RECORD", "stream": "orders", "record": {"id": 2, "note": "')
        for _ in range(1024):
            target.send(piece)
        outcome = target.finish().expect(65)
    assert "max_line_bytes" in outcome.last_words
    assert "line 4" in outcome.last_words
    assert table(database, "orders", "id") == [(1,)]


@pytest.mark.fault("M14", exit=[65])
def test_m14_five_thousand_columns_are_refused(database: str) -> None:
    outcome = load(database, SCHEMA("wide", {f"c{n}": INTEGER for n in range(5000)})).expect(65)
    assert "5000" in outcome.last_words
    assert "stream `wide`" in outcome.last_words


def test_m14_as_many_columns_as_a_table_takes_are_loaded(database: str) -> None:
    names = [f"c{n}" for n in range(1600)]
    wide = SCHEMA("wide", dict.fromkeys(names, INTEGER))
    load(database, wide, RECORD("wide", {"c1599": 7, "c0": 1})).expect(0)
    assert table(database, "wide", "c0", "c1599") == [(1, 7)]


@pytest.mark.fault("M14", exit=[65])
def test_m14_metadata_counts_among_the_columns(database: str) -> None:
    wide = SCHEMA("wide", {f"c{n}": INTEGER for n in range(1600)})
    load(database, wide, add_record_metadata=True).expect(65)


@pytest.mark.fault("M14", exit=[65])
def test_m14_a_row_too_big_for_a_page_is_refused_with_its_stream(database: str) -> None:
    names = [f"c{n}" for n in range(1200)]
    wide = SCHEMA("wide", dict.fromkeys(names, TEXT))
    outcome = load(database, wide, RECORD("wide", dict.fromkeys(names, "0123456789abcdef" * 2))).expect(65)
    assert "stream `wide`" in outcome.last_words


# --- M15 ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("M15", exit=[0])
def test_m15_long_names_are_shortened_and_stay_apart(database: str) -> None:
    names = ["ä" * 40 + "1", "ä" * 40 + "2", "c" * 63, "c" * 64, "c" * 65]
    messages = [
        message
        for stream in names
        for message in (
            SCHEMA(stream, dict.fromkeys(names, TEXT), [names[0]]),
            RECORD(stream, {n: n for n in names}),
        )
    ]
    for _ in range(2):  # the second run finds the same names again
        load(database, *messages).expect(0)
    tables = dict(
        query(
            database,
            "SELECT COALESCE(substr(obj_description(oid), 8), relname), relname FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_%'",
        )
    )
    assert set(tables) == set(names)
    with connected(database) as cursor:
        for stream, name in tables.items():
            cursor.execute(SQL("SELECT * FROM {}").format(Identifier(name)))
            assert [sorted(row) for row in cursor.fetchall()] == [sorted(names)], stream
            cursor.execute(
                "SELECT substr(col_description(attrelid, attnum), 7), attname FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NOT NULL",
                ['"' + name + '"'],
            )
            assert {original for original, _ in cursor.fetchall()} == {
                n for n in names if len(n.encode()) > 63
            }


@pytest.mark.fault("M15", exit=[0])
def test_m15_names_that_differ_in_case_or_unicode_form_stay_apart(database: str) -> None:
    names = ["Name", "name", "NAME", "caf\u00e9", "cafe\u0301", "ﬁ", "fi"]
    messages = [
        message
        for number, stream in enumerate(names)
        for message in (
            SCHEMA(stream, dict.fromkeys(names, INTEGER)),
            RECORD(stream, {n: number for n in names}),
        )
    ]
    load(database, *messages).expect(0)
    for number, stream in enumerate(names):
        assert table(database, stream, *names) == [(number,) * len(names)]


@pytest.mark.fault("M15", exit=[65])
def test_m15_a_collision_of_columns_is_found_before_anything_is_written(database: str) -> None:
    long = "c" * 70
    load(database, SCHEMA("first", {long: TEXT})).expect(0)
    (short,) = [
        name
        for (name,) in query(
            database, "SELECT attname FROM pg_attribute WHERE attrelid = 'first'::regclass AND attnum > 0"
        )
    ]
    outcome = load(
        database, SCHEMA("second", {long: TEXT, short: TEXT}), RECORD("second", {long: "a", short: "b"})
    )
    outcome.expect(65)
    assert short in outcome.last_words
    assert query(database, "SELECT to_regclass('second')") == [(None,)]


@pytest.mark.fault("M15", exit=[65])
def test_m15_a_collision_of_streams_is_found_before_anything_is_written(database: str) -> None:
    long = "s" * 70
    load(database, SCHEMA(long, {"v": TEXT}), default_target_schema="first").expect(0)
    (short,) = [
        name
        for (name,) in query(
            database,
            "SELECT relname FROM pg_class WHERE relnamespace = 'first'::regnamespace AND relname LIKE 's%'",
        )
    ]
    messages = [
        SCHEMA(long, {"v": TEXT}),
        RECORD(long, {"v": "a"}),
        SCHEMA(short, {"v": TEXT}),
        RECORD(short, {"v": "b"}),
    ]
    outcome = load(database, *messages).expect(65)
    assert short in outcome.last_words


@pytest.mark.fault("M15", exit=[65])
@pytest.mark.parametrize(
    "stream", ["_singerkit_state", "_singerkit_state_history", "_singerkit_rejects", "_singerkit_runs"]
)
def test_m15_our_own_tables_are_no_streams(database: str, stream: str) -> None:
    outcome = load(
        database,
        SCHEMA(stream, {"pipeline": TEXT, "v": TEXT}, ["pipeline"]),
        RECORD(stream, {"pipeline": "default"}),
    )
    outcome.expect(65)
    assert stream in outcome.last_words


@pytest.mark.fault("M15", exit=[65])
@pytest.mark.parametrize("name", ["", "a\x00b"], ids=["empty", "NUL"])
@pytest.mark.parametrize("place", ["stream", "column"])
def test_m15_a_name_that_cannot_be_one_is_refused(database: str, name: str, place: str) -> None:
    message = SCHEMA(name, {"v": TEXT}) if place == "stream" else SCHEMA("s", {name: TEXT})
    outcome = load(database, message).expect(65)
    assert "name" in outcome.last_words


# --- M16, M17 -----------------------------------------------------------------------------------------------


@pytest.mark.fault("M16", exit=[0])
def test_m16_streams_that_share_an_ending_have_tables_of_their_own(database: str) -> None:
    streams = ["a-users", "b-users", "a_users", "a.users", "users"]
    messages = [
        part
        for s in streams
        for part in (SCHEMA(s, {"id": INTEGER, "who": TEXT}, ["id"]), RECORD(s, {"id": 1, "who": s}))
    ]
    load(database, *messages).expect(0)
    for stream in streams:
        assert table(database, stream, "who") == [(stream,)]


NASTY = [
    'say "hi"; --',
    'a"b',
    "%(b)s",
    "100%",
    "%s",
    "'; DROP TABLE x; --",
    "; drop table x",
    "back\\slash",
    "new\nline",
    "tab\there",
    "{curly}",
    "$1",
    "select",
    "ctid_",
    " blank ",
    "Größe 😀",
    "a:b!c?d",
    "..",
    "record",
    "type",
]


@pytest.fixture(scope="module")
def nasty(postgres_dsn: str) -> str:
    """A database in which every nasty name is a stream with every nasty name as its columns, and its key."""

    def messages() -> Iterator[Any]:
        for stream in NASTY:
            yield SCHEMA(stream, dict.fromkeys(NASTY, TEXT), [stream])
            for times in (1, 2):  # twice: the second of them goes through a stage and a merge
                yield RECORD(stream, {name: name if name == stream else name * times for name in NASTY})
            # A missing field and an exact path: both go other ways.
            yield RECORD(stream, {stream: "other", NASTY[0] + "?": r"\u0000"})

    load(postgres_dsn, *messages(), default_target_schema='say "hi"; --').expect(0)
    load(postgres_dsn, *messages(), default_target_schema='say "hi"; --').expect(0)
    return postgres_dsn


@pytest.mark.parametrize("stream", NASTY, ids=ascii)
def test_m17_any_name_is_a_plain_name(nasty: str, stream: str) -> None:
    others = [name for name in NASTY if name != stream]
    assert sorted(table(nasty, stream, stream, *others, schema='say "hi"; --')) == sorted(
        [(stream, *(name * 2 for name in others)), ("other", *(None for _ in others))]
    )


@pytest.mark.fault("M17", exit=[0])
def test_m17_any_name_may_be_set_aside_and_versioned(database: str) -> None:
    schema = 'say "hi"'
    messages = [
        message
        for stream in NASTY
        for message in (
            SCHEMA(stream, {stream: {"type": "string"}}),
            RECORD(stream, {stream: 5}, version=1),
            RECORD(stream, {stream: "old"}, version=1),
            RECORD(stream, {stream: "new"}, version=2),
            {"type": "ACTIVATE_VERSION", "stream": stream, "version": 2},
        )
    ]
    load(
        database,
        *messages,
        STATE({"a": 1}),
        default_target_schema=schema,
        on_type_conflict="quarantine",
        add_record_metadata=True,
    ).expect(0)
    for stream in NASTY:
        assert table(database, stream, stream, schema=schema) == [("new",)]
    rejects = query(
        database, SQL("SELECT stream, path FROM {}").format(Identifier(schema, "_singerkit_rejects"))
    )
    assert sorted(rejects) == sorted((stream, f"$.{stream}") for stream in NASTY)


# --- M18 ----------------------------------------------------------------------------------------------------

PATHS = [
    "../../x",
    "/etc/x",
    "CON",
    "con.txt",
    "a/b",
    "a\\b",
    "..",
    ".",
    "x" * 300,
    "_singerkit_manifest",
    "%2e%2e/x",
]


@pytest.mark.fault("M18", exit=[0])
def test_m18_stream_names_of_a_file_target_stay_under_its_root(tmp_path: Path) -> None:
    root, config = tmp_path / "a" / "out", tmp_path / "config.json"
    root.parent.mkdir()
    config.write_text(json.dumps({"destination_path": str(root)}))
    messages = [part for name in PATHS for part in (SCHEMA(name, {"id": INTEGER}), RECORD(name, {"id": 1}))]
    words = [str(Path(TARGET).with_name("target-jsonl")), "--config", str(config)]
    run(words, stdin=lines(*messages, STATE({"at": 1})), cwd=root.parent).expect(0)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != config]
    assert {path.parent for path in written} == {root}
    loaded = [path for path in written if path.suffix == ".jsonl" and path.read_text() == '{"id":1}\n']
    assert len(loaded) == len(PATHS)


# --- M20 ----------------------------------------------------------------------------------------------------

SECRET = "c4n4ry&S3cr3t/%+ '\\\"x"


def _with_password(database: str) -> str:
    """The test server's URI with the canary as its password, in the URL's own quoting."""
    parts = urlsplit(database)
    user = parts.username or "nobody"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(SECRET, safe='')}@{host}"))


SECRETS: dict[str, Any] = {
    "refused data": ({"dsn": "WITH PASSWORD"}, {}, [ORDERS, RECORD("orders", {"id": "x"})], 65),
    "a fault of the server": (
        {"dsn": "WITH PASSWORD"},
        {},
        [SCHEMA("s", {"v": {"type": "string", "x-sql-datatype": "no_such_type"}})],
        78,
    ),
    "no such server": ({"host": "127.0.0.1", "port": 1, "user": "u", "password": SECRET}, {}, [ORDERS], 69),
    "no such host": (
        {"host": "no-such-host.invalid", "user": "u", "password": SECRET, "connect_timeout": 2},
        {},
        [ORDERS],
        69,
    ),
    "dsn for nobody": ({"dsn": f"host=127.0.0.1 port=1 password={quote(SECRET)}"}, {}, [ORDERS], 69),
    "not a dsn": ({"dsn": f"host=127.0.0.1 pass={quote(SECRET)}"}, {}, [ORDERS], 78),
    "a password in no quoting": ({"dsn": "postgresql://u:c4n4ry@S3cr3t@127.0.0.1:1/db"}, {}, [ORDERS], 78),
    "a slash in no quoting": ({"dsn": "postgresql://u:c4n4ry/S3cr3t@127.0.0.1:1/db"}, {}, [ORDERS], 78),
    "wrong type": ({"host": "127.0.0.1", "password": [SECRET]}, {}, [ORDERS], 78),
    "unknown setting": (
        {"host": "127.0.0.1", "port": 1, "pass_word": SECRET, "password": SECRET},
        {},
        [ORDERS],
        78,
    ),
    "from the environment": (
        {"host": "127.0.0.1", "port": 1, "password": {"env": "CANARY"}},
        {"CANARY": SECRET},
        [ORDERS],
        69,
    ),
    "libpq's own variable": ({"host": "127.0.0.1", "port": 1}, {"PGPASSWORD": SECRET}, [ORDERS], 69),
    "singer-sdk's variables": (
        None,
        {
            "TARGET_POSTGRES_HOST": "127.0.0.1",
            "TARGET_POSTGRES_PORT": "1",
            "TARGET_POSTGRES_PASSWORD": SECRET,
        },
        [ORDERS],
        69,
    ),
}


@pytest.mark.fault("M20", exit=[65, 69, 78])
@pytest.mark.parametrize("case", SECRETS.values(), ids=SECRETS)
def test_m20_no_secret_is_ever_printed(database: str, tmp_path: Path, case: Any) -> None:
    config, environment, messages, code = case
    config = dict(config) if config is not None else None
    if config and config.get("dsn") == "WITH PASSWORD":
        config["dsn"] = _with_password(database)
    (tmp_path / "home").mkdir()
    arguments = ["--state-file", str(tmp_path / "home" / "state.json"), "--debug"]
    words = command(tmp_path, "", {}, *arguments)
    if config is None:
        words = [words[0], "--config", "ENV", *arguments]
    else:
        Path(words[2]).write_text(json.dumps(config))
    outcome = run(words, stdin=lines(*messages), environment=environment, cwd=tmp_path / "home")
    outcome.expect(code)
    printed = outcome.stdout + outcome.stderr.encode()
    files = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    for form in (
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        repr(SECRET)[1:-1],
        "S3cr3t",
    ):
        assert form.encode() not in printed + files


@pytest.mark.fault("M20", exit=[0])
def test_m20_a_complete_run_prints_no_secret_either(database: str, tmp_path: Path) -> None:
    state_file = tmp_path / "state.json"
    outcome = load(
        _with_password(database),
        ORDERS,
        order(1),
        MARKED({"at": 1}, complete=True),
        arguments=["--state-file", str(state_file)],
    ).expect(0)
    assert "S3cr3t" not in outcome.stderr + outcome.stdout.decode() + state_file.read_text()


# --- M21 ----------------------------------------------------------------------------------------------------

REFUSED = SCHEMA("orders", {"id": INTEGER, "total": {"type": ["null", "number"]}}, ["id"])


def total(number: int, value: int) -> dict[str, Any]:
    return RECORD("orders", {"id": number, "total": value})


@pytest.mark.fault("M21", exit=[65])
def test_m21_the_state_is_never_beyond_the_rows_that_are_stored(database: str, tmp_path: Path) -> None:
    """An update and a new row, then one that a chosen type refuses, then a newer STATE in the same chunk."""
    state_file = tmp_path / "state.json"
    config: dict[str, Any] = {"column_types": {"orders.total": "numeric(5,2)"}}
    arguments = ["--state-file", str(state_file)]
    load(database, REFUSED, total(1, 1), total(2, 2), STATE({"at": 2}), arguments=arguments, **config).expect(
        0
    )
    for _ in range(2):
        outcome = load(
            database,
            *(STATE({"at": 2}), REFUSED, total(1, 99), total(3, 123456), total(4, 4), STATE({"at": 5})),
            arguments=arguments,
            **config,
        ).expect(65)
        assert "stream `orders` (lines 3 to 5)" in outcome.last_words
        assert "0 rows are committed" in outcome.last_words
        assert "123456" not in outcome.stderr
        assert json.loads(state_file.read_text()) == {"at": 2}
        assert table(database, "orders", "id", "total") == [(1, 1), (2, 2)]


@pytest.mark.fault("M21", exit=[0])
@pytest.mark.parametrize("policy", ["on_invalid", "on_unstorable"])
def test_m21_what_only_the_server_refuses_is_set_aside(database: str, policy: str) -> None:
    schema = SCHEMA("a", {"id": INTEGER, "j": {}}, ["id"])
    rows = ['{"id":1,"j":[1]}', '{"id":2,"j":[1e131073]}', '{"id":3,"j":[1e-10000000]}', '{"id":4,"j":[4]}']
    lines_ = ['{"type":"RECORD","stream":"a","record":' + row + "}\n" for row in rows]
    load(database, schema, *lines_, STATE({"at": 4}), **{policy: "quarantine"}).expect(0)
    assert [number for (number,) in table(database, "a", "id")] == [1, 4]
    letters = query(database, "SELECT line, record FROM _singerkit_rejects ORDER BY line")
    assert [(line, bytes(record).decode() + "\n") for line, record in letters] == [
        (3, lines_[1]),
        (4, lines_[2]),
    ]


# --- M26 ----------------------------------------------------------------------------------------------------

SHORT_NOTE = {"rule": "length", "field": "note", "max": 3}


@pytest.mark.fault("M26", exit=[65], main=True)
@pytest.mark.parametrize(
    ("rule", "last", "told"),
    [
        (SHORT_NOTE, order(3), "Expected records that keep rule `length` of `note` (`checks.orders[0]`)"),
        (
            {"rule": "unique", "fields": ["note"]},
            order(3, "ab"),
            "rule `unique` of `note` (`checks.orders[0]`) is broken by 2 of 3 rows (key id = 1; id = 3)",
        ),
    ],
    ids=["a record", "all rows"],
)
def test_m26_a_broken_rule_keeps_its_unit_out(
    database: str, rule: dict[str, Any], last: dict[str, Any], told: str
) -> None:
    checks = {"orders": [rule]}
    load(database, ORDERS, order(1, "ab"), order(2, "c"), STATE({"at": 2}), checks=checks).expect(0)
    for _ in range(2):
        outcome = load(database, ORDERS, last, STATE({"at": 3}), checks=checks).expect(65)
        assert told in outcome.last_words
        assert CONTENT not in outcome.stderr
        assert outcome.stdout == b""
        assert query(database, "SELECT id FROM orders ORDER BY id") == [(1,), (2,)]
    load(database, ORDERS, order(3, "d"), STATE({"at": 3}), checks=checks).expect(0)


@pytest.mark.fault("M26", exit=[0])
def test_m26_what_a_rule_sets_aside_is_there_once(database: str) -> None:
    checks = {"orders": [{**SHORT_NOTE, "on": "quarantine"}]}
    for _ in range(2):
        outcome = load(database, ORDERS, order(1, "ab"), order(2), STATE({"at": 2}), checks=checks).expect(0)
        assert CONTENT not in outcome.stderr
        assert query(database, "SELECT id FROM orders") == [(1,)]
        assert query(database, "SELECT line, path FROM _singerkit_rejects") == [(3, "$.note")]
