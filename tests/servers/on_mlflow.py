"""``make test-servers``: against MLflow, whose search is a POST with the filter, the size and the token in its body.

Runs are begun while they are read; in the end each has come once, with what MLflow itself says of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # whose environments these are

sys.path.insert(0, str(Path(__file__).parent))

from others import environment  # noqa: E402  needs the path above
from processes import call, free_port, running  # noqa: E402  needs it, too

MLFLOW = "mlflow==3.17.2"
BEGAN = 1_700_000_000_000


class MLflow:
    """A running MLflow, and what somebody else does there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.begun = 0

    def post(self, path: str, **body: Any) -> Any:
        return call("POST", f"{self.url}/{path}", body)

    def begin_runs(self, count: int) -> None:
        for _ in range(count):
            self.begun += 1
            self.post(
                "runs/create",
                experiment_id="0",
                start_time=BEGAN + self.begun // 3,
                run_name=f"r{self.begun}",
            )

    def names(self) -> list[str]:
        runs = self.post("runs/search", experiment_ids=["0"], max_results=50_000)["runs"]
        return sorted(run["info"]["run_name"] for run in runs)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflow]:
    programs, folder = environment(MLFLOW), tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [programs / "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/ml.db"]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    url, quiet = f"http://127.0.0.1:{port}", os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # At SIGTERM it takes its time.
    with running(command, f"{url}/health", folder / "log", with_signal=signal.SIGKILL, cwd=folder, env=quiet):
        yield MLflow(f"{url}/api/2.0/mlflow")


RUNS: dict[str, Any] = {
    "name": "runs",
    "path": "/runs/search",
    "method": "POST",
    "body": {
        "experiment_ids": ["0"],
        "filter": "attributes.start_time >= {bookmark}",
        "order_by": ["attributes.start_time ASC"],
        "max_results": "{size}",
        "page_token": "{cursor}",
    },
    "records": "$.runs[*]",
    "primary_keys": ["info.run_id"],
    "replication_key": "info.start_time",
    "replication_key_format": "epoch_ms",
    "is_sorted": True,
    "incremental": {"format": "epoch_ms"},
    "pagination": {"type": "cursor", "cursor": "$.next_page_token", "size": 7},
}


class Reader:
    """Runs of tap-rest, each from the state of the one before, and the names of what came."""

    def __init__(self, server: MLflow, folder: Path) -> None:
        self.names: list[str] = []
        self._folder, self._state = folder, folder / "state.json"
        config = {
            "base_url": server.url,
            "start_date": "2023-01-01T00:00:00Z",
            "schema_cache": str(folder),
            "streams": [RUNS],
        }
        (folder / "tap.json").write_text(json.dumps(config))

    def run(self) -> None:
        command = [Path(sys.executable).with_name("tap-rest"), "--config", self._folder / "tap.json"]
        state = ["--state", self._state] if self._state.exists() else []
        ended = subprocess.run([*command, *state], capture_output=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stderr.decode()
        messages = [json.loads(line) for line in ended.stdout.splitlines()]
        self.names += [m["record"]["info"]["run_name"] for m in messages if m["type"] == "RECORD"]
        self._state.write_text(json.dumps([m["value"] for m in messages if m["type"] == "STATE"][-1]))


def test_each_run_comes_once_while_others_begin(mlflow: MLflow, tmp_path: Path) -> None:
    mlflow.begin_runs(20)
    reader = Reader(mlflow, tmp_path)
    for _ in range(3):
        thread = threading.Thread(target=mlflow.begin_runs, args=(12,))
        thread.start()
        try:
            reader.run()
        finally:
            thread.join()
    reader.run()
    assert sorted(reader.names) == mlflow.names()


def test_a_filter_that_it_refuses_is_told_in_its_words(mlflow: MLflow, tmp_path: Path) -> None:
    wrong = RUNS | {"body": RUNS["body"] | {"filter": "attributes.nonsense >= {bookmark}"}}
    config = {"base_url": mlflow.url, "start_date": "2023-01-01T00:00:00Z", "streams": [wrong]}
    (tmp_path / "tap.json").write_text(json.dumps(config | {"schema_cache": str(tmp_path)}))
    command = [Path(sys.executable).with_name("tap-rest"), "--config", tmp_path / "tap.json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 65
    assert "answered 400" in ended.stderr.splitlines()[-1]
    assert "Invalid attribute key 'nonsense'" in ended.stderr.splitlines()[-1]
