"""The examples for schedulers, as far as that goes without these; `make test-airflow` and `make test-schedulers` run them."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from singerkit_shell import errors

EXAMPLES = Path(__file__).parents[2] / "examples"
READING = ("airflow/singerkit_airflow.py", "luigi/singerkit_luigi.py", "kubeflow/singerkit_kfp.py")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_airflow_tries_again_what_may_go_well_then() -> None:
    tree = ast.parse((EXAMPLES / READING[0]).read_text())
    said = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and error.__module__ == errors.__name__ and "exit_code" in vars(error)
    }
    again = {errors.RetryableError.exit_code, errors.CannotWriteError.exit_code, errors.FencedError.exit_code}
    assert codes - again == {*said["FOR_GOOD"], said["ANOTHER_RUN"]}
    assert said["ANOTHER_RUN"] == errors.LockHeldError.exit_code


@pytest.mark.parametrize("example", READING)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "pipelines:\n  a: {after: [b]}\n"),
        ("a.json", '{"pipelines": {"a": {"after": ["b"]}}}'),
        ("a.toml", '[pipelines.a]\nafter = ["b"]\n'),
    ],
)
def test_each_kind_of_file_is_read(example: str, name: str, text: str, tmp_path: Path) -> None:
    """Their function alone is loaded, since the rest needs the scheduler."""
    tree = ast.parse((EXAMPLES / example).read_text())
    tree.body = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name == "pipelines_in")
        or (isinstance(node, ast.Import) and node.names[0].name != "luigi")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module in ("__future__", "collections.abc", "pathlib", "typing")
        )
    ]
    space: dict[str, object] = {}
    exec(compile(tree, example, "exec"), space)
    (tmp_path / name).write_text(text)
    given = str(tmp_path / name)
    read = space["pipelines_in"]
    assert callable(read)
    assert read(Path(given) if "airflow" in example else given) == {"a": {"after": ["b"]}}


def test_a_job_of_glue_fails_with_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "boto3", raising=False)  # a server of another test may need it
    job = load(EXAMPLES / "glue" / "singerkit_job.py")
    (tmp_path / "singerkit").write_text(
        '#!/bin/sh\necho "$@" > given\necho first >&2\necho last >&2\nexit 65\n'
    )
    (tmp_path / "singerkit").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="ended with 65: last"):
        job.main(["--singerkit-file", "a.yaml", "--singerkit-pipelines", "a,b", "--job-bookmark-option", "x"])
    assert (tmp_path / "given").read_text() == "run a.yaml a b\n"
    assert capfd.readouterr().err == "first\nlast\n"
    assert "boto3" not in sys.modules
    assert json.dumps(job.variables_in(None)) == "{}"
