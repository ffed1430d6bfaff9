"""Servers by others, as processes of their own, and tap-rest into target-postgres beside them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from targets.postgres.driver import read_table
from waiting import wait_until

__all__ = ["Pipeline", "call", "free_port", "free_ports", "meanwhile", "running", "sent"]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def free_port() -> int:
    return free_ports(1)[0]


@contextlib.contextmanager
def running(
    command: list[Any], url: str, log: Path, *, with_signal: int = signal.SIGTERM, **options: Any
) -> Iterator[None]:
    """Run a server until the block is left; it is up when it answers at ``url``, with 404, too."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True

    try:
        wait_until(is_up, url, 180)
        yield
    finally:
        os.killpg(process.pid, with_signal)
        process.wait(30)


def call(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Ask a server for something, in JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@contextlib.contextmanager
def meanwhile(change: Callable[[], None], pause: float = 0.005) -> Iterator[None]:
    """Let somebody change something again and again until the block is left."""
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.wait(pause):
            change()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def sent(said: str) -> dict[str, int]:
    """How many rows of each stream a run has sent, by its log."""
    metrics = [
        json.loads(line.partition("METRIC: ")[2])
        for line in said.splitlines()
        if '"metric":"record_count"' in line
    ]
    return {metric["tags"]["stream"]: metric["value"] for metric in metrics}


class Pipeline:
    """tap-rest into target-postgres, with a state file between them; the state has the schemas, too."""

    def __init__(self, tap: Mapping[str, Any], dsn: str, folder: Path) -> None:
        self._folder, self._dsn = folder, dsn
        self.state = folder / "state.json"
        self._tap = {"infer": {"keep_in": "state"}, **tap}

    def run(self, **more: Any) -> str:
        """Run once, which has to end well; return what the tap has said."""
        (self._folder / "tap.json").write_text(json.dumps(self._tap | more))
        target = {"dsn": self._dsn, "hard_delete": True, "add_record_metadata": True}
        (self._folder / "target.json").write_text(json.dumps(target))
        programs = Path(sys.executable).parent
        read = [programs / "tap-rest", "--config", self._folder / "tap.json", "--state", self.state]
        load = [programs / "target-postgres", "--config", self._folder / "target.json"]
        with (self._folder / "tap.log").open("wb") as log:
            tap = subprocess.Popen(read, stdout=subprocess.PIPE, stderr=log)
            ended = subprocess.run(
                [*load, "--state-file", self.state],
                stdin=tap.stdout,
                capture_output=True,
                timeout=300,
                check=False,
            )
            assert tap.stdout is not None
            tap.stdout.close()
            code = tap.wait(300)
        said = (self._folder / "tap.log").read_text()
        assert (code, ended.returncode) == (0, 0), said + ended.stderr.decode()
        return said

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is stored, without what the target adds."""
        return [
            {name: value for name, value in row.items() if not name.startswith("_sdc_")}
            for row in read_table(self._dsn, "public", table)
        ]
