"""Everybody who reads pages of orders from the local REST server, and the pipes that find nothing new."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database import Database
from loaders import meltanolabs_target, our_target
from measure import Run, pipe, run
from orders import Files, json_schema
from others import environment, our_environment, our_executable, version_of

__all__ = [
    "PAGE",
    "Reader",
    "curl",
    "curl_version",
    "last_state",
    "our_tap",
    "page_server",
    "records_in",
    "sdk_tap",
    "wrong_records",
]

PAGE = 1000
SDK = "singer-sdk==0.54.9"


@contextmanager
def page_server(files: Files, latency: float = 0) -> Iterator[str]:
    """Serve the rows in a process of its own, each answer after ``latency`` seconds; yields the base URL."""
    script = Path(__file__).with_name("page_server.py")
    process = subprocess.Popen(
        [sys.executable, script, files.rows, str(latency)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Reader:
    """A tap: its name and version, and its command line without ``--state``."""

    name: str
    version: str
    command: list[str | Path]

    def read(self, output: Path, state: Path | None = None) -> Run:
        """Read everything, or what is new since ``state``, and write the Singer messages to ``output``."""
        return run([*self.command, *(["--state", state] if state else [])], stdout=output)


def our_tap(
    base_url: str, folder: Path, *, page: int = PAGE, concurrency: int | None = None, children: bool = False
) -> Reader:
    """Return ours; by number where ``concurrency`` is told, since a page that goes on by its key can be asked for by nobody before its turn."""
    stream: dict[str, Any] = {
        "name": "orders",
        "path": "/orders",
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "replication_key": "updated_at",
        "is_sorted": True,
        "incremental": {"param": "since"},
        "pagination": {"type": "page", "size": page, "has_more": "$.meta.next"},
        "schema": json_schema(nested=False),
    }
    child = {
        "name": "details",
        "path": "/orders/{parent.id}",
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "pagination": {"type": "single"},
        "parent": {"stream": "orders"},
        "schema": json_schema(nested=False),
    }
    config: dict[str, Any] = {"base_url": base_url, "streams": [stream, *([child] if children else [])]}
    if concurrency is not None:
        stream["pagination"]["continue_by"] = "number"
        config["concurrency"] = concurrency
    tap = our_executable("tap-rest")
    path = _write(folder / f"tap-rest-{page}-{concurrency}-{children}.json", config)
    return Reader("singerkit tap-rest", version_of(our_environment(), "singerkit"), [tap, "--config", path])


def sdk_tap(base_url: str, folder: Path, *, children: bool = False) -> Reader:
    config = _write(folder / f"sdk-tap-{children}.json", {"base_url": base_url, "children": children})
    python = environment(SDK) / "python"
    script = Path(__file__).with_name("sdk_tap.py")
    return Reader(
        "singer-sdk RESTStream tap",
        version_of(python.parent, "singer-sdk"),
        [python, script, "--config", config],
    )


def curl(base_url: str, pages: int, output: Path) -> Run:
    """Fetch the same pages with one curl process over one connection: the physical limit."""
    return run(["curl", "-sf", f"{base_url}/orders?per_page={PAGE}&page=[1-{pages}]"], stdout=output)


def curl_version() -> str:
    done = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def wrong_records(output: Path, files: Files, *, exact: bool, stream: str = "orders") -> str:
    """Compare the RECORD messages of ``stream`` in ``output`` with the rows, in order.

    ``exact`` compares numbers as text, otherwise as values. Returns ``same rows`` or what is different.
    """
    number: Any = str if exact else float
    differing = found = 0
    with output.open("rb") as lines, files.rows.open("rb") as rows:
        for line in lines:
            message = json.loads(line, parse_float=number)
            if message["type"] != "RECORD" or message["stream"] != stream:
                continue
            found += 1
            row = rows.readline()
            differing += not row or message["record"] != json.loads(row.rstrip(b",\n"), parse_float=number)
    if found != files.count:
        return f"{found:,} rows instead of {files.count:,}"
    return f"{differing:,} rows differ" if differing else "same rows"


def last_state(output: Path) -> Any:
    """Return the value of the last STATE in ``output``."""
    with output.open("rb") as lines:
        states = [line for line in lines if line.startswith(b'{"type":"STATE"')]
    return json.loads(states[-1])["value"]


def records_in(output: Path) -> int:
    with output.open("rb") as lines:
        return sum(line.startswith(b'{"type":"RECORD"') for line in lines)


@dataclass(frozen=True)
class Pipeline:
    """``tap | target`` with state: each run continues where the one before has stopped."""

    name: str
    schema: str
    tap: Reader
    target: list[str | Path]
    state: Path
    state_comes_from_stdout: bool

    def run(self, folder: Path) -> Run:
        output = folder / f"{self.schema}.out"
        tap = [
            *self.tap.command,
            *(["--state", self.state] if self.state.exists() or not self.state_comes_from_stdout else []),
        ]
        measured = pipe([tap, self.target], stdout=output)
        if self.state_comes_from_stdout:
            self.state.write_text(output.read_text().splitlines()[-1])
        return measured


def our_pipeline(base_url: str, database: Database, schema: str, folder: Path) -> Pipeline:
    state = folder / "ours.pipeline.state"
    state.unlink(missing_ok=True)
    target = [*our_target(database, schema, folder), "--state-file", state]
    return Pipeline("tap-rest to target-postgres", schema, our_tap(base_url, folder), target, state, False)


def rival_pipeline(base_url: str, database: Database, schema: str, folder: Path) -> Pipeline:
    state = folder / "rival.pipeline.state"
    state.unlink(missing_ok=True)
    target = meltanolabs_target(database, schema, folder)
    name = "RESTStream tap to MeltanoLabs target-postgres"
    return Pipeline(name, schema, sdk_tap(base_url, folder), target, state, True)


def _write(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
