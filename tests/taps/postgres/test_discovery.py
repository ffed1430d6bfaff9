"""What a database holds, as the catalog tells it."""

from __future__ import annotations

import pytest
from taps.written import of_column, root

from singerkit_shell.errors import ConfigurationError
from tap_postgres.database import PostgresDatabase

MADE = """
    CREATE EXTENSION citext;
    CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz NOT NULL, code text COLLATE "C", folded citext, late date);
    CREATE INDEX ON orders (at); CREATE INDEX ON orders (code DESC); CREATE INDEX ON orders (folded);
    CREATE INDEX ON orders (late) WHERE id > 5;
    COMMENT ON TABLE orders IS 'What was sold'; COMMENT ON COLUMN orders.code IS 'Of the shop';
    CREATE TABLE plain (a int, b int);
    CREATE VIEW seen AS SELECT * FROM orders; CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
    CREATE TABLE parted (id int, day date, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
    CREATE TABLE part PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE SCHEMA other; CREATE TABLE other.orders (id int);
    INSERT INTO plain SELECT n, n FROM generate_series(1, 50) AS n; ANALYZE plain
"""


def test_tables_of_every_kind_are_streams_of_schema_and_name(shop):
    shop.execute(MADE)
    names = ["other-orders", "public-kept", "public-orders", "public-parted", "public-plain", "public-seen"]
    assert shop.names() == names
    assert shop.names(tables=["public.p*", "!public-plain"]) == ["public-parted"]
    assert shop.names(tables=["!public.*"]) == ["other-orders"]
    # What is kept out by a glob may not have come yet, or be gone.
    assert shop.names(tables=["other.*", "!public.tmp_*"]) == ["other-orders"]
    with pytest.raises(ConfigurationError, match=r"`!public\.order` in `tables` matches no table"):
        shop.names(tables=["*", "!public.order"])
    # A part of a partitioned table comes by its own name alone.
    assert shop.names(tables=["public.part", "other.*"]) == ["other-orders", "public-part"]
    with pytest.raises(ConfigurationError, match=r"`pubic\.\*` in `tables` .*; did you mean `public\.\*`\?"):
        shop.names(tables=["pubic.*"])
    with pytest.raises(ConfigurationError, match=r"`orders` in `tables` matches no table .* `other\.orders`"):
        shop.names(tables=["orders"])


def test_keys_statistics_types_and_comments_stand_in_the_catalog(shop):
    shop.execute(MADE)
    orders = shop.entry("public-orders")
    assert orders["key_properties"] == ["id"]
    assert orders["schema"]["description"] == "What was sold"
    assert orders["schema"]["properties"]["code"]["description"] == "Of the shop"
    said = root(orders)
    # Not `code`, a text, which a run takes by the word of the config alone; `late` is a time, though no index has all of it.
    assert said["valid-replication-keys"] == ["id", "at", "late"]
    assert (said["schema-name"], said["is-view"], said.get("row-count")) == ("public", False, None)
    assert of_column(orders, "at")["sql-datatype"] == "timestamp with time zone"
    assert root(shop.entry("public-plain"))["row-count"] == 50
    assert shop.entry("public-parted")["key_properties"] == ["day", "id"]
    view = root(shop.entry("public-seen"))
    assert view["is-view"]
    assert view["view-key-properties"] == []


def test_a_view_gets_its_key_from_the_config(shop):
    shop.execute(MADE)
    streams = [{"name": "public.seen", "primary_keys": ["id"], "replication_key": "at"}]
    view = shop.entry("public-seen", streams=streams)
    assert root(view)["view-key-properties"] == ["id"]
    assert view["replication_key"] == "at"


def test_two_tables_that_would_be_one_stream_are_told_of(shop):
    shop.execute('CREATE SCHEMA "a-b"', 'CREATE TABLE "a-b".c (id int)')
    shop.execute("CREATE SCHEMA a", 'CREATE TABLE a."b-c" (id int)')
    with pytest.raises(
        ConfigurationError, match=r"`a\.b-c` and `a-b\.c` .* stream `a-b-c`; leave one of them out"
    ):
        shop.names()
    assert shop.names(tables=["a.*"]) == shop.names(tables=["a-b.c"]) == ["a-b-c"]


def test_a_thousand_tables_are_found_by_a_handful_of_queries(shop, monkeypatch):
    shop.execute(
        "DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a text, b numeric)', n); "
        "END LOOP; END $$"
    )
    asked, rows = [], PostgresDatabase.rows
    monkeypatch.setattr(
        PostgresDatabase, "rows", lambda self, query, doing: asked.append(doing) or rows(self, query, doing)
    )
    assert len(shop.names()) == 300
    assert asked.count("looking for tables") == 5


def test_a_table_that_is_made_during_discovery_is_there_as_a_whole_or_not_at_all(shop, monkeypatch):
    """Its key was known by one query, and its columns by none: an exit 70, of a run beside a target that makes tables."""
    shop.execute("CREATE TABLE t (id int PRIMARY KEY)")
    rows, made = PostgresDatabase.rows, []

    def with_new_tables(database, query, doing):
        if doing == "looking for tables":
            made.append(f"made_{len(made)}")
            shop.execute(f"CREATE TABLE {made[-1]} (id int PRIMARY KEY)")
        return rows(database, query, doing)

    monkeypatch.setattr(PostgresDatabase, "rows", with_new_tables)
    tap = shop.tap()
    assert "public-t" in tap.streams
    assert len(made) > 3
    tap.database.close()
