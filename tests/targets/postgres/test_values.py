"""The value table of target-postgres: every row of it, with its edges, goes through the executable and back.

Each case is two streams in one load: one whose block the fast path takes, and one with a field that only the
exact path reads; both must leave the same value in a column of the same type.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, connected, load, query
from psycopg2.sql import SQL, Identifier

from singerkit_wire.kinds import Kind
from singerkit_wire.unstorable import Policy
from target_postgres.types import VALUE_TABLE

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
DATE = {"type": ["string", "null"], "format": "date"}
TIME = {"type": ["string", "null"], "format": "time"}
UUID = {"type": ["string", "null"], "format": "uuid"}
BASE64 = {"type": ["string", "null"], "contentEncoding": "base64"}
OBJECT = {"type": ["object", "null"]}
DECIMAL_TEXT = {"type": ["string", "null"], "x-singer.decimal": True}

ONLY_EXACT = r'"\\u0000"'
"""Text of a backslash and five characters: harmless, and unusual enough for the fast path to refuse its block."""


@dataclass(frozen=True)
class Case:
    """``wire`` is JSON text, ``stored`` the column's value as PostgreSQL writes it, in UTC."""

    kind: Kind
    name: str
    property: Mapping[str, Any]
    wire: str
    type: str
    stored: str | None

    @property
    def streams(self) -> tuple[str, str]:
        return f"{self.kind.value}: {self.name}", f"{self.kind.value}: {self.name}, exactly"


def integer(name: str, wire: str, stored: str | None = None) -> Case:
    return Case(Kind.INTEGER, name, INTEGER, wire, "bigint", stored or wire)


def big(name: str, wire: str, stored: str | None = None) -> Case:
    return Case(Kind.BIG_INTEGER, name, INTEGER, wire, "numeric", stored or wire)


def number(name: str, wire: str, stored: str | None = None, property: Any = NUMBER) -> Case:
    return Case(Kind.NUMBER, name, property, wire, "numeric", stored or wire)


def date_time(name: str, wire: str, stored: str, property: Any = DATE_TIME) -> Case:
    return Case(Kind.DATE_TIME, name, property, json.dumps(wire), "timestamp with time zone", stored)


def date(name: str, wire: str, stored: str) -> Case:
    return Case(Kind.DATE, name, DATE, json.dumps(wire), "date", stored)


def time(name: str, wire: str, stored: str) -> Case:
    return Case(Kind.TIME, name, TIME, json.dumps(wire), "time without time zone", stored)


def text(name: str, value: str, property: Any = TEXT) -> Case:
    return Case(Kind.STRING, name, property, json.dumps(value), "text", value)


def nested(name: str, property: Any, wire: str, stored: str | None = None) -> Case:
    return Case(Kind.JSON, name, property, wire, "jsonb", stored or wire)


DIGITS_17 = "0.12345678901234567"
DIGITS_1000 = "8" * 500 + "." + "3" * 499 + "7"
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f466"

CASES = [
    integer("zero", "0"),
    integer("minus zero is zero", "-0", "0"),
    integer("highest bigint", "9223372036854775807"),
    integer("lowest bigint", "-9223372036854775808"),
    integer("beyond what a float counts", "9007199254740993"),
    integer("whole number with a point", "12.0", "12"),
    integer("whole number with an exponent", "12e3", "12000"),
    Case(Kind.INTEGER, "null", INTEGER, "null", "bigint", None),
    Case(
        Kind.INTEGER,
        "anyOf with null",
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "7",
        "bigint",
        "7",
    ),
    big("one above bigint", "9223372036854775808"),
    big("one below bigint", "-9223372036854775809"),
    big("hundred digits", "9" * 100),
    big("four thousand digits and more", "7" * 5000),
    big("exponent", "1e30", "1" + "0" * 30),
    number("two places", "12.34"),
    number("keeps its zero", "1.10"),
    number("integer in a number", "5"),
    number("17 digits", DIGITS_17),
    number("1000 digits", DIGITS_1000),
    number("1e400", "1e400", "1" + "0" * 400),
    number("1E+400", "1E+400", "1" + "0" * 400),
    number("1e-400", "1e-400", "0." + "0" * 399 + "1"),
    number("negative exponent", "-1.5e-7", "-0.00000015"),
    number("big integer", "123456789012345678901234567890"),
    # numeric has no negative zero: the value is the same number.
    number("negative zero", "-0.0", "0.0"),
    number("highest exponent", "1e131071", "1" + "0" * 131071),
    Case(Kind.NUMBER, "null", NUMBER, "null", "numeric", None),
    number("bounded", "99.999999999999999999", property={"type": "number", "minimum": 0, "maximum": 100}),
    number("multiple of a cent", "12.10", property={"type": "number", "multipleOf": 0.01}),
    number("decimal as text", '"1.10"', "1.10", DECIMAL_TEXT),
    number("long decimal as text", f'"{DIGITS_1000}"', DIGITS_1000, DECIMAL_TEXT),
    number("decimal as text by format", '"-0.50"', "-0.50", {"type": "string", "format": "singer.decimal"}),
    number("decimal as text with an exponent", '"1.5E+3"', "1500", DECIMAL_TEXT),
    Case(Kind.BOOLEAN, "true", {"type": "boolean"}, "true", "boolean", "true"),
    Case(Kind.BOOLEAN, "false", {"type": ["null", "boolean"]}, "false", "boolean", "false"),
    Case(Kind.BOOLEAN, "null", {"type": ["null", "boolean"]}, "null", "boolean", None),
    text("plain", "abc"),
    text("empty is not null", ""),
    text("the word null", "null"),
    text("quotes and backslashes", 'say "hi" \\ and \\" and \\\\'),
    text("end of COPY", "\\."),
    text("COPY's null", "\\N"),
    text("line ends", "a\nb\r\nc\rd"),
    text("tabs and control characters", "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f"),
    text("escapes spelled out", r"\n \t \u0041 \x41"),
    text("commas and brackets", '],[","'),
    text("line separators", "\u2028\u2029\u0085"),
    text("beyond the first plane", FAMILY),
    text("unicode forms stay apart", "\u00e9 e\u0301"),
    text("blanks around", "  a  "),
    text("long", "ü" * 100_000),
    text("unknown format", "a@b", {"type": "string", "format": "email"}),
    text("enum", "b", {"type": "string", "enum": ["a", "b"]}),
    Case(Kind.STRING, "null", TEXT, "null", "text", None),
    Case(Kind.STRING, "surrogate pair", TEXT, r'"\ud83d\ude00"', "text", "\U0001f600"),
    Case(Kind.STRING, "escaped slash", TEXT, r'"a\/b"', "text", "a/b"),
    date_time("UTC", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05+00"),
    date_time("offset east", "2026-01-02T03:04:05+05:30", "2026-01-01 21:34:05+00"),
    date_time("offset west", "2026-01-02T03:04:05-12:00", "2026-01-02 15:04:05+00"),
    date_time("offset without colon", "2026-01-02T03:04:05+0530", "2026-01-01 21:34:05+00"),
    date_time("no offset is UTC", "2026-01-02T03:04:05", "2026-01-02 03:04:05+00"),
    date_time("no seconds", "2026-01-02T03:04Z", "2026-01-02 03:04:00+00"),
    date_time("date alone", "2026-01-02", "2026-01-02 00:00:00+00"),
    date_time("microseconds", "2026-01-02T03:04:05.123456Z", "2026-01-02 03:04:05.123456+00"),
    date_time("nanoseconds round down", "2026-01-02T03:04:05.123456499Z", "2026-01-02 03:04:05.123456+00"),
    date_time("nanoseconds round half up", "2026-01-02T03:04:05.123456500Z", "2026-01-02 03:04:05.123457+00"),
    date_time("nanoseconds carry", "2025-12-31T23:59:59.999999999Z", "2026-01-01 00:00:00+00"),
    date_time("half up from an even digit", "2026-01-02T03:04:05.1234565Z", "2026-01-02 03:04:05.123457+00"),
    date_time("leap second", "2016-12-31T23:59:60Z", "2017-01-01 00:00:00+00"),
    date_time("leap second with offset", "2017-01-01T00:59:60.5+01:00", "2017-01-01 00:00:00.5+00"),
    date_time("24:00", "2026-01-02T24:00:00Z", "2026-01-03 00:00:00+00"),
    date_time("lower case", "2026-01-02t03:04:05z", "2026-01-02 03:04:05+00"),
    date_time("blank instead of T", "2026-01-02 03:04:05+00:00", "2026-01-02 03:04:05+00"),
    date_time("year 1", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00+00"),
    date_time("year 1 in the east is BC in UTC", "0001-01-01T00:00:00+02:00", "0001-12-31 22:00:00+00 BC"),
    date_time(
        "year 9999 in the west is 10000 in UTC", "9999-12-31T23:59:59-10:00", "10000-01-01 09:59:59+00"
    ),
    date_time("year 9999", "9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999+00"),
    date_time("summer time gap", "2026-03-29T02:30:00+01:00", "2026-03-29 01:30:00+00"),
    date_time(
        "anyOf with null",
        "2026-01-02T03:04:05Z",
        "2026-01-02 03:04:05+00",
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
    ),
    Case(Kind.DATE_TIME, "null", DATE_TIME, "null", "timestamp with time zone", None),
    date("plain", "2026-01-02", "2026-01-02"),
    date("leap day", "2024-02-29", "2024-02-29"),
    date("year 1", "0001-01-01", "0001-01-01"),
    date("year 9999", "9999-12-31", "9999-12-31"),
    date("midnight of a date-time", "2026-01-02T00:00:00Z", "2026-01-02"),
    Case(Kind.DATE, "null", DATE, "null", "date", None),
    time("plain", "03:04:05", "03:04:05"),
    time("microseconds", "03:04:05.123456", "03:04:05.123456"),
    time("nanoseconds round half up", "03:04:05.123456500", "03:04:05.123457"),
    time("UTC", "03:04:05Z", "03:04:05"),
    time("without seconds", "03:04", "03:04:00"),
    Case(Kind.TIME, "null", TIME, "null", "time without time zone", None),
    Case(
        Kind.UUID,
        "lower",
        UUID,
        '"12345678-1234-5678-1234-56781234567a"',
        "uuid",
        "12345678-1234-5678-1234-56781234567a",
    ),
    Case(
        Kind.UUID,
        "upper",
        UUID,
        '"12345678-1234-5678-1234-56781234567A"',
        "uuid",
        "12345678-1234-5678-1234-56781234567a",
    ),
    Case(Kind.UUID, "null", UUID, "null", "uuid", None),
    Case(Kind.BINARY, "all bytes", BASE64, '"AAEC/v8="', "bytea", r"\x000102feff"),
    Case(Kind.BINARY, "empty", BASE64, '""', "bytea", r"\x"),
    Case(Kind.BINARY, "null", BASE64, "null", "bytea", None),
    nested("object", OBJECT, '{"a": 1}'),
    nested("array", {"type": "array"}, '[1, "a", null, true]'),
    nested("empty object", OBJECT, "{}"),
    Case(Kind.JSON, "null", OBJECT, "null", "jsonb", None),
    nested("null inside stays", OBJECT, '{"a": null}'),
    nested("numbers keep their text", OBJECT, '{"a": 1.10, "b": 12345678901234567890.123456789012345678}'),
    nested(
        "big numbers",
        OBJECT,
        '{"a": 1e400, "b": 123456789012345678901234567890}',
        '{"a": 1' + "0" * 400 + ', "b": 123456789012345678901234567890}',
    ),
    nested("quotes and line ends", OBJECT, r'{"a \"b\"": "c\nd\\e\t"}', r'{"a \"b\"": "c\nd\\e\t"}'),
    nested("beyond ASCII", OBJECT, '{"ключ": "значение 😀"}'),
    nested("escaped beyond ASCII", OBJECT, r'{"a": "\u00e9\ud83d\ude00"}', '{"a": "é😀"}'),
    nested("last of two equal keys", OBJECT, '{"a": 1, "a": 2}', '{"a": 2}'),
    nested("date-time inside stays text", OBJECT, '{"at": "2026-01-02T03:04:05.123456789+05:30"}'),
    nested(
        "properties inside",
        {
            "type": "object",
            "properties": {"qty": {"type": "number"}, "on": {"type": "boolean"}},
            "required": ["qty"],
        },
        '{"on": true, "qty": 0.10, "extra": [1.0]}',
        '{"on": true, "qty": 0.10, "extra": [1.0]}',
    ),
    nested("integer or string: integer", {"type": ["integer", "string"]}, "5"),
    nested("integer or string: string", {"type": ["integer", "string"]}, '"5"'),
    nested("number or object", {"type": ["number", "object", "null"]}, "1.10"),
    nested("anyOf of two types", {"anyOf": [{"type": "boolean"}, {"type": "string"}]}, "true"),
    nested("any JSON: string", {}, '"a"'),
    nested("any JSON: decimal", {}, "0.30"),
    nested("enum of two types", {"enum": [1, "one"]}, '"one"'),
]


def messages(case: Case) -> Iterator[Any]:
    plain, exact = case.streams
    yield SCHEMA(plain, {"v": case.property})
    yield f'{{"type": "RECORD", "stream": {json.dumps(plain)}, "record": {{"v": {case.wire}}}}}'
    yield SCHEMA(exact, {"v": case.property, "only_exact": {"type": "string"}})
    record = f'{{"v": {case.wire}, "only_exact": {ONLY_EXACT}}}'
    yield f'{{"type": "RECORD", "stream": {json.dumps(exact)}, "record": {record}}}'


@pytest.fixture(scope="module")
def loaded(postgres_dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows (type, value) of each stream after one load of all cases, which may be asked for twice where tests are handed on."""
    schema = f"values_{uuid.uuid4().hex[:12]}"
    outcome = load(
        postgres_dsn,
        *(message for case in CASES for message in messages(case)),
        default_target_schema=schema,
    )
    outcome.expect(0)
    with connected(postgres_dsn) as cursor:
        return {stream: stored(cursor, schema, stream) for case in CASES for stream in case.streams}


def stored(cursor: Any, schema: str, stream: str) -> list[tuple[Any, ...]]:
    cursor.execute(SQL("SELECT pg_typeof(v)::text, v::text FROM {}").format(Identifier(schema, stream)))
    return list(cursor.fetchall())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind.value}: {case.name}")
def test_the_value_read_back_is_the_value_sent(loaded: dict[str, list[tuple[Any, ...]]], case: Case) -> None:
    for stream in case.streams:
        assert loaded[stream] == [(case.type, case.stored)], stream


def test_every_kind_has_a_row_and_a_case() -> None:
    assert set(VALUE_TABLE) == set(Kind)
    # A kind that only a column of text makes; `test_text_columns.py` has its round trips.
    assert {case.kind for case in CASES} == set(Kind) - {Kind.ANY_TEXT}


@pytest.mark.parametrize(
    "kind", sorted(set(Kind) - {Kind.ANY_TEXT}, key=lambda kind: kind.value), ids=lambda kind: kind.value
)
def test_the_row_of_a_kind_names_the_type_its_cases_find(kind: Kind) -> None:
    assert {case.type for case in CASES if case.kind is kind} == {VALUE_TABLE[kind].sql}


def test_case_names_are_unique() -> None:
    assert len({case.streams for case in CASES}) == len(CASES)


# --- types the user chose -------------------------------------------------------------------------------


CHOSEN: list[tuple[str, Mapping[str, Any], str | None, str, str, str]] = [
    # stream, property, type in column_types, wire, type found, stored
    ("inet", {"type": "string", "x-sql-datatype": "inet"}, None, '"10.0.0.1"', "inet", "10.0.0.1/32"),
    ("varchar", TEXT, "varchar(5)", '"abcde"', "character varying(5)", "abcde"),
    ("money", NUMBER, "numeric(12,2)", "12.34", "numeric(12,2)", "12.34"),
    ("float", NUMBER, "double precision", "0.1", "double precision", "0.1"),
    ("smallint", INTEGER, "smallint", "7", "smallint", "7"),
    ("json keeps its text", OBJECT, "json", '{"b":1.10,"a":1}', "json", '{"b":1.10,"a":1}'),
    (
        "local",
        DATE_TIME,
        "timestamp without time zone",
        '"2026-01-02T03:04:05+01:00"',
        "timestamp without time zone",
        "2026-01-02 02:04:05",
    ),
    ("as text", DATE_TIME, "text", '"2026-01-02T03:04:05Z"', "text", "2026-01-02T03:04:05Z"),
    (
        "config wins",
        {"type": "string", "x-sql-datatype": "inet"},
        "text",
        '"no address"',
        "text",
        "no address",
    ),
]


@pytest.fixture(scope="module")
def chosen(postgres_dsn: str) -> str:
    """The database after a load with types from the config and from the schemas."""
    wire = [
        message
        for stream, prop, _, value, _, _ in CHOSEN
        for message in (
            SCHEMA(stream, {"v": prop}),
            f'{{"type": "RECORD", "stream": "{stream}", "record": {{"v": {value}}}}}',
        )
    ]
    types = {f"{stream}.v": type_ for stream, _, type_, _, _, _ in CHOSEN if type_}
    load(postgres_dsn, *wire, default_target_schema="chosen", column_types=types).expect(0)
    return postgres_dsn


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row[0])
def test_a_chosen_type_is_the_columns_type(chosen: str, row: tuple[Any, ...]) -> None:
    stream, _, _, _, type_, stored = row
    statement = SQL(
        "SELECT format_type(atttypid, atttypmod), v::text FROM {0}, pg_attribute "
        "WHERE attrelid = {1}::regclass AND attname = 'v'"
    ).format(Identifier("chosen", stream), SQL(f"'chosen.\"{stream}\"'"))
    assert query(chosen, statement) == [(type_, stored)]


def test_number_type_makes_numbers_double_precision(database: str) -> None:
    load(
        database, SCHEMA("s", {"v": NUMBER}), RECORD("s", {"v": 0.1}), number_type="double precision"
    ).expect(0)
    assert query(database, "SELECT pg_typeof(v)::text, v::text FROM s") == [("double precision", "0.1")]


@pytest.mark.parametrize("type_", ["text; DROP TABLE x", "", 'te"xt'])
def test_what_is_no_name_of_a_type_is_refused(postgres_dsn: str, type_: str) -> None:
    outcome = load(postgres_dsn, SCHEMA("bad type", {"v": {"type": "string", "x-sql-datatype": type_}}))
    outcome.expect(65)
    assert "x-sql-datatype" in outcome.last_words
    assert "stream `bad type`" in outcome.last_words


# --- values that PostgreSQL cannot hold: one policy -----------------------------------------------------


@dataclass(frozen=True)
class Unstorable:
    """A value no column holds, and what `replace` and `null` make of it."""

    name: str
    property: Mapping[str, Any]
    wire: str
    path: str
    replaced: str | None
    nulled: str | None


UNSTORABLE = [
    Unstorable("year 0000", DATE_TIME, '"0000-01-01T00:00:00Z"', "$.v", None, None),
    Unstorable("year 10000", DATE_TIME, '"10000-01-01T00:00:00Z"', "$.v", None, None),
    Unstorable("BC", DATE_TIME, '"-0044-03-15T00:00:00Z"', "$.v", None, None),
    Unstorable("30 February", DATE_TIME, '"2026-02-30T00:00:00Z"', "$.v", None, None),
    Unstorable("no date-time at all", DATE_TIME, '"yesterday"', "$.v", None, None),
    Unstorable("offset of 24 hours", DATE_TIME, '"2026-01-01T00:00:00+24:00"', "$.v", None, None),
    Unstorable("30 February, date", DATE, '"2026-02-30"', "$.v", None, None),
    Unstorable("year 10000, date", DATE, '"10000-01-01"', "$.v", None, None),
    Unstorable("time of day in a date", DATE, '"2026-01-01T10:00:00Z"', "$.v", None, None),
    Unstorable("time with an offset", TIME, '"10:00:00+02:00"', "$.v", None, None),
    Unstorable("time 25:00", TIME, '"25:00:00"', "$.v", None, None),
    # A time of day has no next day: 24:00 and what rounds up to it would turn into midnight before.
    Unstorable("time 24:00", TIME, '"24:00:00"', "$.v", None, None),
    Unstorable("leap second in a time", TIME, '"23:59:60"', "$.v", None, None),
    Unstorable("time that rounds to 24:00", TIME, '"23:59:59.9999999"', "$.v", None, None),
    Unstorable("number too large", NUMBER, "1e131073", "$.v", None, None),
    Unstorable("number too small", NUMBER, "1e-16384", "$.v", None, None),
    Unstorable("number far too large", NUMBER, "1e999999999999999999999", "$.v", None, None),
    Unstorable("decimal text too large", DECIMAL_TEXT, '"1e131073"', "$.v", None, None),
    Unstorable("decimal text beyond all", DECIMAL_TEXT, f'"123e{"9" * 18}"', "$.v", None, None),
    Unstorable("NaN", NUMBER, "NaN", "$.v", None, None),
    Unstorable("minus infinity", NUMBER, "-Infinity", "$.v", None, None),
    Unstorable("NUL", TEXT, r'"a\u0000b"', "$.v", "a\ufffdb", None),
    Unstorable("lone surrogate", TEXT, r'"a\ud800b"', "$.v", "a\ufffdb", None),
    Unstorable(
        "NUL inside",
        OBJECT,
        r'{"a": [{"b": "x\u0000"}]}',
        "$.v.a[0].b",
        '{"a": [{"b": "x\ufffd"}]}',
        '{"a": [{"b": null}]}',
    ),
    Unstorable(
        "lone surrogate inside",
        OBJECT,
        r'{"a": ["\udfff"]}',
        "$.v.a[0]",
        '{"a": ["\ufffd"]}',
        '{"a": [null]}',
    ),
    Unstorable("NUL in a key", OBJECT, r'{"a\u0000": 1}', "$.v", '{"a\ufffd": 1}', '{"a\ufffd": 1}'),
    Unstorable(
        "lone surrogate in a key",
        OBJECT,
        r'{"x": {"\ud800": 1}}',
        "$.v.x",
        '{"x": {"\ufffd": 1}}',
        '{"x": {"\ufffd": 1}}',
    ),
    Unstorable("NaN inside", OBJECT, '{"a": [NaN]}', "$.v.a[0]", '{"a": [null]}', '{"a": [null]}'),
    Unstorable("NUL where anything goes", {}, r'"\u0000"', "$.v", '"\ufffd"', None),
]


def unstorable_messages() -> Iterator[Any]:
    for case in UNSTORABLE:
        yield SCHEMA(case.name, {"v": case.property, "n": INTEGER})
        yield f'{{"type": "RECORD", "stream": "{case.name}", "record": {{"n": 1, "v": {case.wire}}}}}'


@pytest.fixture(scope="module")
def policies(postgres_dsn: str) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """What one load of all unstorable values under each policy left, by policy and stream.

    Rows are (type, value); under `quarantine` those of the dead letters: (path, reason, record).
    """
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for policy in ("quarantine", "replace", "null"):
        load(
            postgres_dsn,
            *unstorable_messages(),
            default_target_schema=policy,
            on_unstorable=policy,
            pipeline=policy,
        ).expect(0)
    with connected(postgres_dsn) as cursor:
        for case in UNSTORABLE:
            for policy in ("replace", "null"):
                found[policy, case.name] = stored(cursor, policy, case.name)
            assert stored(cursor, "quarantine", case.name) == []
            cursor.execute(
                "SELECT path, reason, convert_from(record, 'UTF8') FROM quarantine._singerkit_rejects "
                "WHERE stream = %s",
                [case.name],
            )
            found["quarantine", case.name] = cursor.fetchall()
    return found


@pytest.mark.parametrize("case", UNSTORABLE, ids=lambda case: case.name)
@pytest.mark.parametrize("policy", ["replace", "null"])
def test_replace_and_null_keep_the_rest_of_the_row(policies: Any, policy: str, case: Unstorable) -> None:
    ((_, value),) = policies[policy, case.name]
    assert value == (case.replaced if policy == "replace" else case.nulled)


@pytest.mark.parametrize("case", UNSTORABLE, ids=lambda case: case.name)
def test_quarantine_sets_the_record_aside_with_its_place(policies: Any, case: Unstorable) -> None:
    ((path, reason, record),) = policies["quarantine", case.name]
    assert path == case.path
    assert reason.startswith("Expected ")
    assert case.wire in record


@pytest.mark.parametrize(
    "case",
    [case for case in UNSTORABLE if case.name in ("30 February", "NUL inside", "NaN")],
    ids=lambda case: case.name,
)
def test_fail_names_the_field_and_the_line(postgres_dsn: str, case: Unstorable) -> None:
    outcome = load(
        postgres_dsn,
        SCHEMA("failing", {"v": case.property}),
        f'{{"type": "RECORD", "stream": "failing", "record": {{"v": {case.wire}}}}}',
        default_target_schema="fail",
        on_unstorable="fail",
    )
    outcome.expect(65)
    assert f"at failing.{case.path} (line 2)" in outcome.last_words


def test_a_number_inside_an_object_obeys_the_policy_on_the_exact_path(database: str) -> None:
    record = (
        f'{{"type": "RECORD", "stream": "s", "record": {{"v": {{"a": [1e131073, 1.0]}}, "w": {ONLY_EXACT}}}}}'
    )
    load(database, SCHEMA("s", {"v": OBJECT, "w": TEXT}), record, on_unstorable="null").expect(0)
    assert query(database, "SELECT v::text FROM s") == [('{"a": [null, 1.0]}',)]


def test_a_number_inside_an_object_that_jsonb_refuses_fails_naming_the_column(database: str) -> None:
    record = '{"type": "RECORD", "stream": "s", "record": {"v": {"a": 1e131073}}}'
    outcome = load(database, SCHEMA("s", {"v": OBJECT}), record, on_unstorable="null")
    outcome.expect(65)
    assert "stream `s`" in outcome.last_words
    assert "column `v`" in outcome.last_words


KEY_POLICIES = pytest.mark.parametrize("policy", ["replace", "null"])
DOCUMENT_KEY = {"type": "object"}


def unstorable_keys(key: Any, *wires: str) -> list[Any]:
    schema = SCHEMA("s", {"id": key, "v": {}}, ["id"])
    return [
        schema,
        *(f'{{"type": "RECORD", "stream": "s", "record": {{"id": {wire}, "v": 1}}}}' for wire in wires),
    ]


@KEY_POLICIES
@pytest.mark.parametrize(
    ("key", "wire", "path"),
    [
        ({"type": "string"}, r'"a\u0000"', "$.id"),
        ({"type": "string"}, r'"a\ud800"', "$.id"),
        (DOCUMENT_KEY, r'{"b": ["\u0000"]}', "$.id.b[0]"),
        (DOCUMENT_KEY, r'{"\u0000": 1}', "$.id"),
    ],
    ids=["NUL", "lone surrogate", "inside", "key inside"],
)
def test_a_key_is_never_replaced(database: str, key: Any, wire: str, path: str, policy: str) -> None:
    """Two keys that are replaced are one row, and the other is lost."""
    good = '{"b": 1}' if key is DOCUMENT_KEY else '"a\ufffd"'
    messages = unstorable_keys(key, good, wire)
    outcome = load(database, *messages, on_unstorable=policy).expect(65)
    assert f"at s.{path} (line 3)" in outcome.last_words
    assert "`on_unstorable` to `quarantine` to set such records aside, then" in outcome.last_words
    load(database, *messages, on_unstorable=policy, on_invalid="quarantine").expect(0)
    assert query(database, "SELECT count(*) FROM s") == [(1,)]
    assert query(database, "SELECT line, path FROM _singerkit_rejects") == [(3, path)]


@KEY_POLICIES
def test_keys_of_an_object_that_would_become_one_are_not_replaced(database: str, policy: str) -> None:
    record = r'{"type": "RECORD", "stream": "s", "record": {"v": {"x": [{"a\u0000": 1, "a\ufffd": 2}]}}}'
    outcome = load(database, SCHEMA("s", {"v": OBJECT}), record, on_unstorable=policy).expect(65)
    assert "Expected keys that stay different" in outcome.last_words
    assert "at s.$.v.x[0] (line 2)" in outcome.last_words


# --- the page about values ------------------------------------------------------------------------------


def test_the_page_about_values_has_the_same_table() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "values.md").read_text(encoding="utf-8")
    told = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    rows = {
        row[0]: (row[2], row[3]) for row in told if len(row) == 4 and row[0] in {kind.value for kind in Kind}
    }
    accepted = {
        kind: ", ".join(f"`{name}`" for name in sorted(row.also_kept_by)) for kind, row in VALUE_TABLE.items()
    }
    assert rows == {kind.value: (f"`{row.sql}`", accepted[kind]) for kind, row in VALUE_TABLE.items()}


def test_the_page_about_values_has_every_policy() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "values.md").read_text(encoding="utf-8")
    assert all(f"| `{policy.value}`" in page for policy in Policy)
