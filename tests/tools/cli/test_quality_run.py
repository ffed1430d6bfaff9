"""`singerkit quality run`: targets are asked, of a file of pipelines or one alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conformance.processes import run
from conformance.singer import RECORD, SCHEMA, STATE, lines

from singerkit_cli.quality import quality
from singerkit_shell.errors import UsageError

TARGET = str(Path(sys.executable).with_name("target-duckdb"))


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(quality, ["run", *arguments], standalone_mode=False)


def test_what_came_of_each_rule_is_shown_and_ends_with_65_where_one_is_broken(tmp_path: Path) -> None:
    """With the rules in a config of their own, and by a file of pipelines."""
    own = SCHEMA("orders", {"id": {"type": "integer"}, "qty": {"type": ["integer", "null"]}}, ["id"])
    config, rules = tmp_path / "duck.json", tmp_path / "rules.json"
    config.write_text(json.dumps({"database": str(tmp_path / "a.duckdb")}))
    checks: list[dict[str, Any]] = [
        {"rule": "not_null", "field": "qty"},
        {"rule": "range", "field": "qty", "min": 0, "on": "warn"},
    ]
    rules.write_text(json.dumps({"checks": {"orders": checks}}))
    messages = lines(
        own, RECORD("orders", {"id": 1, "qty": None}), RECORD("orders", {"id": 2, "qty": 1}), STATE({"a": 1})
    )
    run([TARGET, "--config", str(config)], stdin=messages, cwd=tmp_path).expect(0)
    found = asked("--target", TARGET, "--config", str(config), "--config", str(rules))
    assert found.return_value == 65
    assert "broken      orders: not_null of qty: 1 of 2 (key id = 1)" in found.output
    assert "kept        orders: range of qty" in found.output
    assert "Nothing was changed" in found.output
    rules.write_text(json.dumps({"checks": {"orders": checks[1:]}}))
    plan = tmp_path / "plan.json"
    program = {"exec": TARGET, "config": [str(config), str(rules)]}
    plan.write_text(
        json.dumps(
            {
                "pipelines": {
                    "p": {
                        "tap": {"exec": "tap-rest", "config": str(config)},
                        "target": program,
                        "state": "s.json",
                    }
                }
            }
        )
    )
    by_file = asked(str(plan), "--json")
    assert by_file.return_value == 0, by_file.output
    [said] = [json.loads(line) for line in by_file.output.splitlines()]
    assert (said["pipeline"], said["verdict"], said["judged"]) == ("p", "kept", 1)


def test_a_config_without_its_target_is_refused() -> None:
    with pytest.raises(UsageError, match="goes with `--target` only"):
        CliRunner().invoke(quality, ["run", "--config", "x"], standalone_mode=False, catch_exceptions=False)
