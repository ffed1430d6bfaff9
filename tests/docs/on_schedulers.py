"""The examples for Luigi, Kubeflow and Glue (`make test-schedulers`): Luigi runs a file of pipelines, the job of Glue does with a secret of a Secrets Manager
on this machine (moto), and the compiler of Kubeflow takes what is made for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
BIN = PROJECT / ".envs" / "schedulers" / "bin"
OURS = Path(sys.executable).parent
CANARY = "canary-51c3e2"
SCHEMA = '{"type": "SCHEMA", "stream": "a", "schema": {"properties": {"id": {"type": "integer"}}}, "key_properties": ["id"]}'
RECORD = '{"type": "RECORD", "stream": "a", "record": {"id": 1}}'
ROWS = f"""printf '%s\\n' '{SCHEMA}' '{RECORD}' '{{"type": "STATE", "value": {{"n": 1}}}}'"""


def project(folder: Path, **taps: str) -> Path:
    """Each pipeline stands on the one before."""
    pipelines: dict[str, Any] = {}
    for name, lines in taps.items():
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> order\n{lines}\n")
        (folder / name).chmod(0o755)
        (folder / f"{name}.json").write_text(json.dumps({"destination_path": f"out-{name}"}))
        pipelines[name] = {
            "tap": {"exec": f"./{name}"},
            "target": {"exec": "target-jsonl", "config": f"{name}.json"},
            "after": list(pipelines)[-1:],
        }
    (folder / "singerkit.yaml").write_text(json.dumps({"pipelines": pipelines}))
    return folder / "singerkit.yaml"


def run(*command: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout


def luigi(file: Path) -> tuple[int, str]:
    given = ["--file", str(file), "--moment", "2026-11-29T0600", "--command", str(OURS / "singerkit")]
    failed = ["--retcode-task-failed", "30", "--retcode-scheduling-error", "31"]
    return run(
        str(BIN / "luigi"),
        *("--module", "singerkit_luigi", "Pipelines", "--local-scheduler", *given, *failed),
        PYTHONPATH=str(EXAMPLES / "luigi"),
    )


def test_luigi_runs_each_pipeline_once_in_its_order_and_goes_on_behind_a_failure(tmp_path: Path) -> None:
    file = project(tmp_path, first=ROWS, second="[ -e mended ] || exit 65\n" + ROWS, third=ROWS)
    code, said = luigi(file)
    assert code == 30, said
    assert "pipeline `second` ended with 65; its last line above says why" in said
    assert (tmp_path / "order").read_text().split() == ["first", "second"]
    (tmp_path / "mended").touch()
    code, said = luigi(file)
    assert code == 0, said
    assert "This progress looks :)" in said
    assert luigi(file)[0] == 0
    assert (tmp_path / "order").read_text().split() == ["first", "second", "second", "third"]
    (rows,) = (tmp_path / "out-third").glob("a*.jsonl")
    assert json.loads(rows.read_text())["id"] == 1


def test_kubeflow_compiles_a_container_for_each_pipeline(tmp_path: Path) -> None:
    file = project(tmp_path, first=ROWS, second=ROWS)
    compiled = tmp_path / "compiled.yaml"
    code, said = run(
        str(BIN / "python"),
        str(EXAMPLES / "kubeflow" / "singerkit_kfp.py"),
        str(file),
        "shop:1",
        str(compiled),
    )
    assert code == 0, said
    loaded = "import sys; from kfp import components; components.load_component_from_file(sys.argv[1])"
    assert run(str(BIN / "python"), "-c", loaded, str(compiled)) == (0, "")
    made = yaml.safe_load(compiled.read_text())
    tasks = {task["taskInfo"]["name"]: task for task in made["root"]["dag"]["tasks"].values()}
    assert tasks["second"]["dependentTasks"] == ["singerkit-run"]
    assert "dependentTasks" not in tasks["first"]
    assert [task["cachingOptions"] for task in tasks.values()] == [{}, {}]  # none
    constants = [
        {name: one["runtimeValue"]["constant"] for name, one in task["inputs"]["parameters"].items()}
        for task in tasks.values()
    ]
    assert constants == [{"path": str(file), "pipeline": name} for name in tasks]
    for executor in made["deploymentSpec"]["executors"].values():
        assert executor["container"]["image"] == "shop:1"
        assert executor["container"]["command"] == ["singerkit", "run"]


@pytest.fixture
def secrets() -> Any:
    """The address of a Secrets Manager with a secret."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(BIN / "moto_server"), "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.2)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }
    finally:
        process.terminate()
        process.wait()


def test_a_job_of_glue_has_its_secrets_from_the_secrets_manager(
    tmp_path: Path, secrets: dict[str, str]
) -> None:
    file = project(tmp_path, first=f'[ "$SHOP_TOKEN" = {CANARY} ] || exit 3\n{ROWS}', second="exit 65")
    put = "import boto3, json; boto3.client('secretsmanager').create_secret(Name='shop', SecretString=json.dumps({'SHOP_TOKEN': '%s'}))"
    assert run(str(BIN / "python"), "-c", put % CANARY, **secrets) == (0, "")
    job = [
        str(BIN / "python"),
        str(EXAMPLES / "glue" / "singerkit_job.py"),
        "--singerkit-file",
        str(file),
        "--singerkit-secret",
        "shop",
        "--JOB_NAME",
        "shop",
    ]
    path = {**secrets, "PATH": f"{OURS}{os.pathsep}{os.environ['PATH']}"}
    code, said = run(*job, "--singerkit-pipelines", "first", **path)
    assert code == 0, said
    assert "1 pipeline done." in said
    code, said = run(*job, **path)
    assert code == 1
    assert "RuntimeError: singerkit run ended with 65: " in said
    assert CANARY not in said
