"""Every documented setting of a target has an effect: a run with it differs from the run without.

A run is how it ended, what it printed and what it left behind. What every target shares is shown with target-jsonl.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from faults.loads import load, query
from psycopg2.extensions import parse_dsn

from singerkit_postgres.address import dsn_of

TESTS = Path(__file__).parents[2]
REFERENCE = TESTS.parent / "docs" / "reference"
BIN = Path(sys.executable).parent


def schema(**properties: Any) -> Any:
    return SCHEMA("s", {"id": {"type": "integer"}, **properties}, ["id"])


PLAIN = [schema(t={"type": ["string", "null"]}), RECORD("s", {"id": 1, "t": "a"}), STATE({"a": 1})]
TWO = [*PLAIN, RECORD("s", {"id": 2, "t": "b" * 5_000_000}), STATE({"a": 2})]
"""More than the reader takes at once: what comes in one piece is committed in one piece."""
BAD = [*PLAIN, RECORD("s", {"id": "x", "t": "a"}), RECORD("s", {"id": "y", "t": "a"}), STATE({"a": 2})]
NUL = [schema(t={"type": "string"}), RECORD("s", {"id": 1, "t": "a\0b"}), STATE({"a": 1})]
MORE = [PLAIN[0], RECORD("s", {"id": 1, "t": "a", "more": "x"}), STATE({"a": 1})]
MISSING = [PLAIN[0], RECORD("s", {"id": 1}), STATE({"a": 1})]
SHORT = [schema(t={"type": "string", "maxLength": 1}), RECORD("s", {"id": 1, "t": "abc"}), STATE({"a": 1})]
NUMBER = [schema(t={"type": "number"}), RECORD("s", {"id": 1, "t": 1.10}), STATE({"a": 1})]
SAME_KEY = [*PLAIN, RECORD("s", {"id": 1, "t": "b"}), STATE({"a": 2})]
VERSIONS = [
    PLAIN[0],
    RECORD("s", {"id": 1, "t": "a"}, version=1),
    {"type": "ACTIVATE_VERSION", "stream": "s", "version": 1},
    RECORD("s", {"id": 2, "t": "a"}, version=2),
    {"type": "ACTIVATE_VERSION", "stream": "s", "version": 2},
    STATE({"a": 1}),
]
QUARANTINE = {"on_invalid": "quarantine"}
SHARED: dict[str, tuple[Sequence[Any], dict[str, Any], dict[str, Any]]] = {
    # setting: messages, config before, what the setting adds
    "pipeline": (PLAIN, {}, {"pipeline": "mine"}),
    "on_invalid": (BAD, {}, QUARANTINE),
    "on_unstorable": (NUL, {}, {"on_unstorable": "replace"}),
    "quarantine_limit": (BAD, QUARANTINE, {"quarantine_limit": 1}),
    "extra": (MORE, {}, {"extra": "load"}),
    "end_of_input": ([*PLAIN, RECORD("s", {"id": 2, "t": "b"})], {}, {"end_of_input": "state"}),
    "missing_fields": (MISSING, {}, {"missing_fields": "null"}),
    "validate_records": (SHORT, {}, {"validate_records": False}),
    "checks": (PLAIN, {}, {"checks": {"s": [{"rule": "length", "field": "t", "min": 2}]}}),
    "add_record_metadata": (PLAIN, {}, {"add_record_metadata": True}),
    "atomic": (BAD, {}, {"atomic": "run"}),
    "commit_rows": (TWO, {}, {"commit_rows": 1}),
    "commit_bytes": (TWO, {}, {"commit_bytes": 1}),
    "commit_seconds": (TWO, {}, {"commit_seconds": 1e-9}),
    "map": (PLAIN, {}, {"map": {"streams": {"s": [{"op": "rename", "from": "t", "to": "u"}]}}}),
    "max_line_bytes": (PLAIN, {}, {"max_line_bytes": 60}),
    "destination_path": (PLAIN, {}, {"destination_path": "elsewhere"}),
}
POSTGRES: dict[str, tuple[Sequence[Any], dict[str, Any], dict[str, Any]]] = {
    "default_target_schema": (PLAIN, {}, {"default_target_schema": "mine"}),
    "load_method": (SAME_KEY, {}, {"load_method": "append-only"}),
    "number_type": (NUMBER, {}, {"number_type": "double precision"}),
    "column_types": (NUMBER, {}, {"column_types": {"s.t": "numeric(12,4)"}}),
    "hard_delete": (VERSIONS, {"add_record_metadata": True}, {"hard_delete": False}),
}
CONNECTION: dict[str, Any] = {
    "dsn": "host=there",
    "host": "there",
    "port": 5433,
    "user": "me",
    "password": "",
    "database": "mine",
    "service": "mine",
    "sslmode": "require",
    "sslrootcert": "/a",
    "sslcert": "/b",
    "sslkey": "/c",
    "sslpassword": "x",
    "passfile": "/d",
    "connect_timeout": 3,
    "application_name": "mine",
}
"""What libpq is given; it decides what each of them does."""
SHARED_SHOWN_ELSEWHERE = {
    "run_history_days": "test_runs_are_kept_for_as_long_as_is_said",
    "rows_gone": "test_a_landing_place_may_be_emptied_after_each_run",
    "map.streams": "test_a_map_in_a_database_target",
    "map.streams.*[].op": "test_a_map_in_a_database_target",
    "map.on_error": "test_a_map_in_a_database_target",
    "map.on_map_change": "test_a_map_in_a_database_target",
}
SHOWN_ELSEWHERE = SHARED_SHOWN_ELSEWHERE | {
    "key_properties": "test_fields_are_the_key_that_the_tap_does_not_say",
    "newest_by": "test_an_older_row_changes_nothing_and_of_a_unit_the_newest_counts",
    "replace_by": "test_sets_of_rows_that_come_whole_take_the_place_of_those",
    "lock_timeout_seconds": "test_d04_a_lock_that_is_not_given_up",
    "reconnect_seconds": "test_d03_the_server_stays_away",
    "answer_seconds": "test_a_server_that_does_not_answer_is_hung_up_on",
    "replay_bytes": "test_d01_a_unit_that_is_not_held_is_left_to_the_next_run",
    "nested": "test_each_field_of_an_object_has_a_column",
    "schema_contract": "test_new_fields_are_left_out_where_the_contract_says_so",
    "on_type_conflict": "test_what_becomes_of_such_a_value_is_said_by_globs",
    "names": "test_tables_and_columns_have_the_names_of_the_config",
    "table_name": "test_tables_and_columns_have_the_names_of_the_config",
    "schema_name": "test_tables_and_columns_have_the_names_of_the_config",
    "column_names": "test_tables_and_columns_have_the_names_of_the_config",
    "ssh_tunnel": "test_a_tunnel_through_a_server_whose_key_is_known",
    "role": "test_a_role_owns_what_is_made",
    "statement_timeout_seconds": "test_a_statement_that_takes_longer_than_it_may_is_cancelled",
    "pre_sql": "test_sql_of_the_user_before_and_after",
    "post_sql": "test_sql_of_the_user_before_and_after",
    "indexes": "test_what_is_wanted_of_a_table_is_done_once_at_the_end",
    "grant_select": "test_what_is_wanted_of_a_table_is_done_once_at_the_end",
    "comments": "test_what_is_wanted_of_a_table_is_done_once_at_the_end",
    "analyze_rows": "test_what_is_wanted_of_a_table_is_done_once_at_the_end",
    "unlogged": "test_how_a_table_is_made",
    "tablespace": "test_how_a_table_is_made",
    "partition_by": "test_a_range_has_its_partitions_before_its_rows",
    "activate_version": "test_a_version_is_passed_over_where_that_is_asked_for",
    "embedded": "test_it_is_there_when_it_is_asked_for_by_name_or_with_an_empty_config",
    "embedded_folder": "test_it_is_there_when_it_is_asked_for_by_name_or_with_an_empty_config",
}


def documented(executable: str) -> list[str]:
    """What rules take has an effect each in test_quality.py."""
    found = re.findall(r"^\| `([^`]+)` \|", (REFERENCE / f"{executable}.md").read_text("utf-8"), re.M)
    return [name for name in found if not name.startswith("checks.")]


def into_files(folder: Path, messages: Sequence[Any], config: dict[str, Any]) -> tuple[Any, ...]:
    folder.mkdir()
    place = folder / "config.json"
    place.write_bytes(lines(config))
    done = run([str(BIN / "target-jsonl"), "--config", str(place)], stdin=lines(*messages), cwd=folder)
    left = {
        str(path.relative_to(folder)): re.sub(
            # Dead letters hold the id of the run, and the manifest a digest of them.
            r'"(run_id|committed_at|at|[a-z_]*_at|_singerkit_rejects.jsonl)":\s*"[^"]*"',
            "",
            path.read_text("utf-8"),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in (place, path.with_name("_singerkit_runs.jsonl"))
    }
    return done.code, done.stdout, left


@pytest.mark.parametrize("setting", SHARED)
def test_a_setting_of_every_target_changes_something(setting: str, tmp_path: Path) -> None:
    messages, before, added = SHARED[setting]
    first = into_files(tmp_path / "first", messages, before)
    assert first != into_files(tmp_path / "second", messages, before | added), f"{setting} has no effect"
    if setting != "add_record_metadata":
        assert first == into_files(tmp_path / "again", messages, before), "the same config gives the same run"


@pytest.mark.parametrize("setting", POSTGRES)
def test_a_setting_of_target_postgres_changes_something(setting: str, database: str) -> None:
    messages, before, added = POSTGRES[setting]

    def left(config: dict[str, Any]) -> Any:
        load(database, *messages, **config).expect(0)
        columns = query(
            database,
            "SELECT table_schema, column_name, data_type, numeric_scale FROM information_schema.columns "
            "WHERE table_name = 's' ORDER BY 1, 2",
        )
        place = columns[0][0]
        rows = query(database, f"SELECT id, t FROM {place}.s ORDER BY 1, 2")
        for found in {row[0] for row in columns}:
            query(database, f"DROP TABLE {found}.s")
            query(
                database, f"DELETE FROM {found}._singerkit_state"
            )  # or a version would spare the rows of another
        return columns, rows

    assert left(before | {"pipeline": "a"}) != left(before | added | {"pipeline": "b"}), (
        f"{setting} has no effect"
    )


@pytest.mark.parametrize("setting", CONNECTION)
def test_a_connection_setting_reaches_libpq(setting: str) -> None:
    base = {"host": "here"} if setting != "dsn" else {}
    given = parse_dsn(dsn_of(base | {setting: CONNECTION[setting]}))
    assert given != parse_dsn(dsn_of(base))


def test_every_documented_setting_is_here() -> None:
    assert sorted(documented("target-jsonl")) == sorted([*SHARED, *SHARED_SHOWN_ELSEWHERE])
    ours = {*SHARED, *POSTGRES, *CONNECTION, *SHOWN_ELSEWHERE} - {"destination_path"}
    top = [
        name
        for name in documented("target-postgres")
        if not name.startswith(("ssh_tunnel.", "partition_by."))
    ]
    assert sorted(top) == sorted(ours)
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert [name for name in SHOWN_ELSEWHERE.values() if f"def {name}(" not in sources] == []
