"""Every documented setting of target-duckdb has an effect; those that every target has are shown with target-jsonl."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.processes import run
from conformance.singer import lines
from targets.shared.test_every_setting import (
    MISSING,
    NUMBER,
    PLAIN,
    SAME_KEY,
    SHARED,
    SHARED_SHOWN_ELSEWHERE,
    VERSIONS,
    documented,
)

BIN = Path(sys.executable).parent
DUCKDB: dict[str, tuple[Sequence[Any], dict[str, Any], dict[str, Any]]] = {
    # setting: messages, config before, what the setting adds
    "database": (PLAIN, {}, {"database": "other.duckdb"}),
    "default_target_schema": (PLAIN, {}, {"default_target_schema": "mine"}),
    "load_method": (SAME_KEY, {}, {"load_method": "append-only"}),
    "number_type": (NUMBER, {}, {"number_type": "double"}),
    "column_types": (NUMBER, {}, {"column_types": {"s.t": "DECIMAL(12,4)"}}),
    "hard_delete": (VERSIONS, {"add_record_metadata": True}, {"hard_delete": False}),
    "activate_version": (VERSIONS, {"add_record_metadata": True}, {"activate_version": False}),
    "missing_fields": ([*PLAIN, *MISSING[1:]], {}, {"missing_fields": "keep"}),
}
SHOWN_IN_BOTH_DATABASES = {
    "on_type_conflict",
    "schema_contract",
    "nested",
    "replace_by",
    "newest_by",
    "key_properties",
    "names",
    "table_name",
    "schema_name",
    "column_names",
}  # test_type_conflicts.py, test_names.py, test_nested.py


def left(folder: Path, messages: Sequence[Any], config: dict[str, Any]) -> Any:
    """The files of a run, and what each of them says of the stream."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    run([str(BIN / "target-duckdb"), "--config", "config.json"], stdin=lines(*messages), cwd=folder).expect(0)
    found = {}
    for file in sorted(folder.glob("*.duckdb")):
        with duckdb.connect(str(file), read_only=True) as connection:
            columns = connection.execute(
                "SELECT schema_name, column_name, data_type FROM duckdb_columns() WHERE table_name = 's' ORDER BY 1, 2"
            ).fetchall()
            rows = connection.execute(f"SELECT id, t FROM {columns[0][0]}.s ORDER BY 1, 2").fetchall()
        found[file.name] = columns, rows
    return found


@pytest.mark.parametrize("setting", DUCKDB)
def test_a_setting_of_target_duckdb_changes_something(setting: str, tmp_path: Path) -> None:
    messages, before, added = DUCKDB[setting]
    assert left(tmp_path / "first", messages, before) != left(
        tmp_path / "second", messages, before | added
    ), f"{setting} has no effect"


def test_every_documented_setting_is_shown_to_have_an_effect() -> None:
    shared = {*SHARED, *SHARED_SHOWN_ELSEWHERE} - {"destination_path"}
    assert set(documented("target-duckdb")) == shared | DUCKDB.keys() | SHOWN_IN_BOTH_DATABASES
