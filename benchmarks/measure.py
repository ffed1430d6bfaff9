"""Run processes and measure them: wall time from start to end, CPU time, and peak memory of everything they started."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import nan
from pathlib import Path

__all__ = ["ProcessFailed", "Run", "pipe", "run"]

_SAMPLE_SECONDS = 0.05
Command = Sequence[str | os.PathLike[str]]


class ProcessFailed(RuntimeError):
    """A process ended with another exit code than 0; the message ends with the tail of its stderr."""


@dataclass(frozen=True)
class Run:
    """``seconds`` of wall time; ``peak_mb``: highest VmHWM of the processes together, in MB of 10^6 bytes.

    ``cpu_seconds`` are those of the processes and of all that they have waited for, in all their threads,
    ``server_seconds`` those of PostgreSQL meanwhile.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float = nan
    server_seconds: float = nan


def run(
    command: Command,
    *,
    stdin: Path | None = None,
    stdout: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run one process to its end.

    Raises:
        ProcessFailed: its exit code is not 0.
    """
    return pipe([command], stdin=stdin, stdout=stdout, env=env)


def pipe(
    commands: Sequence[Command],
    *,
    stdin: Path | None = None,
    stdout: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run processes joined by pipes, like a shell does, until the last of them has ended.

    Raises:
        ProcessFailed: one exit code is not 0.
    """
    environment = {**os.environ, **(env or {})}
    with ExitStack() as stack:
        reader = stack.enter_context((stdin or Path(os.devnull)).open("rb"))
        writer = stack.enter_context((stdout or Path(os.devnull)).open("wb"))
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        processes: list[subprocess.Popen[bytes]] = []
        begin, cpu_before = time.perf_counter(), _cpu_of_children()
        source = reader
        for number, (command, log) in enumerate(zip(commands, logs, strict=True)):
            is_last = number == len(commands) - 1
            sink = writer if is_last else subprocess.PIPE
            process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=log, env=environment)
            if source is not reader:
                source.close()
            processes.append(process)
            if not is_last:
                assert process.stdout is not None
                source = process.stdout
        with _PeakMemory([process.pid for process in processes]) as memory:
            codes = [process.wait() for process in processes]
            seconds, cpu_seconds = time.perf_counter() - begin, _cpu_of_children() - cpu_before
        for command, code, log in zip(commands, codes, logs, strict=True):
            if code != 0:
                raise ProcessFailed(f"{Path(command[0]).name} ended with exit code {code}:\n{_tail(log)}")
    return Run(seconds, memory.peak_mb, cpu_seconds)


def _cpu_of_children() -> float:
    """A server that runs on does not count: a process counts when it has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _PeakMemory:
    """Samples VmHWM of processes and their descendants.

    The kernel keeps the high-water mark, so a rare sample misses only what grew in the last few milliseconds.
    ``ru_maxrss`` would not do: it starts at the size of this process, from which the others are forked.
    """

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_mb = 0.0

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            total = sum(_high_water_kb(pid) for pid in _with_descendants(self._pids))
            self.peak_mb = max(self.peak_mb, total * 1024 / 1e6)


def _with_descendants(pids: list[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
        found.extend(children)
    return found


def _high_water_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended meanwhile
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0  # a zombie has no memory any more


def _tail(log: object, size: int = 2000) -> str:
    log.seek(0)  # type: ignore[attr-defined]
    return log.read().decode(errors="replace")[-size:]  # type: ignore[attr-defined,no-any-return]
