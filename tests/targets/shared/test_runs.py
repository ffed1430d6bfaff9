"""What a run has come to is noted beside the state, in every target, whatever it has come to; and nothing of that is ever in a run's way."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from faults import loads
from targets.duckdb import test_target_duckdb as duck
from waiting import wait_until

OWN = SCHEMA("s", {"id": {"type": "integer"}, "v": {"type": ["string", "null"]}}, ["id"])


def bookmark(at: str) -> dict[str, Any]:
    return STATE({"bookmarks": {"s": {"replication_key": "at", "replication_key_value": at}}})


@dataclass
class Target:
    """``load`` runs a target with some messages and settings; ``take_the_place_of_runs`` puts something else there."""

    load: Callable[..., Outcome]
    name: str
    take_the_place_of_runs: Callable[[], object]

    def history(self, *arguments: str, **config: Any) -> list[dict[str, Any]]:
        outcome = self.load(arguments=["--history", *arguments], **config).expect(0)
        return [json.loads(line) for line in outcome.stdout.splitlines()]


OF_ANOTHER_SHAPE = "CREATE TABLE _singerkit_runs (a integer)"


@pytest.fixture(params=["target-postgres", "target-duckdb", "target-jsonl"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "target-postgres":
        dsn = request.getfixturevalue("database")
        return Target(
            lambda *m, **c: loads.load(dsn, *m, **c),
            request.param,
            lambda: loads.query(dsn, OF_ANOTHER_SHAPE),
        )
    if request.param == "target-duckdb":
        file = tmp_path / "a.duckdb"
        return Target(
            lambda *m, **c: duck.load(file, *m, **c),
            request.param,
            lambda: duck.query(file, OF_ANOTHER_SHAPE),
        )

    def into_files(*messages: Any, arguments: Any = (), **config: Any) -> Outcome:
        place = tmp_path / "config.json"
        place.write_text(json.dumps({"destination_path": str(tmp_path / "out")} | config))
        return run(
            [str(duck.BIN / "target-jsonl"), "--config", str(place), *arguments], stdin=lines(*messages)
        )

    return Target(
        into_files, request.param, lambda: (tmp_path / "out" / "_singerkit_runs.jsonl").mkdir(parents=True)
    )


def test_a_run_is_noted_with_what_came_of_it(target: Target) -> None:
    assert target.history() == []
    target.load(OWN, RECORD("s", {"id": 1}), RECORD("s", {"id": 2}), bookmark("2026-01-01T00:00:00Z")).expect(
        0
    )
    target.load(
        OWN,
        RECORD("s", {"id": 2, "v": "b"}),
        RECORD("s", {"id": "x"}),
        bookmark("2026-01-02T00:00:00Z"),
        on_invalid="quarantine",
    ).expect(0)
    failed = target.load(OWN, RECORD("s", {"id": 3}), RECORD("s", {"id": "secret value"})).expect(65)

    third, second, first = target.history()

    assert [one["result"] for one in (first, second, third)] == ["complete", "complete", "failed"]
    assert [one["exit_code"] for one in (first, second, third)] == [0, 0, 65]
    assert (first["pipeline"], first["target"], first["sequence"]) == ("default", target.name, 1)
    of = first["streams"]["s"]
    assert (of["rows"], of["set_aside"], of["bookmark_before"]) == (2, 0, None)
    of = second["streams"]["s"]
    assert (of["rows"], of["set_aside"]) == (1, 1)
    assert (of["bookmark_before"], of["bookmark_after"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    assert of["lag_seconds"] > 0
    if target.name != "target-jsonl":
        assert (of["new"], of["changed"]) == (0, 1)
        assert first["schema_changes"][0].endswith("s made for stream `s`.") or first["schema_changes"] == []
    assert second["dead_letters"] == {"s.id: Expected `integer`, got `...`": 1}
    assert third["reason"].startswith("Expected `integer`, got `...` at s.$.id")
    assert "secret value" in failed.stderr
    assert "secret value" not in json.dumps(third)
    assert [one["started"] for one in target.history("--last", "1")] == [third["started"]]
    assert len(target.history("--since", second["started"])) == 2
    since = ("--since", "9999-01-01", "--at-least")
    assert [one["started"] for one in target.history(*since, "1")] == [third["started"], second["started"]], (
        "the last one, and the last good one"
    )
    assert target.history(*since, "3") == target.history()
    assert target.history(*since, "3", "--pipeline", "other") == []
    assert target.history("--pipeline", "other") == []


def test_runs_are_kept_for_as_long_as_is_said(target: Target) -> None:
    target.load(OWN, bookmark("2026-01-01")).expect(0)
    target.load(OWN, bookmark("2026-01-02"), run_history_days=0).expect(0)
    assert [one["streams"]["s"]["bookmark_after"] for one in target.history()] == ["2026-01-01"]
    target.load(OWN, bookmark("2026-01-03"), run_history_days=1e-9).expect(0)
    assert [one["streams"]["s"]["bookmark_after"] for one in target.history()] == ["2026-01-03"]


def test_a_history_that_cannot_be_written_is_one_warning_and_no_more(target: Target) -> None:
    target.take_the_place_of_runs()
    outcome = target.load(OWN, RECORD("s", {"id": 1}), bookmark("2026-01-01")).expect(0)
    assert outcome.stderr.count("is not noted in the history of runs") == 1
    failed = target.load(OWN, RECORD("s", {"id": "x"})).expect(65)
    assert "CRITICAL" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize("target", ["target-duckdb", "target-jsonl"], indirect=True)
def test_who_can_read_a_place_that_one_run_has_at_a_time_knows_that_none_is_at_work(
    target: Target, tmp_path: Path
) -> None:
    target.load(OWN, bookmark("2026-01-01")).expect(0)
    at_work = ('"result":"complete"', '"result":"running"')
    if target.name == "target-jsonl":
        file = tmp_path / "out" / "_singerkit_runs.jsonl"
        file.write_text(file.read_text().replace(*at_work))
    else:
        text = "replace(CAST(run AS VARCHAR), '{}', '{}')".format(*at_work)
        duck.query(
            tmp_path / "a.duckdb",
            f"UPDATE _singerkit_runs SET result = 'running', run = CAST({text} AS JSON)",
        )
    assert [one["result"] for one in target.history()] == ["killed"]


def test_what_was_altered_warned_of_and_failed_behind_the_last_commit_is_noted(database: str) -> None:
    loads.load(database, OWN, RECORD("s", {"id": 1}), bookmark("2026-01-01")).expect(0)
    wider = SCHEMA("s", {"id": {"type": "integer"}, "w": {"type": ["string", "null"]}}, ["id"])
    loads.load(
        database,
        wider,
        RECORD("s", {"id": 1, "w": "a"}),
        bookmark("2026-01-02"),
        load_method={"s": "upsert", "nowhere": "append"},
        post_sql=["SELECT 1/0"],
    ).expect(65)
    last, _ = history(database)
    assert last["schema_changes"] == ["Columns added for stream `s`: `w`."]
    assert any("nowhere" in warning for warning in last["warnings"])
    assert (last["result"], last["exit_code"], last["streams"]["s"]["rows"]) == ("failed", 65, 1)
    assert "post_sql" in last["reason"]


def test_a_run_that_is_killed_is_known_as_such_when_the_next_begins(database: str) -> None:
    with loads.running(database) as process:
        process.send(lines(OWN, RECORD("s", {"id": 1})))
        wait_until(lambda: [one["result"] for one in history(database)] == ["running"])
        loads.load(database, OWN, bookmark("2026-01-01")).expect(75)
        refused, at_work = history(database)
        assert (refused["result"], refused["exit_code"], at_work["result"]) == ("skipped", 75, "running")
        process.signal(signal.SIGKILL)
        process.finish()
    wait_until(lambda: history(database)[1]["result"] == "killed")
    loads.load(database, OWN, bookmark("2026-01-02")).expect(0)
    last, refused, killed = history(database)
    assert [one["result"] for one in (last, refused, killed)] == ["complete", "skipped", "killed"]
    assert [
        result
        for (result,) in loads.query(database, "SELECT result FROM _singerkit_runs ORDER BY started_at")
    ] == [
        "killed",
        "skipped",
        "complete",
    ]


def history(database: str) -> list[dict[str, Any]]:
    """As a role reads it that may do nothing else."""
    options = {"PGOPTIONS": "-c default_transaction_read_only=on"}
    outcome = loads.load(database, arguments=["--history"], environment=options).expect(0)
    return [json.loads(line) for line in outcome.stdout.splitlines()]
