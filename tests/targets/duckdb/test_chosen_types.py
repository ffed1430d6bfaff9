"""`column_types` for columns that are there: they become of the type where each value is what it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.singer import SCHEMA, STATE
from targets.duckdb.test_target_duckdb import TEXT, file, load, query, record

from singerkit_wire.kinds import Column, columns_of
from target_duckdb import retyping
from target_duckdb.choosing import choice
from target_duckdb.connect import DuckDialect

__all__ = ["file"]

INTEGER, NUMBER = {"type": ["integer", "null"]}, {"type": ["number", "null"]}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
OBJECT = {"type": ["object", "null"]}
ZONED = "TIMESTAMP WITH TIME ZONE"

SURVIVES = [
    (TEXT, "VARCHAR", "BIGINT", "7", 7),
    (TEXT, "VARCHAR", "DECIMAL(12,2)", "1.5", "1.50"),
    (TEXT, "VARCHAR", "DOUBLE", "0.1", 0.1),
    (TEXT, "VARCHAR", "DOUBLE", "5", 5.0),
    (TEXT, "VARCHAR", "BOOLEAN", "true", True),
    (TEXT, "VARCHAR", "DATE", "2024-02-29", "2024-02-29"),
    (TEXT, "VARCHAR", "TIME", "12:30:00.5", "12:30:00.5"),
    (TEXT, "VARCHAR", ZONED, "2024-02-29T01:02:03Z", "2024-02-29 01:02:03+00"),
    (TEXT, "VARCHAR", ZONED, "2024-02-29 01:02:03.50", "2024-02-29 01:02:03.5+00"),
    (TEXT, "VARCHAR", "TIMESTAMP", "2024-02-29T01:02:03.000+00:00", "2024-02-29 01:02:03"),
    (TEXT, "VARCHAR", "JSON", "soon", '"soon"'),
    (OBJECT, "VARCHAR", "JSON", '{"a":  1.10}', '{"a":  1.10}'),
    (OBJECT, "JSON", "VARCHAR", '{"a":  1.10}', '{"a":  1.10}'),
    (TEXT, "JSON", "VARCHAR", '"so\\u006fn"', "soon"),
    (INTEGER, "BIGINT", "INTEGER", 7, 7),
    (INTEGER, "BIGINT", "DOUBLE", 2**53, 2.0**53),
    (INTEGER, "BIGINT", "VARCHAR", -7, "-7"),
    (NUMBER, "DECIMAL(38,9)", "BIGINT", 7, 7),
    (NUMBER, "DECIMAL(38,9)", "DECIMAL(12,2)", 1.5, "1.50"),
    (NUMBER, "DECIMAL(38,9)", "DOUBLE", "0.100000001", 0.100000001),
    (NUMBER, "DECIMAL(38,9)", "VARCHAR", "1.10", "1.1"),
    (NUMBER, "DOUBLE", "DECIMAL(38,9)", 0.1, "0.100000000"),
    (NUMBER, "DOUBLE", "VARCHAR", 5.0, "5"),
    (MOMENT, ZONED, "TIMESTAMP", "2024-02-29 01:02:03+02", "2024-02-28 23:02:03"),
    (MOMENT, "TIMESTAMP", "VARCHAR", "2024-02-29 01:02:03.5", "2024-02-29T01:02:03.5Z"),
    (MOMENT, "DATE", ZONED, "2024-02-29", "2024-02-29 00:00:00+00"),
    (MOMENT, ZONED, "DATE", "2024-02-29 00:00:00+00", "2024-02-29"),
]

LOST = [
    *((TEXT, "VARCHAR", "BIGINT", value) for value in ("007", "+7", " 7", "7.0", "0x1F", "1_000", "x")),
    *((TEXT, "VARCHAR", "DECIMAL(12,2)", value) for value in ("1.50", "1.005", "1e2")),
    *((TEXT, "VARCHAR", "DOUBLE", value) for value in ("1.50", "0.30000000000000001")),
    *((TEXT, "VARCHAR", "BOOLEAN", value) for value in ("t", "1", "TRUE")),
    *((TEXT, "VARCHAR", "DATE", value) for value in ("2024-2-9", "2024-02-29T00:00:00Z", "soon")),
    *(
        (TEXT, "VARCHAR", type_, f"2024-02-29{value}")
        for value in ("", "T01:02:03+02:00", "T01:02:03.1234567Z", "T01:02Z")
        for type_ in (ZONED, "TIMESTAMP")
    ),
    (TEXT, "VARCHAR", "UUID", "AAAAAAAA-0000-0000-0000-000000000000"),
    (OBJECT, "VARCHAR", "JSON", "{soon"),
    (TEXT, "JSON", "VARCHAR", "7"),
    (INTEGER, "BIGINT", "INTEGER", 2**31),
    (INTEGER, "BIGINT", "DOUBLE", 2**53 + 1),
    (NUMBER, "DECIMAL(38,9)", "BIGINT", 7.5),
    (NUMBER, "DECIMAL(38,9)", "DECIMAL(12,2)", "1.005"),
    (NUMBER, "DECIMAL(38,9)", "DOUBLE", "12345678901234567.123456789"),
    (NUMBER, "DOUBLE", "DECIMAL(38,9)", 0.30000000000000004),
    (NUMBER, "DOUBLE", "DECIMAL(38,9)", "-0.0"),
    (NUMBER, "DOUBLE", "BIGINT", "nan"),
    (MOMENT, ZONED, "DATE", "2024-02-29 01:00:00+00"),
    (MOMENT, "DATE", ZONED, "infinity"),
]


def column_of(declared: dict[str, Any]) -> Column:
    [column] = columns_of({"properties": {"a": declared}}, ())
    return column


def test_a_value_survives_where_it_is_the_same_when_it_is_turned_back() -> None:
    with duckdb.connect() as connection:

        def turned(found: str, wanted: str, value: Any, declared: dict[str, Any]) -> tuple[bool, Any]:
            way = choice(column_of(declared), found, wanted)
            assert way is not None
            using, survives = way.using.format("a"), (way.survives or "true").replace("{}", "a")
            asked = f"SELECT coalesce({survives}, false), {using} FROM (SELECT CAST(? AS {found}) AS a)"
            asked = f"SELECT lives, CAST(b AS VARCHAR), typeof(b) FROM ({asked}) AS t(lives, b)"
            [(lives, text, type_)] = connection.execute(asked, [value]).fetchall()
            assert type_ == wanted
            return lives, text

        for declared, found, wanted, value, made in SURVIVES:
            lives, text = turned(found, wanted, value, declared)
            assert lives, (found, wanted, value)
            [(expected,)] = connection.execute(
                f"SELECT CAST(CAST(? AS {wanted}) AS VARCHAR)", [made]
            ).fetchall()
            assert text == expected, (found, wanted, value)
        for declared, found, wanted, value in LOST:
            assert not turned(found, wanted, value, declared)[0], (found, wanted, value)
    mixed = column_of({"type": ["string", "object"]})
    assert choice(mixed, "VARCHAR", "JSON") is choice(mixed, "JSON", "VARCHAR") is None, "`5` may be a number"
    assert (
        choice(column_of(INTEGER), "BIGINT", "BOOLEAN") is choice(column_of(TEXT), "VARCHAR", "BLOB") is None
    )


def test_columns_become_of_the_types_that_are_chosen(file: Path) -> None:
    fields = {"a": TEXT, "b": INTEGER, "c": MOMENT, "d": OBJECT}
    first = record(id="1", a="7", b=5, c="2024-02-29T01:02:03Z", d={"x": [1.10]})
    load(file, SCHEMA("s", {"id": TEXT, **fields}, ["id"]), first, STATE({"at": 1})).expect(0)
    odd = record(id="2", a=7, b="x")
    load(file, SCHEMA("s", {"id": TEXT, **fields}, ["id"]), odd, STATE({"at": 2})).expect(0)
    types = {"s.id": "BIGINT", "s.a": "DECIMAL(12,2)", "s.b": "VARCHAR", "s.c": "TIMESTAMP", "s.d": "VARCHAR"}
    again = [
        SCHEMA("s", {"id": TEXT, **fields}, ["id"]),
        record(id="1", b=6),
        record(id="3", a="1.25", d={}),
        STATE({"at": 3}),
    ]
    done = load(file, *again, column_types=types).expect(0)
    assert "Column `b` of stream `s` is `VARCHAR` now, as was chosen, and was `BIGINT`" in done.stderr
    back = done.stderr.split("comes back with `")[1].split("`")[0]
    query(file, back)
    found = query(file, "SELECT id, CAST(a AS VARCHAR), b, CAST(c AS VARCHAR), d FROM s ORDER BY id")
    assert found == [
        (1, None, "6", None, None),
        (2, "7.00", "x", None, None),
        (3, "1.25", None, None, "{}"),
    ]
    assert "as was chosen" not in load(file, *again, column_types=types).expect(0).stderr


def test_a_column_stays_where_a_value_would_be_another(file: Path) -> None:
    load(
        file,
        SCHEMA("s", {"id": TEXT, "a": TEXT}, ["id"]),
        *(record(id=one, a=one) for one in ("7", "007")),
        STATE({"at": 1}),
    ).expect(0)
    for type_, why in (("BIGINT", ", of whose 2 values 1 would not be what it was"), ("BLOB", "")):
        again = load(
            file,
            SCHEMA("s", {"id": TEXT, "a": TEXT}, ["id"]),
            record(id="9"),
            STATE({"at": 2}),
            column_types={"s.a": type_},
        )
        said = again.expect(65).last_words
        assert (
            f"got `VARCHAR` in the table{why}, as `column_types` or `x-sql-datatype` says; what is stored"
            in said
        )
        assert f'change the column with `ALTER TABLE "main"."s" ALTER "a" TYPE {type_}`' in said
    held = {"column_types": {"s.id": "UUID"}, "schema_contract": "freeze"}
    load(file, SCHEMA("s", {"id": TEXT, "a": TEXT}, ["id"]), record(id="9"), STATE({"at": 2}), **held).expect(
        65
    )
    assert query(file, "SELECT id, a FROM s ORDER BY a") == [("007", "007"), ("7", "7")]


@pytest.mark.parametrize(
    ("declared", "found", "wanted", "value", "made"), [SURVIVES[0], SURVIVES[7], SURVIVES[16]]
)
def test_the_file_opens_after_a_kill_behind_the_change(
    tmp_path: Path, declared: dict[str, Any], found: str, wanted: str, value: Any, made: Any
) -> None:
    """By its log, in which an expression cannot always be read again."""
    path, killed = tmp_path / "a.duckdb", tmp_path / "killed.duckdb"
    session = DuckDialect(path).connect()
    session.execute(f"CREATE TABLE s AS SELECT CAST('{value}' AS {found}) AS a UNION ALL SELECT NULL")
    session.execute("CHECKPOINT")
    way = choice(column_of(declared), found, wanted)
    assert way is not None
    retyping.retype(session, '"main"."s"', '"a"', wanted, way.using.format('"a"'))
    for suffix in ("", ".wal"):
        shutil.copy(f"{path}{suffix}", f"{killed}{suffix}")
    session.close()
    with duckdb.connect(str(killed)) as connection:
        [one, nothing] = connection.execute(
            "SELECT CAST(a AS VARCHAR), typeof(a) FROM s ORDER BY a"
        ).fetchall()
    assert (one, nothing) == ((str(made), wanted), (None, wanted))
