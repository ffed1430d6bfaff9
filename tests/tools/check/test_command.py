"""The executable: what passes through, what it says, how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tools.check.streams import BROKEN, GOOD, RECORD, SCHEMA, STATE, text

CHECK = str(Path(sys.executable).with_name("singerkit-check"))
GOOD_STREAM = text(GOOD["plain"])
BROKEN_STREAM = text(BROKEN["invalid"][0])


def run(*arguments: str, stdin: bytes = b"", **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [CHECK, *arguments], input=stdin, capture_output=True, timeout=60, check=False, **more
    )


def errors(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stderr.decode().splitlines()


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [CHECK, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read(process: subprocess.Popen[bytes], size: int, seconds: float = 30) -> bytes:
    """Read exactly so many bytes of its output; less when it does not give them in time."""
    assert process.stdout is not None
    data, end = b"", time.monotonic() + seconds
    while len(data) < size:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        piece = os.read(process.stdout.fileno(), size - len(data)) if ready else b""
        if not piece:
            break
        data += piece
    return data


def send(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


# What comes out


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        GOOD_STREAM,
        BROKEN_STREAM,
        b"\xff\xfe\0 no newline, no JSON",
        b"\n\n\r\n" + bytes(range(256)) * 700,
        GOOD_STREAM * 1000,
    ],
    ids=["nothing", "good", "broken", "noise", "binary", "large"],
)
def test_every_byte_passes_through(stream: bytes) -> None:
    done = run("--limit", "1", stdin=stream)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(stream).digest()


def test_a_line_passes_before_the_next_one_comes() -> None:
    with running() as process:
        for line in GOOD_STREAM.splitlines(keepends=True):
            send(process, line)
            assert read(process, len(line)) == line
        half = b'{"type": "RECORD", "stre'
        send(process, half)
        assert read(process, len(half)) == half


def test_a_file_is_not_passed_on_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.singer"
    path.write_bytes(GOOD_STREAM)
    assert run(str(path)).stdout == b""
    assert run(str(path), "--pass-through").stdout == GOOD_STREAM
    assert run("--no-pass-through", stdin=GOOD_STREAM).stdout == b""
    assert run("-", stdin=GOOD_STREAM).stdout == GOOD_STREAM


# What it says


def test_a_good_stream_is_one_line_and_exit_0() -> None:
    done = run(stdin=GOOD_STREAM)
    assert done.returncode == 0
    (line,) = errors(done)
    assert re.fullmatch(
        r"singerkit-check: 7 messages \(RECORD 4, STATE 2, SCHEMA 1\) in 7 lines and \d+\.\d s; "
        r"4 rows \(`orders` 4\); no required rule is broken",
        line,
    )


def test_a_broken_stream_is_told_by_line_and_exit_65() -> None:
    done = run(stdin=BROKEN_STREAM)
    assert done.returncode == 65
    found, summary, last = errors(done)
    assert found == "line 3: G05: Expected `string`, got an integer at `orders`.home.city"
    assert "; one error (G05 1)" in summary
    assert last.startswith("CRITICAL singerkit-check: ")
    assert "breaks G05 in one place" in last


def test_warnings_count_when_strict() -> None:
    stream = text(BROKEN["unsorted"][0])
    done = run(stdin=stream)
    assert done.returncode == 0
    assert errors(done)[0].startswith("line 6: ST09 (warning): ")
    strict = run("--strict", stdin=stream)
    assert strict.returncode == 65
    assert "breaks ST09" in errors(strict)[-1]
    # what is legal never counts
    assert run("--strict", stdin=text(BROKEN["extra-field"][0])).returncode == 0


def test_a_waived_rule_does_not_count() -> None:
    done = run("--waive", "g05", stdin=BROKEN_STREAM)
    assert done.returncode == 0
    assert errors(done)[0].startswith("line 3: G05 (info): ")
    unknown = run("--waive", "Z99", stdin=BROKEN_STREAM)
    assert unknown.returncode == 64
    assert "there is no rule Z99" in errors(unknown)[-1]


def test_the_limit_bounds_what_is_told_and_not_what_is_counted() -> None:
    stream = text([SCHEMA(), *(RECORD(n, qty="many") for n in range(1, 26)), STATE(25)])
    for limit, told in (("3", 3), ("0", 25)):
        done = run("--limit", limit, stdin=stream)
        assert sum("G05" in line for line in errors(done)[:-2]) == told
        assert "25 errors (G05 25)" in errors(done)[-2]
    assert errors(run("--limit", "3", stdin=stream))[2].endswith("counted only (--limit)")


def test_json_is_an_object_a_line_and_nothing_else(tmp_path: Path) -> None:
    done = run("--json", stdin=BROKEN_STREAM)
    assert done.returncode == 65
    finding, summary = map(json.loads, errors(done))
    assert finding == {
        "kind": "finding",
        "line": 3,
        "rule": "G05",
        "check": "invalid",
        "severity": "error",
        "stream": "orders",
        "message": "Expected `string`, got an integer at `orders`.home.city",
    }
    assert summary.pop("seconds") >= 0
    assert summary == {
        "kind": "summary",
        "broken": True,
        "whole": True,
        "lines": 4,
        "messages": {"SCHEMA": 1, "RECORD": 2, "STATE": 1},
        "streams": {"orders": 2},
        "findings": {"error": {"G05": 1}, "warning": {}, "info": {}},
    }
    path = tmp_path / "report.jsonl"
    beside = run("--report", str(path), stdin=BROKEN_STREAM)
    assert errors(beside)[-1].startswith("CRITICAL ")
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["finding", "summary"]


def test_the_state_a_run_began_with_is_read_from_a_file(tmp_path: Path) -> None:
    path, stream = tmp_path / "state.json", text([SCHEMA(), RECORD(2), STATE(3)])
    assert run("--state", str(path), stdin=stream).returncode == 65, "a file that is not there is a first run"
    path.write_text(json.dumps(STATE(3)["value"]))
    assert run("--state", str(path), stdin=stream).returncode == 0
    path.write_text("[")
    assert run("--state", str(path), stdin=stream).returncode == 78


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--no-such-option"], 64, "--no-such-option"),
        (["no-such-file.singer"], 78, "no-such-file.singer cannot be read"),
        (["--report", "/no/such/folder/x"], 74, "cannot be written"),
        (["--report", ""], 64, "`--report` is empty"),
        ([""], 64, "`FILE` is empty"),
        (["--appends"], 64, "--appends needs --tap or --target"),
        (["x.singer", "--tap", "tap-x"], 64, "either a stream or executables"),
        (["--tap", "no-such-tap --config x"], 78, "The config file x cannot be read"),
        (["--tap", "no-such-tap"], 78, "no-such-tap is not found"),
        (["--target", " "], 64, "Expected a command"),
        (["--tap", "sh", "--driver", "none.py:X"], 64, "there is no such file"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: Sequence[str], code: int, words: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert len(errors(done)) == 1
    assert words in errors(done)[0]


def test_without_any_input_it_says_how_it_is_used() -> None:
    main, other = os.openpty()
    try:
        done = subprocess.run([CHECK], stdin=other, capture_output=True, timeout=60, check=False)
    finally:
        os.close(main)
        os.close(other)
    assert done.returncode == 64
    assert b"tap-x | singerkit-check" in done.stderr


def test_a_stream_is_not_poured_onto_a_terminal() -> None:
    main, other = os.openpty()
    try:
        done = subprocess.run(
            [CHECK], input=GOOD_STREAM, stdout=other, stderr=subprocess.PIPE, timeout=60, check=False
        )
        assert not select.select([main], [], [], 0)[0]
    finally:
        os.close(main)
        os.close(other)
    assert done.returncode == 0


# How it ends


def test_it_ends_quietly_when_the_reader_goes_away() -> None:
    with running() as process:
        assert process.stdout is not None
        send(process, GOOD_STREAM)
        assert read(process, len(GOOD_STREAM)) == GOOD_STREAM
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            send(process, GOOD_STREAM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    (line,) = said.decode().splitlines()
    assert "the reader of the stream went away" in line


def test_a_full_disk_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [CHECK], input=GOOD_STREAM, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 74
    assert b"cannot be passed on (No space left on device)" in done.stderr


def test_a_report_that_cannot_be_written_does_not_stop_the_stream() -> None:
    done = run("--report", "/dev/full", stdin=GOOD_STREAM)
    assert done.stdout == GOOD_STREAM
    assert done.returncode == 74
    assert "The report /dev/full is not whole (No space left on device)" in errors(done)[-1]
    with Path("/dev/full").open("wb") as full:
        silent = subprocess.run([CHECK], input=BROKEN_STREAM, stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert silent.stdout == BROKEN_STREAM


def test_the_first_sigint_is_left_to_the_tap() -> None:
    """A terminal interrupts the whole pipe: the last STATE of the tap still passes, and the exit code tells."""
    with running() as process:
        send(process, GOOD_STREAM)
        assert read(process, len(GOOD_STREAM)) == GOOD_STREAM
        process.send_signal(signal.SIGINT)
        last = text([STATE(3)])
        send(process, last)
        assert read(process, len(last)) == last
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "8 messages" in said.decode()


def test_a_second_sigint_ends_it() -> None:
    with running() as process:
        send(process, GOOD_STREAM)
        assert read(process, len(GOOD_STREAM)) == GOOD_STREAM
        process.send_signal(signal.SIGINT)
        last = text([STATE(3)])
        send(process, last)  # answered: the first one has been handled
        assert read(process, len(last)) == last
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert process.returncode == 130


def test_memory_is_bounded_by_the_longest_line() -> None:
    """A line of 200 MB passes through a checker that may hold 1 MB of it."""
    probe = (
        "import resource, subprocess, sys\n"
        f"one = subprocess.Popen([{CHECK!r}, '--max-line-bytes', '1000000'], stdin=subprocess.PIPE,"
        " stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
        "for _ in range(200): one.stdin.write(b'x' * 1_000_000)\n"
        "_, said = one.communicate()\n"
        "print(one.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, said.decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=120, check=True)
    code, kilobytes, said = done.stdout.decode().split(" ", 2)
    assert (code, int(kilobytes) < 150_000) == ("65", True)
    assert "line 1: O01: Expected a line of at most 1000000 bytes" in said


@pytest.mark.parametrize("how", ["file", "stdin", "link"])
def test_no_report_is_written_over_what_is_read(tmp_path: Path, how: str) -> None:
    """It was emptied first, and the report said that all is well with a stream of nothing."""
    path = tmp_path / "all.singer"
    path.write_bytes(GOOD_STREAM)
    report = tmp_path / "link" if how == "link" else path
    if how == "link":
        report.hardlink_to(path)
    read_from = [] if how == "stdin" else [str(path)]
    with path.open("rb") as file:
        done = subprocess.run(
            [CHECK, "--no-pass-through", "--report", str(report), *read_from],
            stdin=file if how == "stdin" else subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, path.read_bytes()) == (64, GOOD_STREAM), done.stderr
    assert b"is the stream that is to be checked; nothing was written" in done.stderr


def test_no_report_is_written_over_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"bookmarks":{}}')
    done = run("--report", str(state), "--state", str(state), stdin=GOOD_STREAM)
    assert (done.returncode, state.read_text()) == (64, '{"bookmarks":{}}')
    assert "is the file that `--state` names" in errors(done)[-1]


def test_no_stream_is_passed_on_into_itself(tmp_path: Path) -> None:
    path = tmp_path / "all.singer"
    path.write_bytes(GOOD_STREAM)
    with path.open("ab") as file:
        done = subprocess.run(
            [CHECK, "--pass-through", str(path)], stdout=file, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, path.read_bytes()) == (64, GOOD_STREAM), done.stderr


def test_only_what_was_passed_on_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "broken.singer"
    path.write_bytes(BROKEN_STREAM)
    assert errors(run(str(path)))[-1].endswith("(see above); correct the tap, or waive a rule with --waive.")
    assert "it was passed on unchanged: correct the tap" in errors(run(stdin=BROKEN_STREAM))[-1]
