"""What becomes of each value that SQLite can hold, and of one that the SCHEMA does not admit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from singerkit_shell.errors import BadDataError
from singerkit_sql_tap import chunks
from singerkit_tap.contract import Start

TEXTS = ["", "x", "nul\0inside", "é\u2028", 'say "hi"; --', "\\N", "null", "🍣", "\ufeff", "a\r\nb"]


DOUBLE = {"format": "double"}


@pytest.mark.parametrize(
    ("declared", "values", "is_double"),
    [
        ("NUMERIC", [2**53, 2**60, 0.5], True),
        ("NUMERIC", [2**53 + 1, 0.5], False),
        ("INTEGER", [2**53, 0.5], True),
        ("INTEGER", [2**53 + 1, 0.5], False),
        ("INTEGER", [0.5, 1] * 200 + [2**63 - 1], False),
        ("NUMERIC", [0.5, 1] * 200 + [2**53 + 1], False),
        ("", [-(2**63), 0.5], True),
        ("DECIMAL(10,2)", [2**63 - 1], False),
        ("REAL", [2**63 - 1], True),  # SQLite has made a double of it
    ],
)
def test_numbers_are_doubles_unless_an_integer_beside_them_is_none(shop, declared, values, is_double):
    shop.execute(f"CREATE TABLE t (v {declared})", "INSERT INTO t VALUES (?)", rows=[(v,) for v in values])
    assert shop.sync().properties()["v"] == {"type": ["null", "number"]} | (DOUBLE if is_double else {})


@pytest.mark.parametrize(
    ("declared", "values", "schema", "sent"),
    [
        ("INTEGER", [-(2**63), 2**63 - 1, 2**53 + 1, None], ["null", "integer"], None),
        ("TEXT", TEXTS, ["null", "string"], None),
        ("REAL", [0.1, 1e300, 5e-324, 1.0, 2.5], ["null", "number"], [Decimal(t) for t in ("0.1", "1e300", "5e-324", "1.0", "2.5")]),
        ("NUMERIC", [10, 1.5, None], ["null", "number"], [10, Decimal("1.5"), None]),
        ("DECIMAL(10,2)", [10], ["null", "number"], None),
        ("BOOLEAN", [0, 1, 2], ["null", "integer"], None),
        ("DATETIME", [1700000000, None], ["null", "integer"], None),
        ("", [1, 1.5, "x", None], ["null", "number", "string"], [1, Decimal("1.5"), "x", None]),
        ("INTEGER", [1, "one"], ["null", "integer", "string"], None),
        ("INTEGER", ["one"], ["null", "string"], None),
        ("VARCHAR(3)", ["longer than that"], ["null", "string"], None),
        ("", [b"\0\xff", "text", 5], ["null", "integer", "string", "object"], [{"base64": "AP8="}, "text", 5]),
    ],
)  # fmt: skip
def test_a_value_is_sent_as_it_is_and_its_schema_admits_it(shop, declared, values, schema, sent):
    shop.execute(
        f"CREATE TABLE t (v {declared})", "INSERT INTO t VALUES (?)", rows=[(value,) for value in values]
    )
    found = shop.sync()
    assert found.properties()["v"] == {"type": schema} | (DOUBLE if schema == ["null", "number"] else {})
    assert found.column("v") == (values if sent is None else sent)


def test_bytes_are_base64_and_the_schema_says_so(shop):
    shop.execute("CREATE TABLE t (v BLOB)", "INSERT INTO t VALUES (?)", rows=[(b"\0\xff",), (b"",), (None,)])
    found = shop.sync()
    assert found.properties()["v"] == {"type": ["null", "string"], "contentEncoding": "base64"}
    assert found.column("v") == ["AP8=", "", None]


@pytest.mark.parametrize(
    ("declared", "texts", "format_"),
    [
        ("DATE", ["2024-01-01", "0001-01-01", "2024-02-29"], "date"),
        ("DATE", ["2024-01-01", "2023-02-29"], None),
        ("DATE", ["2024-01-01", "soon"], None),
        ("DATETIME", ["2024-01-01T00:00:00Z", "2024-01-01 10:00:00.5+02:00"], "date-time"),
        ("TIMESTAMP", ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00"], None),
        ("DATETIME", ["2024-01-01 00:00:00"], None),
        ("TEXT", ["2024-01-01"], None),
    ],
)
def test_a_format_is_declared_only_when_all_values_have_it(shop, declared, texts, format_):
    shop.execute(
        f"CREATE TABLE t (v {declared})", "INSERT INTO t VALUES (?)", rows=[*((t,) for t in texts), (None,)]
    )
    found = shop.sync()
    assert found.properties()["v"].get("format") == format_
    assert found.column("v") == [*texts, None]


def test_times_without_an_offset_are_points_in_time_where_the_user_says_so(shop):
    shop.execute("CREATE TABLE t (v DATETIME)", "INSERT INTO t VALUES ('2024-01-01 00:00:00')")
    found = shop.sync(local_times="utc")
    assert found.properties()["v"]["format"] == "date-time"
    assert found.column("v") == ["2024-01-01 00:00:00"]


def catalog_with(shop, **properties: Any) -> dict[str, Any]:
    catalog = shop.discover()
    catalog["streams"][0]["schema"]["properties"].update(properties)
    return catalog


@pytest.mark.parametrize(
    ("declared", "before", "after", "expected"),
    [
        ("INTEGER", 1, "two", "Expected integer or null in column `v` of `t`, as its schema says, got text"),
        ("INTEGER", 1, 1.5, "got number"),
        ("TEXT", "x", b"\0", "got bytes"),
        ("BLOB", b"x", "text", r"Expected null or string \(base64\) in column"),
        ("DATE", "2024-01-01", "tomorrow", "Expected a date in each value of column `v`"),
        ("DATE", "2024-01-01", "2024-01-01T00:00:00Z", "Expected a date in each value"),
        ("DATETIME", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00", "Expected a date-time in each value"),
    ],
)  # fmt: skip
def test_what_comes_later_and_does_not_fit_the_schema_ends_the_run(shop, declared, before, after, expected):
    shop.execute(f"CREATE TABLE t (v {declared})", "INSERT INTO t VALUES (?)", rows=[(before,)])
    catalog = shop.discover()
    assert len(shop.sync(catalog=catalog).rows()) == 1
    shop.execute("INSERT INTO t VALUES (?)", rows=[(after,)])
    with pytest.raises(BadDataError, match=expected):
        shop.sync(catalog=catalog)
    assert shop.result().rows() == []
    assert len(shop.sync().rows()) == 2, "without a catalog it is learned anew"


def test_null_in_a_primary_key_is_no_key(shop):
    """SQLite takes NULL in the primary key of most tables."""
    shop.execute("CREATE TABLE t (k TEXT PRIMARY KEY)", "INSERT INTO t VALUES (?)", rows=[("a",), (None,)])
    with pytest.raises(BadDataError, match="Column `k` of the primary key of `t` holds NULL"):
        shop.sync()


def test_an_infinite_number_ends_the_run_or_becomes_null(shop, caplog):
    shop.execute("CREATE TABLE t (v REAL)", "INSERT INTO t VALUES (1.5), (9e999), (-9e999), (NULL)")
    with pytest.raises(BadDataError, match="Column `v` of `t` holds an infinite number"):
        shop.sync()
    assert shop.sync(infinity="null").column("v") == [Decimal("1.5"), None, None, None]
    assert "2 infinite numbers of stream `t` were sent as null" in caplog.text


def test_text_that_is_not_utf8_ends_the_run_or_is_replaced(shop, caplog):
    shop.execute(
        "CREATE TABLE t (a TEXT, b DATE)",
        "INSERT INTO t VALUES ('ok', '2024-01-01'), (CAST(x'ff41' AS TEXT), CAST(x'fe' AS TEXT))",
    )
    with pytest.raises(BadDataError, match="2 texts in some 2 rows of table `t` are not UTF-8"):
        shop.sync()
    found = shop.sync(invalid_text="replace")
    assert found.column("a") == ["ok", "\ufffdA"]
    assert "2 texts that are not UTF-8 were sent with U+FFFD" in caplog.text


Z, ONE_LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"
SPELLED_TWICE = [
    (Z, ONE_LATER),
    (Z, "2026-01-01T00:00:00+00:00"),
    (Z, "2026-01-01 00:00:00Z"),
    (Z, "2026-01-01t00:00:00z"),
    ("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.10Z"),
    (ONE_LATER, "2026-01-01T02:00:00+02:00"),
]


@pytest.mark.parametrize("texts", SPELLED_TWICE)
def test_times_of_a_key_that_are_written_in_more_than_one_way_stay_text(shop, texts):
    """As points in time two rows became one in the target, and nobody was told."""
    shop.execute("CREATE TABLE t (k DATETIME PRIMARY KEY, v)", "INSERT INTO t VALUES (?, 1)", rows=[(Z,)])
    assert shop.sync().properties()["k"] == {"type": ["string"], "format": "date-time"}
    shop.execute("DELETE FROM t")
    shop.execute("INSERT INTO t VALUES (?, 1)", rows=[(text,) for text in texts])
    found = shop.sync()
    assert found.properties()["k"] == {"type": ["string"]}
    assert found.column("k") == [*texts]
    assert shop.entry()["schema"]["properties"]["k"] == {"type": ["string"]}


@pytest.mark.parametrize("is_chosen", [False, True])
def test_a_later_run_sees_how_the_keys_of_former_ones_are_written(shop, is_chosen):
    shop.config["streams"] = [
        {"name": "t", "replication_key": "n", **({"primary_keys": ["k"]} if is_chosen else {})}
    ]
    key = "" if is_chosen else "PRIMARY KEY"
    shop.execute(
        f"CREATE TABLE t (n INTEGER, k DATETIME {key})", "INSERT INTO t VALUES (?, ?)", rows=[(1, Z)]
    )
    first = shop.sync()
    catalog = shop.discover()
    assert first.properties()["k"] == {"type": ["string"], "format": "date-time"}
    shop.execute("INSERT INTO t VALUES (?, ?)", rows=[(2, ONE_LATER), (3, "2026-01-02T01:00:00+01:00")])
    second = shop.sync(first.state)
    assert second.properties()["k"] == {"type": ["string"]}
    assert second.column("n") == [2, 3]
    shop.execute("DELETE FROM t WHERE n > 1")
    shop.execute("INSERT INTO t VALUES (?, ?)", rows=[(4, "2026-01-03T00:00:00Z")])
    assert shop.sync(second.state).properties()["k"] == {"type": ["string"]}, "what was text stays text"
    shop.execute("INSERT INTO t VALUES (?, ?)", rows=[(5, ONE_LATER)])
    with pytest.raises(BadDataError, match="Column `k` of the primary key of `t` holds times that are"):
        shop.sync(first.state, catalog)
    assert shop.result().rows() == []


def test_a_key_that_is_written_otherwise_while_it_is_read_ends_the_run(shop, monkeypatch):
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (2,))
    shop.execute(
        "CREATE TABLE t (k DATETIME PRIMARY KEY, v)",
        "INSERT INTO t VALUES (?, 1)",
        rows=[(f"2026-01-0{day}T00:00:00Z",) for day in range(1, 6)],
    )
    tap = shop.tap(snapshot="chunk")
    stream = tap.streams["t"]
    stream.learn()
    pages = stream.read_pages(None, Start())
    assert len(next(pages).records) == 2
    shop.execute("UPDATE t SET k = '2026-01-01T01:00:00+01:00' WHERE rowid = 5")
    with pytest.raises(BadDataError, match="written in more than one way"):
        list(pages)
    tap.database.close()


def test_other_columns_may_be_times_in_any_way(shop):
    shop.execute(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v DATETIME)",
        "INSERT INTO t (v) VALUES (?)",
        rows=[(Z,), (ONE_LATER,)],
    )
    assert shop.sync().properties()["v"]["format"] == "date-time"


@pytest.mark.parametrize(
    ("table", "streams"),
    [
        ("k TEXT PRIMARY KEY, v", []),
        ("k TEXT PRIMARY KEY, v) WITHOUT ROWID --", []),
        ("k TEXT PRIMARY KEY, v) WITHOUT ROWID --", [{"name": "t", "primary_keys": []}]),
        ("k TEXT, v", [{"name": "t", "primary_keys": ["k"]}]),
        ("k TEXT, v", [{"name": "t", "replication_key": "k", "replication_key_format": "text"}]),
    ],
)
def test_a_key_that_is_not_utf8_is_never_replaced(shop, table, streams):
    """Two keys became one in the target."""
    shop.execute(
        f"CREATE TABLE t ({table}\n)".replace("--\n)", ""),
        "INSERT INTO t VALUES (CAST(x'61ff' AS TEXT), 1), (CAST(x'61fe' AS TEXT), 2)",
    )
    with pytest.raises(BadDataError, match="not UTF-8 in a column of its primary key, or its replication"):
        shop.sync(invalid_text="replace", streams=streams)
    assert shop.result().rows() == []


@pytest.mark.parametrize("key", ["primary_keys", "replication_key"])
def test_an_infinite_key_is_never_null(shop, key):
    shop.execute("CREATE TABLE t (k REAL)", "INSERT INTO t VALUES (1), (9e999)")
    with pytest.raises(BadDataError, match="holds an infinite number, which JSON does not have, and null in"):
        shop.sync(infinity="null", streams=[{"name": "t", key: ["k"] if key == "primary_keys" else "k"}])
    assert shop.result().rows() == []


@pytest.mark.parametrize(
    ("before", "after", "schema"),
    [
        ("text", 5, {"type": ["null", "integer", "string"]}),
        (1.5, 5, {"type": ["null", "number"], **DOUBLE}),
        (5, 1.5, {"type": ["null", "number"]}),
        (b"x", "text", {"type": ["null", "string", "object"]}),
        ("text", b"x", {"type": ["null", "string", "object"]}),
        (b"x", 5, {"type": ["null", "integer", "string", "object"]}),
        (b"x", b"y", {"type": ["null", "string"], "contentEncoding": "base64"}),
        (b"x", None, {"type": ["null", "string"], "contentEncoding": "base64"}),
        (5, None, {"type": ["null", "integer"]}),
    ],
)
def test_a_type_that_was_sent_before_stays_admitted(shop, before, after, schema):
    shop.by("n")
    shop.execute("CREATE TABLE t (n INTEGER, v)", "INSERT INTO t VALUES (1, ?)", rows=[(before,)])
    first = shop.sync()
    shop.execute("INSERT INTO t VALUES (2, ?)", rows=[(after,)])
    assert shop.sync(first.state).properties()["v"] == schema


@pytest.mark.parametrize("by", [None, "n"])
@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("DATETIME", Z),
        ("DATE", "2026-01-01"),
        ("BLOB", "text"),
        ("TEXT", b"x"),
        ("DATETIME", 5),
        ("INTEGER", 1.5),
    ],
)
def test_a_table_that_is_emptied_keeps_the_types_that_were_sent(shop, by, declared, value):
    """It was as declared again, and a target refused the column: text where it had points in time."""
    if by:
        shop.by(by)
    shop.execute(f"CREATE TABLE t (n INTEGER, v {declared})", "INSERT INTO t VALUES (1, ?)", rows=[(value,)])
    first = shop.sync()
    shop.execute("DELETE FROM t")
    second = shop.sync(first.state)
    assert second.properties() == first.properties()
    shop.execute("INSERT INTO t VALUES (2, NULL)")
    third = shop.sync(second.state)
    assert third.properties() == first.properties()
    shop.execute("INSERT INTO t VALUES (3, ?)", rows=[(value,)])
    assert shop.sync(third.state).properties() == first.properties()


def test_a_column_without_a_value_takes_what_comes_next(shop):
    shop.execute(
        "CREATE TABLE t (a INTEGER, b, c DECIMAL, d DATETIME, e BLOB)",
        "INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL)",
    )
    assert {name: schema["type"] for name, schema in shop.sync().properties().items()} == {
        "a": ["null", "integer"],
        "b": ["null"],
        "c": ["null", "number"],
        "d": ["null", "string"],
        "e": ["null", "string"],
    }
