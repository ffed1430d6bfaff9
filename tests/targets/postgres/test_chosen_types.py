"""A column that is there gets the type that `column_types` chooses where each value survives, and else the run says why not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import connected, load, query

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.settings import Settings
from singerkit_wire.stream import stream_of
from target_postgres import choosing, ddl
from target_postgres.misfits import Misfit
from target_postgres.types import column_type
from target_postgres.words import WORDS

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
DATE_TIME = {**TEXT, "format": "date-time"}
OBJECT = {"type": ["object", "null"]}
BASE64 = {**TEXT, "contentEncoding": "base64"}
A_UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

CASES: list[tuple[str, Any, str, list[str], list[str]]] = [
    ("varchar(9)", TEXT, "text", ["a ", "007"], []),
    ("text", TEXT, "varchar(3)", ["abc"], ["abcd", "abc "]),
    ("bigint", INTEGER, "numeric", ["9223372036854775807"], []),
    ("bigint", INTEGER, "integer", ["-2147483648"], ["2147483648"]),
    ("bigint", INTEGER, "boolean", [], ["1", "5"]),
    ("bigint", INTEGER, "timestamptz", [], ["0"]),
    ("boolean", {"type": "boolean"}, "bigint", [], ["true"]),
    ("numeric", NUMBER, "bigint", ["5.000", "-9223372036854775808"], ["5.5", "9223372036854775808", "NaN"]),
    ("numeric", NUMBER, "numeric(5,2)", ["1.5", "-999.99"], ["1.234", "1000"]),
    ("numeric", NUMBER, "double precision", ["0.1", "1e300"], ["0.12345678901234567890", "1e400"]),
    ("double precision", NUMBER, "numeric", ["0.1", "1e300"], ["-0"]),
    ("double precision", NUMBER, "bigint", ["5", "-9007199254740993"], ["0.5", "1e19", "Infinity", "-0"]),
    ("double precision", NUMBER, "real", ["0.5"], ["0.1", "1e300"]),
    (
        "text",
        TEXT,
        "integer",
        ["7", "-12", "0"],
        ["007", "+7", "7.0", " 7", "", "1_000", "1e3", "99999999999"],
    ),
    ("text", TEXT, "numeric", ["1.50", "12345678901234567890.1"], ["1e3", "01", ".5", "NaN "]),
    ("text", TEXT, "numeric(12,2)", ["1.50"], ["1.5", "1.505", "99999999999.00"]),
    ("text", TEXT, "double precision", ["1.5"], ["1.50", "0.12345678901234567890"]),
    ("text", TEXT, "boolean", ["true", "false"], ["t", "1", "TRUE"]),
    ("text", TEXT, "uuid", [A_UUID], [A_UUID.upper(), "{" + A_UUID + "}", "x"]),
    ("text", TEXT, "date", ["2024-02-29"], ["2024-02-30", "2024-2-29", "now", "2024-02-29T00:00:00Z"]),
    ("text", TEXT, "time", ["12:30:00", "12:30:00.5"], ["12:30", "24:00:00", "12:30:00Z", "now"]),
    (
        "text",
        TEXT,
        "timestamptz",
        [
            "2024-01-01T10:00:00Z",
            "2024-01-01t10:00:00.500z",
            "2024-01-01 10:00:00.000000+00:00",
            "2024-01-01T10:00:00.123456",
            "2024-01-01T10:00:10.100-0000",
        ],
        [
            "2024-01-01T10:00:00+02:00",
            "2024-01-01",
            "2024-01-01T10:00:00.1234567Z",
            "2024-01-01T24:00:00Z",
            "now",
        ],
    ),
    ("text", TEXT, "timestamp", ["2024-01-01 10:00:00"], ["2024-01-01T10:00:00+02:00", "soon"]),
    (
        "text",
        OBJECT,
        "jsonb",
        ['{"bb":1, "a":[1.10,"\\u00eb\\n\\" "]}', "5", '"x"'],
        ['{"a":1,"a":1e8}', '{"a":"\\u0022\\u0022","b":1,"b":2}', "{", "soon"],
    ),
    ("text", TEXT, "json", ['{"a":1,"a":2}'], ["soon"]),
    ("text", BASE64, "bytea", ["aGk="], ["aGl=", "?"]),
    ("text", TEXT, "interval", [], ["1 days"]),
    ("jsonb", TEXT, "text", ['"a"', '"5"'], ["5", "{}", "null"]),
    ("jsonb", OBJECT, "text", ['{"a": [1.10]}', "5"], ['"5"', '"a"']),
    ("jsonb", INTEGER, "bigint", ["5"], ["5.0", '"5"', "{}", "true", "null"]),
    ("json", OBJECT, "jsonb", ['{"b":1,"a":2}'], ['{"b":1,"b":2}']),
    ("timestamptz", DATE_TIME, "timestamp", ["2024-01-01T10:00:00Z", "infinity"], []),
    ("timestamptz", DATE_TIME, "date", ["2024-01-01T00:00:00Z"], ["2024-01-01T10:00:00Z"]),
    ("timestamptz", DATE_TIME, "timestamptz(0)", ["2024-01-01T10:00:00Z"], ["2024-01-01T10:00:00.5Z"]),
    ("timestamptz", DATE_TIME, "text", ["2024-01-01T10:00:00.5+02:00"], []),
    ("date", TEXT, "timestamptz", ["2024-01-01"], []),
    ("date", TEXT, "text", ["2024-01-01"], ["0044-03-15 BC"]),
    ("timetz", TEXT, "time", ["10:00:00+00"], ["10:00:00+02"]),
    ("uuid", TEXT, "text", [A_UUID], []),
    ("inet", TEXT, "text", ["10.0.0.1"], []),
    ("uuid", TEXT, "bigint", [], [A_UUID]),
]
"""What a column is, its schema, the type that is chosen, values that survive, and such that do not."""


@pytest.fixture
def cursor(database: str) -> Iterator[Any]:
    with connected(database) as cursor:
        cursor.execute("SET TIME ZONE 'UTC'; SET extra_float_digits = 3")
        yield cursor


def choose(cursor: Any, property_: Any, chosen: str, *, is_key: bool = False) -> None:
    stream = stream_of("t", {"properties": {"id": INTEGER, "v": property_}}, ("id",))
    column = stream.columns[1]
    there = ddl.columns_now(cursor, "public", "t")
    misfit = Misfit(column, "v", there["v"], column_type(column, chosen, "numeric"), is_key=is_key)
    fitting = Fitting(WORDS, Settings("public"), logging.getLogger(), stream, "`start over`")
    choosing.become_chosen(fitting, cursor, ddl.table_name("public", "t"), misfit, there)


def stored(cursor: Any) -> tuple[str, list[str]]:
    """The type of the column, and its values."""
    cursor.execute("SELECT ARRAY(SELECT v::text FROM t ORDER BY id)")
    [(values,)] = cursor.fetchall()
    return ddl.columns_now(cursor, "public", "t")["v"].type, values


def test_values_survive_or_are_counted(cursor: Any) -> None:
    for was, property_, chosen, kept, lost in CASES:
        case = was, property_, chosen
        values = [*kept, *lost, None]
        cursor.execute(f"BEGIN; CREATE TABLE t (id bigint PRIMARY KEY, v {was})")
        rows = ", ".join(["(%s, %s)"] * len(values))
        cursor.execute(f"INSERT INTO t VALUES {rows}", [x for row in enumerate(values) for x in row])
        before = stored(cursor)
        if lost:
            said = refusal(cursor, property_, chosen)
            those = (
                f"of whose {len(values) - 1} values {len(lost)}" if len(values) > 2 else "whose only value"
            )
            assert f"got `{before[0]}` in the table, {those} would not" in said, case
            assert stored(cursor) == before, case
        cursor.execute("DELETE FROM t WHERE id >= %s AND v IS NOT NULL", [len(kept)])
        choose(cursor, property_, chosen)
        assert stored(cursor)[0] == ddl.column_of_type(cursor, chosen).type, case
        cursor.execute("ROLLBACK")


def refusal(cursor: Any, property_: Any, chosen: str) -> str:
    with pytest.raises(BadDataError) as refused:
        choose(cursor, property_, chosen)
    return str(refused.value)


def test_a_value_that_comes_between_two_looks_is_seen(
    database: str, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, '7')")
    cursor.execute("BEGIN")
    lock = ddl.lock_for_altering

    def late(cursor: Any, table: Any) -> None:
        query(database, "INSERT INTO t VALUES (2, '007')")
        lock(cursor, table)

    monkeypatch.setattr(ddl, "lock_for_altering", late)
    assert "of whose 2 values 1 would" in refusal(cursor, TEXT, "bigint")


KEEPING = {
    "which views read": "CREATE VIEW w AS SELECT v FROM t",
    "generated column": "ALTER TABLE t ADD g text GENERATED ALWAYS AS (v || 'x') STORED",
    "partition key": "DROP TABLE t; CREATE TABLE t (id bigint, v text) PARTITION BY LIST (v)",
    "foreign key": "CREATE TABLE o (v text PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES o",
    "function upper(bigint)": "CREATE INDEX ON t (upper(v))",
    "trigger": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
    "CREATE TRIGGER g BEFORE UPDATE OF v ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "collation of its own": 'ALTER TABLE t ALTER v TYPE text COLLATE "C"',
    "default": "ALTER TABLE t ALTER v SET DEFAULT 'x'",
    "row level security": "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "which this one has it": "ALTER TABLE t RENAME TO p; CREATE TABLE t () INHERITS (p)",
}


def test_what_keeps_a_column_as_it_is_is_named_and_stays(cursor: Any) -> None:
    for words, made in KEEPING.items():
        cursor.execute(f"BEGIN; CREATE TABLE t (id bigint PRIMARY KEY, v text); {made}")
        if "ROW LEVEL" in made:
            cursor.execute(
                "CREATE ROLE loading_five; ALTER TABLE t OWNER TO loading_five; SET ROLE loading_five"
            )
        said = refusal(cursor, TEXT, "bigint")
        assert words in said.split("; what is stored")[0], said
        assert stored(cursor)[0] == "text"
        cursor.execute("ROLLBACK")


def test_two_texts_that_would_be_one_key_stay(cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id bigint, v text PRIMARY KEY)")
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO t VALUES (1, '2024-01-01T00:00:00Z'), (2, '2024-01-01T00:00:00+00:00')")
    said = refusal(cursor, DATE_TIME, "timestamptz")
    assert "a constraint or an index refuses the values" in said
    assert "2024" not in said.split("; what is stored")[0]


def test_a_run_changes_the_column_and_goes_on(database: str) -> None:
    query(
        database, "CREATE TABLE s (id bigint PRIMARY KEY, v bigint, n text); INSERT INTO s VALUES (1, 7, '8')"
    )
    query(database, "CREATE INDEX kept ON s (v)")
    schema = SCHEMA("s", {"id": INTEGER, "v": TEXT, "n": TEXT}, ["id"])
    load(database, schema, RECORD("s", {"id": 2, "v": "N/A", "n": "9"}), STATE({"a": 1})).expect(0)
    chosen = {"column_types": {"s.v": "text", "s.n": "integer"}}
    last = [RECORD("s", {"id": 3, "v": "soon", "n": "10"}), STATE({"a": 2})]
    told = load(database, schema, *last, **chosen).expect(0).stderr
    assert query(database, "SELECT id, v, v__text, n FROM s ORDER BY id") == [
        (1, "7", None, 8),
        (2, None, "N/A", 9),
        (3, "soon", None, 10),
    ]
    (statement,) = re.findall(r"comes back with `(UPDATE .*?)`", told)
    query(database, statement)
    assert query(database, "SELECT v, v__text FROM s WHERE id = 2") == [("N/A", None)]
    assert query(database, "SELECT count(*) FROM pg_indexes WHERE indexname = 'kept'") == [(1,)]
    query(database, "UPDATE s SET v = '007' WHERE id = 1")
    refused = load(database, schema, *last, column_types={"s.v": "bigint"}).expect(65).last_words
    assert "got `text` in the table, of whose 3 values 3 would not be what it was" in refused
    assert "007" not in refused
