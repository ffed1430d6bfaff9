"""Folders to read from, and tap-files on them: in this process, or as a process of its own."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from taps.written import Result

from singerkit_state.shards import Shard
from singerkit_state.value import decode, encode
from tap_files.tap import TapFiles

TAP = str(Path(sys.executable).with_name("tap-files"))
SECOND = 1_000_000_000


@dataclass
class Folder:
    """A folder of files, and a config with one stream ``t`` of those in ``in/``."""

    path: Path
    stream: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, content: str | bytes, *, modified: int | None = None) -> Path:
        """Write a file; ``modified``: the Unix second that it says."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        if modified is not None:
            os.utime(file, ns=(modified * SECOND, modified * SECOND))
        return file

    def append(self, name: str, content: str) -> None:
        with (self.path / name).open("a") as file:
            file.write(content)

    def settings(self, **changes: Any) -> dict[str, Any]:
        stream = {"name": "t", "path": "in/*.csv", **self.stream, **changes}
        return self.config | {"streams": [{name: said for name, said in stream.items() if said is not None}]}

    def tap(
        self,
        state: Any = None,
        catalog: Any = None,
        shard: Shard | None = None,
        state_every: int | None = None,
        **changes: Any,
    ) -> TapFiles:
        config = self.settings(**changes) | ({} if state_every is None else {"state_every": state_every})
        tap = TapFiles(config=config, catalog=catalog, setup_mapper=False)  # as `invoke` does
        tap.load_state(state or {})
        if shard is not None:
            tap.take_shard(shard)
        return tap

    def sync(self, state: Any = None, catalog: Any = None, **changes: Any) -> Result:
        """Sync in this process; what was written stays in ``written``, also of a run that fails."""
        self.written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(self.written):
            self.tap(state, catalog, **changes).sync()
        return self.result()

    def result(self) -> Result:
        lines = self.written.buffer.getvalue().splitlines()  # type: ignore[attr-defined]  it is a BytesIO
        return Result([decode(line.decode()) for line in lines], "t")

    def run(self, *options: str, **changes: Any) -> Outcome:
        (self.path / "config.json").write_text(json.dumps(self.settings(**changes)))
        return run([TAP, "--config", str(self.path / "config.json"), *options], cwd=self.path)

    def file(self, name: str, content: Any) -> str:
        (self.path / name).write_text(encode(content))
        return str(self.path / name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return Folder(tmp_path)


def loaded(rows: Sequence[dict[str, Any]], messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a table holds when RECORD and REPLACE messages were committed to ``rows``."""
    table = list(rows)
    for message in messages:
        if message["type"] == "RECORD":
            table.append(message["record"])
        elif message["type"] == "REPLACE":
            where = message["where"].items()
            table = [row for row in table if not where <= row.items()]
    return table


def cuts(messages: Sequence[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], Any]]:
    """Yield, for each STATE that a run wrote, what a target has committed with it, and the state: so a run may end anywhere."""
    committed: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for message in messages:
        if message["type"] == "STATE":
            committed = [*committed, *waiting]
            waiting = []
            yield committed, message["value"]
        elif message["type"] in ("RECORD", "REPLACE"):
            waiting.append(message)
