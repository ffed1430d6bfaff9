"""Who is ended by Ctrl-C at once, and leaves garbage: an executable of ours while it imports, and nobody else who imports us."""

from __future__ import annotations

import gc
import runpy
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.imports import begin_importing, end_importing


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``importing(argv, before)`` begins to import as tap-rest does; returns what Ctrl-C does then."""
    kept = signal.getsignal(signal.SIGINT)

    def begin(argv: list[str], before: Any = signal.default_int_handler) -> Any:
        monkeypatch.setattr(sys, "argv", argv)
        signal.signal(signal.SIGINT, before)
        begin_importing("tap-rest")
        return signal.getsignal(signal.SIGINT)

    yield begin
    gc.enable()
    gc.unfreeze()
    signal.signal(signal.SIGINT, kept)


@pytest.mark.parametrize("started", ["tap-rest", "/usr/local/bin/tap-rest", "./tap-rest.exe"])
def test_an_executable_of_ours_is_ended_at_once_until_it_has_imported(started: str, importing: Any) -> None:
    assert importing([started, "--help"]) is signal.SIG_DFL
    assert not gc.isenabled()
    frozen = gc.get_freeze_count()
    end_importing()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen


@pytest.mark.parametrize(
    "argv", [["python3"], ["target-postgres"], ["my-tap-rest"], ["tap-rest.py"], [""], []]
)
def test_whoever_else_imports_us_keeps_its_own(argv: list[str], importing: Any) -> None:
    assert importing(argv) is signal.default_int_handler
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    end_importing()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert gc.get_freeze_count() == frozen


def test_what_somebody_has_chosen_stays(importing: Any) -> None:
    """As where a shell runs it in the background: Ctrl-C is ignored."""
    assert importing(["tap-rest"], signal.SIG_IGN) is signal.SIG_IGN
    end_importing()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def _executables() -> dict[str, str]:
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        scripts: dict[str, str] = tomllib.load(file)["project"]["scripts"]
    return {name: entry.partition(":")[0].partition(".")[0] for name, entry in scripts.items()}


@pytest.mark.parametrize("executable", _executables())
def test_each_executable_says_so_before_its_other_imports(
    executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(
        "singerkit_shell.imports.begin_importing", lambda name, **_options: begun.append(name)
    )
    runpy.run_module(f"{_executables()[executable]}.__init__")
    assert set(begun) == {executable}


def test_no_package_that_is_imported_in_the_midst_of_a_run_says_so() -> None:
    """It would put off anew what the run needs by then, and have Ctrl-C end it without a word."""
    shelves = [*(Path(__file__).parents[2]).glob("*/*/__init__.py")]
    assert shelves
    beginning = {path.parent.name for path in shelves if "begin_importing(" in path.read_text()}
    assert beginning <= {*_executables().values()}


@pytest.mark.parametrize("executable", _executables())
def test_what_no_run_comes_to_is_not_imported(executable: str, tmp_path: Path) -> None:
    """joblib brings numpy along, upath fsspec: half a start; requests and backoff, urllib3 and asyncio."""
    left_out = {"joblib", "numpy", "upath", "fsspec"}
    if executable != "tap-rest":
        left_out |= {"requests", "requests.sessions", "urllib3", "http.client", "backoff", "asyncio"}
    script = Path(sys.executable).with_name(executable)
    probe = (
        f"import runpy, sys; sys.argv = [{str(script)!r}, '--help']\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print(sorted({left_out} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_what_was_put_off_is_there_for_whoever_calls_it() -> None:
    """In a process of its own: singer-sdk keeps the names that it has imported."""
    probe = (
        "import sys; sys.argv = ['tap-sqlite']\n"
        "import tap_sqlite.tap\n"
        "from singer_sdk import target_base\n"
        "from singer_sdk.helpers._batch import StorageTarget\n"
        "from singer_sdk.streams import rest\n"
        "assert not {'numpy', 'fsspec', 'asyncio', 'http.client'} & set(sys.modules)\n"
        "with target_base.parallel_config(backend='threading', n_jobs=2):\n"
        "    print(target_base.Parallel()(target_base.delayed(abs)(number) for number in (-1, -2)))\n"
        "print(StorageTarget('file:///')._root_path)\n"
        "print(rest.requests.Session().headers['Accept'], next(rest.backoff.expo()))\n"
        "from joblib import Memory\n"
        "from upath import UPath\n"
        "print(Memory.__module__, UPath.__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "[1, 2]", done.stderr
    assert done.stdout.splitlines()[2:] == ["*/* 0", "joblib.memory upath.core"]


FIRST = """
import os, signal, sys
from singerkit_shell import imports
if len(sys.argv) > 2: signal.signal(signal.SIGTERM, signal.SIG_IGN)
imports._FIRST, sys.argv = {first}, ["tap-rest"]
imports.begin_importing("tap-rest")
os.kill(os.getpid(), signal.{name})
sys.exit(7)
"""


@pytest.mark.parametrize(
    ("first", "name", "more", "code"),
    [
        ("os.getpid()", "SIGTERM", (), 143),
        ("os.getpid()", "SIGINT", (), 130),
        ("os.getpid()", "SIGTERM", ("ignored",), 7),
        ("1", "SIGTERM", (), -15),
    ],
)
def test_the_first_process_of_a_container_ends_by_hand(
    first: str, name: str, more: tuple[str, ...], code: int
) -> None:
    """The kernel would keep the signal from it; `make test-container` shows it with a real one."""
    probe = FIRST.format(first=first, name=name)
    done = subprocess.run([sys.executable, "-c", probe, "tap-rest", *more], timeout=60, check=False)
    assert done.returncode == code


@pytest.mark.parametrize("module", ["target_jsonl.target", "singerkit_map"])
def test_a_python_without_docstrings_does(module: str) -> None:
    """`PYTHONOPTIMIZE=2` stands in images."""
    done = subprocess.run([sys.executable, "-OO", "-m", module, "--version"], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
