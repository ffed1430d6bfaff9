"""From the stage into the table, on one connection: what is inserted, updated, left alone, and in which order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal

from target_postgres.ddl import inspect
from target_postgres.merge import create_stage, empty_stage, merge
from target_postgres.plain import plain_columns

STAGE = 'stage "1"; -- 50%s'
TABLE = Identifier("public", 'say "hi"; --')
COLUMNS = ("k1", "k2", "a", "on", "say %s")
KEYS = ("k1", "k2")


@pytest.fixture
def cursor(postgres_dsn: str) -> Iterator[Cursor]:
    """In a transaction that has made the table and its stage, and is never committed."""
    connection = psycopg2.connect(postgres_dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                SQL(
                    'CREATE TABLE {} (k1 bigint, k2 text, a text, "on" integer CHECK ("on" > 0), "say %s" jsonb, '
                    "PRIMARY KEY (k1, k2))"
                ).format(TABLE)
            )
            create_stage(cursor, STAGE, TABLE)
            yield cursor
    finally:
        connection.close()


def stage(cursor: Cursor, *rows: Sequence[Any], columns: Sequence[str] = COLUMNS) -> None:
    names = SQL(", ").join(map(Identifier, columns))
    for row in rows:
        insert = SQL("INSERT INTO pg_temp.{} ({}) VALUES ({})").format(
            Identifier(STAGE), names, SQL(", ").join([SQL("%s")] * len(row))
        )
        cursor.execute(insert.as_string(cursor).replace("50%s", "50%%s").replace("say %s", "say %%s"), row)


def merged(
    cursor: Cursor,
    *rows: Sequence[Any],
    columns: Sequence[str] = COLUMNS,
    has_repeats: bool = False,
) -> bool:
    stage(cursor, *rows, columns=columns)
    found = merge(cursor, STAGE, TABLE, columns, KEYS, has_repeats=has_repeats)
    empty_stage(cursor, STAGE)
    return found


def fetched(cursor: Cursor, statement: str, *names: Identifier) -> list[tuple[Any, ...]]:
    cursor.execute(SQL(statement).format(*names))
    return cursor.fetchall()


def table(cursor: Cursor) -> list[tuple[Any, ...]]:
    return fetched(cursor, "SELECT * FROM {} ORDER BY k1, k2", TABLE)


def staged(cursor: Cursor) -> int:
    return int(fetched(cursor, "SELECT count(*) FROM pg_temp.{}", Identifier(STAGE))[0][0])


def places(cursor: Cursor) -> dict[int, str]:
    """Where each row lies: a row that is written again lies elsewhere."""
    return dict(fetched(cursor, "SELECT k1, ctid::text FROM {}", TABLE))


def test_the_stage_has_the_columns_and_nothing_else_of_the_table(cursor: Cursor) -> None:
    def columns(table: Identifier) -> Any:
        cursor.execute(SQL("SELECT * FROM {} LIMIT 0").format(table))
        assert cursor.description is not None
        return [(column.name, column.type_code) for column in cursor.description]

    assert columns(Identifier("pg_temp", STAGE)) == columns(TABLE)
    assert merged(cursor, (1, "x", "a", 1, None)) is False
    create_stage(cursor, STAGE, TABLE)
    assert staged(cursor) == 0, "made of a table with rows"
    stage(cursor, (1, "x", "a", 1, None), (1, "x", "b", 2, None))  # no key
    create_stage(cursor, STAGE, TABLE)
    assert staged(cursor) == 0, "one that was there already is made anew"


def test_a_table_of_the_same_name_in_another_schema_is_left_alone(cursor: Cursor) -> None:
    cursor.execute(SQL("CREATE TABLE public.{} AS SELECT 5 AS n").format(Identifier(STAGE)))
    cursor.execute(SQL("DROP TABLE pg_temp.{}").format(Identifier(STAGE)))
    create_stage(cursor, STAGE, TABLE)
    merged(cursor, (1, "x", "a", 1, None))
    assert fetched(cursor, "SELECT n FROM public.{}", Identifier(STAGE)) == [(5,)]
    assert len(table(cursor)) == 1


def test_the_stage_is_empty_after_each_commit(database: str) -> None:
    connection = psycopg2.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(SQL("CREATE TABLE {} (k1 bigint)").format(TABLE))
            create_stage(cursor, STAGE, TABLE)
            stage(cursor, (1,), columns=["k1"])
            connection.commit()
            assert staged(cursor) == 0
    finally:
        connection.close()


def test_new_rows_are_inserted_and_others_updated(cursor: Cursor) -> None:
    assert merged(cursor, (1, "x", "a", 1, "{}"), (1, "y", "b", 2, None)) is False
    assert staged(cursor) == 0
    assert merged(cursor, (1, "y", "c", None, "[]"), (2, "x", None, 3, None)) is False
    assert staged(cursor) == 0
    assert table(cursor) == [(1, "x", "a", 1, {}), (1, "y", "c", None, []), (2, "x", None, 3, None)]


def test_columns_that_are_not_staged_keep_what_is_stored(cursor: Cursor) -> None:
    merged(cursor, (1, "x", "a", 1, "{}"))
    merged(cursor, ("x", 1, "b"), columns=["k2", "k1", "a"])
    assert table(cursor) == [(1, "x", "b", 1, {})]


def test_of_several_rows_with_one_key_the_last_wins(cursor: Cursor) -> None:
    merged(cursor, (1, "x", "old", 1, None), (2, "x", "stays", 1, None))
    rows = [(1, "x", f"n{n}", n, None) for n in range(1, 5)] + [(1, "y", "alone", 1, None)]
    assert merged(cursor, *rows) is True, "found out"
    expected = [(1, "x", "n4", 4, None), (1, "y", "alone", 1, None), (2, "x", "stays", 1, None)]
    assert table(cursor) == expected
    assert staged(cursor) == 0
    assert merged(cursor, *rows[::-1], has_repeats=True) is True, "known"
    assert table(cursor) == [(1, "x", "n1", 1, None), *expected[1:]]
    assert staged(cursor) == 0
    assert merged(cursor, (1, "x", "one", 9, None), has_repeats=True) is True


@pytest.mark.parametrize("seed", range(12))
def test_the_last_wins_where_it_is_what_is_stored(cursor: Cursor, seed: int) -> None:
    """It changes nothing, so PostgreSQL tells of no repeat where a sort has put the one before it behind."""
    chance = random.Random(seed)
    stored = (500, "x", "a", 1, None)
    merged(cursor, stored)
    rows = [(number, "x", "b", 1, None) for number in chance.sample(range(1000), chance.randrange(8, 40))]
    first = chance.randrange(len(rows))
    rows.insert(first, (500, "x", "changed", 1, None))
    rows.insert(chance.randrange(first + 1, len(rows) + 1), stored)
    merged(cursor, *rows)
    assert stored in table(cursor)


def test_what_was_written_before_in_the_transaction_stays(cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE public.before AS SELECT 1 AS n")
    assert merged(cursor, (1, "x", "a", 1, None), (1, "x", "b", 1, None)) is True
    assert fetched(cursor, "SELECT n FROM before") == [(1,)]


@pytest.mark.parametrize("repeats", [False, True])
def test_no_savepoint_is_left(cursor: Cursor, repeats: bool) -> None:
    merged(cursor, *[(1, "x", "a", 1, None)] * (2 if repeats else 1))
    with pytest.raises(errors.InvalidSavepointSpecification):
        cursor.execute("RELEASE SAVEPOINT singerkit_merge")


@pytest.mark.parametrize("has_repeats", [False, True])
def test_any_other_error_is_raised_as_it_is(cursor: Cursor, has_repeats: bool) -> None:
    with pytest.raises(errors.CheckViolation):
        merged(cursor, (1, "x", "a", -1, None), has_repeats=has_repeats)


def test_only_a_key_that_comes_twice_is_tried_in_another_way(cursor: Cursor) -> None:
    """An error that does not come again, as of a trigger, is an error still."""
    cursor.execute("CREATE SEQUENCE calls")
    cursor.execute(
        "CREATE FUNCTION fails_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('calls') = 1 THEN RAISE EXCEPTION 'once'; END IF; RETURN NEW; END $$"
    )
    cursor.execute(
        SQL("CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION fails_once()").format(TABLE)
    )
    with pytest.raises(errors.RaiseException):
        merged(cursor, (1, "x", "a", 1, None))


def test_a_row_is_written_again_only_when_a_column_differs(cursor: Cursor) -> None:
    rows = [(1, "x", "a", 1, None), (2, "x", None, 2, None), (3, "x", "c", None, None)]
    merged(cursor, *rows)
    before = places(cursor)
    assert merged(cursor, *rows) is False
    assert places(cursor) == before
    changed = [(1, "x", "a", 1, None), (2, "x", None, 5, None), (3, "x", None, None, None)]
    merged(cursor, *changed)
    assert {key for key, place in places(cursor).items() if place != before[key]} == {2, 3}
    assert [row[2:] for row in table(cursor)] == [("a", 1, None), (None, 5, None), (None, None, None)]


def test_a_null_is_a_value_to_compare(cursor: Cursor) -> None:
    merged(cursor, (1, "x", None, 1, None))
    merged(cursor, (1, "x", "a", 1, None))
    assert table(cursor) == [(1, "x", "a", 1, None)]
    merged(cursor, (1, "x", None, 1, None))
    assert table(cursor) == [(1, "x", None, 1, None)]


@pytest.mark.parametrize("has_repeats", [False, True])
def test_a_table_of_keys_only(cursor: Cursor, has_repeats: bool) -> None:
    for _ in range(2):
        merged(cursor, (1, "x"), (1, "y"), columns=KEYS, has_repeats=has_repeats)
    assert [row[:2] for row in table(cursor)] == [(1, "x"), (1, "y")]


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        ("numeric", "1.0", "1.00"),
        ("double precision", "0", "-0"),
        ("jsonb", '{"a": 1.0}', '{"a": 1.00}'),
        ("json", '{"a": 1}', '{"a":1}'),
        ('text COLLATE "same"', "abc", "ABC"),
        ("interval", "1 day", "24:00:00"),
        ("point", "(0,0)", "(0,1)"),
        ("xml", "<a/>", "<a></a>"),
        ("character(4)", "ab", "ab c"),
        ("text", "a", "a "),
        ("character varying(9)", "a", "A"),
        ("bigint", "1", "2"),
        ("timestamp with time zone", "2026-01-01 00:00:00+00", "2026-01-01 00:00:00.000001+00"),
    ],
    ids=lambda value: value.split()[0] if value[0].isalpha() else "",
)
def test_unchanged_is_judged_byte_by_byte(cursor: Cursor, type_: str, old: str, new: str) -> None:
    """Issue 9, E.18: a column's own `=` holds different values to be the same, or there is none."""
    table = Identifier("public", "typed")
    try:
        if "same" in type_:
            cursor.execute(
                "CREATE COLLATION same (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
        cursor.execute(SQL("CREATE TABLE {} (k bigint PRIMARY KEY, v {})").format(table, SQL(type_)))
        cursor.execute(SQL("SELECT {}::{}").format(Literal(old), SQL(type_)))
    except errors.FeatureNotSupported as error:
        pytest.skip(f"this server is built without: {error}")
    create_stage(cursor, STAGE, table)
    existing = inspect(cursor, "public", "typed")
    plain = plain_columns(existing.columns) if existing else ()
    seen = []
    for value in (old, new, new):
        statement = SQL("INSERT INTO pg_temp.{} VALUES (1, {})").format(Identifier(STAGE), Literal(value))
        cursor.execute(statement.as_string(cursor).replace("50%s", "50%%s"), ())
        merge(cursor, STAGE, table, ["k", "v"], ["k"], has_repeats=False, plain=plain)
        empty_stage(cursor, STAGE)
        seen.append(fetched(cursor, "SELECT v::text, ctid::text FROM {}", table))
    assert [rows[0][0] for rows in seen] == [old, new, new]
    assert seen[1] == seen[2], "the same row once more is not written"


def test_text_that_ignores_case_is_compared_byte_by_byte(cursor: Cursor) -> None:
    try:
        cursor.execute("SAVEPOINT before")
        cursor.execute("CREATE EXTENSION citext")
    except psycopg2.Error:
        pytest.skip("this server has no citext")
    cursor.execute("CREATE TABLE typed (k bigint PRIMARY KEY, v citext)")
    table = Identifier("public", "typed")
    create_stage(cursor, STAGE, table)
    existing = inspect(cursor, "public", "typed")
    assert existing is not None
    plain = plain_columns(existing.columns)
    assert plain == {"k"}
    for value in ("ABC", "abc"):
        statement = SQL("INSERT INTO pg_temp.{} VALUES (1, {})").format(Identifier(STAGE), Literal(value))
        cursor.execute(statement.as_string(cursor).replace("50%s", "50%%s"), ())
        merge(cursor, STAGE, table, ["k", "v"], ["k"], has_repeats=False, plain=plain)
        empty_stage(cursor, STAGE)
        assert fetched(cursor, "SELECT v::text FROM {}", table) == [(value,)]
