"""A log that somebody writes to and rotates: renamed while it is still written to, copied and emptied, packed by and by, removed."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

from faults.torture.files_shelves import Shelf

__all__ = ["Lines"]

_KEPT = 6
"""So many rotated files are kept, and those of which a line was not loaded."""


class Lines(Shelf):
    """`app.log`. Each line is one row, whatever its file is called; a step of a rotation is done at a time, and runs come between."""

    name = "lines"
    settings: ClassVar[dict[str, Any]] = {
        "path": "app.log*",
        "format": "log",
        "log": {"expression": r"(?P<n>\d+) (?P<v>.*)"},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self.live = self.folder / "app.log"
        self.lines: list[tuple[int, str]] = []
        """All that were ever written to their end."""
        self._steps: list[Callable[[], None]] = []
        self._rest = ""
        """Of the line that is written by half."""
        self._of: dict[str, list[int]] = {"app.log": []}
        """The numbers of the lines of each file, by its name without that of its packing."""
        self._open()

    def _open(self) -> None:
        self._file: IO[str] = self.live.open("a")
        self._into = self._of.setdefault("app.log", [])

    @property
    def whole_lines(self) -> list[tuple[int, str]]:
        """All lines that have their end."""
        return self.lines[:-1] if self._rest else self.lines

    def close(self) -> None:
        self._file.close()

    def act(self) -> None:
        """Do the next step of what was begun, or begin something."""
        if self._steps:
            self._steps.pop(0)()
            return
        self.roll.choices(
            [self.write_some, self.write_half_line, self.rotate, self.copy, self.pack], [8, 2, 2, 2, 2]
        )[0]()

    def complete(self) -> None:
        """End what was begun, and write a line: a rotated file that is the beginning of the live one is taken for a copy."""
        while self._steps:
            self._steps.pop(0)()
        self.add_lines(1)

    def add_lines(self, count: int) -> None:
        text = self._rest
        self._rest = ""
        for _ in range(count):
            line = next(self.numbers), "y" * self.roll.randrange(60) * self.texts
            self.lines.append(line)
            self._into.append(line[0])
            text += f"{line[0]} {line[1]}\n"
        self._file.write(text)
        self._file.flush()

    def write_some(self) -> None:
        self.add_lines(self.roll.choice([0, 1, 3, 10, 100]))

    def write_half_line(self) -> None:
        """Write a line without its end, which comes with the next one."""
        number = next(self.numbers)
        text = f"{number} half of it, and the rest\n"
        cut = self.roll.randrange(1, len(text))
        self.add_lines(0)
        self._file.write(text[:cut])
        self._file.flush()
        self._rest = text[cut:]
        self.lines.append((number, "half of it, and the rest"))
        self._into.append(number)

    # --- rotation -----------------------------------------------------------------------------------------------

    @property
    def rotated(self) -> list[Path]:
        """Rotated files, the newest first; one that is being packed is there twice."""
        return sorted(self.folder.glob("app.log.*"), key=lambda path: int(path.name.split(".")[2]))

    def shift(self) -> None:
        """Make room for `app.log.1`; remove old files all lines of which were loaded."""
        for path in reversed(self.rotated):
            number, *ending = path.name.split(".")[2:]
            plain = f"app.log.{number}"
            if int(number) >= _KEPT and {*self._of[plain]} <= self.stored:
                path.unlink()
                del self._of[plain]
                continue
            path.rename(self.folder / ".".join(["app.log", str(int(number) + 1), *ending]))
            self._of[f"app.log.{int(number) + 1}"] = self._of.pop(plain)

    def rotate(self) -> None:
        """Rename the log; who writes it does so for a while, as the file is open: whole lines, since a half one that rests there over two runs is taken for the last."""
        self.add_lines(0)
        self.shift()
        self.live.rename(self.folder / "app.log.1")
        self._of["app.log.1"] = self._of.pop("app.log")
        self._steps = [
            *[self.write_some] * self.roll.randrange(3),
            self.reopen,
        ]

    def reopen(self) -> None:
        self.add_lines(0)
        self._file.close()
        self._open()

    def copy(self) -> None:
        """Copy the log, and empty it in the next step."""
        self.add_lines(0)
        self.shift()
        shutil.copyfile(self.live, self.folder / "app.log.1")
        self._of["app.log.1"] = list(self._into)
        self._steps = [self.empty]

    def empty(self) -> None:
        os.truncate(self.live, 0)
        self._into.clear()

    def pack(self) -> None:
        """Pack a rotated file: a half of it, all of it, and only then the plain one goes."""
        plain = [path for path in self.rotated if path.suffix.lstrip(".").isdigit()]
        if not plain:
            return
        path = self.roll.choice(plain)
        packing: Sequence[Any] = self.roll.choice([(".gz", gzip.compress), (".xz", lzma.compress)])
        ending, compress = packing
        packed, data = path.with_name(path.name + ending), compress(path.read_bytes())
        packed.write_bytes(data[: self.roll.randrange(len(data))])

        def write_all() -> None:
            packed.write_bytes(data)

        self._steps = [write_all, path.unlink]
