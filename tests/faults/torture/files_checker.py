"""Holds what a target has of folders against the history that their writer keeps (`files_shelves`).

    lost       a row is missing that was there, and whose file nobody has touched since
    doubled    a key, or a number, is there twice
    wrong      a row that never stood in its file; rows of a file that no version of it had together
    regressed  a file has rows of an older version than before
    state      rows change without a commit; epoch or sequence go back; files and stdout as in `checker.py`
    exit       a run ended with 0 though a file could not be read to its end

After a run that ended with 0 while nobody wrote, each table must be what its folder is: all rows of the files that are there, and none
besides where those of changed and removed files go.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.torture.checker import Checker, State
from faults.torture.duckdb_checker import DuckChecker
from faults.torture.files_logs import Lines
from faults.torture.files_shelves import Row, Shelf
from faults.torture.pipeline import Outcome, Pipeline
from faults.torture.stored import InDuck, InPostgres, Stored

__all__ = ["FilesIntoDuck", "FilesIntoPostgres", "FromFiles"]

Found = tuple[str, int, Row]
"""A row of a table: the name of its file, its number in that, and what it says."""


class FromFiles(Checker):
    """Checks a pipeline from a `FilesSource`, after every run of it; how the target is read is for the class below."""

    tap = "tap-files"
    _pipeline: Any

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._at = 0, 0
        self._tables: dict[str, list[Found]] = {}
        self._versions: dict[str, dict[str, int]] = {}
        """By stream how many versions each file had at the last check."""

    def check(self, *outcomes: Outcome, complete: bool | None = None, **options: Any) -> None:
        """Check as `Checker.check` does; a run that has left a file unread does not end with 0."""
        source = self._pipeline.source
        has_read_all = complete is not False and any(outcome.codes == "0|0" for outcome in outcomes)
        self._is_unread = has_read_all and source.is_broken
        super().check(*outcomes, complete=complete, **options)
        if has_read_all and not source.open_runs:
            source.in_motion.clear()

    def _read_now(self) -> tuple[State | None, dict[str, Counter[Any]]]:
        shelves: Mapping[str, Shelf] = self._pipeline.source.shelves
        state, epoch, sequence, tables = self._read_tables({name: name for name in shelves})  # type: ignore[attr-defined]
        if (epoch, sequence) < self._at:
            self._find("state", f"epoch, sequence go back from {self._at} to {epoch, sequence}")
        if self._is_unread:
            self._find("exit", "the tap ended with 0, and a file is there that cannot be read to its end")
        now = {name: self._found(shelf, tables[name]) for name, shelf in shelves.items()}
        if (
            sequence == self._at[1]
            and self._tables
            and any(Counter(now[name]) != Counter(self._tables[name]) for name in now)
        ):
            self._find("state", f"rows have changed without a new sequence number ({sequence})")
        for name, shelf in shelves.items():
            before = self._tables.get(name, [])
            CHECKS[name](self, shelf, before, now[name])
            shelf.stored = {row[0] for _, _, row in now[name]}
        self._at, self._tables = (epoch, sequence), now
        self._versions = {name: shelf.versions for name, shelf in shelves.items()}
        return state, {}

    @staticmethod
    def _found(shelf: Shelf, stored: Stored) -> list[Found]:
        return [
            (
                Path(row.get("_file") or "").name,
                int(row.get("_row") or 0),
                (int(row["n"] or 0), row["v"] or "", _plain(row.get("code"))),
            )
            for row in stored.alive
        ]

    # --- after each run -----------------------------------------------------------------------------------------

    def _is_untouched(self, shelf: Shelf, file: str) -> bool:
        if (shelf.name, file) in self._pipeline.source.in_motion:
            return False
        return len(shelf.history.get(file, ())) == self._versions.get(shelf.name, {}).get(file, 0)

    def _check_notes(self, shelf: Shelf, before: list[Found], now: list[Found]) -> None:
        """Each file has the first rows of one of its versions, and each row once."""
        self._once(shelf, "doubled", (found[:2] for found in now))
        had, has = _by_file(before), _by_file(now)
        for file, rows in has.items():
            versions = shelf.history.get(file, [])
            if (shelf.name, file) in self._pipeline.source.in_motion:
                self._check_ever(shelf, file, rows)
            elif not any(_is_beginning(rows, version) for version in versions):
                self._find("wrong", f"notes: {file} never began with its {len(rows)} rows: {_short(rows)}")
        for file in had.keys() & shelf.now.keys():
            if self._is_untouched(shelf, file):
                self._check_kept(shelf, file, had[file], has.get(file, ()))

    def _check_kept(self, shelf: Shelf, file: str, before: Sequence[Row], now: Sequence[Row]) -> None:
        """Check a file that nobody has touched: it has its rows, or more, or has all of its rows now in their place."""
        whole = shelf.history[file][-1]
        if tuple(now) not in (whole, tuple(before)) and now[: len(before)] != before:
            kind = "regressed" if len(now) >= len(before) else "lost"
            self._find(
                kind, f"{shelf.name}: {file} had {len(before)} rows and has {len(now)}, of {len(whole)}"
            )

    def _check_items(self, shelf: Shelf, before: list[Found], now: list[Found]) -> None:
        """Each key is there once, with a row that stood in its file; it never goes back to an older one."""
        self._once(shelf, "doubled", (row[0] for _, _, row in now))
        for file, rows in _by_file(now).items():
            self._check_ever(shelf, file, rows)
        keys = {row[0]: (file, row) for file, _, row in now}
        there = {row[0]: file for file, rows in shelf.now.items() for row in rows}
        for file, _, row in before:
            key, is_untouched = row[0], self._is_untouched(shelf, file)
            if key not in keys and there.get(key) == file and is_untouched:
                self._find("lost", f"items: key {key} of {file}")
            elif key in keys and keys[key] != (file, row) and is_untouched and row in shelf.now.get(file, ()):
                self._find("regressed", f"items: key {key} of {file} was {row} and is {keys[key]}")

    def _check_visits(self, shelf: Shelf, before: list[Found], now: list[Found]) -> None:
        """Each row is there once, and stays."""
        self._check_appended(
            shelf,
            before,
            now,
            {row for versions in shelf.history.values() for rows in versions for row in rows},
        )

    def _check_drops(self, shelf: Shelf, before: list[Found], now: list[Found]) -> None:
        """Each row is there once, and stays; none is of a file that nobody has called complete."""
        names = {file for file in shelf.history if file in shelf.now or not shelf.history[file][-1]}
        self._check_appended(
            shelf, before, now, {row for name in names for rows in shelf.history[name] for row in rows}
        )

    def _check_lines(self, shelf: Shelf, before: list[Found], now: list[Found]) -> None:
        """Each line is there once, and stays."""
        assert isinstance(shelf, Lines)
        self._check_appended(shelf, before, now, {(*line, None) for line in shelf.lines})
        self._once(shelf, "doubled", (found[:2] for found in now))

    def _check_appended(self, shelf: Shelf, before: list[Found], now: list[Found], ever: set[Row]) -> None:
        numbers = Counter(row[0] for _, _, row in now)
        self._find_all("doubled", shelf, (number for number, count in numbers.items() if count > 1))
        self._find_all("lost", shelf, (row for _, _, row in before if row[0] not in numbers))
        self._find_all("wrong", shelf, (row for _, _, row in now if row not in ever))

    def _check_ever(self, shelf: Shelf, file: str, rows: Iterable[Row]) -> None:
        ever = {row for version in shelf.history.get(file, ()) for row in version}
        self._find_all(
            "wrong",
            shelf,
            (row for row in rows if row not in ever and not any(_is_cut(row, one) for one in ever)),
        )

    def _once(self, shelf: Shelf, kind: str, keys: Iterable[Any]) -> None:
        self._find_all(kind, shelf, (key for key, count in Counter(keys).items() if count > 1))

    def _find_all(self, kind: str, shelf: Shelf, found: Iterable[Any]) -> None:
        for each in list(found)[:5]:
            self._find(kind, f"{shelf.name}: {each}")

    # --- after a run that ended with 0 --------------------------------------------------------------------------

    def _check_complete(self, rows: Mapping[str, Counter[Any]]) -> None:
        for name, shelf in self._pipeline.source.shelves.items():
            stored = Counter(self._tables[name])
            if isinstance(shelf, Lines):
                stored = Counter(("", 0, row) for _, _, row in self._tables[name])
                wanted = Counter(("", 0, (*line, None)) for line in shelf.whole_lines)
            elif name == "visits":
                wanted = Counter(("", 0, row) for rows in shelf.now.values() for row in rows)
            else:
                wanted = Counter(
                    (file, number, row)
                    for file, rows in shelf.now.items()
                    for number, row in enumerate(rows, 1)
                )
            self._find_all(
                "lost", shelf, (f"{one}, after a run that ended with 0" for one in wanted - stored)
            )
            if name in ("notes", "items"):
                self._find_all(
                    "doubled",
                    shelf,
                    (f"{one} is too many, after a run that ended with 0" for one in stored - wanted),
                )


CHECKS: dict[str, Callable[[FromFiles, Shelf, list[Found], list[Found]], None]] = {
    "notes": FromFiles._check_notes,
    "items": FromFiles._check_items,
    "visits": FromFiles._check_visits,
    "drops": FromFiles._check_drops,
    "lines": FromFiles._check_lines,
}


class FilesIntoPostgres(InPostgres, FromFiles):
    """Reads a PostgreSQL that is the target."""


class FilesIntoDuck(InDuck, FromFiles, DuckChecker):
    """Reads a file of DuckDB."""


def _plain(code: str | None) -> str | None:
    """Return a code as text, also where its column holds numbers and texts as JSON."""
    return json.loads(code) if code is not None and code.startswith('"') else code


def _by_file(found: Iterable[Found]) -> dict[str, list[Row]]:
    """Return the rows of each file, in their order."""
    files: dict[str, list[Row]] = {}
    for file, _, row in sorted(found, key=lambda one: one[:2]):
        files.setdefault(file, []).append(row)
    return files


def _is_beginning(rows: Sequence[Row], version: Sequence[Row]) -> bool:
    """Tell whether a version of a file begins with rows; the last one may be cut, as a file is seen while it is written."""
    if len(rows) > len(version) or tuple(rows[:-1]) != tuple(version[: len(rows) - 1]):
        return False
    return rows[-1] == version[len(rows) - 1] or _is_cut(rows[-1], version[len(rows) - 1])


def _is_cut(row: Row, whole: Row) -> bool:
    return row[:2] == whole[:2] and (whole[2] or "").startswith(row[2] or "")


def _short(rows: Sequence[Row]) -> str:
    text = repr(rows[-2:])
    return text if len(text) < 200 else f"{text[:197]}..."
