"""What --discover finds, and what `tables`, `streams` and a catalog choose of it."""

from __future__ import annotations

import logging

import pytest
from taps.written import of_column, root

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.chunks import Walk
from tap_sqlite.database import SqliteDatabase

EVERYTHING = (
    "CREATE TABLE plain (a INTEGER, b VARCHAR(10), c)",
    "CREATE TABLE own (id INTEGER PRIMARY KEY, at DATETIME, n INT)",
    "CREATE UNIQUE INDEX by_n ON own (n)",
    "CREATE TABLE pair (a TEXT, b INT, v, PRIMARY KEY (b, a))",
    "CREATE TABLE wr (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "CREATE TABLE gen (id INTEGER PRIMARY KEY, s AS (id * 2) STORED, v AS (id * 3) VIRTUAL)",
    'CREATE TABLE "say ""hi""; --" ("d""q" INT, "]" INT, "select" INT)',
    "CREATE VIEW seen AS SELECT a, b AS label FROM plain",
    "CREATE VIEW torn AS SELECT * FROM nowhere",
    "CREATE VIRTUAL TABLE words USING fts5(body)",
    "INSERT INTO plain VALUES (1, 'x', 2.5), (2, 'y', NULL)",
    "INSERT INTO gen (id) VALUES (7)",
    'INSERT INTO "say ""hi""; --" VALUES (1, 2, 3)',
    "INSERT INTO words VALUES ('hello')",
)


def test_tables_views_keys_and_types(shop, caplog):
    shop.execute(*EVERYTHING)
    streams = {one["stream"]: one for one in shop.discover()["streams"]}
    assert set(streams) == {"plain", "own", "pair", "wr", "gen", 'say "hi"; --', "seen"}
    assert "The view `torn` cannot be read and is left out" in caplog.text
    keys = {name: one["key_properties"] for name, one in streams.items()}
    assert keys == {
        "plain": [],
        "own": ["id"],
        "pair": ["b", "a"],
        "wr": ["k"],
        "gen": ["id"],
        'say "hi"; --': [],
        "seen": [],
    }
    assert root(streams["plain"]) | {"selected-by-default": True} == {
        "inclusion": "available",
        "selected-by-default": True,
        "table-key-properties": [],
        "replication-method": "FULL_TABLE",
        "database-name": "shop",
        "schema-name": "main",
        "is-view": False,
        "row-count": 2,
    }
    view = root(streams["seen"])
    assert view["is-view"] is True
    assert view["view-key-properties"] == []
    assert "table-key-properties" not in view
    assert root(streams["own"])["valid-replication-keys"] == ["id", "at", "n"]
    assert of_column(streams["plain"], "b")["sql-datatype"] == "VARCHAR(10)"
    assert streams["plain"]["schema"]["properties"]["c"] == {"type": ["null", "number"], "format": "double"}


def test_generated_columns_odd_names_and_views_are_read(shop):
    shop.execute(*EVERYTHING)
    found = shop.sync()
    assert found.rows("gen") == [{"id": 7, "s": 14, "v": 21}]
    assert found.rows('say "hi"; --') == [{'d"q': 1, "]": 2, "select": 3}]
    assert found.rows("seen") == [{"a": 1, "label": "x"}, {"a": 2, "label": "y"}]


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        (["p*"], {"plain", "pair"}),
        (["*", "!p*", "pair"], {"own", "pair", "wr", "gen", 'say "hi"; --', "seen"}),
        (["!*", "wr"], {"wr"}),
        (["words"], {"words"}),
        (["words_data"], {"words_data"}),
    ],
)
def test_globs_choose_tables_and_virtual_ones_come_by_name(shop, rules, chosen):
    shop.execute(*EVERYTHING)
    assert {one["stream"] for one in shop.discover(tables=rules)["streams"]} == chosen


def test_a_virtual_table_is_read_when_it_is_named(shop):
    shop.execute(*EVERYTHING)
    assert shop.sync(tables=["words"]).rows("words") == [{"body": "hello"}]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tables": ["plan"]}, "The rule `plan` in `tables` matches no table or view; did you mean `plain`?"),
        ({"tables": ["!*"]}, "No table is chosen by `tables`"),
        ({"streams": [{"name": "onw"}]}, "got `onw`; did you mean `own`?"),
        ({"streams": [{"name": "own", "replication_key": "att"}]}, "at `replication_key`, got `att`, which it does not have; did you mean `at`?"),
        ({"streams": [{"name": "own", "primary_keys": ["ix"]}]}, "at `primary_keys`, got `ix`, which it does not have"),
    ],
)  # fmt: skip
def test_a_setting_that_does_nothing_is_refused(shop, settings, problem):
    shop.execute(*EVERYTHING)
    with pytest.raises(ConfigurationError) as raised:
        shop.discover(**settings)
    assert problem in str(raised.value)


def test_a_catalog_chooses_replication_and_keys(shop):
    shop.execute(*EVERYTHING)
    shop.execute("INSERT INTO own VALUES (1, '2024-01-01T00:00:00Z', 5), (2, '2024-01-02T00:00:00Z', 4)")
    catalog = shop.discover()
    streams = {one["stream"]: one for one in catalog["streams"]}
    root(streams["own"]).update({"replication-method": "INCREMENTAL", "replication-key": "n"})
    root(streams["seen"])["view-key-properties"] = ["a"]
    found = shop.sync(catalog=catalog)
    assert found.state["bookmarks"]["own"]["replication_key_value"] == 5
    assert found.of_type("SCHEMA", "seen")[0]["key_properties"] == ["a"]
    shop.execute("INSERT INTO own VALUES (3, '2023-01-01T00:00:00Z', 6)")
    assert shop.sync(found.state, catalog).column("id", "own") == [3]


def test_a_key_that_is_none_ends_the_run(shop):
    shop.config["streams"] = [{"name": "plain", "primary_keys": ["a"]}]
    shop.execute(*EVERYTHING, "INSERT INTO plain VALUES (1, 'other', 1)")
    with pytest.raises(Exception, match="came in one answer with the same key"):
        shop.sync()


def test_a_column_that_is_not_selected_is_never_read(shop):
    """What would end the query if it were evaluated is not."""
    shop.execute(
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT)",
        "CREATE VIEW t AS SELECT id, a, abs(-9223372036854775807 - id) AS bad FROM u",
        "INSERT INTO u VALUES (1, 'x')",
    )
    shop.config["tables"] = ["t"]
    assert shop.sync(select=["t", "!t.bad"]).rows() == [{"id": 1, "a": "x"}]
    with pytest.raises(Exception, match="integer overflow"):
        shop.sync()


def test_discovery_of_a_thousand_tables_takes_few_queries(shop):
    shop.execute(*(f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, a TEXT)" for n in range(1000)))
    database = SqliteDatabase(shop.settings(), logging.getLogger())
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)
    assert len(database.tables()) == 1000
    assert len([text for text in statements if not text.startswith("--")]) == 3
    database.close()


@pytest.mark.parametrize(("key", "asked"), [("INTEGER PRIMARY KEY", 1), ("TEXT PRIMARY KEY", 3)])
def test_a_chunk_takes_one_query_where_rows_keep_their_numbers(shop, key, asked):
    """Where they do not, it is asked, too, whether others have committed, and whether the schema is the same."""
    shop.execute(f"CREATE TABLE t (id {key}, a TEXT)")
    shop.execute("INSERT INTO t VALUES (?, 'x')", rows=[(number,) for number in range(3000)])
    database = SqliteDatabase(shop.settings(), logging.getLogger())
    (table,) = database.tables()
    walk = Walk(database, table, ["id", "a"], table.chunk_key)
    chunks = walk.chunks()
    next(chunks)
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)
    rows, _ = next(chunks)
    assert (len(rows), len(statements)) == (200, asked)
    database.close()
