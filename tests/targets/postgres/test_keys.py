"""What users have hung on the key of a table is there again when a run changes the key."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, connected, load, query, table
from psycopg2.sql import SQL, Identifier

INTEGER = {"type": ["integer", "null"]}
FIELDS = {"id": INTEGER, "n": INTEGER, "m": INTEGER}
MADE = (
    'CREATE TABLE t (id bigint, n bigint, m bigint, CONSTRAINT "the key" PRIMARY KEY (id) INCLUDE (m, n) WITH (fillfactor = 70));'
    "INSERT INTO t VALUES (1, 1, 1);"
)
MARKS = (
    'ALTER TABLE t REPLICA IDENTITY USING INDEX "the key";'
    'ALTER TABLE t CLUSTER ON "the key";'
    "COMMENT ON INDEX \"the key\" IS 'an index; it''s ours';"
    "COMMENT ON CONSTRAINT \"the key\" ON t IS 'a constraint'"
)
HUNG = """
SELECT c.relname::text, pg_get_constraintdef(k.oid), i.indisreplident, i.indisclustered, t.relreplident,
    obj_description(c.oid, 'pg_class'), obj_description(k.oid, 'pg_constraint'), c.reloptions
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_constraint k ON k.conindid = c.oid AND k.contype = 'p'
WHERE i.indrelid = %s::regclass
"""


def rows(*key: str, n: int = 2) -> list[Any]:
    return [SCHEMA("t", FIELDS, list(key)), RECORD("t", {"id": 1, "n": n, "m": 1}), STATE({"at": n})]


@pytest.mark.parametrize("config", [{}, {"on_invalid": "quarantine"}], ids=str)
@pytest.mark.parametrize("in_use", [False, True], ids=["", "in use"])
def test_what_is_hung_on_a_key_is_on_the_next_one(
    database: str, in_use: bool, config: dict[str, Any]
) -> None:
    """Without its replica identity a table that is published refused each UPDATE and DELETE."""
    query(database, MADE + MARKS)
    query(database, "CREATE PUBLICATION p FOR TABLE t")
    expected = [
        "the key",
        "PRIMARY KEY (n) INCLUDE (m)",
        True,
        True,
        "i",
        "an index; it's ours",
        "a constraint",
    ]
    with connected(database, autocommit=False) as other:
        if in_use:  # so that there is no moment in which the index may take the place of the former one
            other.execute("SET idle_in_transaction_session_timeout TO '2s'; SELECT * FROM t")
        load(database, *rows("n"), **config).expect(0)
    assert query(database, HUNG, ["t"]) == [(*expected, ["fillfactor=70"])]
    load(database, *rows("n"), **config).expect(0)
    query(database, "UPDATE t SET id = 7; DELETE FROM t")


def test_what_is_hung_on_the_keys_of_parts_is_on_their_next_ones(database: str) -> None:
    query(
        database,
        """CREATE TABLE t (id bigint, n bigint, m bigint, CONSTRAINT k PRIMARY KEY (id, n)) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100); CREATE TABLE high PARTITION OF t DEFAULT;
        ALTER TABLE low REPLICA IDENTITY USING INDEX low_pkey; ALTER TABLE low CLUSTER ON low_pkey;
        COMMENT ON INDEX low_pkey IS 'an index'; COMMENT ON CONSTRAINT k ON t IS 'a constraint'""",
    )
    load(database, *rows("id")).expect(0)
    assert query(database, HUNG, ["low"]) == [
        ("low_pkey", "PRIMARY KEY (id)", True, True, "i", "an index", None, None)
    ]
    assert query(database, HUNG, ["t"]) == [
        ("k", "PRIMARY KEY (id)", False, False, "d", None, "a constraint", None)
    ]
    assert query(database, HUNG, ["high"])[0][2:5] == (False, False, "d")


def test_a_key_stays_in_its_tablespace(database: str) -> None:
    name = f"space_{uuid.uuid4().hex}"
    with connected(database) as cursor:
        cursor.execute("SET allow_in_place_tablespaces TO on")
        cursor.execute(SQL("CREATE TABLESPACE {} LOCATION ''").format(Identifier(name)))
    try:
        query(
            database,
            "CREATE TABLE t (id bigint, n bigint, m bigint, "
            f"PRIMARY KEY (id) USING INDEX TABLESPACE {name}); INSERT INTO t VALUES (1, 1, 1)",
        )
        load(database, *rows("n")).expect(0)
        assert query(database, "SELECT tablespace::text FROM pg_indexes WHERE tablename = 't'") == [(name,)]
    finally:
        query(database, "DROP TABLE t")
        query(database, f"DROP TABLESPACE {name}")


def test_columns_that_are_only_carried_along_are_no_part_of_a_key(database: str) -> None:
    """It was taken for a key of all of them, and made anew by each run."""
    query(database, MADE + MARKS)
    before = query(database, "SELECT indexrelid FROM pg_index WHERE indrelid = 't'::regclass")
    for number in (2, 3):
        assert "The key of" not in load(database, *rows("id", n=number)).expect(0).stderr
    assert table(database, "t", "id", "n") == [(1, 3)]
    assert query(database, "SELECT indexrelid FROM pg_index WHERE indrelid = 't'::regclass") == before


@pytest.mark.parametrize("ours", [False, True], ids=["of another table", "of the table itself"])
def test_a_foreign_key_on_the_key_is_told_before_the_first_row(database: str, ours: bool) -> None:
    query(
        database, "CREATE TABLE t (id bigint PRIMARY KEY, n bigint, m bigint); INSERT INTO t VALUES (1, 1, 1)"
    )
    column = "n bigint" if not ours else "m bigint"
    child = '"a child"' if not ours else "t"
    if not ours:
        query(database, f"CREATE TABLE {child} ({column}); INSERT INTO {child} VALUES (1)")
    name = column.split()[0]
    reference = f'ALTER TABLE {child} ADD CONSTRAINT "to t" FOREIGN KEY ({name}) REFERENCES t (id)'
    query(database, reference)
    refused = load(database, *rows("n")).expect(78)
    assert "is to be `n` and is `id`, to which foreign keys refer" in refused.last_words
    assert query(database, HUNG, ["t"])[0][1] == "PRIMARY KEY (id)"
    assert table(database, "t", "id", "n") == [(1, 1)]
    drop, unique = re.findall(r"`(ALTER TABLE [^`]+)`", refused.last_words)
    query(database, drop)
    load(database, *rows("n", n=1)).expect(0)
    query(database, f"{unique}; {reference}")
    load(database, *rows("n", n=1)).expect(0)
    assert query(database, HUNG, ["t"])[0][1] == "PRIMARY KEY (n)"
