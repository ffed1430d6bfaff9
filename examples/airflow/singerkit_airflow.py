"""A DAG of Airflow 3 from a file of pipelines: a task a pipeline, behind those that it names in `after`.

Put it beside your DAGs, and into a file of DAGs: `from singerkit_airflow import dag_of; dag_of("/srv/shop/singerkit.yaml", schedule="@hourly")`.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

ANOTHER_RUN = 75
FOR_GOOD = {64: "usage", 65: "bad data", 70: "a fault of singerkit", 77: "not authorised", 78: "config"}


def dag_of(file: str, *, command: str = "singerkit", **settings: Any) -> DAG:
    """Return the DAG of a file; ``command`` is the path of `singerkit`, in an environment of its own, ``settings`` are those of a DAG."""
    path = Path(file).absolute()
    given = {"dag_id": path.parent.name, "schedule": None, "catchup": False, "max_active_runs": 1, **settings}
    of_tasks = {"retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=12)}
    given["default_args"] = {**of_tasks, **given.get("default_args", {})}
    pipelines = pipelines_in(path)
    with DAG(**given) as dag:
        tasks = {name: SingerkitRun(task_id=name, command=command, path=str(path)) for name in pipelines}
        for name, pipeline in pipelines.items():
            for before in pipeline.get("after", []):
                tasks[before] >> tasks[name]
    return dag


def pipelines_in(path: Path) -> dict[str, Any]:
    """Return what a file says of each pipeline, as it stands there; what is wrong in it a run tells."""
    read: Any = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix, yaml.safe_load)
    return dict(read(path.read_text("utf-8"))["pipelines"])


class SingerkitRun(BaseOperator):
    """Runs one pipeline, whose last line says why it has failed. Config and secrets are where `singerkit run` finds them: none is an argument."""

    process: subprocess.Popen[str] | None = None

    def __init__(self, *, command: str, path: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.command, self.path = command, path

    def execute(self, context: Any) -> None:  # noqa: ARG002  Airflow gives it
        # In a session of its own it is asked to stop once (`on_kill`), and has its time for that, whenever Airflow kills the task.
        self.process = subprocess.Popen(
            [self.command, "run", self.path, self.task_id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        last = ""
        for line in self.process.stdout or ():
            last = line.rstrip() or last
            print(last)
        code = self.process.wait()
        if code == ANOTHER_RUN:
            raise AirflowSkipException(last)
        if code in FOR_GOOD:
            raise AirflowFailException(f"{FOR_GOOD[code]} ({code}): {last}")
        if code != 0:
            raise AirflowException(f"ended with {code}: {last}")

    def on_kill(self) -> None:
        """End it, as after `execution_timeout`, or where somebody stops the task: what is committed is safe."""
        if self.process is not None:
            self.process.terminate()
