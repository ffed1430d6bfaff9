"""A real Airflow 3 (`make test-airflow`) runs the DAG that `examples/airflow` makes of a file of pipelines: scheduler, DAG processor, API server and executor."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from singerkit_state.statefile import StateFileLock

PROJECT = Path(__file__).parents[2]
AIRFLOW = PROJECT / ".envs" / "airflow" / "bin" / "airflow"
SINGERKIT = Path(sys.executable).with_name("singerkit")
SECONDS = 300
CANARY = "canary-8d1f0c"

SCHEMA = '{"type": "SCHEMA", "stream": "a", "schema": {"properties": {"id": {"type": "integer"}}}, "key_properties": ["id"]}'
ROWS = f"""\
printf '%s\\n' '{SCHEMA}' '{{"type": "RECORD", "stream": "a", "record": {{"id": 1}}}}' '{{"type": "STATE", "value": {{"n": 1}}}}'
"""
TAPS = {
    "good": ROWS,
    "flaky": f"[ -e came ] || {{ touch came; exit 69; }}\n{ROWS}",
    "bad": 'touch bad-$(date +%N); echo "token $TOKEN" >&2; exit 65\n',
    "behind-bad": ROWS,
    "held": ROWS,
    "behind-held": ROWS,
}
AFTER = {"flaky": ["good"], "bad": ["good"], "behind-bad": ["bad"], "behind-held": ["held"]}

SHARDED = f"""\
case $1 in
  1) touch bad-$(date +%N); exit 65;;
  2) [ -e came ] || {{ touch came; exit 69; }};;
esac
printf '%s\\n' '{SCHEMA}' '{{"type": "RECORD", "stream": "a", "record": {{"id": '"$1"'}}}}' '{{"type": "STATE", "value": {{"n": 1}}}}'
"""

DAGS = """\
from datetime import timedelta

from singerkit_airflow import dag_of

soon = {{"retries": 1, "retry_delay": timedelta(seconds=1)}}
dag_of({shop!r}, command={command!r}, default_args=soon)
dag_of({stopped!r}, command={command!r}, default_args={{"retries": 0}})
dag_of({slow!r}, command={command!r}, default_args={{"retries": 0, "execution_timeout": timedelta(seconds=8)}})
"""


@dataclass(frozen=True)
class Airflow:
    home: Path
    environment: dict[str, str]

    def trigger(self, dag: str) -> None:
        wait_for(
            lambda: self.query("select 1 from serialized_dag where dag_id = ?", dag), f"{dag} to be known"
        )
        done = subprocess.run(
            [AIRFLOW, "dags", "trigger", dag],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def run(self, dag: str) -> dict[str, tuple[str, int]]:
        """Trigger a DAG and return what has become of each task, and at which try."""
        self.trigger(dag)
        ended = "select 1 from dag_run where dag_id = ? and state in ('success', 'failed')"
        wait_for(lambda: self.query(ended, dag), f"{dag} to end")
        tasks = self.query("select task_id, state, try_number from task_instance where dag_id = ?", dag)
        return {task: (state, tries) for task, state, tries in tasks}

    def query(self, question: str, *values: str) -> list[tuple[str, str, int]]:
        with (
            contextlib.closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as connection,
            connection,
        ):
            return connection.execute(question, values).fetchall()

    def logs(self) -> str:
        return "".join(
            path.read_text(errors="replace") for path in sorted((self.home / "logs").rglob("*.log"))
        )


def wait_for(found: Callable[[], object], what: str) -> None:
    until = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < until, f"waited too long for {what}"
        time.sleep(0.5)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def project(folder: Path, taps: dict[str, str]) -> Path:
    folder.mkdir()
    pipelines = {}
    for name, lines in taps.items():
        (folder / name).write_text(f"#!/bin/sh\n{lines}")
        (folder / name).chmod(0o755)
        (folder / f"{name}.json").write_text(json.dumps({"destination_path": f"out-{name}"}))
        pipelines[name] = {
            "tap": {"exec": f"./{name}", "env": {"TOKEN": "${SHOP_TOKEN}"}},
            "target": {"exec": "target-jsonl", "config": f"{name}.json"},
            "after": AFTER.get(name, []),
        }
    (folder / ".env").write_text(f"SHOP_TOKEN={CANARY}\n")
    (folder / "singerkit.yaml").write_text(json.dumps({"pipelines": pipelines}))
    return folder / "singerkit.yaml"


def sharded(folder: Path) -> str:
    """Make a project whose pipeline is read by four shards, and return the example's DAG for it."""
    file = project(folder, {"orders": SHARDED})
    orders = json.loads(file.read_text())["pipelines"]["orders"]
    orders["tap"]["args"] = ["${SHARD_INDEX}"]
    orders["target"]["config"] = "out-${SHARD_INDEX}.json"
    file.write_text(json.dumps({"pipelines": {"orders": orders}}))
    for number in range(4):
        (folder / f"out-{number}.json").write_text(json.dumps({"destination_path": f"out-{number}"}))
    text = (PROJECT / "examples" / "shards" / "dag.py").read_text()
    for said, here in {
        '"/pipelines/singerkit.yaml", "orders", 8': f'{str(file)!r}, "orders", 4',
        "timedelta(minutes=1)": "timedelta(seconds=1)",
        '"@hourly"': "None",
        '["singerkit", "run"': f'[{str(SINGERKIT)!r}, "run"',
    }.items():
        assert said in text
        text = text.replace(said, here)
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("airflow")
    project(made / "shop", TAPS)
    project(made / "slow", {"slow": "echo $$ > pid; sleep 600\n"})
    project(made / "stopped", {"stopped": f"{ROWS}echo $$ > pid; sleep 600\n"})
    return made


@pytest.fixture(scope="module")
def airflow(folder: Path) -> Iterator[Airflow]:
    home = folder / "home"
    (home / "dags").mkdir(parents=True)
    shutil.copy(PROJECT / "examples" / "airflow" / "singerkit_airflow.py", home / "dags")
    places = {name: str(folder / name / "singerkit.yaml") for name in ("shop", "slow", "stopped")}
    (home / "dags" / "sharded.py").write_text(sharded(folder / "sharded"))
    (home / "dags" / "all.py").write_text(DAGS.format(**places, command=str(SINGERKIT)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PATH": f"{AIRFLOW.parent}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    }
    with open(home / "standalone.log", "wb") as log:
        process = subprocess.Popen(
            [AIRFLOW, "standalone"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: listens(port), "the API server to listen")
        yield Airflow(home, environment)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def ended(airflow: Airflow, folder: Path) -> dict[str, tuple[str, int]]:
    """What became of the tasks of a run in which another run holds `held`."""
    (folder / "shop" / "state").mkdir()
    with StateFileLock(str(folder / "shop" / "state" / "held.run"), "held"):
        return airflow.run("shop")


def test_each_exit_code_has_its_own_end(ended: dict[str, tuple[str, int]], folder: Path) -> None:
    states = {task: state for task, (state, _) in ended.items()}
    assert states == {
        "good": "success",
        "flaky": "success",
        "bad": "failed",
        "behind-bad": "upstream_failed",
        "held": "skipped",
        "behind-held": "skipped",
    }
    assert (ended["flaky"][1], ended["bad"][1]) == (2, 1)
    assert len(list((folder / "shop").glob("bad-*"))) == 1
    (file,) = (folder / "shop" / "out-flaky").glob("a*.jsonl")
    assert file.read_text().count("\n") == 1


@pytest.mark.usefixtures("ended")
def test_the_log_of_a_task_has_what_the_run_says_and_no_secret(airflow: Airflow) -> None:
    said = airflow.logs()
    assert "1 pipeline done." in said
    assert (
        "bad data (65): CRITICAL singerkit run: 1 of 1 pipeline failed; `bad` ended with 65: token ***"
        in said
    )
    everything = [path.read_bytes() for path in airflow.home.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in data for data in everything)


def test_a_task_that_takes_too_long_leaves_nothing_behind(airflow: Airflow, folder: Path) -> None:
    assert airflow.run("slow") == {"slow": ("failed", 1)}
    wait_for(lambda: not lives(folder / "slow"), "the tap to end")


def test_a_task_that_is_stopped_commits_what_is_safe(airflow: Airflow, folder: Path) -> None:
    """As somebody does who marks it as failed: the next heartbeat of the task learns of it."""
    airflow.trigger("stopped")
    wait_for((folder / "stopped" / "pid").exists, "the tap to begin")
    assert lives(folder / "stopped")
    airflow.query("update task_instance set state = 'failed' where dag_id = ?", "stopped")
    wait_for(lambda: not lives(folder / "stopped"), "the tap to end")
    state = folder / "stopped" / "state" / "stopped.json"
    wait_for(state.exists, "the state")
    assert json.loads(state.read_text())["n"] == 1
    (file,) = (folder / "stopped" / "out-stopped").glob("a*.jsonl")
    assert file.read_text().count("\n") == 1


def test_mapped_tasks_are_shards_each_with_an_end_of_its_own(airflow: Airflow, folder: Path) -> None:
    place = folder / "sharded"
    (place / "state").mkdir()
    with StateFileLock(str(place / "state" / "orders.3-of-4.run"), "held"):
        airflow.run("orders_in_shards")
    tasks = airflow.query(
        "select map_index, state, try_number from task_instance where dag_id = ? order by 1",
        "orders_in_shards",
    )
    assert tasks == [(0, "success", 1), (1, "failed", 1), (2, "success", 2), (3, "skipped", 1)]
    rows = {path.parent.parent.name: path.read_text() for path in place.glob("out-*/a/*.jsonl")} or {
        path.parent.name: path.read_text() for path in place.glob("out-*/a*.jsonl")
    }
    assert {name: json.loads(text)["id"] for name, text in rows.items()} == {"out-0": 0, "out-2": 2}
    assert sorted(path.name for path in (place / "state").glob("orders.*-of-4.json")) == [
        "orders.0-of-4.json",
        "orders.2-of-4.json",
    ]


def lives(project: Path) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)
        return True
    return False
