"""Columns whose old rows hold other values than before, of which the log has no word: between two runs, and in one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from taps.postgres.conftest import Shop
from taps.postgres.log_target import Tables

from singerkit_shell.errors import RetryableError, SingerkitError
from tap_postgres.log.chunks import ChunkReader
from tap_postgres.log.columns import Inner
from tap_postgres.log.reader import PostgresLogReader

TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'glad')",
    "CREATE TYPE place AS ENUM ('north', 'south')",
    "CREATE TYPE pair AS (x int, m mood)",
    "CREATE TYPE point3 AS (x int, y int)",
    "CREATE DOMAIN moods AS mood[]",
)
TEXT, ANY = "v text", "n::text"
OTHERS: dict[str, tuple[str, str, str]] = {
    "added again": (TEXT, ANY, "ALTER TABLE {t} DROP v, ADD v text DEFAULT 'zz'"),
    "exchanged": (
        "v text, w text DEFAULT 'w'",
        ANY,
        "ALTER TABLE {t} RENAME v TO x; ALTER TABLE {t} RENAME w TO v; ALTER TABLE {t} RENAME x TO w",
    ),
    "of another type": (TEXT, ANY, "ALTER TABLE {t} ALTER v TYPE int USING v::int"),
    "rewritten": (TEXT, ANY, "ALTER TABLE {t} ALTER v TYPE text USING v || '!'"),
    "rounded": ("v numeric", "n + 0.5", "ALTER TABLE {t} ALTER v TYPE numeric(10,0)"),
    "a label": ("v mood", "'sad'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    "a label within": ("v moods", "'{sad,glad}'", ""),
    "a label within a pair": ("v pair", "(n, 'sad')::pair", ""),
    "an attribute": ("v point3", "(n, n)::point3", "ALTER TYPE point3 RENAME ATTRIBUTE x TO xx"),
    "parted": ("v text) PARTITION BY RANGE (id", ANY, "ALTER TABLE {t} ALTER v TYPE text USING v || '!'"),
}
"""Columns, the value of a row, and what is done then: older rows hold other values by it."""
SAME: dict[str, tuple[str, str, str]] = {
    "wider": ("v varchar(5), w numeric(6,2) DEFAULT 1.5", ANY, "ALTER TABLE {t} ALTER v TYPE text, ALTER w TYPE numeric(9,2)"),
    "with a default": (TEXT, ANY, "ALTER TABLE {t} ALTER v SET NOT NULL, ALTER v SET DEFAULT 'x', ALTER v SET STATISTICS 7"),
    "vacuumed": (TEXT, ANY, "VACUUM FULL {t}"),
    "a label more": ("v place", "'south'", "ALTER TYPE place ADD VALUE 'up' BEFORE 'north'"),
    "without another": ("v text, w text DEFAULT 'w'", ANY, "ALTER TABLE {t} DROP w, ADD z int"),
    "of no stream": ("v text, unread text", ANY, "ALTER TABLE {t} DROP unread, ADD unread text DEFAULT 'zz'"),
    "parted still": ("v text) PARTITION BY RANGE (id", ANY, "ALTER TABLE {t} ALTER v SET DEFAULT 'x'"),
}  # fmt: skip
SET_EXPRESSION = ("v int, g int GENERATED ALWAYS AS (v * 2) STORED", "n", "ALTER TABLE {t} ALTER g SET EXPRESSION AS (v * 100)")  # fmt: skip
IS_IN_LOG = "SELECT current_setting('server_version_num')::int >= 180000"


def made(shop: Shop, cases: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    """Make a table for each case, with five rows; return the tables by their streams."""
    tables = {}
    for number, (columns, value, _) in enumerate(cases.values()):
        name = f"t{number}"
        shop.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, {columns})")
        if "PARTITION" in columns:
            shop.execute(f"CREATE TABLE {name}_part PARTITION OF {name} DEFAULT")
        shop.execute(f"INSERT INTO {name} (id, v) SELECT n, {value} FROM generate_series(1, 5) n")
        tables[f"public-{name}"] = name
    return tables


def check(shop: Shop, target: Tables, tables: dict[str, str]) -> None:
    """Hold each row that a target has against the table, in all columns that are read."""
    for stream, name in tables.items():
        texts = shop.query(f"SELECT to_jsonb(t) - 'unread' FROM {name} t ORDER BY id")
        have = [
            {column: value for column, value in row.items() if column not in ("_sdc_deleted_at", "version")}
            for row in target.rows[stream].values()
        ]
        there = [json.loads(json.dumps(text)) for (text,) in texts]
        columns = there[0].keys()
        found = [{column: row.get(column) for column in columns} for row in have]
        assert sorted(found, key=lambda row: row["id"]) == there, name


def anew(caplog: Any) -> set[str]:
    return {
        record.message.split("`")[1]
        for record in caplog.records
        if "starts anew, with a new version" in record.message
    }


def test_old_rows_that_hold_other_values_come_by_a_new_start_and_no_others_do(
    logged: Shop, caplog: Any
) -> None:
    others = {
        **OTHERS,
        **({"of another expression": SET_EXPRESSION} if logged.query(IS_IN_LOG)[0][0] else {}),
    }
    cases = {**others, **SAME}
    logged.execute(*TYPES)
    logged.config |= {"tables": ["public.*", "!public.*_part"], "select": ["*.*", "!*.unread"]}
    logged.config["log"]["partitions"] = "keep_rows"
    tables = made(logged, cases)
    target = Tables({stream: ["id"] for stream in tables})
    target.load(logged.sync().messages)
    check(logged, target, tables)
    for number, (name, (_, _, statements)) in enumerate(zip(tables.values(), cases.values(), strict=True)):
        logged.execute(*[one.replace("{t}", name) for one in statements.split("; ") if one])
        if number % 2:  # or the log has no word of the table
            logged.execute(f"UPDATE {name} SET v = v WHERE id = 1")
    target.load(logged.sync(target.state).messages)
    check(logged, target, tables)
    expected = dict(zip(cases, tables, strict=True))
    assert {case for case, stream in expected.items() if stream in anew(caplog)} == {*others}
    assert logged.sync(target.state).of_type("RECORD") == []


ALTER = "ALTER TABLE t ALTER v TYPE text USING v || '!', ADD w int DEFAULT 7"


def with_rows(shop: Shop, **log: Any) -> Tables:
    shop.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT n, n FROM generate_series(1, 30) n",
    )
    shop.config["log"] |= log
    return Tables({"public-t": ["id"]})


@pytest.mark.parametrize("statements", [["ALTER TABLE t ALTER v TYPE int USING v::int * 2"], [ALTER]])
def test_a_column_that_is_altered_in_mid_log_has_its_stream_start_anew_in_the_same_run(
    logged: Shop, monkeypatch: pytest.MonkeyPatch, caplog: Any, statements: Sequence[str]
) -> None:
    target = with_rows(logged)
    target.load(logged.sync().messages)
    end = PostgresLogReader.end

    def ends(self: PostgresLogReader) -> Any:
        logged.execute(*statements, "UPDATE t SET v = v WHERE id = 1")
        return end(self)

    monkeypatch.setattr(PostgresLogReader, "end", ends)
    target.load(logged.sync(target.state).messages)
    check(logged, target, {"public-t": "t"})
    assert anew(caplog) == {"public-t"}
    monkeypatch.setattr(PostgresLogReader, "end", end)
    assert logged.sync(target.state).of_type("RECORD") == []


def test_a_column_that_is_added_while_the_log_is_read_is_told_with_the_way_to_have_it_in_older_rows(
    logged: Shop, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The state of that run says that it was sent with the column: the next one would not tell of it."""
    target = with_rows(logged)
    target.load(logged.sync().messages)
    end = PostgresLogReader.end

    def ends(self: PostgresLogReader) -> Any:
        logged.execute("ALTER TABLE t ADD w int DEFAULT 7", "UPDATE t SET v = v WHERE id = 1")
        return end(self)

    monkeypatch.setattr(PostgresLogReader, "end", ends)
    found = logged.sync(target.state)
    assert found.column("w") == [7]
    assert "Stream `public-t` is sent with `w` from now on" in caplog.text
    assert "singerkit-state reset STATE --stream public-t" in caplog.text


def test_a_column_that_is_altered_between_two_chunks_ends_the_run_and_before_the_first_it_does_not(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = with_rows(logged, chunk_rows=10)
    chunk, waits = ChunkReader.chunk, iter([ALTER, "SELECT 1", ALTER.split(",")[0]])

    def reads(self: ChunkReader, *arguments: Any) -> Any:
        logged.execute(next(waits, "SELECT 1"))
        return chunk(self, *arguments)

    monkeypatch.setattr(ChunkReader, "chunk", reads)
    with pytest.raises(RetryableError, match=r"column `v` was altered .*run again"):
        logged.sync()
    target.load(logged.result().messages)
    assert 10 <= len(target.rows["public-t"]) < 30
    target.load(logged.sync(target.state).messages)
    check(logged, target, {"public-t": "t"})
    assert logged.sync(target.state).of_type("RECORD") == []


def test_a_column_that_is_altered_while_a_run_begins_is_not_missed(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = with_rows(logged)
    target.load(logged.sync().messages)
    begin = PostgresLogReader.begin

    def begins(self: PostgresLogReader, position: Any) -> Any:
        logged.execute(ALTER)
        monkeypatch.setattr(PostgresLogReader, "begin", begin)
        return begin(self, position)

    monkeypatch.setattr(PostgresLogReader, "begin", begins)
    with pytest.raises(RetryableError, match="has to start anew"):
        logged.sync(target.state)
    target.load(logged.sync(target.state).messages)
    check(logged, target, {"public-t": "t"})


def test_a_stream_that_must_not_start_anew_by_itself_is_refused_and_a_state_of_before_is_gone_on_with(
    logged: Shop,
) -> None:
    with_rows(logged, truncate="fail")
    state = logged.sync().state
    logged.execute(ALTER, "UPDATE t SET v = 'x' WHERE id = 1")
    with pytest.raises(
        SingerkitError, match=r"`public-t` cannot be gone on with \(of table .*start it over"
    ) as caught:
        logged.sync(state)
    assert caught.value.exit_code == 78
    identity = state["bookmarks"]["public-t"]["_singerkit_log"]["identity"]
    del identity["columns"], identity["file"]
    assert logged.sync(state).column("v") == ["x"]


def test_labels_and_attributes_of_types() -> None:
    enum = Inner("e", True, ["a", "b"])
    assert Inner("e", True, ["a", "b", "c"]).is_as(enum.written())
    assert not Inner("e", True, ["a", "x", "b"]).is_as(enum.written())
    assert not Inner("p", False, ["1 23 a", "2 23 b"]).is_as(Inner("p", False, ["1 23 a"]).written())
