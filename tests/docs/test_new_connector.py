"""`make new-tap` and `make new-target`: what they write runs at once, keeps rules of Singer and passes its own tests.

Here in a folder of its own, and a few rules only. docs/adding-a-connector.md is followed whole by `make follow`.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[2]
CHECK = str(Path(sys.executable).with_name("singerkit-check"))


def load_new() -> ModuleType:
    spec = importlib.util.spec_from_file_location("singerkit_new", PROJECT / "examples/connector/new.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


new = load_new()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with nothing in it but what was written."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copy(PROJECT / "pyproject.toml", root)
    assert new.main(["tap", "web-shop", "--root", str(root)]) == 0
    assert new.main(["target", "web_shop", "--root", str(root)]) == 0
    return root


def run(tree: Path, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run where the new packages are found, as they are after an editable install."""
    script = f'export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONPATH={tree}/taps:{tree}/targets:{tree}/tests:{PROJECT}/tests; exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", *command], input=stdin, capture_output=True, timeout=120, check=False
    )


def test_its_lines_are_in_pyproject_toml(tree: Path) -> None:
    before, after = (tomllib.loads((root / "pyproject.toml").read_text()) for root in (PROJECT, tree))
    scripts = before["project"]["scripts"] | {
        "tap-web-shop": "tap_web_shop.tap:main",
        "target-web-shop": "target_web_shop.target:main",
    }
    assert after["project"]["scripts"] == scripts
    was, is_now = (told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] for told in (before, after))
    assert set(is_now) - set(was) == {"taps/tap_web_shop", "targets/target_web_shop"}
    assert len(is_now) == len(was) + 2
    ours = after["tool"]["ruff"]["lint"]["isort"]["known-first-party"]
    assert {"tap_web_shop", "target_web_shop"} <= set(ours)


def test_nothing_of_the_model_is_left_and_what_is_to_do_is_marked(tree: Path) -> None:
    files = [path for path in tree.rglob("*.py")]
    assert len(files) > 12
    assert not [path for path in files if "acme" in (path.name + path.read_text()).lower()]
    for part in (
        "taps/tap_web_shop",
        "targets/target_web_shop",
        "tests/taps/web_shop",
        "tests/targets/web_shop",
    ):
        texts = [path.read_text() for path in (tree / part).glob("*.py")]
        assert any("TODO(web_shop)" in text for text in texts), part


@pytest.mark.parametrize("name", ["", "Shop", "1st", "shared", "acme", "class", "a/b"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    assert new.main(["tap", name, "--root", str(tmp_path)]) == 1
    assert f"got `{name}`; nothing was written." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]


def test_one_that_is_there_is_left_alone(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tree / "pyproject.toml").read_text()
    assert new.main(["tap", "web_shop", "--root", str(tree)]) == 1
    assert "already; nothing was written" in capsys.readouterr().err
    assert (tree / "pyproject.toml").read_text() == before


def test_they_run_in_a_pipe_and_go_on_where_they_stopped(tree: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    schema = {"properties": {"id": {"type": "integer"}, "n": {"type": "number"}}}
    table = {"schema": schema, "key": ["id"], "replication_key": "id", "is_sorted": True}
    (store / "tables.json").write_text(json.dumps({"orders": table}))
    (store / "orders.jsonl").write_text('{"id": 1, "n": 1.50}\n{"id": 2, "n": 0.1234567890123456789}\n')
    (tmp_path / "tap.json").write_text(json.dumps({"folder": str(store)}))
    (tmp_path / "target.json").write_text(json.dumps({"path": str(tmp_path / "out.db")}))
    python, state = shlex.quote(sys.executable), tmp_path / "state.json"
    pipe = (
        f"{python} -m tap_web_shop.tap --config {tmp_path}/tap.json --state {state} | tee {tmp_path}/wire | "
        f"{python} -m target_web_shop.target --config {tmp_path}/target.json --state-file {state}"
    )
    assert run(tree, "sh", "-c", pipe).returncode == 0
    with (store / "orders.jsonl").open("a") as rows:
        rows.write('{"id": 3, "n": null}\n')
    assert run(tree, "sh", "-c", pipe).returncode == 0
    assert (tmp_path / "wire").read_bytes().count(b'"RECORD"') == 1
    read = "from targets.web_shop.driver import read; from pathlib import Path; import sys; print(read(Path(sys.argv[1]), 'orders'))"
    told = run(tree, sys.executable, "-c", read, str(tmp_path / "out.db")).stdout.decode()
    assert told.strip() == (
        "[{'id': 1, 'n': Decimal('1.50')}, {'id': 2, 'n': Decimal('0.1234567890123456789')}, {'id': 3, 'n': None}]"
    )


@pytest.mark.parametrize(
    ("kind", "rules"),
    [("tap", ["T08"]), ("target", ["G11"])],
    ids=["tap", "target"],
)
def test_they_keep_rules_of_singer(tree: Path, kind: str, rules: list[str]) -> None:
    """The others: `singerkit-check`, or tests/conformance once it is installed."""
    driver = tree / "tests" / f"{kind}s" / "web_shop" / "driver.py"
    command = f"{shlex.quote(sys.executable)} -m {kind}_web_shop.{kind}"
    wanted = [word for rule in rules for word in ("--rule", rule)]
    done = run(tree, CHECK, f"--{kind}", command, "--driver", f"{driver}:{kind.capitalize()}WebShop", *wanted)
    assert done.returncode == 0, done.stdout.decode()
    assert f"{len(rules)} pass, 0 FAIL, 0 waived" in done.stdout.decode()


def test_their_own_tests_pass(tree: Path) -> None:
    done = run(
        tree,
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
        *("-c", "/dev/null", "--rootdir", str(tree), str(tree / "tests")),
    )
    assert done.returncode == 0, done.stdout.decode()
