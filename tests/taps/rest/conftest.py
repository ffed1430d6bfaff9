"""Run tap-rest as a process, the way a user does, and look at everything it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from conformance.processes import Outcome
from taps.rest.api_server import Api
from taps.rest.in_process import Messages, run_here
from taps.rest.in_process import Run as InProcess

TAP = Path(sys.executable).with_name("tap-rest")
SECRETS: dict[str, Any] = {
    "auth": {"type": "bearer", "token": canary("tap-rest auth token")},
    "headers": {"X-Planted-Key": canary("tap-rest headers")},
}
"""What every config holds that says nothing else; it must never be seen again."""
FAST = {"tries": 3, "first_wait": 0.01, "longest_wait": 0.3}


class Number(str):
    """A JSON number as the text it was."""


@dataclass(frozen=True)
class Run:
    code: int
    stdout: str
    stderr: str

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    def texts(self, stream: str) -> list[dict[str, Any]]:
        """Records with every number as its text."""
        parsed = [json.loads(line, parse_float=Number, parse_int=Number) for line in self.stdout.splitlines()]
        return [m["record"] for m in parsed if m["type"] == "RECORD" and m["stream"] == stream]

    def schemas(self, stream: str) -> list[dict[str, Any]]:
        return [m["schema"] for m in self.messages if m["type"] == "SCHEMA" and m["stream"] == stream]

    @property
    def state(self) -> dict[str, Any]:
        return [m["value"] for m in self.messages if m["type"] == "STATE"][-1]

    @property
    def sentence(self) -> str:
        """The last line on stderr."""
        return self.stderr.rstrip().rpartition("\n")[2]

    def ended(self, code: int) -> Run:
        assert self.code == code, f"exit {self.code}, expected {code}\n{self.stderr[-3000:]}"
        assert code == 0 or self.sentence.startswith("CRITICAL tap-rest: "), self.stderr
        assert "Traceback" not in self.stderr
        return self


@pytest.fixture
def run_tap(tmp_path: Path) -> Callable[..., Run]:
    """``run_tap(base_url, streams, **config)``; ``args``, ``state``, ``catalog``, ``env`` go to the process."""

    def run(
        base_url: str,
        *streams: Mapping[str, Any],
        args: tuple[str, ...] = (),
        state: Mapping[str, Any] | None = None,
        catalog: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        **config: Any,
    ) -> Run:
        settings = {"base_url": base_url, "streams": list(streams), "retries": FAST}
        infers = any("schema" not in stream for stream in streams)
        settings |= ({"schema_cache": str(tmp_path / "schemas")} if infers else {}) | SECRETS | config
        given = {"config": settings, "state": state, "catalog": catalog}
        options: list[str] = []
        for option, value in given.items():
            if value is not None:
                file = tmp_path / f"{option}.json"
                file.write_text(json.dumps(value))
                options += [f"--{option}", str(file)]
        stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
        environment = {"TAP_REST_LOGLEVEL": "INFO", "NO_PROXY": "*", **(env or {})}
        command = [str(TAP), *options, *args]
        with stdout.open("wb") as out, stderr.open("wb") as errors:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=os.environ | environment,
                timeout=60,
                check=False,
            ).returncode
        ended = Run(code, stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8"))
        Outcome(tuple(command), code, ended.stdout.encode(), ended.stderr)  # is searched for secrets
        return ended

    return run


RunTap = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> InProcess:
    """See `in_process.Run`."""

    def once(api: Api, *streams: Mapping[str, Any], **more: Any) -> Messages:
        caplog.clear()
        return run_here(api, *streams, cache=tmp_path, **more)

    return once
