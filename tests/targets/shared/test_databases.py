"""What loads into a database does the same whichever it is: each test here runs with target-postgres and with target-duckdb."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, Running
from conformance.singer import RECORD, SCHEMA, STATE, lines
from faults import loads
from targets.duckdb import test_target_duckdb as duck

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.names import Places, identifiers
from singerkit_sql_target.settings import Settings
from target_duckdb.connect import DuckDialect
from target_postgres.words import WORDS

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
MOMENT = {**TEXT, "format": "date-time"}


@dataclass
class Database:
    """``run`` loads messages with a config, ``query`` asks what is stored; ``schema`` is where tables are."""

    run: Callable[..., Outcome]
    query: Callable[[str], list[tuple[Any, ...]]]
    schema: str


def target_of(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """The database that a fixture's parameter names."""
    if request.param == "duckdb":
        file = tmp_path / "a.duckdb"
        return Database(lambda *m, **c: duck.load(file, *m, **c), lambda q: duck.query(file, q), "main")
    dsn = request.getfixturevalue("database")
    return Database(lambda *m, **c: loads.load(dsn, *m, **c), lambda q: loads.query(dsn, q), "public")


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return target_of(request, tmp_path)


def activate(version: int) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": "s", "version": version}


def versioned(version: int | None, *ids: int) -> list[dict[str, Any]]:
    said = {} if version is None else {"version": version}
    return [RECORD("s", {"id": id_, "v": f"of {version}"}) | said for id_ in ids]


BEHIND: dict[str, list[dict[str, Any]]] = {
    "a newer version": [*versioned(1, 1), activate(1), *versioned(2, 2)],
    "the same version": [*versioned(1, 1), activate(1), *versioned(1, 2)],
    "no version": [*versioned(1, 1), activate(1), *versioned(None, 2)],
    "the same key": [*versioned(1, 1, 2), activate(1), *versioned(2, 1, 2)],
    "announced": [activate(1), *versioned(1, 1, 2)],
    "announced, and the next one": [activate(1), *versioned(1, 1), *versioned(2, 2)],
    "several": [*versioned(1, 9), activate(1), *versioned(2, 1), activate(2), *versioned(3, 2)],
}


@pytest.mark.parametrize("ends", [[STATE({"a": 2})], []], ids=["STATE", "end"])
@pytest.mark.parametrize(
    "config",
    [{"hard_delete": True}, {"hard_delete": False}, {"hard_delete": False, "load_method": "append-only"}],
    ids=["hard", "soft", "append"],
)
@pytest.mark.parametrize("came", BEHIND.values(), ids=BEHIND)
def test_rows_that_come_behind_a_version_stay(
    target: Database, came: list[dict[str, Any]], config: dict[str, Any], ends: list[dict[str, Any]]
) -> None:
    """They were deleted with 0 where nothing but a STATE, or the end, was between."""
    own = SCHEMA("s", {"id": INTEGER, "v": TEXT}, ["id"])
    settings = {"add_record_metadata": True, **config}
    target.run(own, *versioned(0, 8), activate(0), STATE({"a": 1}), **settings).expect(0)
    target.run(own, *came, *ends, **settings).expect(0)
    marked = "" if config["hard_delete"] else "WHERE _sdc_deleted_at IS NULL"
    assert target.query(f"SELECT DISTINCT id FROM s {marked} ORDER BY id") == [(1,), (2,)]


def test_a_record_that_says_that_its_row_is_gone_leaves_what_is_known_of_it(target: Database) -> None:
    """From taps of others, too, by which a field that is left out is null else."""
    own = SCHEMA("s", {"id": INTEGER, "v": TEXT, "w": TEXT, "_sdc_deleted_at": MOMENT}, ["id"])
    at = "2024-01-01T00:00:00Z"
    target.run(
        own,
        RECORD("s", {"id": 1, "v": "a", "w": "a"}),
        RECORD("s", {"id": 2, "v": "b", "w": "b"}),
        RECORD("s", {"id": 2, "v": "c", "_sdc_deleted_at": at}),
        STATE({"a": 1}),
    ).expect(0)
    target.run(
        own,
        RECORD("s", {"id": 1, "_sdc_deleted_at": at}),
        RECORD("s", {"id": 2, "v": "d", "_sdc_deleted_at": None}),
        RECORD("s", {"id": 3, "_sdc_deleted_at": at}),
        STATE({"a": 2}),
    ).expect(0)
    there = target.query("SELECT id, v, w, _sdc_deleted_at IS NOT NULL FROM s ORDER BY id")
    assert there == [(1, "a", "a", True), (2, "d", None, False), (3, None, None, True)]


@pytest.mark.parametrize(("property_", "takes"), [(MOMENT, True), (TEXT, True), (INTEGER, False)])
def test_rows_are_marked_in_a_field_of_the_tap_that_takes_times(
    target: Database, property_: dict[str, Any], takes: bool
) -> None:
    own = SCHEMA("s", {"id": INTEGER, "_sdc_deleted_at": property_}, ["id"])
    records = [RECORD("s", {"id": n}, version=n) for n in (1, 2)]
    config = {"add_record_metadata": True, "hard_delete": False}
    outcome = target.run(own, *records, activate(2), STATE({"a": 1}), **config).expect(0)
    marked = target.query("SELECT id, _sdc_deleted_at IS NOT NULL FROM s ORDER BY id")
    assert marked == [(1, takes), (2, False)]
    assert ("`_sdc_deleted_at` of its own, whose column of type" in outcome.stderr) is not takes


def test_a_key_of_numbers_in_a_column_of_text_is_told_with_the_type_that_tells_them_apart(
    target: Database,
) -> None:
    """Of target-duckdb the sentence did not name the type; where the advice is followed, nothing is told."""

    def told(stream: str, type_: str) -> str:
        numbers = SCHEMA(stream, {"id": {"type": "number"}}, ["id"])
        messages = [numbers, RECORD(stream, {"id": 1}), STATE({"a": stream})]
        return target.run(*messages, column_types={f"{stream}.id": type_}).expect(0).stderr

    said = told("s", "text")
    assert "compares it as text: `1` and `1.0` are two keys there." in said
    assert "compares it as text" not in told("t", said.split("let the column be `")[1].split("`")[0])


def test_what_is_not_in_a_new_column_is_told_with_what_fills_it(target: Database) -> None:
    first = [SCHEMA("s", {"id": INTEGER}, []), RECORD("s", {"id": 1}), STATE({"a": 1})]
    target.run(*first).expect(0)
    more = SCHEMA("s", {"id": INTEGER, "t": TEXT}, [])
    told = target.run(more, RECORD("s", {"id": 2, "t": "a"}), STATE({"a": 2})).expect(0).stderr
    assert "Columns added for stream `s`: `t`. Rows that were loaded before have NULL there" in told
    emptied = re.search(r"`([A-Z ]+ [^`]+)`, since its rows have no key and would be there twice", told)
    assert emptied
    target.query(emptied[1])
    assert target.query("SELECT * FROM s") == []


def test_a_table_that_is_gone_ends_the_run_before_anything_is_written(target: Database) -> None:
    first = [SCHEMA("s", {"id": INTEGER}, ["id"]), RECORD("s", {"id": 1})]
    target.run(*first, STATE({"bookmarks": {"s": {"a": 1}}})).expect(0)
    target.query("DROP TABLE s")
    outcome = target.run(*first, STATE({"bookmarks": {"s": {"a": 2}}})).expect(69)
    assert f"The table {target.schema}.s is not there, and the saved state says that rows" in outcome.stderr


def test_another_pipeline_that_loads_the_table_is_told_with_the_command_that_forgets_it(
    target: Database,
) -> None:
    rows = [SCHEMA("s", {"id": INTEGER}, ["id"]), RECORD("s", {"id": 1}), STATE({"a": 1})]
    target.run(*rows, pipeline="one").expect(0)
    told = target.run(*rows, pipeline="two").expect(0).stderr
    assert "The table of stream `s` was loaded by the pipeline `one`, too: rows with one key" in told
    command = told.split("where `one` loads it no more, forget its state with `")[1].split("`")[0]
    assert "--pipeline one --start-over" in command


@pytest.mark.parametrize("words", [WORDS, DuckDialect(Path("a.duckdb"))], ids=["postgres", "duckdb"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "is empty"), ("a\0b", "has a NUL character"), ("a\ud800", "is no text in UTF-8")],
)
def test_a_name_that_no_store_has_is_refused_with_the_reason(words: Words, name: str, problem: str) -> None:
    for refused in (
        lambda: Places(Settings("main"), words, ()).take(name),
        lambda: identifiers(["a", name], "a test", words),
    ):
        with pytest.raises(BadDataError) as told:
            refused()
        assert f"Expected a name that {words.name} can store, got `" in str(told.value)
        assert f"`, which {problem}; rename it in the source" in str(told.value)
        assert name.isprintable() or name not in str(told.value)


@pytest.mark.parametrize("name", ["postgres", "duckdb"])
def test_what_waits_is_committed_while_the_tap_says_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    """A STATE is printed behind its commit, here long before the next message and with few rows and bytes."""
    config = {"commit_seconds": 0.2, "commit_rows": 10**6}
    if name == "duckdb":
        words = duck.command(tmp_path / "a.duckdb", **config)
    else:
        words = loads.command(tmp_path, request.getfixturevalue("database"), config)
    with Running(words, cwd=tmp_path) as tap:
        tap.send(lines(SCHEMA("s", {"id": INTEGER}, ["id"]), RECORD("s", {"id": 1}), STATE({"a": 1})))
        assert tap.wait_for(lambda printed: printed == [b'{"a": 1}\n'])
        tap.send(lines(RECORD("s", {"id": 2}), STATE({"a": 2})))
        assert tap.wait_for(lambda printed: len(printed) == 2)
        tap.finish().expect(0)
