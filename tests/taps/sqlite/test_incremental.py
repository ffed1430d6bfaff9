"""Incremental reading: by key and never by OFFSET, with ties over the border of a chunk, in the order that the bookmark has."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap import chunks
from singerkit_tap.contract import Start

DAY = "2024-01-{:02}T00:00:00Z"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Two rows a chunk, so that each border is met."""
    monkeypatch.setattr(chunks, "_MOST_ROWS", 2)
    monkeypatch.setattr(chunks.ChunkSize, "rows", 2)
    monkeypatch.setattr(chunks.ChunkSize.__init__, "__defaults__", (2,))


TABLES = {
    "rowid and index": ("CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)", "CREATE INDEX i ON t (at)"),
    "rowid": ("CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)",),
    "no key": ("CREATE TABLE t (id INTEGER, at TEXT)",),
    "no key and index": ("CREATE TABLE t (id INTEGER, at TEXT)", "CREATE INDEX i ON t (at)"),
    "without rowid": (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT) WITHOUT ROWID",
        "CREATE INDEX i ON t (at)",
    ),
    "nocase": ("CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT COLLATE NOCASE)", "CREATE INDEX i ON t (at)"),
    "view": ("CREATE TABLE u (id INTEGER, at TEXT)", "CREATE VIEW t AS SELECT * FROM u"),
}


def insert(shop, *rows: tuple[int, str | None], into: str = "t") -> None:
    shop.execute(f"INSERT INTO {into} VALUES (?, ?)", rows=rows)


@pytest.mark.parametrize("kind", TABLES)
def test_rows_with_one_value_over_a_border_are_neither_lost_nor_doubled(shop, kind):
    shop.by("at")
    shop.config["tables"] = ["t"]
    into = "u" if kind == "view" else "t"
    shop.execute(*TABLES[kind])
    insert(shop, *((n, DAY.format(1 + n // 5)) for n in range(1, 12)), (90, None), into=into)
    first = shop.sync()
    assert sorted(first.column("id")) == [*range(1, 12), 90]
    insert(
        shop, (20, DAY.format(3)), (21, DAY.format(4)), (22, DAY.format(4)), (23, DAY.format(4)), into=into
    )
    second = shop.sync(first.state)
    assert sorted(second.column("id")) == [20, 21, 22, 23]
    assert second.state["bookmarks"]["t"]["replication_key_value"] == DAY.format(4)
    assert shop.sync(second.state).rows() == []


def test_a_real_key_beyond_all_integers_is_gone_on_by(shop):
    """SQLite takes no integer of more than 64 bits as a parameter: each run after the first ended with 70."""
    shop.by("u")
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u REAL)", "INSERT INTO t VALUES (1, 1), (2, 1e19)")
    first = shop.sync()
    assert first.column("id") == [1, 2]
    shop.execute("INSERT INTO t VALUES (3, 2e19), (4, 1e300)")
    second = shop.sync(first.state)
    assert second.column("id") == [3, 4]
    assert shop.sync(second.state).rows() == []


def test_a_great_real_at_the_bookmark_is_found(shop, caplog):
    """Its shortest text is 1.152921504606847e+18, a whole number that is greater than it."""
    shop.by("u")
    shop.execute("CREATE TABLE t (id INTEGER, u REAL)", f"INSERT INTO t VALUES (1, 5), (2, {2**60})")
    first = shop.sync()
    shop.execute(f"INSERT INTO t VALUES (3, {2**60})")
    second = shop.sync(first.state)
    assert second.column("id") == [3]
    assert shop.sync(second.state).rows() == []
    assert "as great as the bookmark" not in caplog.text


KEYS_OF_THEIR_OWN = {
    "one column": "k TEXT COLLATE NOCASE, j, PRIMARY KEY (k COLLATE BINARY)",
    "two columns": "k TEXT COLLATE NOCASE, j, PRIMARY KEY (k COLLATE BINARY, j)",
    "descending": "k TEXT COLLATE RTRIM, j, PRIMARY KEY (k COLLATE BINARY DESC)",
    "the second": "k INTEGER, j TEXT COLLATE NOCASE, PRIMARY KEY (k, j COLLATE BINARY)",
    "stricter than the column": "k TEXT, j, PRIMARY KEY (k COLLATE NOCASE)",
}


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("kind", KEYS_OF_THEIR_OWN)
def test_a_primary_key_is_gone_on_by_in_its_own_collation(shop, kind, key):
    """To that of the column two keys may be one: the second was left out where a chunk ended between them."""
    shop.by(key, replication_key_format="text") if key and kind != "the second" else None
    rows = [("a0", 0), ("a", 1), ("A", 1), ("a ", 1), ("A ", 1), ("b", 1), ("B", 2)]
    if kind == "stricter than the column":
        rows = [row for row in rows if row[0].islower()]
    if kind == "the second":
        rows = [(1, text) for text, _ in rows]
    declared = f"CREATE TABLE t ({KEYS_OF_THEIR_OWN[kind]}) WITHOUT ROWID"
    for number in range(2):
        shop.execute("DROP TABLE IF EXISTS t", declared, "INSERT INTO t VALUES (?, ?)", rows=rows[number:])
        found = shop.sync().rows()
        assert sorted((row["k"], row["j"]) for row in found) == sorted(rows[number:])


def test_what_is_read_by_index_goes_on_where_it_was_cut_off(shop):
    shop.by("at")
    shop.execute(*TABLES["no key and index"])
    insert(shop, *((n, DAY.format(n)) for n in range(1, 10)))
    states = shop.sync(state_every=1).of_type("STATE")
    cut = next(
        s["value"]
        for s in states
        if s["value"]["bookmarks"].get("t", {}).get("replication_key_value") == DAY.format(4)
    )
    assert shop.sync(cut).column("id") == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("kind", "key", "search"),
    [
        ("rowid and index", "at", "INDEX i (at>"),
        ("no key and index", "at", "INDEX i (at>"),
        ("without rowid", "at", "INDEX i (at>"),
        ("rowid and index", "id", "INTEGER PRIMARY KEY (rowid>"),
        ("rowid", "at", "INTEGER PRIMARY KEY (rowid>"),
        ("no key", "at", "INTEGER PRIMARY KEY (rowid>"),
    ],
)
@pytest.mark.parametrize("value", ["2024", None])
def test_each_chunk_begins_where_the_one_before_has_ended(shop, kind, key, search, value):
    """No row before it is looked at once more, and none is sorted."""
    shop.by(key, replication_key_format="text" if key == "at" else "epoch")
    shop.execute(*TABLES[kind])
    insert(shop, (1, DAY.format(1)))
    tap = shop.tap()
    stream = tap.streams["t"]
    assert stream.is_sorted is ("index" in kind or "without" in kind)
    *_, (walk, _, _) = stream._walks(["id", "at"], Start(value, value))
    behind = chunks.above(walk._key, ["2024"] * len(walk._key), "?")
    query = chunks.page_query(walk._source, walk._selected, [*walk._where, behind], walk._key, 2)
    plan = tap.database.connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.parameters).fetchall()
    found = " ".join(row[3] for row in plan)
    assert search in found, found
    assert "TEMP B-TREE" not in found, found
    tap.database.close()


def test_no_state_covers_rows_without_a_key_before_one_with_a_key_has_come(shop):
    """A run that is cut off among them sends them again: without a key they must not be committed yet."""
    shop.by("at")
    shop.execute(*TABLES["no key and index"])
    insert(shop, (1, None), (2, None), (3, None), (4, DAY.format(1)), (5, DAY.format(2)))
    messages = shop.sync(state_every=1).messages
    kinds = [one["record"]["id"] if one["type"] == "RECORD" else one["type"] for one in messages]
    first = kinds.index(1)
    assert "STATE" not in kinds[first : kinds.index(4)]


@pytest.mark.parametrize(
    ("values", "settings", "problem"),
    [
        ([1, "2024-01-01T00:00:00Z"], {}, "holds values of several types (integer, text)"),
        (["2024-01-01 00:00:00", "2024-01-01T00:00:00"], {}, "are written in more than one way"),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z"], {}, "are written in more than one way"),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:00:00+02:00"], {}, "are written in more than one way"),
        (["2024-01-01T00:00:00+0100", "2024-01-01T00:00:00+0200"], {}, "are written in more than one way"),
        (["2024-01-01T00:00Z", "2024-01-01T00:00:01Z"], {}, "are written in more than one way"),
        (["2024-01-01", "2024-01-01 10:00"], {}, "are written in more than one way"),
        ([b"\0"], {}, "holds values of several types (blob)"),
        ([1], {"replication_key_format": "text"}, "holds numbers, and `replication_key_format` says `text`"),
        (
            ["2024-01-01"],
            {"replication_key_format": "epoch"},
            "holds text, and `replication_key_format` says `epoch`",
        ),
        (["9", "10"], {}, "it holds numbers as text, like"),
        (["v1.9", "v1.10"], {}, "is not known: it holds text like"),
    ],
)
def test_a_key_that_sqlite_orders_otherwise_is_refused_before_the_first_row(shop, values, settings, problem):
    shop.by("v", **settings)
    shop.execute("CREATE TABLE t (v)", "INSERT INTO t VALUES (?)", rows=[(value,) for value in values])
    with pytest.raises(ConfigurationError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        shop.sync()
    assert shop.result().rows() == []


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ([3, 1, 2], {}),
        ([1, 2.5, 2**62], {}),
        (["b", "a", "B", "é", "z"], {"replication_key_format": "text"}),
        (["2024-01-01 00:00:00", "2024-01-01 00:00:00.5", "2024-01-01 00:00:01"], {}),
        ([1700000000, 1700000001], {"replication_key_format": "epoch"}),
    ],
)
@pytest.mark.parametrize("index", ["", "CREATE INDEX i ON t (v)"])
@pytest.mark.parametrize("collation", ["", "COLLATE NOCASE"])
def test_keys_whose_order_is_known_go_on(shop, values, settings, index, collation):
    shop.by("v", **settings)
    shop.execute(
        f"CREATE TABLE t (v {collation})",
        *filter(None, [index]),
        "INSERT INTO t VALUES (?)",
        rows=[(v,) for v in values],
    )
    first = shop.sync()
    assert sorted(map(str, first.column("v"))) == sorted(map(str, values))
    assert shop.sync(first.state).rows() == []


@pytest.mark.parametrize("index", ["", "CREATE INDEX i ON t (v)"])
def test_a_collation_of_the_column_counts_for_nothing(shop, index):
    """By code point `a` is behind `Z`; by NOCASE it is not, and would never be asked for."""
    shop.by("v", replication_key_format="text")
    shop.execute(
        "CREATE TABLE t (v TEXT COLLATE NOCASE)", *filter(None, [index]), "INSERT INTO t VALUES ('Z'), ('B')"
    )
    state = shop.sync().state
    shop.execute("INSERT INTO t VALUES ('a')")
    assert shop.sync(state).column("v") == ["a"]


def test_rows_without_a_key_come_once_and_the_run_says_so(shop, caplog):
    shop.by("at")
    shop.execute(*TABLES["rowid and index"])
    insert(shop, (1, None), (2, DAY.format(1)))
    first = shop.sync()
    assert sorted(first.column("id")) == [1, 2]
    assert "will not be found by later runs" in caplog.text
    assert shop.sync(first.state).rows() == []


@pytest.mark.parametrize("key", ["", "PRIMARY KEY"])
def test_where_no_row_has_a_value_to_go_on_from_the_run_says_that_they_come_again(shop, caplog, key):
    shop.execute(f"CREATE TABLE t (v INTEGER {key}, u INT)", "INSERT INTO t VALUES (1, NULL), (2, NULL)")
    shop.by("u")
    first = shop.sync()
    assert (
        "was sent, and comes again with the next run, since no row has a value to go on from" in caplog.text
    )
    assert "will not be found by later runs" not in caplog.text
    assert ("is there twice then, since the stream has no key" in caplog.text) == (not key)
    shop.execute("INSERT INTO t VALUES (3, 7)")
    caplog.clear()
    second = shop.sync(first.state)
    assert second.column("v") == [1, 2, 3]
    assert "will not be found by later runs" in caplog.text
    assert shop.sync(second.state).column("v") == []


@pytest.mark.parametrize("at", ["10:00:00.10", "10:00:00", "10:00", "10:00:00.100", "10:01:00.0"])
@pytest.mark.parametrize("index", [None, "CREATE INDEX i ON t (at)"])
def test_a_row_at_the_bookmark_that_is_written_shorter_is_found(shop, at, index):
    """SQLite sorts `10:00:00.1` before `10:00:00.10`, which is the same moment."""
    shop.by("at")
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)", *filter(None, [index]), "SELECT 1")
    insert(shop, (1, f"2026-01-01 {at}"))
    state = shop.sync().state
    same = {"10:00:00.10": ["10:00:00.1", "10:00:00.100"], "10:00:00.100": ["10:00:00.1"]}
    same |= {"10:01:00.0": ["10:01:00", "10:01"]}
    news = [(n, f"2026-01-01 {text}") for n, text in enumerate(same.get(at, ["10:00", "10:00:00.0"]), 2)]
    insert(shop, *news, (9, "2026-01-01 09:59:59.9"))
    second = shop.sync(state)
    assert sorted(second.column("id")) == [n for n, _ in news]
    assert shop.sync(second.state).rows() == []


def test_a_lookback_reads_rows_that_were_committed_late(shop):
    shop.by("at")
    shop.execute(*TABLES["rowid"])
    insert(shop, (1, DAY.format(1)), (2, DAY.format(5)))
    state = shop.sync().state
    insert(shop, (3, DAY.format(4)))
    assert shop.sync(state).rows() == []
    shop.by("at", lookback=2 * 86400)
    assert sorted(shop.sync(state).column("id")) == [2, 3]


def test_types_are_learned_in_the_window_of_a_lookback_too(shop):
    shop.by("n", lookback=5)
    shop.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (10, 1)")
    state = shop.sync().state
    shop.execute("INSERT INTO t VALUES (8, 'late, and a text')")
    assert sorted(shop.sync(state).column("n")) == [8, 10]


@pytest.mark.parametrize("look", ["2024-01-{:02} 08:00:00", "2024-01-{:02}T08:00:00+05:00", "2024-01-{:02}"])
def test_a_start_date_is_asked_for_however_the_column_is_written(shop, look: str):
    shop.by("at")
    shop.execute(*TABLES["rowid"])
    insert(shop, *((n, look.format(n)) for n in range(1, 9)))
    assert shop.sync(start_date="2024-01-05T00:00:00Z").column("id") == [5, 6, 7, 8]


def test_rows_that_are_added_while_it_is_read_are_left_to_the_next_run(shop):
    """A row that has moved up behind the reading point must not move the bookmark past others."""
    shop.by("at")
    shop.execute(*TABLES["rowid"])
    insert(shop, *((n, DAY.format(n)) for n in range(1, 7)))
    tap = shop.tap(snapshot="chunk")
    seen: list[Any] = []
    for page in tap.streams["t"].read_pages(None, Start()):
        if not seen:  # row 1 changes behind the reading point, row 6 ahead of it, both later than all before
            shop.execute(f"UPDATE t SET at = '{DAY.format(20)}' WHERE id IN (1, 6)")
        seen += [bytes(row) for row in page.records]
    assert not any(DAY.format(20).encode() in row for row in seen)
    tap.database.close()


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        (("1", "30"), ["DELETE FROM t WHERE u = 30", "INSERT INTO t VALUES (3, 5)"]),
        (("1", "30"), ["DELETE FROM t"]),
        (("1.5", "9e30"), ["UPDATE t SET u = 1e30"]),
        (("'2024-01-01T00:00:00Z'", "'2024-01-02T00:00:00Z'"), ["DELETE FROM t WHERE id = 2"]),
        (("'2024-01-02T00:00:00Z'", "'2024-01-02T00:00:00Z'"), ["UPDATE t SET u = '2024-01-01 00:00:00'"]),
    ],
)
def test_a_table_that_has_no_row_up_to_the_bookmark_any_more_is_told_of(shop, caplog, values, changes):
    """Restored from a copy, or emptied and filled again, it has rows below the bookmark that nobody has read."""
    shop.by("u")
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u)", f"INSERT INTO t VALUES (1, {values[0]})")
    shop.execute(f"INSERT INTO t VALUES (2, {values[1]})")
    state = shop.sync().state
    state = shop.sync(state).state
    assert "as great as the bookmark" not in caplog.text
    shop.execute(*changes)
    for _ in range(2):
        caplog.clear()
        state = shop.sync(state).state
        (said,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert "No row of stream `t` has a `u` as great as the bookmark" in said
        assert "rows below the bookmark are others than those that were read, and come with no run: " in said
        assert "and run again" in said
    shop.execute(f"INSERT INTO t VALUES (9, {values[1]})")
    shop.execute("DELETE FROM t WHERE id <> 9")
    caplog.clear()
    assert shop.sync(state).column("id") == [9]
    assert caplog.text == "" or "as great as" not in caplog.text


def test_rows_at_the_bookmark_that_are_deleted_are_no_reason_to_warn(shop, caplog):
    """That the database gives what it is asked for needs no proof."""
    shop.by("at")
    shop.execute(*TABLES["rowid"])
    insert(shop, (1, DAY.format(1)))
    state = shop.sync().state
    shop.execute("DELETE FROM t")
    for day in (2, 3, 4):
        insert(shop, (day, DAY.format(day)))
        state = shop.sync(state).state
        shop.execute("DELETE FROM t")
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == []


NONE_LEFT = "the table has none of them any more"


def _told(shop, caplog, state: Any) -> tuple[Any, list[str]]:
    caplog.clear()
    found = shop.sync(state)
    return found.state, [
        one.getMessage()
        for one in caplog.records
        if one.levelname == "WARNING" and NONE_LEFT in one.getMessage()
    ]


@pytest.mark.parametrize("kind", ["rowid", "rowid and index", "no key", "no key and index"])
@pytest.mark.parametrize("at", [5, 6])
def test_a_table_that_was_filled_again_up_to_the_bookmark_is_told_of(shop, caplog, kind, at):
    """Its greatest value is that of the bookmark, or a later one; the rows that were sent with the bookmark are not there."""
    shop.by("at")
    shop.execute(*TABLES[kind])
    insert(shop, *((n, DAY.format(n)) for n in (1, 2, 3, 4, 5)))
    state, told = _told(shop, caplog, None)
    assert told == []
    shop.execute("DELETE FROM t")
    insert(shop, *((10 + n, DAY.format(n)) for n in (1, 2, 3, 4, at)))
    state, told = _told(shop, caplog, state)
    assert len(told) == 2  # once more at the end of the run
    assert "the state remembers 1 row at the bookmark" in told[0]
    assert "come with no run: to have them, run " in told[0]
    assert _told(shop, caplog, state)[1] == []


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("rowid", []),
        ("no key", []),
        ("rowid", [f"UPDATE t SET at = '{DAY.format(9)}' WHERE id = 5"]),
        ("rowid", [f"UPDATE t SET at = '{DAY.format(9)}' WHERE id = 5", "DELETE FROM t WHERE id = 6"]),
        ("rowid and index", ["DELETE FROM t WHERE id = 5"]),
        ("no key", ["DELETE FROM t WHERE id = 5"]),
        ("no key", ["DELETE FROM t WHERE id <> 6"]),
        ("no key", ["DELETE FROM t"]),
    ],
)
def test_a_table_that_has_some_of_the_rows_at_the_bookmark_is_not_told_of(shop, caplog, kind, changes):
    """Nor one that has nothing below it, of which nothing can have been passed by."""
    shop.by("at")
    shop.execute(*TABLES[kind])
    insert(shop, *((n, DAY.format(min(n, 5))) for n in (1, 2, 3, 5, 6)))
    state = shop.sync().state
    for change in changes:
        shop.execute(change)
    insert(shop, (20, DAY.format(10)))
    state, told = _told(shop, caplog, state)
    assert told == []
    assert _told(shop, caplog, state)[1] == []


@pytest.mark.parametrize("setting", [{"lookback": 5}, {"replication_key_format": "epoch"}])
@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"name": "t"}], "stream `t` is read as a whole"),
        ([{"name": "*"}], "the 2 streams it matches are read as a whole"),
        ([{"name": "t"}, {"name": "u", "replication_key": "n"}], "stream `t` is"),
        ([{"name": "t"}, {"name": "t", "replication_key": "n"}], None),
        ([{"name": "*"}, {"name": "u", "replication_key": "n"}], None),
    ],
)
def test_what_is_said_of_a_replication_key_needs_one(shop, setting, entries, told):
    shop.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", "CREATE TABLE u (n INTEGER PRIMARY KEY)")
    streams = [{**entries[0], **setting}, *entries[1:]]
    if told is None:
        shop.sync(streams=streams)
        return
    with pytest.raises(ConfigurationError, match=rf"beside `streams\[0\]\.{next(iter(setting))}`.*{told}"):
        shop.sync(streams=streams)
    assert shop.result().messages == []


def test_the_replication_key_of_a_catalog_is_one(shop):
    shop.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    shop.config["streams"] = [{"name": "t", "lookback": 5}]
    catalog = shop.discover()
    with pytest.raises(ConfigurationError, match="none in the config or the catalog"):
        shop.sync(catalog=catalog)
    catalog["streams"][0] |= {"replication_method": "INCREMENTAL", "replication_key": "n"}
    for entry in catalog["streams"][0]["metadata"]:
        if entry["breadcrumb"] in ([], ()):
            entry["metadata"] |= {"replication-method": "INCREMENTAL", "replication-key": "n"}
    shop.sync(catalog=catalog)


@pytest.mark.parametrize("option", ["--discover", "--test", "--test=schema"])
@pytest.mark.parametrize("setting", [{"lookback": 5}, {"replication_key_format": "epoch"}])
def test_discovery_and_test_tell_what_a_run_would_be_refused_for(shop, option, setting):
    shop.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    told = (
        f"`streams[0].{next(iter(setting))}` (`t`) has no effect so far, since stream `t` is read as a whole"
    )
    outcome = shop.run(option, streams=[{"name": "t", **setting}])
    assert (outcome.code, outcome.stderr.count(told)) == (0, 1)
    assert shop.run(streams=[{"name": "t", **setting}]).code == 78
    outcome = shop.run(option, streams=[{"name": "t", **setting, "replication_key": "n"}])
    assert (outcome.code, "has no effect" in outcome.stderr) == (0, False)
