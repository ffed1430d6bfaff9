"""What is learned of the values of a table, and what is checked at once of the rows that are sent."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from singerkit_shell.errors import BadDataError
from singerkit_sql_tap.types import RowCheck
from tap_sqlite.database import SqliteDatabase
from tap_sqlite.values import column_schema

KINDS = [None, 1, 2**53 + 1, -(2**63), 1.5, -0.0, "", "x", "2026-01-01", b"\0"]
TYPES = {int: "integer", float: "real", str: "text", bytes: "blob"}
DECLARED = ["INTEGER", "TEXT", "REAL", "NUMERIC", "", "BLOB", "DATE"]


@pytest.mark.parametrize("seed", range(20))
def test_no_value_is_overlooked_wherever_it_stands(shop, seed):
    """One value of another type among thousands of rows, in any column, and any mixture."""
    drawn = random.Random(seed)
    columns = [(f"c{number}", declared) for number, declared in enumerate(DECLARED)]
    usual = [drawn.choice(KINDS) for _ in columns]
    rows = [list(usual) for _ in range(1_500)]
    for _ in range(drawn.choice([0, 1, 5, 1_000])):
        drawn.choice(rows)[drawn.randrange(len(columns))] = drawn.choice(KINDS)
    made = ", ".join(f"{name} {declared}" for name, declared in columns)
    places = ", ".join("?" * len(columns))
    shop.execute(f"CREATE TABLE t ({made})", f"INSERT INTO t VALUES ({places})", rows=rows)
    stored = shop.query("SELECT * FROM t")
    found = shop.found_types("t")
    for (name, declared), values in zip(columns, zip(*stored, strict=True), strict=True):
        types = {_type_of(value, declared) for value in values if value is not None}
        format_ = "date" if declared == "DATE" and {*values} <= {None, "2026-01-01"} else None
        assert found.get(name) == (column_schema(declared, types, format_) if types else None)


def _type_of(value: Any, declared: str) -> str:
    is_wide = declared != "TEXT" and type(value) is int and int(float(value)) != value
    return "wide" if is_wide else TYPES[type(value)]


def test_what_is_held_of_the_types_does_not_grow_with_their_combinations(shop, monkeypatch):
    """Of 20 columns that may be empty texts or null almost each row is another combination."""
    drawn = random.Random(1)
    names = [f"c{number}" for number in range(20)]
    rows = [[drawn.choice([None, "", 7]) for _ in names] for _ in range(3_000)]
    declared = ", ".join(f"{name} INTEGER" for name in names)
    shop.execute(f"CREATE TABLE t ({declared})", f"INSERT INTO t VALUES ({', '.join('?' * 20)})", rows=rows)
    held = []
    look = SqliteDatabase.look
    monkeypatch.setattr(
        SqliteDatabase, "look", lambda *arguments: (held.append(look(*arguments)), held[-1])[1]
    )
    assert {tuple(schema["type"]) for schema in shop.found_types("t").values()} == {
        ("null", "integer", "string")
    }
    assert sum(map(len, held)) < 500


INFINITE = float("inf")
VALUES = [None, 0, 2**70, 1.5, INFINITE, -INFINITE, "x", "2026-01-01", "2026-01-01T00:00:00Z",
          "2026-01-01 00:00:00", b"x", True, Decimal("1.5"), [1], {"a": 1}]  # fmt: skip
SCHEMAS: list[dict[str, Any]] = [
    {"type": ["null", "integer"]},
    {"type": ["null", "number"]},
    {"type": ["null", "number"], "format": "double"},
    {"type": ["string"]},
    {"type": ["null", "string"], "format": "date"},
    {"type": ["null", "string"], "format": "date-time"},
    {"type": ["null", "string"], "contentEncoding": "base64"},
    {"type": ["null", "integer", "number", "string", "object"]},
    {"type": ["null", "boolean", "array"]},
    {"type": "null"},
    {},
]


@pytest.mark.parametrize("local_is_utc", [True, False])
@pytest.mark.parametrize("infinite", ["fail", "null"])
def test_what_is_checked_at_once_is_what_is_checked_column_by_column(monkeypatch, infinite, local_is_utc):
    drawn = random.Random(7)
    for _ in range(1_500):
        schemas = drawn.choices(SCHEMAS, k=2)
        chosen = drawn.choices(VALUES, k=2) if drawn.random() < 0.5 else VALUES
        rows = [tuple(drawn.choices(chosen, k=2)) for _ in range(drawn.choice([1, 2, 9]))]
        at_once = _checked(schemas, rows, infinite, local_is_utc=local_is_utc)
        with monkeypatch.context() as patched:
            patched.setattr(RowCheck, "_fit_at_once", lambda *_: False)
            assert _checked(schemas, rows, infinite, local_is_utc=local_is_utc) == at_once


def _checked(schemas: Any, rows: Any, infinite: str, *, local_is_utc: bool) -> Any:
    properties = {"a": schemas[0], "b": schemas[1]}
    check = RowCheck(
        "t", ["a", "b"], {"properties": properties}, infinite, local_is_utc=local_is_utc, keys=["a"]
    )
    try:
        return repr(check.checked(rows)), check.nulled, check.bytes
    except BadDataError as error:
        return str(error)


def test_infinite_numbers_beside_bytes_are_told_of_and_bytes_keep_their_form():
    check = RowCheck(
        "t", ["v"], {"properties": {"v": {"type": ["null", "number", "object"]}}}, "null", local_is_utc=False
    )
    assert check.checked([(b"\0",), (INFINITE,), (1,)]) == [({"base64": "AA=="},), (None,), (1,)]
    assert check.nulled == 1


@pytest.mark.parametrize("by", [None, "id"])
@pytest.mark.parametrize("runs", [1, 2])
def test_a_column_that_comes_back_without_values_has_the_type_that_it_had(shop, by, runs):
    """It was text again, which the target refused (65) in every run: its column is one of times."""
    shop.by(by) if by else None
    shop.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATETIME, x)",
        "INSERT INTO t VALUES (1, '2026-01-01T00:00:00Z', 1.5)",
    )
    first = shop.sync()
    state = first.state
    for _ in range(runs):
        without = shop.sync(state, select=["*.*", "!t.d", "!t.x"])
        assert without.properties().keys() == {"id"}
        state = without.state
    shop.execute("UPDATE t SET d = NULL, x = NULL")
    again = shop.sync(state)
    assert again.properties() == first.properties()
    assert "left" not in again.state["bookmarks"]["t"]["_singerkit_read"]
    shop.execute("UPDATE t SET d = 5, id = 2")
    assert shop.sync(state).properties()["d"]["type"] == ["null", "integer", "string"]


def test_a_made_up_type_is_that_of_its_values(shop):
    shop.execute(
        'CREATE TABLE t (g GEOMETRY, p "no such type at all", q [say "hi"; --])',
        "INSERT INTO t VALUES (?, ?, ?)",
        rows=[(b"\0", 1, "x"), ("POINT", 2.5, None)],
    )
    result = shop.sync()
    assert {name: schema["type"] for name, schema in result.properties().items()} == {
        "g": ["null", "string", "object"],
        "p": ["null", "number"],
        "q": ["null", "string"],
    }
    assert [row["p"] for row in result.rows()] == [1, Decimal("2.5")]
    assert [row["q"] for row in result.rows()] == ["x", None]
    assert result.rows()[1]["g"] == "POINT"
