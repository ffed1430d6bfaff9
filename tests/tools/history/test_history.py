"""`singerkit history`: what the runner and the targets say of runs, as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tools.run.projects import BIN, Project, record, say, schema, state
from waiting import wait_until

from singerkit_history.command import history
from singerkit_history.table import lines_of
from singerkit_run.joining import joined
from singerkit_shell.errors import UsageError
from singerkit_state.runs import RuleRun, Run, StreamRun, as_json, from_json

AT = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def asked(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    result = CliRunner().invoke(history, ["--json", *arguments], standalone_mode=False)
    assert (result.exception, result.return_value) == (None, code), result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_runs_of_the_runner_have_what_their_targets_say_and_those_of_the_shell_stand_beside_them(
    project: Project,
) -> None:
    once = "test -e tried || { touch tried; exit 69; }"
    project.add(
        "orders", schema(), record(1), state(1), once, record(2), state(2), retries={"times": 1, "wait": "0s"}
    )
    project.add("items", "echo 'No such table: items' >&2; exit 65")
    project.add("lines", after=["items"])
    assert project.run()[0] == 65
    plain = f"./orders.sh | {BIN / 'target-jsonl'} --config state/orders.pipeline.json --config orders.json"
    subprocess.run(plain, shell=True, check=True, capture_output=True)

    runs = asked()
    by_name = {run["pipeline"]: run for run in runs[1:]}

    assert (
        runs[0]["pipeline"],
        runs[0]["tap"],
        runs[0]["result"],
        runs[0]["tries"],
        runs[0]["streams"]["a"]["rows"],
    ) == (
        "orders",
        None,
        "complete",
        1,
        2,
    )
    orders, items, lines = by_name["orders"], by_name["items"], by_name["lines"]
    assert (orders["result"], orders["tries"], orders["tap"], len(orders["parts"])) == (
        "complete",
        2,
        "orders.sh",
        2,
    )
    assert (orders["streams"]["a"]["rows"], orders["committed"], orders["sequence"]) == (3, True, 2)
    assert (items["result"], items["exit_code"], items["reason"]) == ("failed", 65, "No such table: items")
    assert (lines["result"], lines["tries"]) == ("skipped", 0)
    assert {run["pipeline"] for run in asked("--failed", "--since", "1d")} == {"lines", "items"}
    assert [run["id"] for run in asked("orders", "--last", "1")] == [runs[0]["id"]]
    assert asked("--target", "target-jsonl", "--config", "orders.json")[0] == runs[0]


def test_a_run_whose_runner_is_killed_is_killed(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1), "touch begun", "exec sleep 600")
    process = project.start()
    wait_until((project.folder / "begun").exists)
    assert [run["result"] for run in asked()] == ["running"]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not project.living())
    [run] = asked()
    loaded = len(project.rows("orders"))  # whether the target has read it yet is up to the machine
    assert (run["result"], run["streams"]["a"]["rows"] if loaded else 0) == ("killed", loaded)


def test_of_a_target_of_others_it_is_told_what_its_states_say(project: Project) -> None:
    """And how many rows came, where it says so as those of singer-sdk do: never 0 where nobody knows."""
    reached = say(
        {"type": "STATE", "value": {"bookmarks": {"a": {"replication_key_value": "2026-11-28T00:00:00Z"}}}}
    )
    metric = json.dumps({"metric": "record_count", "value": 3, "tags": {"stream": "a"}})
    prints_states = r"""sed -n 's/.*"value": \(.*\)}$/\1/p'"""
    project.add("silent", reached, target=[prints_states])
    project.add("orders", reached, "test ! -e broken", target=[f"echo 'METRIC: {metric}' >&2", prints_states])
    project.more["signals"] = {"metrics_folder": "metrics"}
    assert project.run()[0] == 0
    (project.folder / "broken").touch()
    assert project.run("orders")[0] == 1
    failed, orders, silent = (run["streams"]["a"] for run in asked())
    assert (silent["rows"], silent["bookmark_before"], silent["bookmark_after"]) == (
        None,
        None,
        "2026-11-28T00:00:00Z",
    )
    assert (orders["rows"], failed["rows"]) == (3, None)
    assert failed["bookmark_before"] == failed["bookmark_after"] == "2026-11-28T00:00:00Z"
    assert min(one["lag_seconds"] for one in (failed, orders, silent)) > 0
    metrics = (project.folder / "metrics" / "singerkit-silent.prom").read_text()
    assert 'singerkit_bookmark_timestamp_seconds{pipeline="silent",stream="a"} 1795824000\n' in metrics
    assert 'what="loaded"' not in metrics


def test_a_history_that_cannot_be_written_is_told_of_and_changes_nothing(project: Project) -> None:
    (project.folder / "state" / "orders.runs.jsonl").mkdir(parents=True)
    project.add("orders", schema(), record(1), state(1))
    code, said = project.run()
    assert (code, project.rows("orders")) == (0, [1])
    assert "is not noted in the history of runs" in said
    shown = subprocess.run(
        [str(BIN / "singerkit"), "history"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 78
    assert "complete" in shown.stdout
    assert "orders.runs.jsonl cannot be read (Is a directory), and is left out" in shown.stderr


def run_of(name: str, minutes: int = 0, **more: Any) -> Run:
    at = AT + timedelta(minutes=minutes)
    return Run(
        name, more.pop("pipeline", "orders"), at, at, 2.0, **{"result": "complete", "exit_code": 0, **more}
    )


def test_tries_of_a_runner_that_has_left_no_word_here_are_one_run() -> None:
    """It ran in a container, say, whose disk is gone."""
    first = run_of(
        "a", result="failed", exit_code=69, runner="r", streams={"s": StreamRun(1, new=1, bookmark_after="1")}
    )
    rule = RuleRun("s", "rows", "", "checks.s[0]", "warn", "broken", 9, 0, "the run has 9 rows")
    second = run_of(
        "b",
        1,
        runner="r",
        streams={"s": StreamRun(2, new=None, bookmark_before="1", bookmark_after="2")},
        quality=[rule],
    )

    [run] = joined([], [second, first])

    assert (run.id, run.parts, run.tries, run.result, run.started) == ("r", ("a", "b"), 2, "complete", AT)
    assert run.streams["s"] == StreamRun(3, bookmark_after="2")
    assert from_json(as_json(run)).quality == (rule,)
    [_, line] = lines_of([run], None)
    assert line.below == ["    Rule `rows` in stream s (checks.s[0], warn) is broken: the run has 9 rows"]


def test_a_run_whose_target_found_another_one_at_work_did_nothing() -> None:
    """That had begun when its runner had asked already. A lock that is met later (75, too) is another matter: rows were on their way."""
    runner = run_of("r", result="failed", exit_code=75, reason="It is being loaded by another.")
    refused = run_of("a", result="skipped", exit_code=75, runner="r")
    assert joined([runner], [refused])[0].did_nothing
    assert not joined([runner], [replace(refused, result="failed")])[0].did_nothing


@pytest.mark.parametrize("width", [80, 100, None])
def test_the_table_has_room(width: int | None) -> None:
    stream = StreamRun(
        1_204, 1_180, 24, 3, 0, 2, 99_000, 1.0, "2026-11-27T02:59:58Z", "2026-11-28T02:59:41.123456Z", 31.0
    )
    runs = [
        run_of("a", streams={"orders": stream}, warned=2),
        run_of(
            "b", result="failed", exit_code=69, tries=3, reason="The API did not answer within 60 s. " * 4
        ),
    ]
    lines = list(lines_of(runs, width))

    assert all(len(words) <= (width or 999) for line in lines for words in (line.words, *line.below))
    header, first, second = lines
    assert "1,180" in first.words
    assert "failed (69)" in second.words
    assert " ".join(" ".join(second.below).split()) == ("The API did not answer within 60 s. " * 4).strip()
    assert ("bookmark before" in header.words) == (width is None)
    assert (first.colour, second.colour) == (None, "red")


def test_runs_are_shown_without_the_variables_of_the_tap_and_with_the_pipeline_in_a_config_of_a_target(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("orders", schema(), record(1), state(1))
    project.pipelines["orders"]["tap"]["env"] = {"TOKEN": "${API_TOKEN}"}
    (project.folder / "orders.json").write_text('{"destination_path": "rows/${SINGERKIT_PIPELINE}"}')
    assert project.run(API_TOKEN="tok-4711")[0] == 0
    [run] = asked()
    assert run["streams"]["a"]["rows"] == 1


def test_what_a_program_says_moves_no_cursor(project: Project) -> None:
    project.add("orders", r"printf '\033[31mred\033]0;title\007\n' >&2", "exit 65")
    code, said = project.run()
    assert (code, "\x1b" in said, r"\x1b[31mred\x1b]0;title\x07" in said) == (65, False, True)
    shown = CliRunner().invoke(history, [], standalone_mode=False)
    assert (r"\x1b[31mred" in shown.stdout, "\x1b" in shown.stdout) == (True, False)


def test_a_length_of_time_beyond_all_calendars_is_a_mistake(project: Project) -> None:
    project.write()
    result = CliRunner().invoke(history, ["--since", "99999999999d"], standalone_mode=False)
    assert isinstance(result.exception, UsageError)


def test_shards_are_runs_of_their_pipeline(project: Project) -> None:
    project.add("orders", schema(), state(1))
    project.pipelines["orders"]["tap"]["args"] = ["${SHARD}"]
    assert project.run("--shard", "1/2")[0] == 0
    [run] = asked("orders")
    assert (run["pipeline"], run["result"], run["commits"], len(run["parts"])) == (
        "orders#1/2",
        "complete",
        1,
        1,
    )
