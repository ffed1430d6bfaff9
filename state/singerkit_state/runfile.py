"""Runs in a file of lines, for where there is no database: beside the manifest of a folder, or beside a state file.

A run has a line when it begins and one when it has ended; the last one counts. Lines are only appended, whole or, on a full disk, torn: a torn
one is passed over. A file whose first run is older than is kept is written anew without those.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from singerkit_state.runs import Run, as_json, from_json
from singerkit_state.statefile import replace_file

__all__ = ["NAME", "RunFile"]

NAME = "_singerkit_runs.jsonl"
_SLACK = 1.1
"""A file is written anew once its first run is so many times as old as is kept."""


class RunFile:
    """The runs of one pipeline, whose lock the one has who begins one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, run: Run, keep_days: float) -> None:
        """Note a run that is at work now; whichever was before it and has not told its end was killed.

        Raises:
            OSError: the file cannot be written; CannotWriteError where it would have been made shorter.
        """
        self._forget(run.started, keep_days)
        self._append(run)

    def end(self, run: Run) -> None:
        """Note what a run has come to.

        Raises:
            OSError: the file cannot be written.
        """
        self._append(run)

    def read(self) -> list[Run]:
        """Return the runs, as they began; none where there is no file.

        Raises:
            OSError: it cannot be read.
        """
        runs: dict[str, Run] = {}
        at_work: str | None = None
        for run in self._lines():
            if run.result == "running":
                if at_work is not None and runs[at_work].result == "running":
                    runs[at_work] = runs[at_work].killed()
                at_work = run.id
            runs[run.id] = run
        return list(runs.values())

    def _lines(self) -> Iterator[Run]:
        try:
            text = self.path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return
        for line in text.split("\n"):
            with contextlib.suppress(ValueError):
                yield from_json(line)

    def _append(self, run: Run) -> None:
        data = as_json(run).encode() + b"\n"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(self.path, flags, 0o644)
        try:
            length = os.lseek(file, 0, os.SEEK_END)
            if length and os.pread(file, 1, length - 1) != b"\n":
                data = b"\n" + data  # behind one that a full disk has torn
            written = os.write(file, data)
        finally:
            os.close(file)
        if written != len(data):
            raise OSError(f"{written} of {len(data)} bytes were written")

    def _forget(self, now: datetime, keep_days: float) -> None:
        first = next(self._first(), None)
        if first is None or now - first.started < timedelta(days=keep_days * _SLACK):
            return
        kept = [run for run in self.read() if now - run.started < timedelta(days=keep_days)]
        lines = "".join(f"{as_json(run)}\n" for run in kept)
        replace_file(self.path, lines.encode(), "history of runs")

    def _first(self) -> Iterator[Run]:
        """Yield the first run, without reading more of the file than that."""
        with contextlib.suppress(OSError, ValueError), self.path.open("rb") as file:
            yield from_json(file.readline(1 << 20).decode("utf-8", "replace"))
