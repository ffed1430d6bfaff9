"""The wire and the progress lines."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import pty
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import pytest

from singerkit_shell import progress as progress_module
from singerkit_shell.errors import CannotWriteError, ReaderGone
from singerkit_shell.progress import Progress
from singerkit_wire.output import Output


@contextmanager
def stdout_as_pipe() -> Iterator[int]:
    """Make stdout a pipe and give the end to read from."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as out, redirect_stdout(out):
        yield read_end
    os.close(read_end)


@contextmanager
def stdout_as(raw: io.RawIOBase) -> Iterator[None]:
    with redirect_stdout(io.TextIOWrapper(_Through(raw))):
        yield


def available(read_end: int, seconds: float = 0) -> bytes:
    ready, _, _ = select.select([read_end], [], [], seconds)
    return os.read(read_end, 1 << 20) if ready else b""


def test_records_wait_for_a_full_chunk_and_a_state_flushes():
    with stdout_as_pipe() as pipe:
        output = Output()
        output.records(b'{"a":1}\n')
        assert available(pipe) == b""
        output.state({"bookmarks": {}})
        assert available(pipe) == b'{"a":1}\n{"type":"STATE","value":{"bookmarks":{}}}\n'


def test_a_full_chunk_is_written_at_once(monkeypatch):
    monkeypatch.setattr("singerkit_wire.output.CHUNK_BYTES", 10)
    with stdout_as_pipe() as pipe:
        output = Output()
        output.records(b"12345678\n")
        assert available(pipe) == b""
        output.records(b"9\n")
        assert available(pipe) == b"12345678\n9\n"


def test_a_schema_without_keys_says_so():
    with stdout_as_pipe() as pipe:
        output = Output()
        output.schema("s", {"type": "object"}, ())
        output.flush()
        line = available(pipe)
    assert json.loads(line) == {
        "type": "SCHEMA",
        "stream": "s",
        "schema": {"type": "object"},
        "key_properties": [],
    }


def test_nothing_waits_longer_than_the_timer_allows():
    with stdout_as_pipe() as pipe, Output() as output:
        output.records(b'{"a":1}\n')
        assert available(pipe) == b""
        assert available(pipe, seconds=5) == b'{"a":1}\n'


def test_the_end_of_the_block_flushes():
    with stdout_as_pipe() as pipe:
        with Output() as output:
            output.records(b'{"a":1}\n')
        assert available(pipe) == b'{"a":1}\n'


@contextmanager
def stdout_without_reader() -> Iterator[None]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb", buffering=0) as raw, stdout_as(raw):
        yield


def test_a_closed_pipe():
    with stdout_without_reader(), pytest.raises(ReaderGone, match="The reader of our output has gone"):
        Output().state({})


def test_the_timer_tells_the_main_thread_of_its_failure():
    def write_and_wait(output: Output) -> None:
        output.records(b"x\n")
        deadline = time.monotonic() + 10
        while output._failure is None and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        output.flush()

    with stdout_without_reader(), pytest.raises(ReaderGone, match="has gone"), Output() as output:
        write_and_wait(output)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk():
    no_space = pytest.raises(CannotWriteError, match="No space left")
    with open("/dev/full", "wb", buffering=0) as raw, stdout_as(raw), no_space:
        Output().state({})


class _FailsOnce(io.RawIOBase):
    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error
        self.written = b""

    def write(self, data: bytes) -> int:
        error, self.error = self.error, None
        self.written += bytes(data[:3] if error else data)
        if error:
            raise error
        return len(data)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_nothing_follows_what_could_not_be_written(error):
    raw, output = _FailsOnce(error), Output()
    with stdout_as(raw):
        output.records(b"a record\n")
        with pytest.raises((CannotWriteError, KeyboardInterrupt)):
            output.flush()
        with pytest.raises(CannotWriteError, match="what the reader has confirmed is safe"):
            output.state({})
    assert raw.written == b"a r"


class _Through(io.RawIOBase):
    """Writes straight through, so that nothing is left to fail again at the end of the test."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        return self._raw.write(data) or 0


# Progress


def test_in_a_log_there_is_one_line_per_stream(caplog):
    progress = Progress(logging.getLogger("p"), io.StringIO())
    with caplog.at_level("INFO"):
        progress.add("orders", 1000)
        progress.add("orders", 500)
        progress.done("orders")
        progress.done("empty")
    assert [message.split(" in ")[0] for message in caplog.messages] == [
        "orders: 1,500 rows",
        "empty: 0 rows",
    ]


def test_a_stream_has_the_seconds_up_to_its_last_row(caplog, monkeypatch):
    """Streams of one log come to their end together: a table of one row looked slow."""
    clock = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    progress = Progress(logging.getLogger("p"), io.StringIO())
    with caplog.at_level("INFO"):
        for clock[0] in (1.0, 5.0):
            progress.add("orders", 100)
        clock[0] = 60.0
        progress.done("orders")
    assert caplog.messages == ["orders: 200 rows in 4.0 s (50 rows/s)"]


def all_text(terminal: int) -> str:
    """What a terminal shows; it comes in pieces."""
    parts = []
    while select.select([terminal], [], [], 0.5)[0]:
        parts.append(os.read(terminal, 10_000))
    return b"".join(parts).decode()


def test_on_a_terminal_the_line_is_redrawn(caplog):
    parent, child = pty.openpty()
    try:
        with os.fdopen(child, "w") as terminal:
            progress = Progress(logging.getLogger("p"), terminal)
            progress.add("orders", 1000)
            progress.add("orders", 1)
            progress.done("orders")
            text = all_text(parent)
    finally:
        os.close(parent)
    assert text.startswith("\rorders: 1,000 rows")
    assert text.rstrip(" \r\n").split("\r")[-1].startswith("orders: 1,001 rows")
    assert text.endswith("\n")
    assert caplog.messages == []


def test_on_a_terminal_the_line_gives_way_to_log_lines_and_errors():
    parent, child = pty.openpty()
    root = logging.getLogger()
    try:
        with os.fdopen(child, "w") as terminal:
            handler = logging.StreamHandler(terminal)
            root.addHandler(handler)
            progress = Progress(logging.getLogger("p"), terminal)
            progress.add("orders", 1000)
            logging.getLogger("other").warning("careful")
            assert progress not in handler.filters
            progress.add("orders", 1)
            progress.clear()
            text = all_text(parent)
    finally:
        root.removeHandler(handler)
        os.close(parent)
    first, blank, log = text.split("\r")[1:4]
    assert first.startswith("orders: 1,000 rows")
    assert blank == " " * len(first)
    assert log == "careful"
