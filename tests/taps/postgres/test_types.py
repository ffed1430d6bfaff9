"""One row a type: what leaves of it, text for text, and what its SCHEMA says."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from singerkit_shell.errors import BadDataError

NULL = ["null"]
TEXT = {"type": ["null", "string"]}
ANY = {"type": ["null", "boolean", "number", "string", "array", "object"]}
INSIDE = {"type": ["null", "number", "string"]}
NUMBER, DOUBLE = {"type": ["null", "number"]}, {"type": ["null", "number"], "format": "double"}
TIME = {"type": ["null", "string"], "format": "date-time"}


BYTES = f'"{base64.b64encode(bytes((0, 255)) + 60 * bytes((171,))).decode()}"'


def list_of(*types: str, **more) -> dict:
    return {"type": ["null", "array"], "items": {"type": ["null", *types, "array"], **more}}


TYPES = [
    ("smallint", "-32768", "-32768", {"type": ["null", "integer"]}),
    ("bigint", "9223372036854775807", "9223372036854775807", {"type": ["null", "integer"]}),
    ("numeric", "12345678901234567890.12345678901234567890", "12345678901234567890.12345678901234567890", NUMBER),
    ("numeric(10,2)", "1.5", "1.50", NUMBER),
    ("real", "0.1", "0.1", DOUBLE),
    ("float8", "'1e-300'", "1e-300", DOUBLE),
    ("float8", "1/3.0::float8", "0.3333333333333333", DOUBLE),
    ("money", "'1234567.8'", "1234567.80", NUMBER),
    ("boolean", "true", "true", {"type": ["null", "boolean"]}),
    ("text", r"""E'a "b" \\ \n\t\x01 é 🍣'""", r'"a \"b\" \\ \n\t\u0001 é 🍣"', TEXT),
    ("char(4)", "'ab'", '"ab  "', TEXT),
    ('"char"', "'x'", '"x"', TEXT),
    ("name", "'n'", '"n"', TEXT),
    ("timestamptz", "'2024-02-29 12:00:00.5+05:30'", '"2024-02-29T06:30:00.5+00:00"', TIME),
    ("timestamp", "'2024-02-29 12:00:00.000001'", '"2024-02-29T12:00:00.000001"', TIME),
    ("timestamptz", "'infinity'", '"infinity"', TIME),
    ("timestamp", "'-infinity'", '"-infinity"', TIME),
    ("timestamptz", "'0044-03-15 12:00+00 BC'", '"0044-03-15T12:00:00+00:00 BC"', TIME),
    ("date", "'12345-01-02'", '"12345-01-02"', {"type": ["null", "string"], "format": "date"}),
    ("time", "'24:00'", '"24:00:00"', {"type": ["null", "string"], "format": "time"}),
    ("timetz", "'12:00:00.5+02'", '"12:00:00.5+02"', TEXT),
    ("interval", "'1 year 2 days 03:04:05.6'", '"P1Y2DT3H4M5.6S"', TEXT),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', TEXT | {"format": "uuid"}),
    ("bytea", r"'\x00ff' || decode(repeat('ab', 60), 'hex')", BYTES, TEXT | {"contentEncoding": "base64"}),
    ("json", "E'{\"a\" :\\n 1.50,\\r\\n \"a\": 1e2}'", '{"a" :  1.50,   "a": 1e2}', ANY),
    ("jsonb", "'{\"b\": 1.50, \"a\": [null]}'", '{"a": [null], "b": 1.50}', ANY),
    ("jsonb", "'5'", "5", ANY),
    ("hstore", "'a=>1, b=>NULL'", '{"a": "1", "b": null}', {"type": ["null", "object"], "additionalProperties": TEXT}),
    ("citext", "'Ab'", '"Ab"', TEXT),
    ("oid", "5", '"5"', TEXT),
    ("inet", "'10.0.0.1/8'", '"10.0.0.1/8"', TEXT),
    ("macaddr", "'08:00:2b:01:02:03'", '"08:00:2b:01:02:03"', TEXT),
    ("bit(3)", "B'101'", '"101"', TEXT),
    ("tsvector", "'a b:1'", "\"'a' 'b':1\"", TEXT),
    ("point", "'(1,2)'", '"(1,2)"', TEXT),
    ("int4range", "'[1,5)'", '"[1,5)"', TEXT),
    ("tstzrange", "'[2024-01-01,)'", r'"[\"2024-01-01 00:00:00+00\",)"', TEXT),
    ("int4multirange", "'{[1,2),[5,6)}'", '"{[1,2),[5,6)}"', TEXT),
    ("int2vector", "'1 2'", '"1 2"', TEXT),
    ("pg_lsn", "'0/16B3748'", '"0/16B3748"', TEXT),
    ("mood", "'so, so'", '"so, so"', TEXT),
    ("posint", "5", "5", {"type": ["null", "integer"]}),
    ("posints", "'{5}'", "[5]", list_of("integer")),
    ("int[]", "'{1,NULL,3}'", "[1,null,3]", list_of("integer")),
    ("int[]", "'[5:6]={1,2}'", "[1,2]", list_of("integer")),
    ("int[][]", "'{{1,2},{3,4}}'", "[[1,2],[3,4]]", list_of("integer")),
    ("text[]", "ARRAY['a,\"', NULL, 'NULL', '']", r'["a,\"",null,"NULL",""]', list_of("string")),
    ("numeric[]", "'{1.50,NaN}'", '[1.50,"NaN"]', list_of("number", "string")),
    ("bytea[]", r"ARRAY['\x00ff'::bytea]", r'["\\x00ff"]', list_of("string")),
    ("timestamptz[]", "'{2024-01-01 00:00+00}'", '["2024-01-01T00:00:00+00:00"]', list_of("string", format="date-time")),
    ("pair", "ROW(1, 'x')", '{"a":1,"b":"x"}', {"type": ["null", "object"], "properties": {"a": {"type": ["null", "integer"]}, "b": TEXT}}),
    ("pair[]", "ARRAY[ROW(1, NULL)::pair]", '[{"a":1,"b":null}]',
     list_of("object", properties={"a": {"type": ["null", "integer"]}, "b": TEXT})),
]  # fmt: skip
MADE = """
    CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('ok', 'so, so'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN posint AS int CHECK (value > 0); CREATE DOMAIN posints AS int[];
"""


def records(shop) -> list[str]:
    lines = shop.written.buffer.getvalue().decode().splitlines()
    begin = '{"type":"RECORD","stream":"public-t","record":'
    return [line.removeprefix(begin).partition(',"version":')[0] for line in lines if line.startswith(begin)]


def test_each_type_leaves_as_the_table_says(shop):
    columns = ", ".join(f"c{number} {kind}" for number, (kind, *_) in enumerate(TYPES))
    values = ", ".join(f"({value})::{kind}" for kind, value, *_ in TYPES)
    shop.execute(
        MADE, f"CREATE TABLE t ({columns})", f"INSERT INTO t SELECT {values}", "INSERT INTO t DEFAULT VALUES"
    )
    found = shop.sync()
    one, none = records(shop)
    raw = {
        name: bytes(value).decode()
        for name, value in msgspec.json.decode(one, type=dict[str, msgspec.Raw]).items()
    }
    assert raw == {f"c{number}": json_ for number, (_, _, json_, _) in enumerate(TYPES)}
    assert json.loads(none) == dict.fromkeys(found.properties())
    schemas = {f"c{number}": schema for number, (*_, schema) in enumerate(TYPES)}
    assert found.properties() == schemas


def test_names_of_any_look_are_columns_and_streams(shop):
    names = [
        'say "hi"; --',
        "100%s",
        "%",
        "select",
        "ID",
        "id",
        "x" * 63,
        "ñ'\\",
        "a b",
        ":p",
        "{0}",
        "t",
        "x",
    ]
    columns = ", ".join('"' + name.replace('"', '""') + '" int' for name in names)
    table = '"T""; %s 🍣"'
    shop.execute(f'CREATE TABLE {table} ({columns}, PRIMARY KEY ("100%s", id))')
    run = f"INSERT INTO {table} VALUES ({', '.join(str(n) for n in range(len(names)))})"
    shop.execute(run)
    stream = 'public-T"; %s 🍣'
    found = shop.sync()
    assert found.rows(stream) == [dict(zip(names, range(len(names)), strict=True))]
    shop.config["streams"] = [{"name": 'public.T"; %s 🍣', "replication_key": "%"}]
    first = shop.sync()
    assert first.rows(stream) == found.rows(stream)
    assert shop.sync(first.state).rows(stream) == []


@pytest.mark.parametrize("kind", ["numeric", "float8"])
def test_numbers_that_json_does_not_have(shop, kind):
    shop.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind}, w text)")
    shop.execute(
        "INSERT INTO t VALUES (1, 1.5, '\"NaN\"'), (2, 'NaN', 'x'), (3, 'Infinity', NULL), (4, '-Infinity', '')"
    )
    with pytest.raises(
        BadDataError, match=r'Column `v` of `public-t` holds NaN .* set `"infinity": "null"` or `"text"`'
    ):
        shop.sync()
    assert shop.sync(infinity="null").column("v") == [1.5, None, None, None]
    text = shop.sync(infinity="text")
    assert text.column("v") == [1.5, "NaN", "Infinity", "-Infinity"]
    assert text.properties()["v"] == {"type": ["null", "number", "string"]}
    shop.by("v")
    with pytest.raises(
        BadDataError, match=r"which is of its replication key, holds NaN .* whatever `infinity` says"
    ):
        shop.sync(infinity="text")


def test_a_lone_surrogate_of_json_goes_on_beside_an_unusual_value(logged):
    """PostgreSQL takes it in `json`; it is the target that has to say something of it."""
    logged.execute("CREATE TABLE t (id int PRIMARY KEY, j json, f float8)")
    logged.execute(r"""INSERT INTO t VALUES (1, '"\ud800 x"', 'NaN'), (2, '"ok"', 1)""")
    logged.config["log"]["chunk_rows"] = 1
    for streams in ([], logged.config["streams"]):
        logged.sync(infinity="null", streams=streams)
        assert rb'"j":"\ud800 x","f":null' in logged.written.buffer.getvalue()


def test_a_number_that_json_does_not_have_stands_in_the_log_though_it_was_corrected(logged):
    logged.execute("CREATE TABLE t (id int PRIMARY KEY, v numeric)")
    state = logged.sync().state
    logged.execute("INSERT INTO t VALUES (1, 'NaN')", "UPDATE t SET v = 1")
    with pytest.raises(BadDataError, match=r"the log keeps it, .* start the stream over, set"):
        logged.sync(state)
    assert logged.sync(state, infinity="null").column("v") == [None, 1]


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz", "always"])
def test_times_that_no_format_has(shop, kind):
    shop.execute("CREATE DOMAIN always AS date CHECK (value <> 'infinity')")
    shop.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind}, w text)")
    shop.execute(
        "INSERT INTO t VALUES (1, '2024-01-01', 'infinity'), (2, '-infinity', ''), (3, '0044-03-15 BC', ''), (4, '10000-01-01', '')"
    )
    shop.execute("INSERT INTO t VALUES (5, NULL, ''), (6, '9999-12-31', ''), (7, '0001-01-01', '')")
    as_text = shop.sync().column("v")
    assert as_text[1] == "-infinity"
    assert as_text[2].startswith("0044-03-15")
    assert as_text[3].startswith("10000-01-01")
    as_null = shop.sync(unusual_times="null").column("v")
    assert [one and one[:10] for one in as_null] == [
        "2024-01-01",
        None,
        None,
        None,
        None,
        "9999-12-31",
        "0001-01-01",
    ]
    with pytest.raises(BadDataError, match=r'holds a time .* set `"unusual_times": "null"`'):
        shop.sync(unusual_times="fail")
    shop.by("v")
    with pytest.raises(BadDataError, match="is of its replication key, holds a time"):
        shop.sync()


def test_times_without_an_offset_may_be_text(shop):
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamp)", "INSERT INTO t VALUES (1, '2024-01-01')")
    assert shop.sync(local_times="text").properties()["v"] == TEXT
    assert shop.sync().properties()["v"] == TIME
