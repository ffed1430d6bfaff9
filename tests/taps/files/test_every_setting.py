"""Every setting of a stream has an effect: a run with it differs from the run without, or the test that shows it is named."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import ConfigurationError, SingerkitError
from tap_files.config import CONFIG_SCHEMA
from tap_files.formats.table import FORMATS
from tap_files.settings.stream import STREAM

HERE = Path(__file__).parent

EFFECTS: dict[str, Any] = {
    "path": "in/a.csv",
    "name": "u",
    "format": "jsonl",
    "schema": {"properties": {"id": {"type": "string"}}},
    "primary_keys": ["id"],
    "file_columns": ["_line"],
    "on_changed": "append",
    "on_removed": "delete",
    "on_error": "continue",
    "on_bad_row": "set_aside",
    "start_date": "2024-01-01T00:00:00Z",
    "minimum_age": "9999d",
    "done_marker": "_SUCCESS",
    "remembered_files": 1,
    "grows": True,
}
SHOWN_ELSEWHERE = {
    "bad_row_limit": "test_bad_rows.py",
    "compression": "test_packed.py",
    "members": "test_packed.py",
    "unpacked_limit": "test_packed.py",
    "unpacked_ratio": "test_packed.py",
    "rotation": "test_rotation.py",
}


def outcome(folder: Folder, **changes: Any) -> Any:
    """Two runs with changes between them: what they sent, and how they ended."""
    for name in os.listdir(folder.path / "in"):
        (folder.path / "in" / name).unlink()
    folder.write("in/a.csv", "id,x\n1,a\n2,b", modified=1_000_000)
    folder.write("in/b.csv", "id,x\n3\n4,d\n", modified=1_800_000_000)
    folder.write("in/c.csv", "id,x\n5,e\n", modified=1_800_000_001)
    said = []
    state: Any = None
    for _ in range(2):
        error = ""
        try:
            folder.sync(state, **changes)
        except SingerkitError as failure:
            error = str(failure)
        result = folder.result()
        with contextlib.suppress(IndexError):
            state = result.state
        shown = [
            {k: v for k, v in one.items() if k not in ("time_extracted", "value")} for one in result.messages
        ]
        position = (state or {}).get("bookmarks", {}).get("t", {}).get("_singerkit_position", {})
        said.append((shown, error, sorted(position.get("done", ()))))
        folder.write("in/a.csv", "id,x\n9,z\n", modified=1_800_000_002)
        with contextlib.suppress(FileNotFoundError):
            (folder.path / "in/c.csv").unlink()
    return said


@pytest.mark.parametrize("setting", EFFECTS)
def test_a_setting_has_an_effect(folder: Folder, setting: str) -> None:
    without = outcome(folder, on_error="continue") if setting != "on_error" else outcome(folder)
    rest = {} if setting == "on_error" else {"on_error": "continue"}
    assert outcome(folder, **rest, **{setting: EFFECTS[setting]}) != without


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"schema": {"id": {"type": "integer"}}}, "Expected the key `streams[0].schema.properties`"),
        (
            {"schema": {"properties": {"id": {"type": "string", "format": "time"}}}},
            "`streams[0].schema.properties.id.format` `time` is held against no text of the format `csv`; take `date` or `date-time`",
        ),
        ({"primary_keys": ["id", "id"]}, "`streams[0].primary_keys`"),
        ({"csv": {"encoding": "unicode_escape"}}, "`streams[0].csv.encoding`"),
        ({"grows": True, "format": "json"}, "`streams[0].grows` has no effect on files of the format `json`"),
        (
            {"format": "log", "log": {"pattern": "logfmt"}, "on_changed": "fail"},
            "`streams[0].on_changed` has no effect with `streams[0].rotation` `follow`",
        ),
    ],
)
def test_a_setting_that_would_have_no_effect_is_refused(
    folder: Folder, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        folder.sync(**settings)


@pytest.mark.parametrize(
    "path", ["sftp://joe:hunter2@127.0.0.1:2/a.csv", "https://joe:hunter2@127.0.0.1/a.csv"]
)
def test_a_password_in_a_path_is_refused_with_the_config(folder: Folder, path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"would be shown.*at `streams\[0\].path`") as caught:
        folder.sync(path=path)
    assert "hunter2" not in str(caught.value)


def test_every_setting_is_shown() -> None:
    shown = {*EFFECTS, *SHOWN_ELSEWHERE, *FORMATS}
    assert {*STREAM["properties"]} - shown == set()
    for setting, name in SHOWN_ELSEWHERE.items():
        assert setting in (HERE / name).read_text()
    assert {*CONFIG_SCHEMA["properties"]} - {"streams", "storage"} <= {
        "pipeline",
        "start_date",
        "select",
        "state_every",
    }
