"""Start tap and target, forked from the zygote or as the installed executables, and tell how they ended."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.torture import inject
from faults.torture.inject import Counts

__all__ = ["Process", "Zygote"]

_SCRIPTS = Path(sys.executable).parent


@dataclass
class Process:
    """A tap or a target that was started. ``code`` is negative (-9) where a signal ended it, None while it runs."""

    program: str
    pid: int
    counts: Counts
    stderr_path: Path
    code: int | None = None
    is_stopped: bool = False
    maxrss: int = 0
    """KiB, pages shared with the zygote included."""
    cpu: float = 0.0
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _news: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; return the exit code, or None when it has not come in time."""
        with self._news:
            self._news.wait_for(lambda: self.code is not None, seconds)
        return self.code

    def wait_for_stop(self, seconds: float) -> bool:
        """Wait until SIGSTOP has stopped it; False when it has ended, or was not stopped in time."""
        with self._news:
            self._news.wait_for(lambda: self.is_stopped or self.code is not None, seconds)
        return self.is_stopped

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with self._news, contextlib.suppress(ProcessLookupError):
            if self.code is None:
                if number == signal.SIGCONT:
                    self.is_stopped = False
                os.kill(self.pid, number)

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text("utf-8", "replace")

    @property
    def last_words(self) -> str:
        """The last line on stderr that is not blank."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def _hear(self, message: Mapping[str, Any]) -> None:
        with self._news:
            if "pid" in message:
                self.pid = message["pid"]
            if "stopped" in message:
                self.is_stopped = True
            if "status" in message:
                self.code, self.maxrss, self.cpu = message["status"], message["maxrss"], message["cpu"]
                self.ended = time.monotonic()
            self._news.notify_all()


class Zygote:
    """The fork server (`zygote.py`) with `inject.c` in front of its libc. Use as a context manager.

    Raises:
        NoCompilerError: the library cannot be made.
    """

    def __init__(self) -> None:
        self._library = inject.library()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        environment = self._environment({})
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py")), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._processes: dict[int, Process] = {}
        self._reader = threading.Thread(target=self._read, name="zygote", daemon=True)
        self._reader.start()

    def _environment(self, changes: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "TORTURE_"))}
        return kept | {"NO_COLOR": "1", "LD_PRELOAD": str(self._library)} | dict(changes)

    def start(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: Path,
        counts: Counts,
        rules: Sequence[str] = (),
        chunk_bytes: int | None = None,
        environment: Mapping[str, str] | None = None,
        forked: bool = True,
    ) -> Process:
        """Start ``tap-rest`` or ``target-postgres``; the descriptors are the caller's to close.

        ``rules`` are `inject.rule`s. ``chunk_bytes`` is how much the target reads at a time; it needs ``forked``.
        ``forked=False`` starts the installed executable itself.
        """
        changes = {"TORTURE_SPEC": ";".join(rules), "TORTURE_COUNTS": str(counts.path), **(environment or {})}
        environ = self._environment(changes)
        process = Process(program, 0, counts, stderr)
        with stderr.open("wb") as errors:
            descriptors = [stdin, stdout, errors.fileno()]
            if not forked:
                self._execute(process, [str(_SCRIPTS / program), *arguments], environ, descriptors)
                return process
            with self._lock:
                number = next(self._numbers)
                self._processes[number] = process
                request = {
                    "id": number,
                    "program": program,
                    "argv": list(arguments),
                    "env": environ,
                    "chunk_bytes": chunk_bytes,
                }
                socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
                # One request at a time: two in one read of the zygote would be one message.
                with process._news:
                    if not process._news.wait_for(lambda: process.pid, 30):
                        raise RuntimeError("the zygote does not answer")
        return process

    def _execute(
        self, process: Process, command: Sequence[str], environ: Mapping[str, str], descriptors: Sequence[int]
    ) -> None:
        child = subprocess.Popen(
            command, env=environ, stdin=descriptors[0], stdout=descriptors[1], stderr=descriptors[2]
        )
        process.pid = child.pid
        threading.Thread(target=self._await, args=(process, child), daemon=True).start()

    def _await(self, process: Process, child: subprocess.Popen[bytes]) -> None:
        while True:
            _, status, usage = os.wait4(child.pid, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                process._hear({"stopped": True})
                continue
            code = os.waitstatus_to_exitcode(status)
            child.returncode = code
            # Linux counts what the process had before exec, which is all of this one: not the program's memory.
            process._hear({"status": code, "maxrss": 0, "cpu": usage.ru_utime + usage.ru_stime})
            return

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                process = self._processes[message["id"]]
                if "status" in message:
                    del self._processes[message["id"]]
                process._hear(message)

    def close(self) -> None:
        """End the zygote and whatever it has forked."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._server.wait()
        self._reader.join(5)
        self._socket.close()

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
