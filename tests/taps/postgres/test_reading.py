"""What is read of tables, and how: the server makes the JSON, a chunk of the key at a time."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from taps.written import root

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_tap import rawchunks
from singerkit_state.shards import Shard
from tap_postgres.copying import Copying

TABLE = """
    CREATE TABLE t (id bigint PRIMARY KEY, "say ""hi""; -- 100%s" text, n numeric);
    INSERT INTO t SELECT i, 'row ' || i, i + 0.12345678901234567890 FROM generate_series(1, 250) AS i
"""


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(rawchunks, "_FIRST_ROWS", 20)
    monkeypatch.setattr(rawchunks, "_MOST_ROWS", 20)


def test_a_table_comes_in_chunks_of_its_key(shop, small_chunks):
    shop.execute(TABLE)
    found = shop.sync(state_every=30)
    assert found.column("id") == [*range(1, 251)]
    assert found.rows()[249] == {"id": 250, 'say "hi"; -- 100%s': "row 250", "n": found.rows()[249]["n"]}
    assert str(found.rows()[249]["n"]) == "250.12345678901234567890"
    assert len(found.of_type("ACTIVATE_VERSION")) == 1


def test_a_load_that_was_cut_off_goes_on_behind_the_last_chunk(shop, small_chunks):
    shop.execute(TABLE)
    found = shop.sync(state_every=30)
    states = [one["value"]["bookmarks"]["public-t"] for one in found.of_type("STATE")[1:]]
    cut = next(one for one in states if "position" in one.get("_singerkit_load", {}))
    rest = shop.sync({"bookmarks": {"public-t": cut}})
    after = cut["_singerkit_load"]["position"]["after"][0]
    assert rest.column("id") == [*range(after + 1, 251)]


def test_a_load_that_was_cut_off_begins_anew_where_its_key_has_another_type(shop, small_chunks):
    shop.execute(TABLE)
    states = [one["value"]["bookmarks"]["public-t"] for one in shop.sync(state_every=30).of_type("STATE")[1:]]
    cut = next(one for one in states if "position" in one.get("_singerkit_load", {}))
    shop.execute("ALTER TABLE t ALTER id TYPE text")
    assert len(shop.sync({"bookmarks": {"public-t": cut}}).rows()) == 250


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("a int, b text, PRIMARY KEY (b, a)", "i %% 7, 'x' || i"),
        ("a timestamptz NOT NULL UNIQUE", "timestamptz '2024-01-01' + i * interval '1.5 s'"),
        ("a numeric PRIMARY KEY", "i / 7.0"),
        ("a uuid PRIMARY KEY", "md5(i::text)::uuid"),
        ("a bytea PRIMARY KEY", "decode(md5(i::text), 'hex')"),
        ("a float8 PRIMARY KEY", "i / 7.0::float8"),
        ("a real PRIMARY KEY", "(92 - i) / 10.0"),  # 9.1 is more than 9.1
        ("a money PRIMARY KEY", "i / 100.0::numeric"),
        ("a text, PRIMARY KEY (a)", "chr(64 + i)"),
        ("a int", "i"),
    ],
)
def test_keys_of_any_type_lead_through_all_rows(shop, small_chunks, key, values):
    shop.execute(
        f"CREATE TABLE t ({key})",
        f"INSERT INTO t SELECT {values.replace('%%', '%')} FROM generate_series(1, 90) AS i",
    )
    rows = shop.sync().rows()
    assert len({str(row) for row in rows}) == len(rows) == 90


def test_only_what_is_selected_is_read(shop):
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, a int, b int)", "INSERT INTO t VALUES (1, 2, 3)")
    # A generated column that cannot be evaluated would end the query.
    shop.execute("CREATE VIEW v AS SELECT id, a, 1 / (b - 3) AS bad FROM t")
    assert shop.sync(select=["!public-v.bad"]).rows("public-v") == [{"id": 1, "a": 2}]
    with pytest.raises(BadDataError, match="division by zero"):
        shop.sync()


def test_incremental_rows_come_from_the_bookmark_on_and_each_once(shop, small_chunks, caplog):
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)", "CREATE INDEX ON t (at)")
    shop.execute(
        "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i / 3 * interval '0.1 s' FROM generate_series(1, 100) AS i"
    )
    shop.execute("INSERT INTO t VALUES (0, NULL)")
    shop.by("at")
    first = shop.sync()
    assert sorted(first.column("id")) == [*range(101)]
    assert "1 row of stream `public-t` have no `at`, and came with this first run only" in caplog.text
    bookmark = first.state["bookmarks"]["public-t"]["replication_key_value"]
    assert bookmark == "2024-01-01T00:00:03.3+00:00"
    shop.execute(
        "INSERT INTO t VALUES (200, '2024-01-01 00:00:03.3+00'), (201, '2024-01-02 00:00+00'), (202, '2023-01-01')"
    )
    again = shop.sync(first.state)
    assert again.column("id") == [200, 201]


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_a_start_date_with_an_offset_is_that_moment(shop, kind):
    shop.execute(f"CREATE TABLE t (id int PRIMARY KEY, at {kind})")
    shop.execute(
        "INSERT INTO t VALUES (1, '2023-12-31 18:00'), (2, '2023-12-31 20:00'), (3, '2024-01-01 06:00')"
    )
    shop.by("at")
    found = shop.sync(start_date="2024-01-01T00:00:00+05:00").column("id")
    assert sorted(found) == ([1, 2, 3] if kind == "date" else [2, 3])


@pytest.mark.parametrize("kind", ["real", "double precision", "money", "numeric(9, 2)"])
def test_numbers_of_any_kind_are_followed_to_the_last_row(shop, kind):
    """As a number, a `real` of 0.8 is more than 0.8, one of 0.7 less; money compares with no number."""
    shop.execute(f"CREATE TABLE t (id int PRIMARY KEY, n {kind})", "INSERT INTO t VALUES (1, 0.7), (2, 0.8)")
    shop.by("n")
    first = shop.sync()
    assert sorted(first.column("id")) == [1, 2]
    shop.execute("INSERT INTO t VALUES (3, 0.8), (4, 10.7), (5, 0.7)")
    second = shop.sync(first.state)
    assert sorted(second.column("id")) == [3, 4]
    shop.execute("INSERT INTO t VALUES (6, 10.7)")
    assert shop.sync(second.state).column("id") == [6]


def test_rows_of_one_number_in_several_spellings_come_once(shop):
    """`numeric` keeps the digits that were written: 1, 1.0 and 1.00 are one value of the bookmark."""
    shop.execute("CREATE TABLE t (id int, n numeric)", "INSERT INTO t VALUES (1, 1), (2, 1.0), (3, 1.00)")
    shop.by("n")
    found = shop.sync()
    assert sorted(found.column("id")) == [1, 2, 3]
    for number in (4, 5):
        shop.execute(f"INSERT INTO t VALUES ({number}, 1.{'0' * number})")
        found = shop.sync(found.state)
        assert found.column("id") == [number]
    assert shop.sync(found.state).rows() == []


@pytest.mark.parametrize(
    ("kind", "values", "told", "problem"),
    [
        ("text", ["9", "10"], {"replication_key_format": "number"}, "holds text, and .* says `number`"),
        ("text", ["1700000009", "1700000010"], {"replication_key_format": "epoch"}, "says `epoch`"),
        ("text", ["2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00Z"], {}, "in more than one way"),
        ("text", ["9", "8"], {}, "as text 10 stands before 9; no row was sent; choose another key"),
        ("inet", ["10.0.0.1", "9.0.0.123"], {}, '"replication_key_format": "text"'),
        (
            "uuid",
            ["018f0000-0000-7000-8000-000000000000"],
            {},
            "text like .* compares as text, by code point",
        ),
    ],
)
def test_texts_are_followed_as_texts_or_not_at_all(shop, kind, values, told, problem):
    """The server compares them as texts: rows of 10 would be passed by behind one of 9."""
    shop.execute(f"CREATE TABLE t (id serial PRIMARY KEY, k {kind})")
    shop.execute(*(f"INSERT INTO t (k) VALUES ('{value}')" for value in values))
    shop.by("k", **told)
    with pytest.raises(ConfigurationError, match=problem):
        shop.sync()
    assert not shop.result().rows()
    shop.by("k", replication_key_format="text")
    assert len(shop.sync().rows()) == len(values)


def test_texts_that_are_times_of_one_look_are_followed_as_times(shop):
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, k varchar(30))")
    shop.execute("INSERT INTO t VALUES (1, '2024-01-01T00:00:00Z'), (2, '2024-02-01T00:00:00Z')")
    shop.by("k")
    first = shop.sync(start_date="2024-01-02T00:00:00+02:00")
    shop.execute("INSERT INTO t VALUES (3, '2024-02-01T00:00:00Z'), (4, '2024-03-01T00:00:00Z')")
    assert (first.column("id"), shop.sync(first.state).column("id")) == ([2], [3, 4])


@pytest.mark.parametrize(
    ("kind", "value"), [("jsonb", "{}"), ("oid", "9"), ("pg_lsn", "0/9"), ("interval", "9 h")]
)
def test_a_key_without_an_order_is_refused(shop, kind, value):
    """Also one whose values grow otherwise than their texts, whatever the config says."""
    shop.execute(f"CREATE TABLE t (id int PRIMARY KEY, j {kind})", f"INSERT INTO t VALUES (1, '{value}')")
    for told in ({}, {"replication_key_format": "text"}):
        shop.by("j", **told)
        with pytest.raises(ConfigurationError, match=f"is of type {kind}, whose values have no order"):
            shop.sync()


@pytest.mark.parametrize("key", ["id int", "id text"])
def test_shards_read_each_row_once(shop, key):
    shop.execute(
        f"CREATE TABLE t ({key} PRIMARY KEY)",
        "INSERT INTO t SELECT i * 1000 FROM generate_series(-50, 50) AS i",
    )
    found = []
    for number in range(3):
        tap = shop.tap(shard=Shard(number, 3))
        found.append(shop.written_by(tap).column("id"))
    assert sorted(str(one) for part in found for one in part) == sorted(str(i * 1000) for i in range(-50, 51))
    assert all(0 < len(part) < 101 for part in found)


def test_rows_of_a_table_that_inherits_are_those_of_its_own_stream(shop):
    """A key is one of each table alone: under one name, one of two rows would take the place of the other."""
    shop.execute(
        "CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE c (w int, PRIMARY KEY (id)) INHERITS (p)"
    )
    shop.execute("INSERT INTO p VALUES (1), (2)", "INSERT INTO c VALUES (1, 7), (3, 7)")
    found = shop.sync()
    assert (found.column("id", "public-p"), found.column("id", "public-c")) == ([1, 2], [1, 3])


@pytest.mark.parametrize("setting", ["replication_key", "replication_keys"])
def test_several_columns_are_no_replication_key(shop, setting):
    said = {"streams": [{"name": "*", setting: ["at", "id"]}]}
    with pytest.raises(
        ConfigurationError, match=rf"got a list at `streams\[0\].{setting}`: .* that the database generates"
    ):
        shop.tap(**said)


def test_a_catalog_with_several_columns_as_replication_key_is_refused(shop):
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, at date)")
    beside, within = shop.entry(), shop.entry()
    beside |= {"replication_key": ["at", "id"], "replication_method": "INCREMENTAL"}
    root(within).update({"replication-key": ["at", "id"], "replication-method": "INCREMENTAL"})
    for entry in (beside, within):
        with pytest.raises(
            ConfigurationError,
            match=r"Expected a text as `replication.key` of `public-t`|asks for INCREMENTAL by `\['at', 'id'\]`",
        ):
            shop.sync(catalog={"streams": [entry]})


def test_a_row_that_comes_to_the_bookmark_with_a_lower_key_is_not_passed_by(shop):
    """A comparison of (at, id) would not see it."""
    shop.execute(
        "CREATE TABLE t (id int PRIMARY KEY, at date); INSERT INTO t VALUES (1, '2024-01-01'), (7, '2024-01-02')"
    )
    shop.by("at")
    first = shop.sync()
    shop.execute("UPDATE t SET at = '2024-01-02' WHERE id = 1", "INSERT INTO t VALUES (3, '2024-01-02')")
    second = shop.sync(first.state)
    assert sorted(second.column("id")) == [1, 3]
    assert shop.sync(second.state).rows() == []


def test_what_the_docs_advise_in_the_place_of_several_columns_is_followed(shop):
    page = (Path(__file__).parents[3] / "docs" / "tap-postgres.md").read_text()
    statements = re.findall(r"^    ((?:ALTER TABLE|CREATE INDEX) .*;)$", page, re.MULTILINE)
    assert len(statements) == 3
    shop.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz)",
        "CREATE TABLE invoices (year int, number int, note text, PRIMARY KEY (year, number))",
        *statements,
        "INSERT INTO orders VALUES (1, '2024-01-01', NULL), (2, '2024-01-02', NULL)",
        "INSERT INTO invoices VALUES (2023, 900), (2024, 1)",
    )
    shop.config["streams"] = [
        {"name": "public.orders", "replication_key": "changed_at"},
        {"name": "public.invoices", "replication_key": "place"},
    ]
    first = shop.sync()
    shop.execute(
        "UPDATE orders SET updated_at = '2024-02-01' WHERE id = 1", "INSERT INTO invoices VALUES (2024, 2)"
    )
    second = shop.sync(first.state)
    assert second.column("id", "public-orders") == [1]
    assert second.column("number", "public-invoices") == [2]


@pytest.mark.parametrize("method", ["FULL_TABLE", "LOG_BASED"])
def test_time_in_which_nobody_takes_rows_is_no_time_of_a_query(logged, monkeypatch, method):
    logged.execute("CREATE TABLE t (id int, v text)", "ALTER TABLE t REPLICA IDENTITY FULL")
    logged.execute("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 9000) n")
    take, slept = Copying.next, []

    def takes(self):
        if not slept:  # the server waits meanwhile: so much fits into no buffer
            slept.append(time.sleep(1))
        return take(self)

    monkeypatch.setattr(Copying, "next", takes)
    found = logged.sync(streams=[{"name": "*", "replication_method": method}], query_timeout=0.4)
    assert len(found.rows()) == 9000
    assert slept


def test_a_table_without_columns_is_read_where_each_column_is_selected(shop):
    shop.execute("CREATE TABLE t ()", "INSERT INTO t DEFAULT VALUES", "INSERT INTO t DEFAULT VALUES")
    shop.execute("CREATE TABLE u (id int PRIMARY KEY, v int)")
    found = shop.sync(select=["*.*", "!public-u.v"])
    assert [dict(row) for row in found.rows()] == [{}, {}]
