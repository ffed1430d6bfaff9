"""Run an executable of ours in this process against garbage, and judge how it ended (DESIGN 7).

Whatever comes from outside, an end is: an exit code that is not 70, one sentence on stderr for any but 0, no
traceback, within a bounded time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from unittest import mock

from singerkit_shell.signals import stop_flag

__all__ = ["CODES", "End", "answering", "end_of", "judged"]

CODES = frozenset({0, 64, 65, 69, 73, 74, 75, 76, 77, 78})
SECONDS = 30.0
TLS = b"\x16"
"""What a handshake begins with."""


@dataclass(frozen=True)
class End:
    code: int
    stdout: bytes
    stderr: str
    seconds: float


def end_of(
    name: str, arguments: Sequence[str], stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> End:
    """Run the console script ``name`` in this process."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    errors = io.StringIO()
    handlers = [(signum, signal.getsignal(signum)) for signum in (signal.SIGTERM, signal.SIGINT)]
    loggers, level = list(logging.root.handlers), logging.root.level
    began = time.monotonic()
    code: object = 0
    changes = {"NO_PROXY": "*", **(environment or {})}
    with (
        mock.patch.dict(os.environ, changes),
        mock.patch.object(sys, "argv", [name, *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main_of(name)()
        except SystemExit as leaving:
            code = leaving.code
    for signum, handler in handlers:
        signal.signal(signum, handler)
    logging.root.handlers[:] = loggers  # else each run would write into the streams of all runs before it
    logging.root.setLevel(level)
    signal.set_wakeup_fd(-1)
    stop_flag.signum = None
    printed = out.buffer.getvalue()  # type: ignore[attr-defined]  # a BytesIO
    return End(code if isinstance(code, int) else 0, printed, errors.getvalue(), time.monotonic() - began)


def main_of(name: str):  # type: ignore[no-untyped-def]  # -> a function without arguments
    if name == "tap-rest":
        from tap_rest.tap import main
    elif name == "target-postgres":
        from target_postgres.target import main
    elif name == "target-jsonl":
        from target_jsonl.target import main
    else:
        from singerkit_state.cli import main
    return main


def judged(end: End, seconds: float = SECONDS) -> str | None:
    """What is wrong with an end; None when nothing is."""
    last = end.stderr.rstrip().rpartition("\n")[2]
    if end.code not in CODES:
        return f"exit {end.code}: {last}"
    if "Traceback" in end.stderr:
        return "a traceback"
    if end.code and not last.startswith("CRITICAL "):
        return f"exit {end.code} without a sentence: {last}"
    if len(last) > 4200:
        return f"a sentence of {len(last)} characters"
    if end.seconds > seconds:
        return f"{end.seconds:.0f} seconds"
    return None


class Answers:
    """What the server says; the test changes it between runs."""

    def __init__(self) -> None:
        self.replies: list[bytes] = [b""]
        self.port = 0
        self.asked = 0

    def next(self) -> bytes:
        reply = self.replies[min(self.asked, len(self.replies) - 1)]
        self.asked += 1
        return reply


@contextlib.contextmanager
def answering() -> Iterator[Answers]:
    """A server that answers each connection's first request with bytes as they are, and hangs up."""
    answers = Answers()
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        answers.port = server.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    asked = connection.recv(65536)
                    # In whole: what is unread when a socket is closed takes the answer with it. (TLS has no lines.)
                    while asked[:1] != TLS and b"\r\n\r\n" not in asked and (more := connection.recv(65536)):
                        asked += more
                    connection.sendall(answers.next().replace(b"PORT", str(answers.port).encode()))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield answers
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
