"""Indexes, grants, comments, ANALYZE, the user's SQL, and how tables are made: what is done about tables besides their rows."""

from __future__ import annotations

from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import load, query

from target_postgres.upkeep import upkeep_of

TEXT = {"type": ["string", "null"]}
DOCUMENT = {"type": ["object", "null"]}


def rows(first: int, last: int, **fields: Any) -> list[Any]:
    described = SCHEMA(
        "s",
        {"id": {"type": "integer"}, "A": {**TEXT, "description": "it's a"}, "tags": DOCUMENT, **fields},
        ["id"],
    )
    described["schema"]["description"] = "of the test"
    records = [RECORD("s", {"id": number, "A": "x", "tags": {}}) for number in range(first, last)]
    return [described, *records, STATE({"at": last})]


def indexes(database: str) -> list[str]:
    found = query(database, "SELECT indexdef FROM pg_indexes WHERE tablename = 's' ORDER BY indexname")
    return [text.split(" USING ")[1] for (text,) in found]


def test_what_is_wanted_of_a_table_is_done_once_at_the_end(
    password_role: tuple[str, str], database: str
) -> None:
    role = password_role[0]
    wanted = {
        "indexes": {"*": ["A", ["A", "id"], {"fields": ["tags"], "using": "gin"}]},
        "grant_select": [role, "public"],
        "comments": True,
        "analyze_rows": 10,
        "default_target_schema": "w",
    }
    made = ['btree ("A")', 'btree ("A", id)', "btree (id)", "gin (tags)"]
    load(database, *rows(0, 20), **wanted).expect(0)
    assert sorted(indexes(database)) == made
    for reader in (role, "public"):
        assert query(
            database,
            "SELECT has_table_privilege(%s, 'w.s', 'SELECT'), has_schema_privilege(%s, 'w', 'USAGE')",
            (reader, reader),
        ) == [(True, True)]
    comments = "SELECT obj_description('w.s'::regclass), col_description('w.s'::regclass, 2)"
    assert query(database, comments) == [("of the test", "it's a")]
    assert query(database, "SELECT reltuples FROM pg_class WHERE relname = 's'") == [(20.0,)]
    before = query(database, "SELECT oid, xmin::text FROM pg_class WHERE relname LIKE 's\\_%%idx' ORDER BY 1")
    load(database, *rows(20, 21), **wanted).expect(0)
    assert (
        query(database, "SELECT oid, xmin::text FROM pg_class WHERE relname LIKE 's\\_%%idx' ORDER BY 1")
        == before
    )
    query(database, "DROP SCHEMA w CASCADE")


def test_an_index_that_was_cut_off_is_made_again(database: str) -> None:
    load(database, *rows(0, 2)).expect(0)
    query(database, 'CREATE INDEX "s_A_idx" ON s ("A")')
    query(database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"s_A_idx\"'::regclass")
    load(database, *rows(2, 3), indexes={"s": ["A"]}).expect(0)
    assert query(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = '\"s_A_idx\"'::regclass") == [
        (True,)
    ]


def test_an_index_of_a_partitioned_table(database: str) -> None:
    query(database, 'CREATE TABLE s (id bigint PRIMARY KEY, "A" text, tags jsonb) PARTITION BY RANGE (id)')
    query(database, "CREATE TABLE s_all PARTITION OF s DEFAULT")
    load(database, *rows(0, 2), indexes={"s": ["A"]}, analyze_rows=1).expect(0)
    assert indexes(database) == ['btree ("A")', "btree (id)"]


def test_sql_of_the_user_before_and_after(database: str) -> None:
    query(database, "CREATE TABLE log (what text, rows bigint)")
    config = {
        "pre_sql": "INSERT INTO log VALUES ('before', 0)",
        "post_sql": ["INSERT INTO log SELECT 'after', count(*) FROM s", "VACUUM s"],
    }
    load(database, *rows(0, 3), **config).expect(0)
    assert query(database, "SELECT * FROM log") == [("before", 0), ("after", 3)]
    bad = [*rows(3, 4), RECORD("s", {"id": "x"}), STATE({"at": 5})]
    load(database, *bad, **config).expect(65)
    assert query(database, "SELECT count(*) FROM log WHERE what = 'after'") == [(1,)]


def test_sql_that_is_refused_says_what_is_committed(database: str) -> None:
    twice = ["CREATE TABLE mine (a int)", "SELECT 1 FROM nowhere"]
    before = load(database, *rows(0, 3), pre_sql=twice).expect(65, 78)
    assert "PostgreSQL refused `pre_sql[1]`" in before.last_words
    assert "it was rolled back, and nothing was loaded" in before.last_words
    assert query(database, "SELECT to_regclass('mine'), to_regclass('s')") == [(None, None)]
    after = load(database, *rows(0, 3), post_sql=twice).expect(before.code)
    assert "running `post_sql[1]`" in after.last_words
    assert "All rows are committed" in after.last_words
    assert query(database, "SELECT count(*), to_regclass('mine')::text FROM s") == [(3, "mine")]


def test_how_a_table_is_made(database: str) -> None:
    load(database, *rows(0, 1), unlogged={"s": True}, tablespace="pg_default").expect(0)
    assert query(database, "SELECT relpersistence::text FROM pg_class WHERE relname = 's'") == [("u",)]
    query(database, "ALTER TABLE s SET LOGGED")
    told = load(database, *rows(1, 2), unlogged=True, tablespace={"t": "x"}).expect(0).stderr
    assert '`ALTER TABLE "public"."s" SET UNLOGGED` changes it' in told
    assert "`tablespace` names `t`, and this run had no such stream" in told
    assert (
        "nowhere"
        in load(database, *rows(0, 1), tablespace="nowhere", default_target_schema="o")
        .expect(65, 78)
        .last_words
    )


def test_what_is_wrong_is_refused_before_rows_or_after_all_of_them(database: str) -> None:
    missing = load(database, *rows(0, 1), indexes={"s": ["B"]}).expect(78).last_words
    assert "Expected fields of stream `s` at `indexes`, got `B`" in missing
    assert query(database, "SELECT to_regclass('s')") == [(None,)]
    assert "at `indexes.s`, got something else" in load(database, indexes={"s": [5]}).expect(78).last_words
    nobody = load(database, *rows(0, 1), grant_select=["nobody"]).expect(78).last_words
    assert "Expected roles at `grant_select`, got `nobody`" in nobody
    assert query(database, "SELECT count(*) FROM s") == [(1,)]


@pytest.mark.parametrize("given", [[[]], [{"fields": "a", "unique": True}], [["a", 1]], [{"using": "gin"}]])
def test_an_index_that_is_none(given: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"Expected a field, a list of fields, .* at `indexes\.s`"):
        upkeep_of({"indexes": {"s": given}, "comments": False})


def test_sql_of_the_user_is_run_again_where_its_connection_was_lost(database: str) -> None:
    query(database, "CREATE SEQUENCE tries; CREATE TABLE ran (n bigint)")
    dies_once = "DO $$ BEGIN IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(9); END IF; END $$"
    outcome = load(database, *rows(1, 2), pre_sql=["INSERT INTO ran VALUES (1)", dies_once]).expect(0)
    assert "; connecting again." in outcome.stderr
    assert query(database, "SELECT * FROM ran") == [(1,)]
    query(database, "ALTER SEQUENCE tries RESTART")
    assert (
        "pre_sql"
        in load(database, *rows(1, 2), pre_sql=["SELECT 1", dies_once], reconnect_seconds=0)
        .expect(69)
        .last_words
    )
