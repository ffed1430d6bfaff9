"""Columns as they are in the table: text keeps text, what was chosen is what is there, and no key becomes another.

Each test of values runs twice: its block as the fast path takes it, and with a field that only the exact path reads.
"""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg2
import pytest
from conftest import run_sql
from faults.loads import RECORD, SCHEMA, STATE, load, query

ONLY_EXACT = r'"\\u0000"'
INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
MIXED = {"type": ["null", "string", "integer"]}
ANYTHING = {"type": ["null", "string", "object", "array", "number", "boolean"]}
DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
DECIMAL_TEXT = {"type": ["string", "null"], "x-singer.decimal": True}
both_paths = pytest.mark.parametrize("exact", [False, True], ids=["block path", "exact path"])


def record(stream: str, exact: bool, **wires: str) -> str:
    """A RECORD whose fields are JSON text."""
    fields = [f'"{name}": {wire}' for name, wire in wires.items()]
    if exact:
        fields.append(f'"odd": {ONLY_EXACT}')
    return f'{{"type": "RECORD", "stream": "{stream}", "record": {{{", ".join(fields)}}}}}'


def stream_of(number: int, property_: Any, *wires: str, exact: bool = False) -> list[Any]:
    """The stream `s<number>`: its SCHEMA, and a row for each value of its column `v`."""
    name = f"s{number}"
    rows = [record(name, exact, id=str(id_), v=wire) for id_, wire in enumerate(wires, 1)]
    return [SCHEMA(name, {"id": INTEGER, "v": property_}, ["id"]), *rows]


SENT = [
    ("base64", {"type": ["string", "null"], "contentEncoding": "base64"}, '"aGVsbG8="', "aGVsbG8="),
    (
        "uuid",
        {"type": ["string", "null"], "format": "uuid"},
        '"123E4567-E89B-12D3-A456-426614174000"',
        "123E4567-E89B-12D3-A456-426614174000",
    ),
    (
        "date-time",
        DATE_TIME,
        '"2024-01-31T10:00:00.123456789+05:30"',
        "2024-01-31T10:00:00.123456789+05:30",
    ),
    ("no date-time", DATE_TIME, '"yesterday "', "yesterday "),
    ("date", {"type": ["string", "null"], "format": "date"}, '"2024-1-31"', "2024-1-31"),
    ("time", {"type": ["string", "null"], "format": "time"}, '"24:00:00+02:00"', "24:00:00+02:00"),
    ("decimal text", DECIMAL_TEXT, '"007"', "007"),
    ("decimal text with an exponent", DECIMAL_TEXT, '"1E+5"', "1E+5"),
    ("number", NUMBER, "1.10e1", "1.10e1"),
    ("integer", INTEGER, "12.0", "12.0"),
    ("big integer", INTEGER, "9" * 30, "9" * 30),
    ("boolean", {"type": ["boolean", "null"]}, "true", "true"),
    ("text of a mixed type", MIXED, '"abc"', "abc"),
    ("digits of a mixed type", MIXED, '"5"', "5"),
    ("number of a mixed type", MIXED, "5", "5"),
    ("null of a mixed type", MIXED, "null", None),
    ("the word null", MIXED, '"null"', "null"),
    ("quotes", ANYTHING, json.dumps('say "hi"\n\\ é'), 'say "hi"\n\\ é'),
    ("object", ANYTHING, '{"b":  1.0, "a": ["x", null]}', '{"b":  1.0, "a": ["x", null]}'),
    ("array", ANYTHING, "[1e2]", "[1e2]"),
]


@both_paths
@pytest.mark.parametrize("how", ["chosen", "named in the schema", "existing", "existing varchar"])
def test_a_text_column_keeps_the_text_as_it_was_sent(database: str, how: str, exact: bool) -> None:
    messages: list[Any] = []
    chosen = {}
    for number, (_, property_, wire, _) in enumerate(SENT):
        stream = f"s{number}"
        if how == "chosen":
            chosen[f"{stream}.v"] = "text"
        elif how == "named in the schema":
            property_ = {**property_, "x-sql-datatype": "character varying"}
        else:
            query(
                database,
                f"CREATE TABLE {stream} (id bigint PRIMARY KEY, v {how.split()[-1]})".replace(
                    " existing", " text"
                ),
            )
        messages += stream_of(number, property_, wire, "null", exact=exact)
    load(database, *messages, column_types=chosen).expect(0)
    found = {
        name: query(database, f"SELECT v FROM s{number} ORDER BY id")
        for number, (name, *_) in enumerate(SENT)
    }
    assert found == {name: [(stored,), (None,)] for name, *_, stored in SENT}


@both_paths
def test_a_text_column_that_gets_another_type_stays_text(database: str, exact: bool) -> None:
    first = [SCHEMA("s", {"id": INTEGER, "a": TEXT}, ["id"]), record("s", exact, id="1", a='"abc"')]
    then = [
        SCHEMA("s", {"id": INTEGER, "a": MIXED}, ["id"]),
        *(record("s", exact, id="2", a='"abc"'), record("s", exact, id="3", a="5")),
        *(record("s", exact, id="4", a='"5"'), record("s", exact, id="5", a="null")),
        STATE({"n": 1}),
    ]
    outcome = load(database, *first, *then).expect(0)
    assert outcome.stderr.count("`a` goes into a column of text") == 1
    assert query(database, "SELECT id, a FROM s ORDER BY id") == [
        (1, "abc"),
        (2, "abc"),
        (3, "5"),
        (4, "5"),
        (5, None),
    ]
    load(database, *then[:1], record("s", exact, id="1", a='"xyz"')).expect(0)
    assert query(database, "SELECT a FROM s WHERE id = 1") == [("xyz",)]


@both_paths
def test_a_mixed_column_in_a_text_column_is_still_validated(database: str, exact: bool) -> None:
    schema = SCHEMA("s", {"id": INTEGER, "v": MIXED}, ["id"])
    outcome = load(
        database,
        schema,
        record("s", exact, id="1", v="[1]"),
        column_types={"s.v": "text"},
        on_type_conflict="fail",
    )
    assert "Expected `integer` or `string` or `null`" in outcome.expect(65).last_words


# --- what was chosen, and what is there ---------------------------------------------------------------------


def test_a_chosen_type_is_the_one_that_is_there(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY, v jsonb)")
    query(database, "INSERT INTO s VALUES (1, '1')")
    row = [SCHEMA("s", {"id": INTEGER, "v": TEXT}, ["id"]), RECORD("s", {"id": 2, "v": None})]
    outcome = load(database, *row, column_types={"s.v": "text"}).expect(65)
    assert "`text` for `v`" in outcome.last_words
    assert "got `jsonb`" in outcome.last_words
    statement = re.search(r"`(ALTER TABLE .*?)`", outcome.last_words)
    assert statement, outcome.last_words
    run_sql(database, statement[1])
    load(database, *row, column_types={"s.v": "text"}).expect(0)


ADVISED = [
    ("varchar(3)", "text", TEXT, "abcdef", None),
    ("date", "timestamptz", TEXT, "2020-06-01 00:00:00+02", "2020-05-31"),
    ("numeric(3,1)", "numeric", NUMBER, "7.77", "7.8"),
    ("timestamp with time zone", "text", DATE_TIME, "2020-06-01 00:00:00+02", "2020-05-31 22:00:00+00"),
    ("timestamptz", "varchar(30)", DATE_TIME, "2020-06-01 00:00:00+02", "2020-05-31 22:00:00+00"),
    ("timestamptz", "text", DATE_TIME, "2020-06-01 00:00:00+01", "2020-05-31 23:00:00+00"),
    (None, "timestamp", DATE_TIME, "2020-06-01 00:00:00", "2020-06-01 00:00:00+00"),
    (None, "jsonb", DATE_TIME, '"2020-06-01T00:00:00"', "2020-06-01 00:00:00+00"),
    (None, "timestamptz", {**TEXT, "format": "date"}, "2020-06-01 00:00:00+00", "2020-06-01"),
]


@pytest.mark.parametrize(("chosen", "existing", "property_", "value", "expected"), ADVISED)
def test_the_statement_that_is_advised_keeps_values_or_says_so(
    database: str, chosen: str | None, existing: str, property_: Any, value: str, expected: str | None
) -> None:
    """In the session of somebody in another time zone; None: PostgreSQL refuses it, and nothing is cut."""
    query(database, f"CREATE TABLE s (id bigint PRIMARY KEY, v {existing})")
    query(database, "INSERT INTO s VALUES (1, %s)", [value])
    schema = SCHEMA("s", {"id": INTEGER, "v": property_}, ["id"])
    config = {"column_types": {"s.v": chosen}} if chosen else {"on_type_conflict": "fail"}
    outcome = load(database, schema, RECORD("s", {"id": 2, "v": None}), **config).expect(65)
    statement = re.search(r"`([^`]*ALTER TABLE .*?)`", outcome.last_words)
    assert statement, outcome.last_words
    if expected is None:
        with pytest.raises(psycopg2.errors.StringDataRightTruncation):
            run_sql(database, statement[1])
        return
    run_sql(database, f"SET TIME ZONE 'Asia/Tokyo'; {statement[1]}")
    assert query(database, "SET TIME ZONE 'UTC'; SELECT v::text FROM s WHERE id = 1") == [(expected,)]
    is_cut = "date" in (chosen, property_.get("format")) or chosen == "numeric(3,1)"
    assert bool(re.search(r"rounds or cuts|drops the time of day", outcome.last_words)) == is_cut


@pytest.mark.parametrize("chosen", ["varchar(5)", "VARCHAR(5)", "character varying(5)"])
def test_a_chosen_type_may_be_written_in_any_way(database: str, chosen: str) -> None:
    for number in range(2):
        load(
            database,
            SCHEMA("s", {"id": INTEGER, "v": TEXT}, ["id"]),
            RECORD("s", {"id": number, "v": "a"}),
            column_types={"s.v": chosen},
        ).expect(0)


def test_number_type_is_for_new_columns(database: str) -> None:
    schema = SCHEMA("s", {"id": INTEGER, "v": NUMBER}, ["id"])
    load(database, schema, RECORD("s", {"id": 1, "v": 0.1})).expect(0)
    load(database, schema, RECORD("s", {"id": 2, "v": 0.2}), number_type="double precision").expect(0)
    assert query(database, "SELECT v::text FROM s ORDER BY id") == [("0.1",), ("0.2",)]


@pytest.mark.parametrize(
    ("first", "value", "then", "other"),
    [
        (INTEGER, 7, MIXED, "abc"),
        ({"type": ["string", "null"], "format": "date"}, "2024-02-28", TEXT, "2024-02-30"),
        ({"type": ["boolean", "null"]}, True, TEXT, "maybe"),
        ({}, {"a": 1}, TEXT, "x"),
    ],
    ids=["integer to mixed", "date to text", "boolean to text", "document to text"],
)
def test_a_column_that_gets_another_type_is_refused_with_advice_that_helps(
    database: str, first: Any, value: Any, then: Any, other: Any
) -> None:
    load(
        database, SCHEMA("s", {"id": INTEGER, "a": first}, ["id"]), RECORD("s", {"id": 1, "a": value})
    ).expect(0)
    changed = [SCHEMA("s", {"id": INTEGER, "a": then}, ["id"]), RECORD("s", {"id": 2, "a": other})]
    outcome = load(database, *changed, on_type_conflict="fail").expect(65)
    statement = re.search(r"`(ALTER TABLE .*?)`", outcome.last_words)
    assert statement, outcome.last_words
    run_sql(database, statement[1])
    load(database, *changed).expect(0)
    assert query(database, "SELECT count(a) FROM s") == [(2,)]


# --- limits of text -----------------------------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize(
    ("type_", "value", "words"),
    [
        ("varchar(5)", "abcde   ", "at most 5 characters"),
        ("varchar(5)", "abcdef", "at most 5 characters"),
        ("char(5)", "abc  ", "without blanks at its end"),
        ("char(5)", "abcdef", "at most 5 characters"),
    ],
)
@pytest.mark.parametrize(
    "property_", [TEXT, {**TEXT, "maxLength": 20}, MIXED], ids=["text", "limited", "mixed"]
)
def test_text_that_its_column_cuts_is_refused(
    database: str, type_: str, value: str, words: str, property_: Any, exact: bool
) -> None:
    row = [
        SCHEMA("s", {"id": INTEGER, "v": property_}, ["id"]),
        record("s", exact, id="1", v='"ééééé"'),
        record("s", exact, id="2", v=json.dumps(value)),
    ]
    outcome = load(database, *row, column_types={"s.v": type_}, on_unstorable="fail").expect(65)
    assert words in outcome.last_words
    assert "s.$.v (line 3)" in outcome.last_words
    load(database, *row, column_types={"s.v": type_}, on_unstorable="quarantine").expect(0)
    assert query(database, "SELECT id, v::text FROM s") == [(1, "ééééé")]
    load(database, *row, column_types={"s.v": type_}, on_unstorable="null").expect(0)
    assert query(database, "SELECT id, v::text FROM s ORDER BY id") == [(1, "ééééé"), (2, None)]


# --- keys ---------------------------------------------------------------------------------------------------


@both_paths
def test_keys_that_differ_below_the_microsecond_are_refused(database: str, exact: bool) -> None:
    keyed = SCHEMA("s", {"t": {"type": "string", "format": "date-time"}, "v": INTEGER}, ["t"])
    row = [
        keyed,
        record("s", exact, t='"2024-01-31T10:00:00.1234560Z"', v="0"),
        record("s", exact, t='"2024-01-31T10:00:00.1234561Z"', v="1"),
        record("s", exact, t='"2024-01-31T10:00:00.1234562Z"', v="2"),
    ]
    outcome = load(database, *row).expect(65)
    assert "s.$.t (line 3)" in outcome.last_words
    assert "six digits" in outcome.last_words
    load(database, *row, column_types={"s.t": "text"}).expect(0)
    assert query(database, "SELECT v FROM s ORDER BY v") == [(0,), (1,), (2,)]
    load(database, *row, load_method="append-only", default_target_schema="log").expect(0)
    assert query(database, "SELECT count(*) FROM log.s") == [(3,)]


@both_paths
def test_values_that_are_rounded_are_named(database: str, exact: bool) -> None:
    """A clock of PostgreSQL holds microseconds: finer values are rounded, and the run says so once for each column."""
    time = {"type": ["string", "null"], "format": "time"}
    row = [
        SCHEMA("s", {"id": INTEGER, "t": DATE_TIME, "u": DATE_TIME, "c": time, "x": TEXT}, ["id"]),
        *(
            record(
                "s",
                exact,
                id=str(n),
                t='"2024-01-31T10:00:00.1234567Z"',
                u='"2024-01-31T10:00:00.123456000Z"',
                c='"10:00:00.0000001"',
                x='"2024-01-31T10:00:00.1234567Z"',
            )
            for n in range(300)
        ),
    ]
    outcome = load(database, *row).expect(0)
    assert outcome.stderr.count("are rounded to microseconds") == 2
    assert "values of `t`" in outcome.stderr
    assert "values of `c`" in outcome.stderr
    assert query(database, "SELECT DISTINCT t AT TIME ZONE 'UTC' || '', c || '', x FROM s") == [
        ("2024-01-31 10:00:00.123457", "10:00:00", "2024-01-31T10:00:00.1234567Z")
    ]


@pytest.mark.parametrize(
    ("property_", "type_"),
    [
        (NUMBER, "numeric(12,2)"),
        (NUMBER, "double precision"),
        (INTEGER, "real"),
        (TEXT, "bigint"),
        (TEXT, "numeric"),
        (DATE_TIME, "date"),
        (DATE_TIME, "timestamp(3) with time zone"),
        (MIXED, "text"),
        (TEXT, "name"),
        (TEXT, "citext"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_column_that_makes_keys_one_is_refused(database: str, property_: Any, type_: str) -> None:
    if type_ == "citext":
        query(database, "CREATE EXTENSION citext")
    outcome = load(database, SCHEMA("s", {"k": property_}, ["k"]), column_types={"s.k": type_}).expect(65)
    assert "`k` of stream `s`" in outcome.last_words
    load(
        database,
        SCHEMA("s", {"k": property_}),
        column_types={"s.k": "text" if type_ == "name" else type_},
        default_target_schema="keyless",
    ).expect(0)


@pytest.mark.parametrize("path", ["public", "public, ext"])
def test_citext_is_taken_in_whatever_schema_its_extension_is(database: str, path: str) -> None:
    """It was refused (65) where that is not on the path: Supabase has it in `extensions`."""
    (name,) = query(database, "SELECT current_database()")[0]
    query(database, "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext")
    query(database, f'ALTER DATABASE "{name}" SET search_path = {path}')
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY, a ext.citext, n ext.citext, m ext.citext)")
    fields = {"a": TEXT, "n": NUMBER, "m": MIXED}
    own = SCHEMA("s", {"id": INTEGER, **fields}, ["id"])
    for text in ("Abc", "aBC"):
        load(database, own, RECORD("s", {"id": 1, "a": text, "n": 1, "m": text}), STATE({"a": text})).expect(
            0
        )
        assert query(database, "SELECT a::text, n::text, m::text FROM s") == [(text, "1", text)]
    keyed = SCHEMA("s", fields, ["a"])
    assert "citext" in load(database, keyed, STATE({"a": 3})).expect(65).last_words
    query(database, "CREATE TYPE public.citext AS ENUM ('a'); CREATE TABLE t (id bigint, a public.citext)")
    load(
        database, SCHEMA("t", {"id": INTEGER, "a": TEXT}, []), STATE({"a": 4}), on_type_conflict="fail"
    ).expect(65)


@pytest.mark.parametrize(
    ("property_", "type_", "wires"),
    [
        (INTEGER, "numeric(38,0)", ["1", "2"]),
        (INTEGER, "integer", ["1", "2.0"]),
        (TEXT, "varchar(3)", ['"a"', '"A"', '"a  "']),
        (TEXT, "char(3)", ['"a"', '"A"']),
        (INTEGER, "text", ["1", "2", "2.0"]),
        (DATE_TIME, "timestamp", ['"2024-01-31T10:00:00Z"', '"2024-01-31T10:00:00.000001Z"']),
        (MIXED, "jsonb", ['"5"', "5"]),
        (NUMBER, "numeric", ["1.0", "1.01"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@both_paths
def test_a_key_column_that_keeps_keys_apart_is_taken(
    database: str, property_: Any, type_: str, wires: list[str], exact: bool
) -> None:
    keyed = SCHEMA("s", {"k": property_, "v": INTEGER}, ["k"])
    rows = [record("s", exact, k=wire, v="1") for wire in wires]
    for _ in range(2):
        load(database, keyed, *rows, column_types={"s.k": type_}).expect(0)
    assert query(database, "SELECT count(*) FROM s") == [(len(wires) - ("2.0" in wires and "2" in wires),)]


# --- offsets ------------------------------------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize("local", [False, True], ids=["timestamptz", "timestamp"])
def test_every_offset_of_rfc_3339_keeps_its_instant(database: str, local: bool, exact: bool) -> None:
    wires = {
        "2024-01-31T10:00:00+23:59": "2024-01-30 10:01:00",
        "2024-01-31T10:00:00-23:59": "2024-02-01 09:59:00",
        "2024-01-31T10:00:00.5+16:00": "2024-01-30 18:00:00.5",
        "2024-01-31T10:00:00-15:59": "2024-02-01 01:59:00",
        "2024-01-31T10:00:00": "2024-01-31 10:00:00",
    }
    rows = [record("s", exact, id=str(n), t=json.dumps(wire)) for n, wire in enumerate(wires)]
    load(
        database,
        SCHEMA("s", {"id": INTEGER, "t": DATE_TIME}, ["id"]),
        *(*rows, record("s", exact, id="9", t="null"), record("s", exact, id="10")),
        column_types={"s.t": "timestamp"} if local else {},
    ).expect(0)
    shown = "t::text" if local else "(t AT TIME ZONE 'UTC')::text"
    assert [text for (text,) in query(database, f"SELECT {shown} FROM s ORDER BY id")] == [
        *wires.values(),
        None,
        None,
    ]


@both_paths
def test_an_offset_that_leads_out_of_the_years_is_refused(database: str, exact: bool) -> None:
    for wire in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2024-01-01T00:00:00+24:00"):
        row = record("s", exact, id="1", t=json.dumps(wire))
        own = SCHEMA("s", {"id": INTEGER, "t": DATE_TIME}, ["id"])
        outcome = load(database, own, row, on_unstorable="fail").expect(65)
        assert "s.$.t" in outcome.last_words


@both_paths
def test_a_wide_offset_of_time_extracted(database: str, exact: bool) -> None:
    row = record("s", exact, id="1")[:-1] + ', "time_extracted": "2024-01-31T10:00:00+23:59"}'
    load(database, SCHEMA("s", {"id": INTEGER}, ["id"]), row, add_record_metadata=True).expect(0)
    assert query(database, "SELECT (_sdc_extracted_at AT TIME ZONE 'UTC')::text FROM s") == [
        ("2024-01-30 10:01:00",)
    ]


# --- text in a column of another type that was chosen --------------------------------------------------------

KEPT = [
    ("timestamp", TEXT, "2020-06-01T00:00:00+02:00", "2020-05-31 22:00:00"),
    ("timestamp", TEXT, "2020-06-01", "2020-06-01 00:00:00"),
    ("timestamp with time zone", TEXT, "2020-06-01T00:00:00+02:00", "2020-05-31 22:00:00+00"),
    ("timestamp(6)", DATE_TIME, "2020-06-01T00:00:00+02:00", "2020-05-31 22:00:00"),
    ("date", TEXT, "2020-06-01", "2020-06-01"),
    ("date", DATE_TIME, "2020-06-01T00:00:00Z", "2020-06-01"),
    ("timestamp with time zone", {**TEXT, "format": "date"}, "2020-06-01", "2020-06-01 00:00:00+00"),
    ("time", TEXT, "12:00:00Z", "12:00:00"),
    ("time with time zone", TEXT, "12:00:00", "12:00:00+00"),
    ("time(0)", TEXT, "23:59:59.49", "23:59:59"),
    ("time(3)", {**TEXT, "format": "time"}, "23:59:59.99949", "23:59:59.999"),
    ("timestamp(0)", DATE_TIME, "2020-06-01T23:59:59.9Z", "2020-06-02 00:00:00"),
    ("timestamp(0)", DATE_TIME, "9999-12-31T23:59:59.4Z", "9999-12-31 23:59:59"),
    ("uuid", TEXT, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("numeric", TEXT, "1.10", "1.10"),
    ("bigint", TEXT, "9007199254740993", "9007199254740993"),
    ("boolean", TEXT, "yes", "true"),
    ("interval", TEXT, "P1D", "P1D"),
    ("bytea", TEXT, r"\x00ff", r"\x00ff"),
    ("jsonb", TEXT, '{"a":1}', '{"a": 1}'),
]
REFUSED = [
    *(("timestamp", TEXT, text) for text in ("now", "today", "infinity", "January 8, 1999")),
    *(("timestamp with time zone", TEXT, text) for text in ("yesterday", "epoch", "2020-01-01 10:00 PST")),
    *(
        ("date", TEXT, text)
        for text in ("today", "2020-06-01T23:30:00-05:00", "2020-06-01T10:00:00Z", "1/2/2020")
    ),
    ("date", DATE_TIME, "2020-06-01T10:00:00Z"),
    ("time", DATE_TIME, "2020-06-01T10:00:00Z"),
    ("timestamp", {**TEXT, "format": "time"}, "allballs"),
    *(("time", TEXT, text) for text in ("now", "12:00:00+02:00", "2020-06-01T12:00:00")),
    *(("time(0)", property_, "23:59:59.5") for property_ in (TEXT, {**TEXT, "format": "time"})),
    ("time(3) with time zone", TEXT, "23:59:59.9995Z"),
    *(("timestamp(0)", property_, "9999-12-31T23:59:59.5Z") for property_ in (TEXT, DATE_TIME)),
    ("timestamp(0)", {**TEXT, "format": "date"}, "9999-12-31T23:59:59.5Z"),
    *(("time with time zone", TEXT, text) for text in ("now", "2020-06-01 12:00+02")),
    ("timestamp", {**TEXT, "enum": ["now", None]}, "now"),
    ("date", {**TEXT, "format": "date", "enum": ["today", None]}, "today"),
    *(("numeric", TEXT, text) for text in ("1_000", "0x1F", " 1 ", "NaN")),
    ("bigint", TEXT, "1_000"),
    ("uuid", TEXT, "no uuid"),
    ("money", TEXT, "1.50"),
    ("money", NUMBER, 1.505),
]


@both_paths
def test_text_in_a_column_of_a_chosen_type_is_what_it_says(database: str, exact: bool) -> None:
    messages: list[Any] = []
    for number, (_, property_, text, _) in enumerate(KEPT):
        messages += stream_of(number, property_, json.dumps(text), "null", exact=exact)
    chosen = {f"s{number}.v": type_ for number, (type_, *_) in enumerate(KEPT)}
    load(database, *messages, column_types=chosen).expect(0)
    found = [
        query(database, f"SET intervalstyle TO 'iso_8601'; SELECT v::text FROM s{number} ORDER BY id")
        for number in range(len(KEPT))
    ]
    assert found == [[(stored,), (None,)] for *_, stored in KEPT]


def test_text_that_a_chosen_type_would_change_is_refused(database: str) -> None:
    """Both paths: records are set aside one by one on the exact path, when the block was refused."""
    cases = [case for case in REFUSED if case[0] != "money"]
    messages: list[Any] = []
    for number, (_, property_, text) in enumerate(cases):
        messages += stream_of(number, property_, json.dumps(text))
    chosen = {f"s{number}.v": type_ for number, (type_, *_) in enumerate(cases)}
    aside = dict.fromkeys(("on_unstorable", "on_invalid", "on_type_conflict"), "quarantine")
    load(database, *messages, column_types=chosen, **aside).expect(0)
    streams = [f"s{number}" for number in range(len(cases))]
    assert [query(database, f"SELECT v::text FROM {stream}") for stream in streams] == [[] for _ in streams]
    set_aside = query(database, "SELECT stream, path FROM _singerkit_rejects")
    assert sorted(set_aside) == sorted((stream, "$.v") for stream in streams)


@pytest.mark.parametrize(("type_", "property_", "value"), REFUSED[-2:], ids=["text", "number"])
def test_money_is_no_type_for_values(database: str, type_: str, property_: Any, value: Any) -> None:
    schema = SCHEMA("s", {"id": INTEGER, "v": property_}, ["id"])
    outcome = load(database, schema, RECORD("s", {"id": 1, "v": value}), column_types={"s.v": type_}).expect(
        65
    )
    assert "got `money`, which PostgreSQL reads by the server's locale" in outcome.last_words
    assert query(database, "SELECT to_regclass('s')") == [(None,)]


@both_paths
def test_text_in_an_existing_column_of_a_chosen_type(database: str, exact: bool) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY, v timestamp)")
    schema = SCHEMA("s", {"id": INTEGER, "v": TEXT}, ["id"])
    row = record("s", exact, id="1", v='"2020-06-01T00:00:00+02:00"')
    load(database, schema, row, column_types={"s.v": "timestamp"}).expect(0)
    assert query(database, "SELECT v::text FROM s") == [("2020-05-31 22:00:00",)]


@pytest.mark.parametrize("limit", [{"maxLength": 3}, {"pattern": "^1"}, {"enum": ["1.5"]}], ids=str)
def test_decimals_in_text_are_validated_as_text(database: str, limit: dict[str, Any]) -> None:
    schema = SCHEMA("s", {"id": INTEGER, "v": {**DECIMAL_TEXT, **limit}}, ["id"])
    outcome = load(database, schema, RECORD("s", {"id": 1, "v": "2.125"})).expect(65)
    assert "at s.$.v (line 2)" in outcome.last_words


# --- keys in text --------------------------------------------------------------------------------------------

SPELLINGS = [
    (NUMBER, "1", "1.0", "number"),
    (DATE_TIME, '"2020-01-01T00:00:00Z"', '"2020-01-01T01:00:00+01:00"', "date-time"),
    ({"type": "object"}, '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "json"),
]


@pytest.mark.parametrize(("key", "one", "other", "kind"), SPELLINGS, ids=lambda value: str(value)[:9])
def test_a_column_of_text_compares_keys_as_text_which_is_told(
    database: str, key: Any, one: str, other: str, kind: str
) -> None:
    query(database, "CREATE TABLE s (id text PRIMARY KEY, v bigint)")
    schema = SCHEMA("s", {"id": key, "v": INTEGER}, ["id"])
    rows = [record("s", False, id=one, v="1"), record("s", False, id=other, v="2")]
    outcome = load(database, schema, *rows).expect(0)
    assert outcome.stderr.count(f"the key `id` is of the kind {kind}, and its column of type `text`") >= 1
    assert query(database, "SELECT v FROM s ORDER BY v") == [(1,), (2,)]
