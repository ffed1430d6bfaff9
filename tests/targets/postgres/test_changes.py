"""Every statement that is advised for a column of another type: run, and the run after it, with what is stored then.

The session that runs them is set to another time zone and to other ways to write values.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from conformance.processes import run
from faults.loads import RECORD, SCHEMA, STATE, command, connected, lines, load, query, table
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.settings import Settings
from singerkit_wire.stream import stream_of
from target_postgres import ddl, misfits
from target_postgres.loader import PostgresLoader
from target_postgres.misfits import Misfit
from target_postgres.types import column_type
from target_postgres.words import WORDS

INTEGER = {"type": ["integer", "null"]}
TEXT = {"type": ["string", "null"]}
NUMBER = {"type": ["number", "null"]}
DATE_TIME = {**TEXT, "format": "date-time"}
DATE = {**TEXT, "format": "date"}
UUID = {**TEXT, "format": "uuid"}
BASE64 = {**TEXT, "contentEncoding": "base64"}
OTHER_SESSION = (
    "SET TimeZone = 'America/New_York'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'; "
    "SET bytea_output = 'escape'; SET extra_float_digits = 0"
)
LONG = base64.b64encode(bytes(range(256))).decode()  # `encode` breaks its lines
A_UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

STORED: Mapping[str, Sequence[tuple[str, str]]] = {
    "bigint": [("-5", "-5"), ("1099511627776", "1099511627776")],
    "numeric": [("1.50", "1.50"), ("1" + "0" * 30, "1" + "0" * 30)],
    "numeric(12,2)": [("1.50", "1.50")],
    "double precision": [("0.1", "0.1"), ("0.30000000000000004", "0.30000000000000004")],
    "boolean": [("true", "true"), ("false", "false")],
    "timestamptz": [
        ("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00Z"),
        ("2021-06-01T12:30:00.123450Z", "2021-06-01T12:30:00.12345Z"),
        ("9999-12-31T23:59:59-01:00", "10000-01-01T00:59:59Z"),
    ],
    "timestamp": [("2020-01-01T10:00:00", "2020-01-01T10:00:00Z")],
    "date": [("2020-02-01", "2020-02-01")],
    "time": [("12:30:00", "12:30:00"), ("01:02:03.5", "01:02:03.5")],
    "timetz": [("12:30:00+02", "10:30:00")],
    "uuid": [(A_UUID, A_UUID)],
    "bytea": [("\\x" + bytes(range(256)).hex(), LONG), ("\\x", "")],
    "jsonb": [('"a"', "a"), ("5", "5"), ('{"b": [1.10]}', '{"b": [1.10]}'), ("true", "true")],
    "interval": [("1 day", "1 0:00:00")],
}
"""Types and values that a table holds, each with the text that becomes of it."""
AS_THEY_ARE = ("bigint", "numeric", "numeric(12,2)", "double precision", "boolean", "jsonb")
"""Types of which a document holds no text."""

WANTED: Mapping[str, tuple[Mapping[str, Any], Any, str]] = {
    "integer": (INTEGER, 7, "7"),
    "number": (NUMBER, 1.5, "1.5"),
    "boolean": ({"type": ["boolean", "null"]}, True, "true"),
    "string": (TEXT, "a", "a"),
    "date-time": (DATE_TIME, "2021-06-01T12:30:00Z", "2021-06-01 12:30:00+00"),
    "date": (DATE, "2021-06-01", "2021-06-01"),
    "time": ({**TEXT, "format": "time"}, "12:00:00", "12:00:00"),
    "uuid": (UUID, A_UUID, A_UUID),
    "base64": (BASE64, "aGk=", "\\x6869"),
    "object": ({"type": ["object", "null"]}, {"a": 1}, '{"a": 1}'),
    "mixed": ({"type": ["integer", "string", "null"]}, "5", '"5"'),
}
"""What a schema says, a value that is sent, and what it is in a column of its type."""

TURNED: Mapping[tuple[str, str], Sequence[str]] = {
    ("numeric(12,2)", "integer"): ["1.50"],
    ("numeric(12,2)", "number"): ["1.50"],
    ("double precision", "integer"): ["0.1", "0.30000000000000004"],
    ("double precision", "number"): ["0.1", "0.30000000000000004"],
    ("boolean", "integer"): ["1", "0"],
    ("boolean", "number"): ["1", "0"],
    ("bigint", "date-time"): ["1969-12-31 23:59:55+00", "36812-02-20 00:36:16+00"],
    ("numeric(12,2)", "date-time"): ["1970-01-01 00:00:01.5+00"],
    ("double precision", "date-time"): ["1970-01-01 00:00:00.1+00", "1970-01-01 00:00:00.3+00"],
    ("date", "date-time"): ["2020-02-01 00:00:00+00"],
    ("timestamp", "date-time"): ["2020-01-01 10:00:00+00"],
    ("timestamptz", "date"): ["2019-12-31", "2021-06-01", "10000-01-01"],
    ("timestamp", "date"): ["2020-01-01"],
    ("timetz", "time"): ["10:30:00"],
}
"""What is stored where it becomes a value of the wanted type; everything else becomes text."""
DROPS = {("timestamptz", "date"), ("timestamp", "date")}


@pytest.fixture
def cursor(database: str) -> Iterator[Any]:
    with connected(database) as cursor:
        yield cursor


def refusal(cursor: Any, property_: Any, chosen: str | None = None) -> str:
    """What a run says of the column `v` of the table `t`."""
    stream = stream_of("t", {"properties": {"id": INTEGER, "v": property_}}, ("id",))
    column = stream.columns[1]
    wanted = column_type(column, chosen, "numeric")
    misfit = Misfit(column, "v", ddl.columns_now(cursor, "public", "t")["v"], wanted, is_key=False)
    table_name = ddl.table_name("public", "t")
    refuse: Any = misfits.refuse_chosen_type if chosen else misfits.refuse_types
    fitting = Fitting(WORDS, Settings("public"), logging.getLogger(), stream, "`start over`")
    with pytest.raises(BadDataError) as refused:
        refuse(fitting, cursor, table_name, misfit if chosen else [misfit])
    return str(refused.value)


def column(stored: str, wanted: str) -> str:
    return f"{stored} {wanted}"


PAIRS = [(stored, wanted) for stored in STORED for wanted in WANTED]


def advised(words: str, name: str) -> list[str]:
    """The statements that a sentence names for a column."""
    return [found for found in re.findall(r"`([^`]*)`", words) if f'ALTER COLUMN "{name}"' in found]


def follow(cursor: Any, statements: Sequence[str]) -> int:
    """Run the first of the statements that PostgreSQL takes; return which one it was."""
    for number, statement in enumerate(statements):
        cursor.execute(OTHER_SESSION)
        try:
            cursor.execute(statement)
        except psycopg2.DataError:
            continue
        return number
    raise AssertionError(statements)


def make(database: str) -> None:
    names = [(column(*pair), pair[0]) for pair in PAIRS]
    columns = SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(type_)) for name, type_ in names)
    rows = max(map(len, STORED.values()))
    with connected(database) as cursor:
        cursor.execute(SQL("CREATE TABLE t (id bigint PRIMARY KEY, {})").format(columns))
        for row in range(rows):
            values = [STORED[type_][row][0] if row < len(STORED[type_]) else None for _, type_ in names]
            places = ", ".join(["%s"] * len(values))
            cursor.execute(f"INSERT INTO t VALUES ({row}, {places})", values)


def stored_in(database: str, *names: str, where: str = "id < 100") -> Mapping[str, Sequence[str]]:
    """The values of columns as PostgreSQL writes them in UTC, without those that are null."""
    columns = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in names)
    rows = query(database, SQL("SELECT {} FROM t WHERE {} ORDER BY id").format(columns, SQL(where)))
    return {name: [row[at] for row in rows if row[at] is not None] for at, name in enumerate(names)}


def expected(stored: str, wanted: str) -> Sequence[str]:
    texts = [text for _, text in STORED[stored]]
    if wanted in ("object", "mixed") and stored == "jsonb":
        return [value for value, _ in STORED[stored]]
    if wanted in ("object", "mixed"):
        return texts if stored in AS_THEY_ARE else [json.dumps(text) for text in texts]
    if (stored, wanted) in TURNED:
        return TURNED[stored, wanted]
    return texts


SUITS = {
    ("bigint", "integer"),
    ("bigint", "number"),
    ("numeric", "integer"),
    ("numeric", "number"),
    ("timestamptz", "date-time"),
}
SUITS |= {("date", "date"), ("time", "time"), ("uuid", "uuid"), ("bytea", "base64"), ("boolean", "boolean")}
SUITS |= {("date", "date-time")}  # becomes one of moments by itself
SUITS |= {("jsonb", "object"), ("jsonb", "mixed")}


def test_every_pair_of_types(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misfits, "MOST_NAMED", len(PAIRS))
    make(database)
    properties = {"id": INTEGER} | {column(*pair): WANTED[pair[1]][0] for pair in PAIRS}
    loader = PostgresLoader(lambda: database, Settings("public"), logging.getLogger("changes"))
    loader.open()
    loader.begin("default")
    with pytest.raises(BadDataError) as refused:
        loader.declare(stream_of("t", {"properties": properties}, ("id",)))
    loader.close()
    words = str(refused.value)
    changed = [pair for pair in PAIRS if pair not in SUITS]
    with connected(database) as cursor:
        for pair in PAIRS:
            statements = advised(words, column(*pair))
            assert bool(statements) == (pair in changed), pair
            if statements:
                chosen = statements[follow(cursor, statements)]
                said = words.split(chosen)[1][:60]
                assert ("drops the time of day" in said) == (pair in DROPS), pair
                is_text = pair not in TURNED and pair[1] not in ("object", "mixed")
                assert (" TYPE text " in chosen) == is_text, pair
    found = stored_in(database, *(column(*pair) for pair in changed))
    assert found == {column(*pair): expected(*pair) for pair in changed}
    sent = {column(*pair): WANTED[pair[1]][1] for pair in PAIRS}
    load(
        database, SCHEMA("t", properties, ["id"]), RECORD("t", {"id": 100, **sent}), STATE({"at": 1})
    ).expect(0)
    types = dict(
        query(
            database,
            "SELECT attname, format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 't'::regclass",
        )
    )
    there = {}
    for pair in PAIRS:
        _, value, as_typed = WANTED[pair[1]]
        as_text = value if isinstance(value, str) else json.dumps(value)
        there[column(*pair)] = [as_text if types[column(*pair)] == "text" else as_typed]
    assert stored_in(database, *there, where="id = 100") == there


FITTING = {
    "integer": (["5", '"-6"'], ["5", "-6"]),
    "number": (["5.10", '"1e2"'], ["5.10", "100"]),
    "boolean": (["true", '"x"'], None),
    "date-time": (
        ['"2020-06-01T10:00:00"', '"2020-06-01T10:00:00.5+05:30"', '"2020-06-01"'],
        ["2020-06-01 10:00:00+00", "2020-06-01 04:30:00.5+00", "2020-06-01 00:00:00+00"],
    ),
    "date": (['"2020-06-01"'], ["2020-06-01"]),
    "time": (['"10:00"', '"10:00:00.5Z"'], ["10:00:00", "10:00:00.5"]),
    "uuid": ([json.dumps(A_UUID.upper())], [A_UUID]),
}
UNFIT = {
    "integer": ["1.5", '" 5"', '"1_000"'],
    "number": ['"NaN"', '"1_000"', '""'],
    "boolean": ["1", '"yes"', '"t "'],
    "date-time": ['"now"', '"infinity"', '"1/2/2020"', '"2020-01-01 10:00 PST"', "20200101"],
    "date": ['"today"', '"2020-06-01T10:00:00Z"', "20200101"],
    "time": ['"now"', '"24:00:00"', '"23:59:60"', '"10:00:00+02:00"', '"allballs"'],
    "uuid": ['"x"'],
}


def test_documents_become_what_they_hold_or_text(database: str, cursor: Any) -> None:
    """What a type does not read as the target does makes PostgreSQL refuse the statement."""
    for wanted, (values, becoming) in FITTING.items():
        cursor.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY, v jsonb)")
        first, second = advised(refusal(cursor, WANTED[wanted][0]), "v")
        cursor.execute("INSERT INTO t VALUES (0, '{}')")
        for value in UNFIT[wanted]:
            cursor.execute("UPDATE t SET v = %s", [value])
            with pytest.raises(psycopg2.DataError):
                cursor.execute(first)
        cursor.execute("DELETE FROM t")
        for number, value in enumerate(values):
            cursor.execute("INSERT INTO t VALUES (%s, %s)", [number, value])
        assert follow(cursor, [first, second]) == (becoming is None), wanted
        if becoming is not None:
            assert stored_in(database, "v") == {"v": becoming}, wanted


OF_THE_USER: Sequence[tuple[str, str, str]] = [
    ("text[]", "'{x,NULL,\"y z\"}'", '["x", null, "y z"]'),
    ("integer[]", "'{{1,2},{3,4}}'", "[[1, 2], [3, 4]]"),
    ("text[]", "'{}'", "[]"),
    ("double precision[]", "ARRAY[0.1::float8 + 0.2::float8]", "[0.30000000000000004]"),
    ("timestamptz[]", "'{2020-01-01T02:00:00+02}'", '["2020-01-01T00:00:00+00:00"]'),
    ("numbers", "'{1.50}'", "[1.50]"),
    ("pair", "(1, 'b')", '{"x": 1, "y": "b"}'),
    ("pair[]", "ARRAY[(1, 'b')::pair]", '[{"x": 1, "y": "b"}]'),
    ("mood", "'sad'", '"sad"'),
    ("int4range", "'[1,3)'", '"[1,3)"'),
    ("inet", "'10.0.0.1'", '"10.0.0.1"'),
]
"""What a table of the user's has, and the document that it becomes."""


def test_lists_and_objects_of_the_user_become_lists_and_objects(database: str, cursor: Any) -> None:
    cursor.execute(
        "CREATE TYPE pair AS (x int, y text); CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN numbers AS numeric[]"
    )
    for wanted, chosen in (("object", None), ("string", "json")):
        for stored, value, becoming in OF_THE_USER:
            cursor.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY, v {stored})")
            cursor.execute(f"INSERT INTO t VALUES (1, {value})")
            statement = advised(refusal(cursor, WANTED[wanted][0], chosen), "v")[0]
            cursor.execute(f"{OTHER_SESSION}; {statement}")
            assert f" TYPE {chosen or 'jsonb'} " in statement
            cursor.execute("UPDATE t SET v = v::jsonb")
            assert stored_in(database, "v") == {"v": [becoming]}, statement


CHOSEN: Sequence[tuple[str, str, str, Any, Sequence[str]]] = [
    ("text", "1_000", "bigint", TEXT, []),
    ("text", "12", "bigint", TEXT, ["12"]),
    ("text", "now", "timestamptz", TEXT, []),
    ("text", "2020-06-01T10:00:00", "timestamptz", TEXT, ["2020-06-01 10:00:00+00"]),
    ("text", "2020-06-01T10:00:00+02:00", "timestamp", TEXT, ["2020-06-01 08:00:00"]),
    ("text", "2020-06-01T10:00:00+02:00", "date", TEXT, []),
    ("text", "10:00:00", "time with time zone", TEXT, ["10:00:00+00"]),
    ("text", "10:00:00+02", "time", TEXT, []),
    ("text", '{"a":1}', "jsonb", TEXT, ['{"a": 1}']),
    ("text", "5", "jsonb", WANTED["mixed"][0], []),
    ("text", "aGk=", "bytea", BASE64, ["\\x6869"]),
    ("text", "abcdef", "varchar(3)", TEXT, []),
    ("text", "1 day", "interval", TEXT, ["1 day"]),
    ("numeric", "1.5", "bigint", INTEGER, []),
    ("numeric", "7.77", "numeric(3,1)", NUMBER, ["7.8"]),
    ("timestamptz", "2020-06-01T10:00:00.19Z", "timestamp(1)", DATE_TIME, ["2020-06-01 10:00:00.2"]),
    ("time", "10:00:00", "time with time zone", {**TEXT, "format": "time"}, ["10:00:00+00"]),
    ("json", '{"b":1}', "jsonb", {}, ['{"b": 1}']),
    ("date", "2020-06-01", "varchar(30)", DATE, ["2020-06-01"]),
    ("date", "2020-06-01", "json", DATE, ['"2020-06-01"']),
]
"""What is stored, the type that is chosen, the schema, and what it becomes; nothing: the statement is refused, or there is none."""


def test_a_type_that_is_chosen_later(database: str, cursor: Any) -> None:
    for stored, value, chosen, property_, becoming in CHOSEN:
        cursor.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY, v {stored})")
        cursor.execute("RESET ALL; SET TIME ZONE 'UTC'; INSERT INTO t VALUES (1, %s)", [value])
        first = advised(refusal(cursor, property_, chosen), "v")[0]
        cursor.execute(OTHER_SESSION)
        if becoming:
            cursor.execute(first)
            assert stored_in(database, "v") == {"v": becoming}, first
        elif " TYPE text " not in first:
            with pytest.raises(psycopg2.DataError):
                cursor.execute(first)


def test_numbers_that_are_milliseconds(database: str, cursor: Any) -> None:
    cursor.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, v bigint); INSERT INTO t VALUES (1, 1577836800250)"
    )
    words = refusal(cursor, DATE_TIME)
    (factor,) = re.findall(r"write `(.*?)` behind the column's name", words)
    cursor.execute(advised(words, "v")[0].replace('("v")', f'("v" {factor})'))
    assert stored_in(database, "v") == {"v": ["2020-01-01 00:00:00.25+00"]}


KEYS = [
    (DATE_TIME, "2020-01-01T00:00:00+02:00", TEXT, False),
    (UUID, A_UUID.upper(), TEXT, False),
    (BASE64, "aGVsbG8=", TEXT, True),
    (INTEGER, 5, {"type": ["integer", "object"]}, True),
]


@pytest.mark.parametrize(("first", "value", "then", "is_same"), KEYS)
def test_a_key_of_another_type_brings_no_row_twice(
    database: str, tmp_path: Path, first: Any, value: Any, then: Any, is_same: bool
) -> None:
    """Where it is not known how the key is written when it comes again, the stream is read anew, and no ALTER advised."""
    started = command(tmp_path, database, {}, "--state-file", str(tmp_path / "state.json"))

    def load_one(schema: Any, key: Any, note: str) -> Any:
        messages = [SCHEMA("t", {"k": schema, "v": TEXT}, ["k"]), RECORD("t", {"k": key, "v": note})]
        return run(started, stdin=lines(*messages, STATE({"bookmarks": {"t": {"n": 1}}})))

    load_one(first, value, "1").expect(0)
    words = load_one(then, value, "2").expect(65).last_words
    statements = advised(words, "k")
    assert bool(statements) == is_same, words
    if is_same:
        query(database, statements[0])
    else:
        advice = re.search(r"read the stream anew: run (.*?), then the pipeline again", words)
        assert advice, words
        started_over, drop = re.findall(r"`(.*?)`", advice[1])
        run([started[0], *shlex.split(started_over)[1:]]).expect(0)
        query(database, drop)
    load_one(then, value, "2").expect(0)
    assert table(database, "t", "v") == [("2",)]


@pytest.mark.parametrize(
    ("stored", "value", "property_", "new"),
    [
        ("numeric(12,2)", "1.50", NUMBER, 2.5),
        ("timestamptz", "2020-01-01 10:00:00Z", TEXT, "2020-01-02T10:00:00Z"),
        ("uuid", A_UUID, TEXT, A_UUID),
        ("jsonb", "5", INTEGER, 6),
    ],
)
def test_the_line_of_the_config_that_leaves_the_type_is_taken(
    database: str, stored: str, value: str, property_: Any, new: Any
) -> None:
    query(database, f"CREATE TABLE t (id bigint PRIMARY KEY, v {stored})")
    query(database, "INSERT INTO t VALUES (1, %s)", [value])
    messages = [SCHEMA("t", {"id": INTEGER, "v": property_}, ["id"]), RECORD("t", {"id": 2, "v": new})]
    words = load(database, *messages, on_type_conflict="fail").expect(65).last_words
    (config,) = re.findall(r"choose that with `(.*?)`", words)
    load(database, *messages, **json.loads(config)).expect(0)
    assert query(database, "SELECT count(v) FROM t") == [(2,)]


def test_a_type_that_does_not_take_what_comes_is_not_named_for_the_config(cursor: Any) -> None:
    for stored, property_ in [("boolean", INTEGER), ("bytea", TEXT), ("bigint", DATE_TIME), ("jsonb", TEXT)]:
        cursor.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY, v {stored})")
        assert "column_types" not in refusal(cursor, property_)


@pytest.mark.parametrize("stored", ["timestamptz", "timestamp"])
def test_moments_that_no_tap_sends_stay_as_postgresql_writes_them(
    database: str, cursor: Any, stored: str
) -> None:
    for type_, property_, quote in (("text", TEXT, "{}"), ("jsonb", WANTED["object"][0], '"{}"')):
        cursor.execute(
            f"RESET ALL; DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY, v {stored})"
        )
        cursor.execute(
            "SET TIME ZONE 'UTC'; INSERT INTO t VALUES (1, 'infinity'), (2, '-infinity'), (3, '0044-03-15 04:56:02 BC'), (4, '2020-01-01')"
        )
        statement = advised(refusal(cursor, property_), "v")[0]
        assert f" TYPE {type_} " in statement
        cursor.execute(f"{OTHER_SESSION}; {statement}")
        becoming = ["infinity", "-infinity", "0044-03-15T04:56:02 BC", "2020-01-01T00:00:00Z"]
        assert stored_in(database, "v") == {"v": [quote.format(text) for text in becoming]}


TYPES = (
    "BIGINT", "text", "varchar(5)", "char(3)", "numeric(12, 2)", "numeric", "timestamp(3) with time zone", "timestamptz",
    "time(0)", "interval", "bit(3)", "text[]", "varchar(5)[]", "jsonb", "uuid", "mood", "price", "other.mood",
)  # fmt: skip


@pytest.fixture
def without_temp(cursor: Any, database: str) -> Iterator[str]:
    """A role that may make tables, but none for its session."""
    role = f"role_{uuid.uuid4().hex[:12]}"
    cursor.execute("SELECT current_database()")
    name = Identifier(*cursor.fetchone())
    cursor.execute(SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(name))
    cursor.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")
    yield role
    cursor.execute(f"RESET ROLE; DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_role_that_may_make_no_temporary_table_is_told_of_types(
    database: str, cursor: Any, without_temp: str
) -> None:
    cursor.execute(f"CREATE TABLE t (id bigint, v timestamptz); ALTER TABLE t OWNER TO {without_temp}")
    own = SCHEMA("t", {"id": INTEGER, "v": TEXT})
    config = {"user": without_temp, "on_type_conflict": "fail"}
    outcome = load(database, own, RECORD("t", {"id": 1}), **config).expect(65)
    (statement,) = advised(outcome.last_words, "v")
    cursor.execute(statement)
    load(
        database, SCHEMA("t", {"id": INTEGER, "v": TEXT}), RECORD("t", {"id": 1, "v": "a"}), user=without_temp
    ).expect(0)


def test_a_type_is_known_without_a_temporary_table(cursor: Any, without_temp: str) -> None:
    cursor.execute("CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN price AS numeric(5,2)")
    cursor.execute(
        "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('glad'); GRANT ALL ON SCHEMA other TO PUBLIC"
    )
    made = [ddl.column_of_type(cursor, type_) for type_ in TYPES]
    cursor.execute(f"SET ROLE {without_temp}")
    for one, other in zip(made, [ddl.column_of_type(cursor, type_) for type_ in TYPES], strict=True):
        assert (one.type, one.base, one.typmod >= 0, one.is_enum) == (
            other.type, other.base, other.typmod >= 0, other.is_enum,
        )  # fmt: skip
