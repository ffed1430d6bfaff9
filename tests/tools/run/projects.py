"""Folders with a file of pipelines, and taps and targets of others: scripts of the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Project", "record", "schema", "state"]

BIN = Path(sys.executable).parent


def schema(stream: str = "a") -> str:
    return say(
        {
            "type": "SCHEMA",
            "stream": stream,
            "schema": {"properties": {"id": {"type": "integer"}}},
            "key_properties": ["id"],
        }
    )


def record(number: int, stream: str = "a") -> str:
    return say({"type": "RECORD", "stream": stream, "record": {"id": number}})


def state(number: int) -> str:
    return say({"type": "STATE", "value": {"n": number}})


def say(message: Mapping[str, Any]) -> str:
    return f"printf '%s\\n' '{json.dumps(message)}'"


class Project:
    """A folder; pipelines whose target is ours load into the folder `out-NAME`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.more: dict[str, Any] = {}

    def script(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return f"./{name}"

    def add(self, name: str, *lines: str, target: Sequence[str] | None = None, **more: Any) -> None:
        """Add a pipeline whose tap has these lines; ``target`` are those of one of others, without them it is target-jsonl."""
        tap = self.script(f"{name}.sh", *lines)
        if target is None:
            (self.folder / f"{name}.json").write_text(json.dumps({"destination_path": f"out-{name}"}))
            end: Mapping[str, Any] = {"exec": "target-jsonl", "config": f"{name}.json"}
        else:
            end = {"exec": self.script(f"{name}-target.sh", *target)}
        self.pipelines[name] = {"tap": {"exec": tap}, "target": end, **more}

    def write(self) -> None:
        (self.folder / "singerkit.json").write_text(
            json.dumps({"pipelines": self.pipelines, **self.more}, indent=1)
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        self.write()
        return subprocess.Popen(
            [str(BIN / "singerkit"), "run", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Return the exit code and all that was said."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def rows(self, name: str, stream: str = "a") -> list[int]:
        files = sorted((self.folder / f"out-{name}").glob(f"{stream}*.jsonl"))
        return [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]

    def state(self, name: str) -> Any:
        path = self.folder / "state" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def living(self) -> list[int]:
        """The processes that run in this folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if (
                        os.readlink(entry / "cwd") == str(self.folder.resolve())
                        and "State:\tZ" not in (entry / "status").read_text()
                    ):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found
