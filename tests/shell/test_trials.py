"""`--check-config`: what a run would refuse a config for, and nothing is opened; `--check-configs` says it of many."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import starting

BIN = Path(sys.executable).parent
CONNECTORS = sorted(
    one.name
    for one in entry_points(group="console_scripts")
    if one.value.startswith(("tap_", "target_")) and one.dist is not None and one.dist.name == "singerkit"
)
GOOD = {
    "tap-files": {"streams": [{"name": "a", "path": "gone/*.csv"}]},
    "tap-rest": {"base_url": "http://127.0.0.1:9", "streams": [{"name": "a", "path": "/a"}]},
    "tap-postgres": {"dsn": "postgresql://nobody@127.0.0.1:9/nothing"},
    "tap-sqlite": {"path": "gone.db"},
    "target-jsonl": {"destination_path": "rows"},
    "target-duckdb": {"database": "rows.duckdb"},
    "target-postgres": {"dsn": "postgresql://nobody@127.0.0.1:9/nothing"},
}


def ran(folder: Path, *command: str, words: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        input=words,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tried(
    folder: Path, name: str, cases: list[dict[str, Any]], *before: str
) -> subprocess.CompletedProcess[str]:
    # A fork of a fork of a process with threads, as tests start executables else, waits for those threads in the libraries that have them.
    with starting.really():
        return ran(
            folder, name, *before, "--check-configs", words="".join(f"{json.dumps(one)}\n" for one in cases)
        )


@pytest.mark.parametrize("name", CONNECTORS)
def test_a_config_is_taken_or_refused_as_by_a_run(tmp_path, name):
    (tmp_path / "good.json").write_text(json.dumps({**GOOD[name], "pipeline": "p"}))
    (tmp_path / "bad.json").write_text(json.dumps({**GOOD[name], "pipelin": "p"}, indent=1))
    taken = ran(tmp_path, name, "--config", "good.json", "--check-config")
    assert (taken.returncode, taken.stdout) == (0, "")
    assert "The config in good.json is one that a run takes." in taken.stderr
    refused = ran(tmp_path, name, "--config", "bad.json", "--check-config")
    by_a_run = ran(tmp_path, name, "--config", "bad.json")
    assert refused.returncode == by_a_run.returncode == 78
    assert refused.stderr.splitlines()[-1] == by_a_run.stderr.splitlines()[-1]
    cases = [{"arguments": ["--config", f"{one}.json"], "env": {}} for one in ("good", "bad", "good")]
    many = tried(tmp_path, name, cases, "--about", "--format=json")
    assert many.returncode == 0, many.stderr
    first, *answers = map(json.loads, many.stdout.splitlines())
    assert "singerkit" in first
    assert [one["code"] for one in answers] == [0, 78, 0]
    assert answers[1]["said"] == refused.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "good.json"]


def test_none_sees_the_variables_of_another(tmp_path):
    (tmp_path / "tap.json").write_text('{"path": {"env": "PLACE_OF_ONE"}}')
    cases = [{"arguments": ["--config", "tap.json"], "env": env} for env in ({"PLACE_OF_ONE": "a.db"}, {})]
    many = tried(tmp_path, "tap-sqlite", cases)
    assert [json.loads(line).get("code") for line in many.stdout.splitlines()] == [None, 0, 78]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("tap-sqlite", "--discover"),
        ("tap-rest", "--test=schema"),
        ("target-jsonl", "--last-state"),
        ("target-jsonl", "--tables"),
    ],
)
def test_it_goes_with_nothing_that_opens_something(tmp_path, name, other):
    (tmp_path / "good.json").write_text(json.dumps({**GOOD[name], "pipeline": "p"}))
    refused = ran(tmp_path, name, "--config", "good.json", "--check-config", other)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "`--check-config`" in refused.stderr
