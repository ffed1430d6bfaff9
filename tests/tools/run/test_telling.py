"""What is told while pipelines run: what matters."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import threading

import pytest

from singerkit_run.lines import Lines
from singerkit_run.progress import Progress

from .projects import BIN, Project, record, schema, state

OURS = "2026-11-29 00:15:33,495 | {:<8} | tap-sqlite                     | {}"


@pytest.mark.parametrize(
    ("side", "line", "told"),
    [
        ("tap", OURS.format("INFO", "customers: 3 rows in 0.0 s"), None),
        ("target", OURS.format("INFO", "Table made."), ("target", "Table made.")),
        ("target", OURS.format("DEBUG", "Asked."), None),
        ("tap", OURS.format("WARNING", "Slow."), ("tap WARNING", "Slow.")),
        ("target", OURS.format("INFO", 'METRIC: {"type": "counter"}'), None),
        ("target", 'INFO METRIC: {"type": "counter"}', None),
        ("tap", "INFO Starting sync", None),
        ("tap", "time=x level=info msg=Starting", None),
        ("tap", '{"level": "info", "msg": "Starting"}', None),
        ("tap", "[DEBUG] asked", None),
        ("target", "INFO Loaded 3 rows", ("target", "INFO Loaded 3 rows")),
        ("tap", "ERROR No such table", ("tap", "ERROR No such table")),
        ("tap", "  File 'x.py', line 3, in information", ("tap", "  File 'x.py', line 3, in information")),
        ("tap", "", ("tap", "")),
        ("after", "INFO dbt began", ("after", "INFO dbt began")),
    ],
)
def test_what_matters_is_told(side: str, line: str, told: tuple[str, str] | None) -> None:
    heard: list[tuple[str, str]] = []
    lines = Lines(lambda who, words: heard.append((who, words)), everything=False)
    lines.hear(side, line)
    assert heard == [told] * (told is not None)
    lines.tell_what_was_left_out()
    assert heard == [told or (side, line)]


def test_a_pipe_that_fails_tells_what_was_left_out(project: Project) -> None:
    project.add("orders", "echo 'INFO Page 7' >&2", schema(), record(1), "echo 'KeyError: id' >&2", "exit 1")
    project.add("items", "echo 'INFO Page 8' >&2", schema(), record(1), state(1))
    code, said = project.run()
    assert code == 1
    assert "orders tap | KeyError: id\n" in said
    assert (
        said.index("KeyError") < said.index("orders had said, too:") < said.index("orders tap | INFO Page 7")
    )
    assert "Page 8" not in said
    assert "METRIC" not in said
    assert "items target | Stream `a`: 1 row loaded" in said


def test_verbose_tells_all_as_it_comes(project: Project) -> None:
    project.add("orders", "echo 'INFO Page 7' >&2", schema(), record(1), state(1))
    _, said = project.run("--verbose")
    assert "\norders tap | INFO Page 7\n" in said
    assert "METRIC" in said


def test_on_a_terminal_a_line_that_is_written_anew_tells_how_far_it_is(project: Project) -> None:
    project.add("orders", schema(), record(1), "sleep 1.5", state(1))
    project.write()
    ours, theirs = pty.openpty()
    process = subprocess.Popen([BIN / "singerkit", "run"], cwd=project.folder, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = _read_all(ours)
    assert process.wait(60) == 0
    assert "\r\x1b[Korders 0:0" in said
    assert said.splitlines()[-1] == "\x1b[K1 pipeline done."


def _read_all(descriptor: int) -> str:
    said = b""
    with open(descriptor, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(1 << 16):
                said += part
        except OSError:  # so Linux tells that nobody holds the other end any more
            pass
    return said.decode()


@pytest.mark.parametrize(("width", "line"), [(80, "a 0:00 (1.5 MB), b 0:00"), (10, "a 0:00 (1…")])
def test_the_line_fits_into_the_terminal(width: int, line: str) -> None:
    progress = Progress(io.StringIO(), threading.Lock())
    progress.begin("a", lambda: 1_500_000)
    progress.begin("b", lambda: None)
    progress.begin("c", lambda: 1)
    progress.end("c")
    assert progress.line(width) == line
