"""Run executables as a shell would: arguments, pipes, signals, exit codes. Every wait has an end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from singerkit_check.suite.singer import parse_line

__all__ = ["AFTER_OUTCOME", "SECONDS", "Outcome", "Running", "run"]

SECONDS = 60.0
"""How long a process may take before it counts as hung."""

AFTER_OUTCOME: list[Callable[[Outcome], object]] = []
"""Looks at every outcome as soon as there is one: a test suite may see to it that no process prints a secret."""


@dataclass(frozen=True)
class Outcome:
    """What a finished process left behind. ``code`` is negative (-9) where a signal ended it."""

    command: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: str

    def __post_init__(self) -> None:
        for look in AFTER_OUTCOME:
            look(self)

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout; anything else fails the test that looks."""
        return [parse_line(line) for line in self.stdout.splitlines()]

    @property
    def last_words(self) -> str:
        """The last line of stderr that is not blank."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def expect(self, *codes: int) -> Outcome:
        """Return itself, or fail with the command and the end of stderr."""
        if self.code not in codes:
            wanted = " or ".join(map(str, codes))
            raise AssertionError(f"exit {self.code}, expected {wanted}\n{self}")
        return self

    def __str__(self) -> str:
        tail = "\n".join(self.stderr.splitlines()[-15:])
        return f"$ {' '.join(self.command)}\nexit {self.code}; stderr ends with:\n{tail}"


def run(
    command: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    seconds: float = SECONDS,
) -> Outcome:
    """Run ``command`` to its end; a process that hangs is killed and fails the test.

    ``environment`` changes that of this process; None takes a variable out.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(environment),
        cwd=cwd,
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(
            f"{command[0]} did not end within {seconds} s; stderr: {stderr[-2000:].decode(errors='replace')}"
        ) from None
    return Outcome(tuple(command), process.returncode, stdout, stderr.decode("utf-8", "replace"))


def _environment(changes: Mapping[str, str | None] | None) -> dict[str, str]:
    wanted = {**os.environ, "PYTHONUNBUFFERED": "", "NO_COLOR": "1", **(changes or {})}
    return {name: value for name, value in wanted.items() if value is not None}


@dataclass
class Running:
    """A process whose pipes stay open, so that a test can look at it, or hurt it, in mid-run."""

    command: Sequence[str]
    environment: Mapping[str, str | None] | None = None
    cwd: Path | None = None
    lines: list[bytes] = field(default_factory=list)
    _errors: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Running:
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(self.environment),
            cwd=self.cwd,
        )
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, into), daemon=True)
            for pipe, into in ((self._process.stdout, self.lines), (self._process.stderr, self._errors))
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read(self, pipe: Any, into: list[bytes]) -> None:
        for line in pipe:
            with self._news:
                into.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, condition: Callable[[list[bytes]], bool], seconds: float = SECONDS) -> bool:
        """Wait until the lines on stdout satisfy ``condition``; False if they do not in time."""
        end = time.monotonic() + seconds
        with self._news:
            while not condition(self.lines):
                left = end - time.monotonic()
                if left <= 0 or (self._process.poll() is not None and not self._reading()):
                    return condition(self.lines)
                self._news.wait(min(left, 0.2))
        return True

    def wait_for_error(self, text: str, seconds: float = SECONDS) -> bool:
        """Wait until stderr holds ``text``."""
        return self.wait_for(lambda _lines: text.encode() in b"".join(self._errors), seconds)

    def _reading(self) -> bool:
        return any(reader.is_alive() for reader in self._readers)

    def send(self, data: bytes, seconds: float = SECONDS) -> None:
        """Write to its stdin now; a process that is gone just gets nothing, one that never reads fails the test.

        A pipe takes 64 KiB that nobody has read: after more than that the process is known to read.
        """
        assert self._process.stdin is not None
        descriptor, rest, end = self._process.stdin.fileno(), memoryview(data), time.monotonic() + seconds
        os.set_blocking(descriptor, False)
        while rest:
            _, ready, _ = select.select([], [descriptor], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"{self.command[0]} does not read its input")
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BrokenPipeError:
                return

    def has_open(self, path: Path) -> bool:
        """Tell whether it has the file open now (Linux)."""
        return any(
            os.path.realpath(link) == os.path.realpath(path)
            for link in Path(f"/proc/{self._process.pid}/fd").iterdir()
        )

    def signal(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    def finish(self, *, close: bool = True, seconds: float = SECONDS) -> Outcome:
        """Close its stdin, wait for its end, return the outcome."""
        if close and self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            for reader in self._readers:
                reader.join(10)
            raise AssertionError(
                f"{self.command[0]} did not end within {seconds} s; stderr: "
                + b"".join(self._errors)[-2000:].decode(errors="replace")
            ) from None
        for reader in self._readers:
            reader.join(10)
        return Outcome(
            tuple(self.command),
            self._process.returncode,
            b"".join(self.lines),
            b"".join(self._errors).decode("utf-8", "replace"),
        )
