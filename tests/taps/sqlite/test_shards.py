"""`--shard i/n`: each row of a table in one shard, and a state for each."""

from __future__ import annotations

import random
from collections import Counter
from itertools import cycle, product
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_shell.walltime import wall_time
from singerkit_sql_tap.queries import page_query
from singerkit_state import statefile
from singerkit_state.shards import Shard, owner_of
from singerkit_state.value import encode
from tap_sqlite.tap import TapSqlite

OF = 3
TABLES = {
    "integer": "CREATE TABLE t (k INTEGER PRIMARY KEY, j INT, v INT, at INT)",
    "text": "CREATE TABLE t (k TEXT PRIMARY KEY, j INT, v INT, at INT)",
    "nocase": "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, j INT, v INT, at INT)",
    "decimal": "CREATE TABLE t (k DECIMAL(20, 4) PRIMARY KEY, j INT, v INT, at INT) WITHOUT ROWID",
    "two columns": "CREATE TABLE t (k TEXT, j INT, v INT, at INT, PRIMARY KEY (k, j))",
    "anything": "CREATE TABLE t (k PRIMARY KEY, j INT, v INT, at INT)",
    "view": "CREATE TABLE u (k INT UNIQUE, j INT, v INT, at INT); CREATE VIEW t AS SELECT * FROM u",
}


def key(kind: str, dice: random.Random) -> Any:
    number = dice.choice([dice.randrange(2000), dice.randrange(-(2**63), 2**63), dice.randrange(-600, 600)])
    match kind:
        case "integer" | "view":
            return number
        case "text" | "two columns":
            return dice.choice(["", "é", "a\0b", "ß" * 40]) + str(number)
        case "nocase":
            return f"k{number}"
        case "decimal":
            return dice.choice([number % 10**6 / 4, number])
        case _:
            return dice.choice([number, str(number), number / 4, str(number).encode(), f"\U0001f363{number}"])


def fill(shop, kind: str, dice: random.Random, count: int, at: int = 0) -> None:
    table = "u" if kind == "view" else "t"
    rows = {key(kind, dice): dice.randrange(9) for _ in range(count)}
    shop.execute(
        f"INSERT OR IGNORE INTO {table} VALUES (?, ?, 1, ?)", rows=[(k, j, at) for k, j in rows.items()]
    )


def settings(shop, kind: str, by: str | None) -> None:
    shop.config["tables"] = ["t"]
    shop.config["activate_version"] = False
    shop.config["streams"] = [
        {
            "name": "t",
            **({"replication_key": by} if by else {}),
            **({"primary_keys": ["k"]} if kind == "view" else {}),
        }
    ]


@pytest.mark.parametrize(("kind", "by"), [*zip(TABLES, cycle([None, "at"])), ("integer", "at")])
def test_each_row_is_read_by_one_shard_whatever_comes_meanwhile(shop, kind, by):
    dice = random.Random(f"{kind} {by}")
    shop.execute(*TABLES[kind].split("; "))
    settings(shop, kind, by)
    fill(shop, kind, dice, 700)
    before = stored(shop)
    found: Counter[str] = Counter()
    states = {}
    for number in dice.sample(range(OF), OF):
        result = shop.sync(shard=Shard(number, OF))
        states[number] = result.state
        assert result.state["_singerkit"]["pipeline"] == f"tap-sqlite#{number}/{OF}"
        assert result.state["_singerkit"]["divided"] == [["t", None]]
        found += rows_of(result)
        fill(shop, kind, dice, 20, at=1)  # behind some shards, and before others
    assert found >= before
    assert max(found.values()) == 1
    if by is None:
        return
    for number in range(OF):
        found += rows_of(shop.sync(states[number], shard=Shard(number, OF)))
    assert found == stored(shop)


def rows_of(result) -> Counter[str]:
    """The rows, each by what tells it from others, as the tap has sent it."""
    return Counter(encode([row["k"], row["j"]]) for row in result.rows())


def stored(shop) -> Counter[str]:
    return rows_of(shop.sync())


@pytest.mark.parametrize(("kind", "of"), [*product(TABLES, [2, 5]), ("integer", 1000), ("anything", 1000)])
def test_all_shards_together_ask_for_each_row_once(shop, kind, of):
    """NULL in a key, too, which only a database sends."""
    dice = random.Random(of)
    shop.execute(*TABLES[kind].split("; "))
    fill(shop, kind, dice, 250)
    if kind not in ("integer", "decimal"):
        shop.execute(f"INSERT INTO {'u' if kind == 'view' else 't'} VALUES (NULL, 1, 1, 0)")
    settings(shop, kind, None)
    database = shop.tap().database
    table = next(one for one in database.tables() if one.name == "t")
    keys = table.primary_key or ("k",)
    found: Counter[Any] = Counter()
    for number in range(of):
        where = [database.in_shard(table, sorted(keys), Shard(number, of))]
        query = page_query(database.source(table), ["t.k", "t.j"], where, (), None)
        found += Counter(map(repr, database.fetch(query, 10_000, table)))
    database.close()
    assert found == Counter(map(repr, shop.query("SELECT k, j FROM t")))


def test_a_table_that_grows_at_its_end_grows_in_all_shards(shop):
    shop.execute(TABLES["integer"])
    settings(shop, "integer", None)
    shop.execute("INSERT INTO t VALUES (?, 1, 1, 0)", rows=[(n,) for n in range(8 * 1024)])
    assert [len(shop.sync(shard=Shard(number, 8)).rows()) for number in range(8)] == [1024] * 8


def test_a_table_without_a_key_is_read_by_one_shard_and_the_others_end_well(shop):
    shop.execute("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES ('x')")
    for number in range(3):
        result = shop.sync(shard=Shard(number, 3))
        assert result.state["_singerkit"]["complete"]
        assert len(result.rows()) == (number == owner_of("t", 3))
        # It is all of the table, so that its version says what is gone.
        assert len(result.of_type("ACTIVATE_VERSION")) == (number == owner_of("t", 3))


def test_each_shard_has_a_version_of_its_own_and_says_it_when_all_of_its_part_has_come(shop, monkeypatch):
    shop.execute(TABLES["integer"], "INSERT INTO t VALUES (1, 1, 1, 1), (1000, 1, 1, 1)")
    shop.config["state_every"] = 1
    monkeypatch.setattr(wall_time, "now", lambda: 1_700_000_000.0)
    versions = set()
    for number in range(3):
        result = shop.sync(shard=Shard(number, 3))
        [version] = [one["version"] for one in result.of_type("ACTIVATE_VERSION")]
        said = [one["value"]["_singerkit"]["divided"] for one in result.of_type("STATE")]
        assert said[0] == [["t", None]]
        assert said[-1] == [["t", version]]
        versions.add(version)
        # While the next load goes on it says none, whatever the one before has said.
        assert shop.sync(result.state, shard=Shard(number, 3)).of_type("STATE")[0]["value"]["_singerkit"][
            "divided"
        ] == [["t", None]]
    assert len(versions) == 3


def test_a_key_that_divides_otherwise_is_refused(shop):
    shop.execute(
        "CREATE TABLE t (a INT PRIMARY KEY, b INT, at INT)", "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)"
    )
    shop.by("at")
    first = shop.sync(shard=Shard(0, 2))
    shop.by("at", primary_keys=["b"])
    with pytest.raises(ConfigurationError, match="were `a`, and are `b`, so that rows are of other shards"):
        shop.sync(first.state, shard=Shard(0, 2))


@pytest.mark.parametrize(
    ("declared", "again"),
    [
        ("INTEGER PRIMARY KEY", "BIGINT PRIMARY KEY"),
        ("BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY"),
        ("INT PRIMARY KEY", "REAL PRIMARY KEY"),
        ("INTEGER PRIMARY KEY", "view"),
    ],
)
def test_a_key_that_is_declared_otherwise_and_divides_otherwise_is_refused(shop, declared, again):
    """Rows that one shard had not read yet came to lie in another one, whose bookmark had passed them, and both ended with 0."""
    shop.execute(f"CREATE TABLE t (a {declared}, at INT)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    shop.by("at", primary_keys=["a"])
    first = shop.sync(shard=Shard(0, 2))
    shop.execute("ALTER TABLE t RENAME TO u")
    made = "VIEW t AS SELECT * FROM u" if again == "view" else f"TABLE t (a {again}, at INT)"
    shop.execute(f"CREATE {made}")
    with pytest.raises(
        ConfigurationError,
        match=r"were such that it was cut by (ranges|hashes) .*, and are by (ranges|hashes) ",
    ):
        shop.sync(first.state, shard=Shard(0, 2))


@pytest.mark.parametrize("number", [0, 1])
def test_a_stream_that_cannot_be_divided_any_more_is_refused_in_each_shard(shop, number):
    shop.execute("CREATE TABLE t (a INT PRIMARY KEY, at INT)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    shop.by("at")
    first = shop.sync(shard=Shard(number, 2))
    shop.by("at", primary_keys=[])
    with pytest.raises(ConfigurationError, match="`t` was divided into shards, and cannot be any more"):
        shop.sync(first.state, shard=Shard(number, 2))


def test_a_load_that_is_cut_off_goes_on_in_its_shard_alone(shop):
    shop.execute(TABLES["integer"])
    settings(shop, "integer", None)
    shop.config["state_every"] = 1
    shop.execute("INSERT INTO t VALUES (?, 1, 1, 0)", rows=[(n,) for n in range(4096)])
    states = shop.sync(shard=Shard(0, 2)).of_type("STATE")
    cut = next(one["value"] for one in states if "position" in str(one))
    rest = shop.sync(cut, shard=Shard(0, 2)).column("k")
    assert 0 < len(rest) < 2048
    assert rest[-1] == 4096 - 257
    assert len(shop.sync(cut, shard=Shard(1, 2)).rows()) == 2048


def test_a_shard_that_there_is_not_is_a_mistake_of_the_command_line():
    with pytest.raises(UsageError, match="Expected a shard like `0/8` at `--shard`"):
        TapSqlite.invoke(shard="8/8")


def test_a_file_beside_those_of_another_set_is_no_first_run(shop):
    shop.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    shop.file("state.json", {"bookmarks": {}})
    shop.file("other.0-of-2.json", {"bookmarks": {"t": {"n": 1}}})
    mine, tap = str(shop.folder / "state.1-of-3.json"), shop.tap(shard=Shard(1, 3))
    tap.continue_from(mine)
    shop.file("state.0-of-2.json", {"bookmarks": {"t": {"n": 1}}})
    with pytest.raises(
        ConfigurationError, match="is of one of 2 shards, and this run of the shard 1/3 would begin anew"
    ):
        tap.continue_from(mine)
    shop.tap(shard=Shard(1, 2)).continue_from(str(shop.folder / "state.1-of-2.json"))
    statefile.write(mine, "{}")
    tap.continue_from(mine)
