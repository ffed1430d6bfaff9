"""Whole pipelines as a shell makes them, ``tap-rest | target-postgres``, with the state in the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canaries import holds_secrets
from conformance.processes import SECONDS, Outcome
from faults.loads import TARGET, query
from psycopg2.sql import SQL, Identifier

__all__ = ["Ended", "Pipe", "pipe", "piping", "rows_of"]

TAP = str(Path(sys.executable).with_name("tap-rest"))
FAST = {"tries": 3, "first_wait": 0.01, "longest_wait": 0.3}
PIPELINE = "rows"


@dataclass(frozen=True)
class Ended:
    """How the two processes of a pipeline ended."""

    tap: Outcome
    target: Outcome

    def expect(self, tap: int, target: int) -> Ended:
        """Return itself, or fail with the end of both stderrs."""
        codes = (self.tap.code, self.target.code)
        assert codes == (tap, target), f"exits {codes}, expected {(tap, target)}\n{self.tap}\n{self.target}"
        return self


class Pipe:
    """A running pipeline."""

    def __init__(
        self, folder: Path, database: str, config: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        state_url = f"{database}{'&' if '?' in database else '?'}pipeline={PIPELINE}&schema=public"
        tap = [TAP, "--config", self._write("tap.json", config), "--state", state_url]
        target = [TARGET, "--config", self._write("target.json", {"dsn": database, "commit_rows": 1})]
        surroundings = {"NO_PROXY": "*", "NO_COLOR": "1", "TAP_REST_LOGLEVEL": "INFO", **environment}
        self.tap = self._start(tap, surroundings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with self._file("target", "out") as out:
            self.target = self._start(target, surroundings, stdin=self.tap.stdout, stdout=out)
        assert self.tap.stdout is not None
        self.tap.stdout.close()  # the pipe is theirs

    def _write(self, name: str, config: Mapping[str, Any]) -> str:
        path = holds_secrets(self._folder / name)
        path.write_text(json.dumps(config))
        return str(path)

    def _file(self, program: str, stream: str) -> Any:
        return (self._folder / f"{program}.{stream}").open("wb")

    def _start(self, command: list[str], changes: Mapping[str, str], **pipes: Any) -> subprocess.Popen[bytes]:
        with self._file(Path(command[0]).name, "err") as errors:
            return subprocess.Popen(command, env=os.environ | dict(changes), stderr=errors, **pipes)

    def signal_tap(self, signum: signal.Signals) -> None:
        self.tap.send_signal(signum)

    def finish(self, seconds: float = SECONDS) -> Ended:
        """Wait for the end of both."""
        for process in (self.tap, self.target):
            process.wait(seconds)
        return Ended(self._outcome(self.tap, b""), self._outcome(self.target, self._read("target.out")))

    def _outcome(self, process: subprocess.Popen[bytes], stdout: bytes) -> Outcome:
        command = tuple(map(str, process.args))  # type: ignore[union-attr, arg-type]
        errors = self._read(Path(command[0]).name + ".err")
        return Outcome(command, process.returncode, stdout, errors.decode())

    def _read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def kill(self) -> None:
        for process in (self.tap, self.target):
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def piping(
    database: str,
    base_url: str,
    *streams: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    **config: Any,
) -> Iterator[Pipe]:
    """Run a pipeline; its folder, with the schema cache, is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "base_url": base_url,
            "pipeline": PIPELINE,
            "streams": list(streams),
            "retries": FAST,
            "schema_cache": f"{folder}/schemas",
            **config,
        }
        running = Pipe(Path(folder), database, settings, environment or {})
        try:
            yield running
        finally:
            running.kill()


def pipe(database: str, base_url: str, *streams: Mapping[str, Any], **options: Any) -> Ended:
    """Run a pipeline to its end."""
    with piping(database, base_url, *streams, **options) as running:
        return running.finish()


def rows_of(database: str, stream: str = "rows", column: str = "id") -> list[Any]:
    """What a table holds in one column, in order; nothing where there is no table."""
    if not query(database, "SELECT to_regclass(%s)", [f"public.{stream}"])[0][0]:
        return []
    statement = SQL("SELECT {} FROM {} ORDER BY 1").format(Identifier(column), Identifier(stream))
    return [value for (value,) in query(database, statement)]
