"""What `starting` forks behaves as what starts for real."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import starting
from faults.torture.inject import NoCompilerError

BIN = Path(sys.executable).parent
SCHEMA = b'{"type":"SCHEMA","stream":"a","schema":{},"key_properties":[]}\n'
STATE = b'{"type":"STATE","value":{"n":1}}\n'

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.environ.get("SINGERKIT_START") == "real", reason="nothing is forked here"
)


@contextlib.contextmanager
def waiting(**more: Any) -> Any:
    """A target that waits for its input."""
    command = [str(BIN / "target-jsonl")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, **more) as process:
        yield process
        process.kill()


def is_forked(process: subprocess.Popen[bytes]) -> bool:
    return b"starting.py" in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_it_ends_as_the_installed_executable_does(tmp_path: Path) -> None:
    """Exit code, output and words of runs that succeed and fail; folder, stdin and environment arrive."""
    (tmp_path / "config.json").write_text('{"destination_path": "rows"}')

    def outcomes() -> list[tuple[int, bytes, bytes]]:
        runs = [
            ("target-jsonl", SCHEMA + STATE, {}),
            ("target-jsonl", b"nonsense\n", {}),
            ("tap-rest", b"", {"TAP_REST_LOGLEVEL": "NONE"}),
        ]
        found = []
        for name, stdin, environment in runs:
            done = subprocess.run(
                [BIN / name, "--config", "config.json"],
                input=stdin,
                capture_output=True,
                check=False,
                cwd=tmp_path,
                env={**os.environ, **environment},
            )
            words = re.sub(rb"[\d.,:|-]+", b"", done.stderr.splitlines()[-1])  # times
            found.append((done.returncode, done.stdout, words))
        return found

    forked = outcomes()
    with starting.really():
        assert outcomes() == forked
    assert [code for code, _, _ in forked] == [0, 65, 78]
    assert forked[0][1] == b'{"n":1}\n'
    assert (tmp_path / "rows").is_dir()


def test_it_is_a_child_like_any_other() -> None:
    with waiting() as process:
        assert is_forked(process)
        assert int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL


def test_a_test_may_ask_for_a_real_start(really_started: None) -> None:
    with waiting() as process:
        assert not is_forked(process)


@pytest.mark.parametrize(
    "more",
    [{"start_new_session": True}, {"env": {**os.environ, "PYTHONIOENCODING": "latin-1"}}],
    ids=["session", "encoding"],
)
def test_what_a_fork_cannot_give_starts_for_real(more: dict[str, Any]) -> None:
    with waiting(**more) as process:
        assert not is_forked(process)


def test_the_environment_of_the_test_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    with waiting() as process:
        assert not is_forked(process)


@pytest.mark.parametrize("once", [True, False], ids=["one fork", "two forks"])
def test_what_is_forked_belongs_to_who_adopts(once: bool) -> None:
    """Whether there is a compiler, for one fork, or none, and two are made."""
    fork = starting.fork_twice
    if once:
        try:
            fork = starting.one_fork()
        except NoCompilerError as error:
            pytest.skip(str(error))
    with starting.adopting():
        if (pid := fork()) == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
