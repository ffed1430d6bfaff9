"""A log-based tap as a process with a pipe: memory, a blocked pipe, signals, and what is acknowledged while it runs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from memory import peak_kilobytes
from taps.shared.log_file import LogFile, put
from taps.shared.log_model import Run, tap_class
from waiting import wait_until

from singerkit_shell.errors import Stopped
from singerkit_shell.signals import stop_flag

TAP = Path(__file__).with_name("tap_log.py")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    file = LogFile(tmp_path / "log.db")
    yield file
    file.close()


def command(log: LogFile, state: dict[str, Any], /, **config: Any) -> list[str]:
    folder = Path(log.path).parent
    (folder / "config.json").write_text(json.dumps({"path": log.path, "select": ["a"], **config}))
    (folder / "state.json").write_text(json.dumps(state))
    given = ["--config", str(folder / "config.json"), "--state", str(folder / "state.json")]
    return [sys.executable, str(TAP), *given]


@contextmanager
def tap(log: LogFile, state: dict[str, Any], /, **config: Any) -> Iterator[subprocess.Popen[bytes]]:
    with (
        Path(log.path).with_name("err").open("wb") as errors,
        subprocess.Popen(command(log, state, **config), stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def started(log: LogFile, *streams: str) -> dict[str, Any]:
    run = Run({"path": log.path, "select": list(streams)}, {}).done()
    return run.states[-1]


def test_a_transaction_larger_than_memory_streams_through(log: LogFile) -> None:
    state = started(log, "big")
    peaks, lines = [], 0
    for rows in (1000, 80_000):
        log.commit(("big", "swell", {"rows": rows, "bytes": 1000}))
        read_end, write_end = os.pipe()
        with ThreadPoolExecutor(1) as pool, os.fdopen(read_end, "rb") as messages:
            peak = pool.submit(_peak_into, write_end, command(log, state, select=["big"]))
            kinds = []
            for line in messages:
                if line.startswith(b'{"type":"STATE"'):
                    kinds.append(lines)
                lines += line.startswith(b'{"type":"RECORD"')
                last = line
            peaks.append(peak.result())
        state = json.loads(last)["value"]
        assert len({*kinds} - {0, 1000, 81_000}) == 0, "no STATE inside"
    assert lines == 81_000
    assert peaks[1] < peaks[0] + 40_000, "in KB; the rows are 80 MB"


def _peak_into(descriptor: int, program: list[str]) -> int:
    with os.fdopen(descriptor, "wb") as pipe:
        return peak_kilobytes(program, pipe)


def test_the_source_is_answered_while_the_pipe_takes_nothing(log: LogFile) -> None:
    state = started(log, "big")
    log.commit(("big", "swell", {"rows": 5000, "bytes": 1000}))
    with tap(log, state, select=["big"], log={"keep_alive_seconds": 0.05}) as process:
        wait_until(lambda: len(log.calls("keep alive")) > 20)
        assert process.poll() is None, "it waits for its reader"
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.wait() == 0
    assert out.count(b'"RECORD"') == 5000


def test_the_source_is_answered_while_a_chunk_is_read(log: LogFile, monkeypatch: Any) -> None:
    log.commit(put("a", id=1, v="x"))
    tap_class()
    reader = sys.modules["tap_log"].FileReader
    read_chunk = reader.read_chunk

    def slow(self: Any, *given: Any) -> Any:
        wait_until(lambda: len(log.calls("keep alive")) > 3)
        chunk = read_chunk(self, *given)
        return dataclasses.replace(chunk, pages=slow_pages(chunk.pages))

    def slow_pages(pages: Any) -> Iterator[Any]:
        wait_until(lambda: len(log.calls("keep alive")) > 6)
        yield from pages

    monkeypatch.setattr(reader, "read_chunk", slow)
    run = Run({"path": log.path, "select": ["a"], "log": {"keep_alive_seconds": 0.05}}, {}).done()
    assert [record["id"] for _, record in run.records] == [1]


def test_a_run_that_follows_ends_at_a_signal_with_a_state_that_covers_all_it_sent(log: LogFile) -> None:
    with tap(log, started(log, "a"), log={"end": "follow"}) as process:
        assert process.stdout is not None
        for number in range(3):
            log.commit(put("a", id=number, v="x"), put("a", id=-number, v="x"))
        before = next(line for line in process.stdout if b'"RECORD"' in line)
        process.send_signal(signal.SIGTERM)
        lines = [before, *process.stdout]
        assert process.wait() == 128 + signal.SIGTERM
    messages = [json.loads(line) for line in lines]
    assert messages[-1]["type"] == "STATE"
    assert messages[-1]["value"]["_singerkit_log"]["position"] == sum(m["type"] == "RECORD" for m in messages)
    assert not messages[-1]["value"]["_singerkit"]["complete"]
    said = Path(log.path).with_name("err").read_text()
    assert "The source keeps its log as long as this run goes on" in said


def test_a_signal_amid_a_transaction_lets_it_come_to_its_end(log: LogFile, monkeypatch: Any) -> None:
    state = started(log, "a")
    first = log.commit(*[put("a", id=number, v="x") for number in range(4)])
    log.commit(put("a", id=9, v="x"))
    pages = iter(range(100))

    def at_the_second_page() -> None:
        if next(pages) == 1:
            monkeypatch.setattr(stop_flag, "signum", signal.SIGTERM)
            monkeypatch.setattr(stop_flag, "count", 1)

    monkeypatch.setattr(sys.modules["tap_log"].FileReader, "meanwhile", at_the_second_page)
    run = Run({"path": log.path, "select": ["a"], "page_changes": 1}, state)
    assert isinstance(run.error, Stopped)
    assert [record["id"] for _, record in run.records] == [0, 1, 2, 3]
    assert run.states[-1]["_singerkit_log"]["position"] == first


def test_a_second_signal_ends_a_transaction_at_once_and_no_state_covers_it(
    log: LogFile, monkeypatch: Any
) -> None:
    state = started(log, "a")
    log.commit(*[put("a", id=number, v="x") for number in range(4)])
    monkeypatch.setattr(sys.modules["tap_log"].FileReader, "meanwhile", lambda: two_signals(monkeypatch))
    run = Run({"path": log.path, "select": ["a"], "page_changes": 1}, state)
    assert isinstance(run.error, Stopped)
    assert len(run.records) == 1
    assert run.states[-1]["_singerkit_log"]["position"] == 0


def two_signals(monkeypatch: Any) -> None:
    monkeypatch.setattr(stop_flag, "signum", signal.SIGTERM)
    monkeypatch.setattr(stop_flag, "count", 2)


def test_only_what_is_read_back_is_acknowledged_while_a_run_goes_on(log: LogFile) -> None:
    state = started(log, "a")
    how = {"end": "follow", "acknowledge": "while_running", "keep_alive_seconds": 0.05}
    file = Path(log.path).with_name("state.json")
    with tap(log, state, log=how, state_every=1) as process:
        assert process.stdout is not None
        states = (json.loads(line)["value"] for line in process.stdout if b'"STATE"' in line)
        positions = []
        for number in range(3):
            positions.append(log.commit(put("a", id=number, v="x")))
            written = next(value for value in states if value["_singerkit_log"]["position"] == positions[-1])
        calls = len(log.calls("keep alive"))
        wait_until(lambda: len(log.calls("keep alive")) > calls + 5)
        assert log.calls("acknowledge") == [0], "what is in the pipe may never arrive"
        replace(file, {**written, "_singerkit": {**written["_singerkit"], "run": "another"}})
        calls = len(log.calls("keep alive"))
        wait_until(lambda: len(log.calls("keep alive")) > calls + 5)
        assert log.calls("acknowledge") == [0], "another run may be of another source"
        replace(file, written)
        wait_until(lambda: log.calls("acknowledge")[-1] == positions[-1])
        file.unlink()
        calls = len(log.calls("keep alive"))
        wait_until(lambda: len(log.calls("keep alive")) > calls + 5)
        assert log.calls("acknowledge") == [0, positions[-1]], "once"
    assert "keeps its log" not in file.with_name("err").read_text()


def replace(file: Path, value: Any) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.rename(file)


def test_what_the_tap_promises_is_in_about() -> None:
    (promise,) = tap_class().deliveries({})
    assert (promise.configuration, promise.guarantee) == ("log-based streams", "exactly_once")
