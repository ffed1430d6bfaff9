"""Runs the example connector as a process."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from conformance.processes import Outcome

from singerkit_state.value import decode, encode

TAP = Path(__file__).with_name("tap_example.py")

ORDERS_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "price": {"type": ["null", "number"]},
        "note": {"type": ["null", "string"]},
    },
}


@dataclass
class Result:
    """What a process left behind."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [decode(line) for line in self.out.splitlines()]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str = "orders") -> list[dict[str, Any]]:
        return [message["record"] for message in self.of_type("RECORD") if message["stream"] == stream]

    @property
    def ids(self) -> list[Any]:
        return [record["id"] for record in self.records()]

    @property
    def state(self) -> dict[str, Any]:
        return self.of_type("STATE")[-1]["value"]

    @property
    def last_line(self) -> str:
        return self.err.strip().splitlines()[-1]


class Example:
    """A folder with a config, pages and a state for the example connector."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_file = folder / "state.json"

    def pages(self, *pages: Any, name: str = "orders") -> str:
        """Write pages: lists of records, JSON text taken as it is, or "wait" and "fail"."""
        path = self.folder / f"{name}.pages"
        lines = [page if isinstance(page, bytes) else json.dumps(page).encode() for page in pages]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return str(path)

    def stream(self, **settings: Any) -> dict[str, Any]:
        name = settings.get("name", "orders")
        return {
            "name": name,
            "pages": str(self.folder / f"{name}.pages"),
            "schema": ORDERS_SCHEMA,
            "key_properties": ["id"],
            **settings,
        }

    def config(self, *streams: dict[str, Any], **settings: Any) -> dict[str, Any]:
        common = {"gate": str(self.folder / "gate"), "api_key": canary("tap-example api_key", awkward=True)}
        return {"streams": list(streams) or [self.stream()], **common, **settings}

    def write(self, name: str, value: Any) -> str:
        path = self.folder / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    def command(self, config: dict[str, Any] | None, *args: str) -> list[str]:
        options = [] if config is None else ["--config", self.write("config.json", config)]
        return [sys.executable, str(TAP), *options, *args]

    def run(self, config: dict[str, Any] | None, *args: str, env: dict[str, str] | None = None) -> Result:
        """Run the command line in a process of its own."""
        command = self.command(config, *args)
        done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, timeout=60)
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        Outcome(tuple(command), result.code, done.stdout, result.err)  # is searched for secrets
        return result

    def run_on(self, config: dict[str, Any]) -> Result:
        """Run with the state of the last such run, and keep the new state."""
        result = self.run(config, "--state", str(self.state_file))
        if result.of_type("STATE"):
            self.state_file.write_text(encode(result.state))
        return result

    def sync(self, config: dict[str, Any], state: dict[str, Any] | None = None) -> Result:
        """Sync in this process, from ``state``; a failure is raised, what was written stays in ``written``."""
        self.written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(self.written):
            tap_class()(config=json.loads(json.dumps(config)), state=state or {}).sync()
        return self.what_was_written()

    def what_was_written(self) -> Result:
        return Result(0, self.written.buffer.getvalue().decode(), "")


def tap_class() -> Any:
    """Return the example's tap class."""
    if "tap_example" not in sys.modules:
        spec = importlib.util.spec_from_file_location("tap_example", TAP)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["tap_example"] = module
        spec.loader.exec_module(module)
    return sys.modules["tap_example"].TapExample


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


@pytest.fixture(scope="session", name="tap_class")
def tap_class_fixture() -> Any:
    return tap_class()


@pytest.fixture(scope="session")
def make_example() -> type[Example]:
    return Example
