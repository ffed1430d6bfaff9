"""examples/shards: what can be seen of it without Dask, Kubernetes and Airflow; `make test-schedules` runs Dask."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml

from singerkit_run.planfile import read_plan

FOLDER = Path(__file__).parents[2] / "examples" / "shards"
FOR_GOOD = [64, 65, 70, 77, 78]


def test_the_file_of_pipelines_names_configs_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", "postgresql://x@h/d")
    pipeline = read_plan(str(FOLDER / "singerkit.yaml")).pipelines["orders"]
    for path in (*pipeline.tap.configs, *pipeline.target.configs):
        assert json.loads(Path(path).read_text())


def test_the_job_numbers_its_pods_as_shards_are_numbered() -> None:
    job = yaml.safe_load((FOLDER / "job.yaml").read_text())
    spec = job["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert f'--shard "$JOB_COMPLETION_INDEX/{spec["completions"]}"' in container["command"][-1]
    final = spec["podFailurePolicy"]["rules"][0]
    assert (final["action"], final["onExitCodes"]["values"]) == ("FailIndex", FOR_GOOD)
    assert final["onExitCodes"]["containerName"] == container["name"]
    # What `FailIndex` and `podFailurePolicy` ask for.
    assert "backoffLimitPerIndex" in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    mounted = {mount["mountPath"]: mount.get("subPath") for mount in container["volumeMounts"]}
    for path in ("singerkit.yaml", *(one.name for one in FOLDER.glob("*.json"))):
        assert mounted[f"{container['workingDir']}/{path}"] == path
    # Kubernetes makes folders where a mount lies in that of a ConfigMap, and a file goes into none.
    assert not [path for path in mounted for other in mounted if path.startswith(f"{other}/")]
    named = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == named


def test_the_dag_and_the_program_for_dask_are_python_and_know_our_exit_codes() -> None:
    dag, dask = (ast.parse((FOLDER / name).read_text()) for name in ("dag.py", "with_dask.py"))
    [codes] = [
        ast.literal_eval(node.value)
        for node in dag.body
        if isinstance(node, ast.Assign) and "NO_SECOND_TRY" in ast.dump(node.targets[0])
    ]
    assert codes == (75, tuple(FOR_GOOD))
    assert any(isinstance(node, ast.FunctionDef) and node.name == "run_shard" for node in dask.body)
