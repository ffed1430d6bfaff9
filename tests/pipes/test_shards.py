"""Shards of a SQLite file into one table of PostgreSQL: each row once, whatever is killed (a sample of ``make shard-torture``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query
from faults.torture.shards import ShardTorture
from targets.duckdb.driver import read_duckdb

from singerkit_state.value import MARK_KEY


def test_rows_of_shards_are_there_once_whatever_is_killed(tmp_path: Path, database: str) -> None:
    torture = ShardTorture(tmp_path, database, "sample", 3)
    for _ in range(5):
        torture.turn(0.5)
        if torture.kills:
            break
    assert torture.kills
    torture.finish()
    states = query(database, "SELECT pipeline FROM _singerkit_state ORDER BY pipeline")
    assert states == [(f"shop#{number}/3",) for number in range(3)]
    query(database, "DELETE FROM visits WHERE at = 7")
    with pytest.raises(AssertionError, match="1 rows are lost"):
        torture.check(torture.stored(), at_the_end=True)
    query(database, "INSERT INTO visits VALUES ('/0', 7), ('/0', 7)")
    with pytest.raises(AssertionError, match="1 rows are there twice"):
        torture.check(torture.stored(), at_the_end=True)


def of_shard(
    number: int,
    of: int = 2,
    *,
    complete: bool = False,
    divided: tuple[str, ...] = ("t",),
    version: int | None = None,
    stands: bool = False,
) -> dict[str, Any]:
    mark = {
        "run": f"r{number}",
        "pipeline": f"p#{number}/{of}",
        "complete": complete,
        "divided": [[name, version] for name in divided],
    }
    return STATE({"bookmarks": {"t": {"n": number}} if complete or stands else {}, MARK_KEY: mark})


def one_row(number: int, **more: Any) -> list[dict[str, Any]]:
    return [SCHEMA("t", {"id": {"type": "integer"}}, ["id"]), {**RECORD("t", {"id": number}), **more}]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"load_method": "overwrite"},
            "Stream `t` is overwritten (`load_method`), and the run is of the shard 1/2",
        ),
        (
            {"load_method": "delete+insert", "replace_by": {"t": ["id"]}},
            "Stream `t` is replaced by sets of rows (`replace_by`)",
        ),
        (
            {"load_method": "history", "add_record_metadata": True},
            "Stream `t` keeps a history (`load_method`), and the run is of the shard 1/2",
        ),
    ],
)
def test_a_shard_that_would_take_the_rows_of_the_others_away_is_refused(
    database: str, config: dict[str, Any], sentence: str
) -> None:
    is_history = config["load_method"] == "history"
    load(
        database, of_shard(0), *one_row(1), of_shard(0, complete=True), **(config if is_history else {})
    ).expect(0)
    version = [{"type": "ACTIVATE_VERSION", "stream": "t", "version": 7}]
    run = [*one_row(2, version=7), *version, of_shard(1, complete=True)]
    refused = load(database, of_shard(1), *run, **config).expect(78)
    assert sentence in refused.last_words
    assert query(database, "SELECT id FROM t") == [(1,)]
    # Of a tap of others, which marks nothing, all streams may be divided; and nobody knows which versions the rows of the others carry.
    others = [one for one in run if one["type"] != "STATE"]
    said = load(database, *others, pipeline="p#1/2", **config).expect(78).last_words
    assert (
        sentence
        if "history" not in sentence
        else "ACTIVATE_VERSION of stream `t` is that of the shard 1/2 alone"
    ).split(" and ")[0] in said
    assert query(database, "SELECT id FROM t") == [(1,)]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({}, 78),
        ({"load_method": "history"}, 78),
        ({"load_method": "append"}, 0),
        ({"newest_by": {"t": "at"}}, 0),
    ],
)
def test_rows_that_go_from_one_shard_to_another_need_to_say_which_is_the_newer(
    database: str, config: dict[str, Any], code: int
) -> None:
    begin = of_shard(1)
    begin["value"][MARK_KEY]["moving"] = ["t"]
    schema = SCHEMA("t", {"id": {"type": "integer"}, "at": {"type": "integer"}}, ["id"])
    run = [begin, schema, RECORD("t", {"id": 1, "at": 5}), of_shard(1, complete=True)]
    said = load(database, *run, **config).expect(code)
    assert ('say which version is the newer (`{"newest_by": {"t": ...}}`' in said.last_words) == (code == 78)
    if "newest_by" in config:
        older = [of_shard(0), schema, RECORD("t", {"id": 1, "at": 4}), of_shard(0, complete=True)]
        load(database, *older, **config).expect(0)
        assert query(database, "SELECT at FROM t") == [(5,)]


def test_the_last_shard_to_come_to_its_end_takes_away_what_is_gone(database: str) -> None:
    def shard(number: int, version: int, *rows: int, is_cut: bool = False) -> Outcome:
        end = [
            {"type": "ACTIVATE_VERSION", "stream": "t", "version": version},
            of_shard(number, complete=True, version=version),
        ]
        records = [message for row in rows for message in one_row(row, version=version)]
        begin = of_shard(number, complete=True, version=None)
        cut = [of_shard(number, complete=False, stands=True)]
        return load(
            database,
            begin if version > 11 else of_shard(number),
            *records,
            *(cut if is_cut else end),
            add_record_metadata=True,
            hard_delete=True,
        )

    def stored() -> list[int]:
        return [row for (row,) in query(database, "SELECT id FROM t ORDER BY id")]

    told = shard(0, 10, 1, 2).expect(0)
    assert "not all others have been read to their end" in told.stderr
    assert "WARNING" not in told.stderr
    shard(1, 11, 3, 4).expect(0)
    assert stored() == [1, 2, 3, 4]
    shard(0, 20, 1).expect(0)
    assert stored() == [1, 3, 4]
    shard(1, 21, 3, is_cut=True).expect(65)
    shard(0, 30, 1).expect(0)
    assert stored() == [1, 3, 4]  # 4 is of a load that another one is taking the place of
    shard(1, 41, 3).expect(0)
    assert stored() == [1, 3]
    load(database, *one_row(9, version=5), STATE({"n": 1}), pipeline="q", add_record_metadata=True).expect(0)
    assert "which the pipeline `q` has loaded, too" in shard(0, 50, 1).expect(78).last_words
    assert stored() == [1, 3, 9]


def test_a_stream_that_is_whole_in_a_shard_and_a_run_of_all_rows_go_by_their_versions(database: str) -> None:
    version = [{"type": "ACTIVATE_VERSION", "stream": "t", "version": 7}]
    load(database, of_shard(0), *one_row(1), of_shard(0, complete=True)).expect(0)
    run = [of_shard(1, divided=()), *one_row(2, version=7), *version, of_shard(1, complete=True, divided=())]
    told = load(database, *run, add_record_metadata=True, pipeline="p").expect(0)
    assert "was loaded by the pipeline" not in told.stderr
    assert query(database, "SELECT pipeline FROM _singerkit_state ORDER BY 1") == [("p#0/2",), ("p#1/2",)]


def test_another_number_of_shards_is_refused_as_long_as_the_former_ones_have_states(database: str) -> None:
    """A stream without a key would come to another shard, which knows nothing of its rows."""
    load(database, of_shard(0), *one_row(1), of_shard(0, complete=True)).expect(0)
    others = (of_shard(1, 3), *one_row(2), of_shard(1, 3, complete=True))
    refused = load(database, *others).expect(78)
    assert (
        "The pipeline `p` has states here of 2 shards (`p#0/2`), and this run is of the shard 1/3"
        in refused.last_words
    )
    assert "--pipeline 'p#0/2' --start-over" in refused.last_words
    assert (
        "this run is of all rows"
        in load(database, *one_row(3), STATE({"n": 1}), pipeline="p").expect(78).last_words
    )
    assert query(database, "SELECT id FROM t") == [(1,)]
    load(database, *others[:0], arguments=("--pipeline", "p#0/2", "--start-over")).expect(0)
    load(database, *others).expect(0)
    assert query(database, "SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_table_that_was_emptied_is_missed_by_all_shards_until_all_of_them_begin_anew(database: str) -> None:
    """What the first one that begins anew loads does not hide that the rows of another are gone."""

    def start_over(number: int) -> None:
        load(database, arguments=("--pipeline", f"p#{number}/3", "--start-over", "--stream", "t")).expect(0)

    def shard(number: int, *, from_start: bool) -> Outcome:
        begin = of_shard(number, 3, complete=not from_start)
        return load(database, begin, *one_row(number), of_shard(number, 3, complete=True))

    for number in (0, 1):
        shard(number, from_start=True).expect(0)
    query(database, "TRUNCATE t")
    first = shard(2, from_start=True).expect(69).last_words
    assert "The table public.t is empty" in first
    assert "and likewise in all other shards before one of them runs" in first
    shard(0, from_start=False).expect(69)
    start_over(0)
    shard(0, from_start=True).expect(69)
    start_over(1)
    for number in (0, 1, 2):
        shard(number, from_start=True).expect(0)
    assert query(database, "SELECT id FROM t ORDER BY id") == [(0,), (1,), (2,)]


def test_shards_go_on_as_another_number_of_them(tmp_path: Path, database: str) -> None:
    """Rows with a key that come again replace themselves; those without one are sent by another shard now, and not again."""
    torture = ShardTorture(tmp_path, database, "divided", 3, 200, "upsert")
    torture.finish()
    command = [
        str(Path(sys.executable).with_name("singerkit-state")),
        "divide",
        torture.url,
        "--yes",
        "--into",
    ]
    torture.of = 2
    torture.widen()
    torture.add(50)
    assert torture.run(0)[1] == 78
    run([*command, "2"]).expect(0)
    torture.finish()
    states = query(database, "SELECT pipeline FROM _singerkit_state WHERE state IS NOT NULL")
    assert sorted(states) == [("shop#0/2",), ("shop#1/2",)]


def test_what_is_gone_goes_with_whole_loads_of_shards_whatever_is_killed(
    tmp_path: Path, database: str
) -> None:
    torture = ShardTorture(tmp_path, database, "whole", 3, 300, "upsert", is_whole=True)
    torture.finish()
    torture.remove(40)
    torture.turn(1.0)
    torture.remove(40)
    torture.finish()  # all of them come to their end at about the same time


def test_the_last_shard_takes_away_what_is_gone_from_a_duckdb_file(tmp_path: Path) -> None:
    file, config = tmp_path / "w.duckdb", tmp_path / "config.json"
    config.write_text(json.dumps({"database": str(file), "add_record_metadata": True, "hard_delete": True}))
    command = [str(Path(sys.executable).with_name("target-duckdb")), "--config", str(config)]

    def stored(number: int, version: int, *rows: int) -> list[int]:
        records = [message for row in rows for message in one_row(row, version=version)]
        end = {"type": "ACTIVATE_VERSION", "stream": "t", "version": version}
        begin = of_shard(number, complete=version > 11)
        run(
            command, stdin=lines(begin, *records, end, of_shard(number, complete=True, version=version))
        ).expect(0)
        return sorted(row["id"] for row in read_duckdb(file, "t"))

    assert stored(0, 10, 1, 2) == [1, 2]
    assert stored(1, 11, 3, 4) == [1, 2, 3, 4]
    assert stored(0, 20, 1) == [1, 3, 4]
    assert stored(1, 21, 3) == [1, 3]
