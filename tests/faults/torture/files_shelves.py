"""Folders of files that somebody writes to, and what each file has held: the history is the writer's own, no file is read back.

A row is its number, which no other row has, a text, and a code, which is a number for a while and any text later. Files are put in place at
once, written in place, or half, with the rest later; they grow, with and without an end of the last line; they are overwritten, also by
as many bytes with the former times; they are touched, renamed, copied, removed, packed.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["Drops", "Items", "Notes", "Row", "Shelf", "Visits"]

Row = tuple[int, str, str | None]
"""Number, text, code."""
Rows = tuple[Row, ...]
HEADER = "n,v,code\n"
_SIZES = (0, 1, 1, 5, 5, 20, 60, 200)


@dataclass
class Half:
    """A file of which a part lies there: what is still to be written, and the rows that it has then."""

    rest: bytes
    rows: Rows


@dataclass
class Shelf:
    """The files of one stream.

    ``history``: by name what each file has held, one after the other; of one that is not there nothing. ``broken``: names of files that
    cannot be read to their end as they are. ``stored``: the numbers of rows that the target has, as far as anybody has looked.
    """

    name: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}
    folder: Path
    roll: random.Random
    numbers: Iterator[int]
    texts: int = 1
    """How many times as long texts are."""
    history: dict[str, list[Rows]] = field(default_factory=dict)
    half: dict[str, Half] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    stored: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir()

    def config(self) -> dict[str, Any]:
        """Return the settings of the stream."""
        return {"name": self.name, "path": f"{self.folder}/{self.settings['path']}"} | {
            key: said for key, said in self.settings.items() if key != "path"
        }

    @property
    def files(self) -> list[str]:
        """The names of the files that are there."""
        return [name for name in self.history if (self.folder / name).exists()]

    @property
    def now(self) -> dict[str, Rows]:
        """What the files hold that are there."""
        return {name: self.history[name][-1] for name in self.files}

    @property
    def versions(self) -> dict[str, int]:
        """How many versions of each file there were."""
        return {name: len(versions) for name, versions in self.history.items()}

    def act(self) -> None:
        """Do one thing, chosen at random; more often than not a file that is half there gets its rest next."""
        if self.half and self.roll.random() < 0.5:
            self.finish(self.roll.choice(list(self.half)))
            return
        actions = self.actions()
        kinds = list(actions)
        self.roll.choices(kinds, [actions[kind] for kind in kinds])[0]()

    def actions(self) -> dict[Callable[[], None], int]:
        """Return what can be done, and how often it is, against the others."""
        raise NotImplementedError

    def complete(self) -> None:
        """Write the rest of all that is half there."""
        for name in list(self.half):
            self.finish(name)

    # --- rows and their texts -----------------------------------------------------------------------------------

    def new_rows(self, count: int | None = None) -> Rows:
        count = self.roll.choice(_SIZES) if count is None else count
        return tuple(self.new_row(next(self.numbers)) for _ in range(count))

    def new_row(self, number: int) -> Row:
        pad = (
            self.roll.choice(["", " é", ' "quoted", ', "\n", " ☃ ", "'"])
            + "x" * self.roll.randrange(40) * self.texts
        )
        # Codes are numbers at first, so that the column has to be widened in mid-run.
        code = self.roll.choice(["12", "3456", None, "007" if number > 300 else "7"])
        return number, f"a {number}{pad}.", code

    def line(self, row: Row) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(["" if value is None else value for value in row])
        return text.getvalue()

    def written(self, name: str, rows: Sequence[Row]) -> bytes:
        """Return what a file of this name and these rows has."""
        return self.packed(name, HEADER + "".join(map(self.line, rows)))

    @staticmethod
    def packed(name: str, text: str) -> bytes:
        data = text.encode()
        return gzip.compress(data) if name.endswith(".gz") else data

    # --- what becomes of a file ---------------------------------------------------------------------------------

    def notes(self, name: str, rows: Sequence[Row]) -> None:
        """Note what a file holds from now on."""
        self.history.setdefault(name, []).append(tuple(rows))

    def replaced(self, name: str) -> None:
        """Note that nothing of what a file was is there any more."""
        self.half.pop(name, None)
        self.broken.discard(name)

    def put(self, name: str, rows: Sequence[Row]) -> None:
        """Write a file beside, and move it to its place."""
        hidden = self.folder / f".{name}"
        hidden.write_bytes(self.written(name, rows))
        hidden.rename(self.folder / name)
        self.replaced(name)
        self.notes(name, rows)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        """Write a file in its place: for a moment it is empty."""
        self.notes(name, ())
        (self.folder / name).write_bytes(self.written(name, rows))
        self.replaced(name)
        self.notes(name, rows)

    def write_half(self, name: str, rows: Sequence[Row]) -> None:
        """Write a part of a file in its place."""
        self.notes(name, ())
        self.replaced(name)
        (self.folder / name).write_bytes(b"")
        self.add(name, self.written(name, rows), (), rows, len(HEADER))

    def add(
        self, name: str, data: bytes, before: Sequence[Row], added: Sequence[Row], header: int = 0
    ) -> None:
        """Write the first part of what is to be added to a file of these rows, cut at random; ``header``: bytes of it that are no row."""
        is_packed = name.endswith(".gz")
        cut, rows, is_broken = (
            self.cut(data, added, header) if not is_packed else self.cut_packed(data, added)
        )
        with (self.folder / name).open("ab") as file:
            file.write(data[:cut])
        self.half[name] = Half(data[cut:], (*before, *added))
        if is_broken:
            self.broken.add(name)
        self.notes(name, (*before, *rows))

    def cut_packed(self, data: bytes, added: Sequence[Row]) -> tuple[int, Sequence[Row], bool]:
        cut = self.roll.randrange(len(data))
        return cut, added if cut else (), cut > 0

    def cut(self, data: bytes, added: Sequence[Row], header: int) -> tuple[int, Sequence[Row], bool]:
        """Return how many bytes of a text to write, the rows that are read of them, and whether one is none."""
        if header and self.roll.random() < 0.1:
            return 0, (), False
        count = self.roll.randrange(len(added) + 1)
        end = header + len("".join(map(self.line, added[:count])).encode())
        if count == len(added) or self.roll.random() < 0.3:
            return end, added[:count], False
        number, text, code = row = added[count]
        if self.roll.random() < 0.4:
            return end + self.roll.randrange(1, len(str(number)) + 3), added[:count], True
        kept = self.roll.randrange(len(code or "") + 1)
        cut = end + len(self.line(row).encode()) - 1 - len(code or "") + kept
        return cut, (*added[:count], (number, text, (code or "")[:kept] or None)), False

    def finish(self, name: str) -> None:
        """Write the rest of a file that is half there."""
        half = self.half[name]
        with (self.folder / name).open("ab") as file:
            file.write(half.rest)
        self.replaced(name)
        self.notes(name, half.rows)

    def grow(self, name: str) -> None:
        """Add rows to a file, some of them by half; one that is half there gets its rest before."""
        if name in self.half:
            self.finish(name)
        before, added = self.history[name][-1], self.new_rows(self.roll.choice([1, 1, 3, 30]))
        data = self.packed(name, "".join(map(self.line, added)))
        if self.roll.random() < 0.3:
            self.add(name, data, before, added)
            return
        with (self.folder / name).open("ab") as file:
            file.write(data)
        self.notes(name, (*before, *added))

    def shorten(self, name: str) -> None:
        """Write a file again with its first rows alone."""
        rows = self.history[name][-1]
        self.write(name, rows[: self.roll.randrange(len(rows) + 1)])

    def alter(self, name: str) -> None:
        """Overwrite a file by as many bytes, and set its time back: one of its texts has another letter."""
        if name.endswith(".gz") or name in self.half or not self.history[name][-1]:
            return
        rows = list(self.history[name][-1])
        at = self.roll.randrange(len(rows))
        number, text, code = rows[at]
        rows[at] = number, self.roll.choice("bcdefgh") + text[1:], code
        path = self.folder / name
        before = path.stat()
        with path.open("r+b") as file:
            file.write(self.written(name, rows))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.notes(name, rows)

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def rename(self, name: str, other: str) -> None:
        """Rename a file, maybe over another one."""
        (self.folder / name).rename(self.folder / other)
        half, is_broken = self.half.get(name), name in self.broken
        self.replaced(other)
        self.replaced(name)
        if half is not None:
            self.half[other] = half
        if is_broken:
            self.broken.add(other)
        self.notes(other, self.history[name][-1])
        self.notes(name, ())

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()
        self.replaced(name)
        self.notes(name, ())

    def on(self, action: Callable[[str], None]) -> Callable[[], None]:
        """Return what does something with one of the files that may go."""

        def do() -> None:
            files = [name for name in self.files if name != self.kept]
            if files:
                action(self.roll.choice(files))

        return do

    kept: ClassVar[str] = "keep.csv"
    """The one that stays: of a folder without a file nobody removes rows, since it looks like one that is not mounted."""


class Notes(Shelf):
    """Files whose rows are known by file and number: anything may happen to them. They change and go with their rows."""

    name = "notes"
    settings: ClassVar[dict[str, Any]] = {
        "path": "*.csv*",
        "format": "csv",
        "on_changed": "replace",
        "on_removed": "delete",
    }
    NAMES: ClassVar[Sequence[str]] = ("a.csv", "b.csv", "c.csv", "d.csv", "e.csv", "f.csv.gz", "g.csv.gz")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.put(self.kept, self.new_rows(3))

    def actions(self) -> dict[Callable[[], None], int]:
        return {
            self.begin: 6,
            self.on(self.grow): 6,
            self.on(self.shorten): 1,
            self.on(self.alter): 2,
            self.on(self.touch): 1,
            self.on(self.move): 2,
            self.on(self.remove): 1,
        }

    def any_name(self) -> str:
        return self.roll.choice(self.NAMES)

    def begin(self) -> None:
        """Write a new file, or another one in the place of one that is there."""
        self.roll.choice([self.put, self.write, self.write_half])(self.any_name(), self.new_rows())

    def move(self, name: str) -> None:
        endings = [other for other in self.NAMES if other != name and other[-3:] == name[-3:]]
        self.rename(name, self.roll.choice(endings))


class Items(Shelf):
    """Files whose rows have a key of their own, which goes over files: a file that is renamed takes its rows along.

    No key ever comes back to a file that it was moved away from, as the rows of that are taken away by its name.
    """

    name = "items"
    settings: ClassVar[dict[str, Any]] = {
        "path": "*.csv*",
        "format": "csv",
        "primary_keys": ["n"],
        "on_changed": "replace",
        "on_removed": "delete",
    }
    MOST = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._names = itertools.count(1)
        self.put(self.kept, self.new_rows(3))

    def actions(self) -> dict[Callable[[], None], int]:
        return {
            self.begin if len(self.files) < self.MOST else self.on(self.remove): 4,
            self.on(self.grow): 5,
            self.on(self.shorten): 1,
            self.on(self.rewrite): 3,
            self.on(self.alter): 2,
            self.on(self.touch): 1,
            self.on(self.move): 2,
            self.on(self.remove): 1,
        }

    def new_name(self) -> str:
        return f"{next(self._names):05}.csv{self.roll.choice(['', '', '.gz'])}"

    def begin(self) -> None:
        self.roll.choice([self.put, self.write, self.write_half])(self.new_name(), self.new_rows())

    def rewrite(self, name: str) -> None:
        """Write a file again: some of its rows as they are, some otherwise, some new."""
        rows = [self.new_row(row[0]) if self.roll.random() < 0.5 else row for row in self.history[name][-1]]
        kept = rows[self.roll.randrange(len(rows) + 1) :]
        self.roll.choice([self.put, self.write, self.write_half])(name, (*kept, *self.new_rows(2)))

    def move(self, name: str) -> None:
        self.rename(name, self.new_name().removesuffix(".gz") + name[name.index(".csv") + 4 :])


class Visits(Shelf):
    """Files of JSON Lines, without a key, whose changed versions are sent beside those that stay (`append`).

    They are put in place as a whole, and grow by whole lines: rows of a file that is read while it is written over in its place come as often
    as it is read. No row of a former version is written again.
    """

    name = "visits"
    settings: ClassVar[dict[str, Any]] = {
        "path": "*.jsonl",
        "file_columns": [],
        "on_changed": "append",
    }
    NAMES: ClassVar[Sequence[str]] = ("mon.jsonl", "tue.jsonl", "wed.jsonl", "thu.jsonl")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.put("mon.jsonl", self.new_rows(3))

    def actions(self) -> dict[Callable[[], None], int]:
        return {self.begin: 3, self.on(self.grow): 6, self.on(self.touch): 1, self.on(self.remove): 1}

    def begin(self) -> None:
        self.put(self.roll.choice(self.NAMES), self.new_rows())

    def line(self, row: Row) -> str:
        number, text, code = row
        value = int(code) if code is not None and not code.startswith("00") else code
        return json.dumps({"n": number, "v": text, "code": value}) + "\n"

    def written(self, name: str, rows: Sequence[Row]) -> bytes:
        return self.packed(name, "".join(map(self.line, rows)))

    def cut(self, data: bytes, added: Sequence[Row], header: int) -> tuple[int, Sequence[Row], bool]:
        count = self.roll.randrange(len(added) + 1)
        return len("".join(map(self.line, added[:count])).encode()), added[:count], False


class Drops(Shelf):
    """Files that are uploaded by and by, and said to be complete by one beside each; without a key. The state forgets most of their names."""

    name = "drops"
    settings: ClassVar[dict[str, Any]] = {
        "path": "*.csv*",
        "format": "csv",
        "primary_keys": [],
        "done_marker": ".done",
        "on_changed": "fail",
        "remembered_files": 4,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._names = itertools.count(1)

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "schema": {"properties": {"n": {"type": "integer"}, "code": {"type": "string"}}}
        }

    def actions(self) -> dict[Callable[[], None], int]:
        return {self.begin: 3, self.go_on: 6, self.on(self.remove): 1}

    def begin(self) -> None:
        if len(self.half) < 3:
            self.write_half(f"{next(self._names):05}.csv{self.roll.choice(['', '.gz'])}", self.new_rows())

    def go_on(self) -> None:
        """Finish an upload, or say of one that is finished that it is complete."""
        finished = [name for name in self.files if name not in self.half and not self.is_marked(name)]
        if self.half and self.roll.random() < 0.5:
            self.finish(self.roll.choice(list(self.half)))
        elif finished:
            self.mark(self.roll.choice(finished))

    def mark(self, name: str) -> None:
        (self.folder / f"{name}.done").touch()

    def is_marked(self, name: str) -> bool:
        return (self.folder / f"{name}.done").exists()

    @property
    def now(self) -> dict[str, Rows]:
        return {name: rows for name, rows in super().now.items() if self.is_marked(name)}

    def remove(self, name: str) -> None:
        """Remove a file once all of it was loaded."""
        if self.is_marked(name) and {row[0] for row in self.history[name][-1]} <= self.stored:
            super().remove(name)
            (self.folder / f"{name}.done").unlink()

    def complete(self) -> None:
        super().complete()
        for name in self.files:
            self.mark(name)
