"""A folder as a place, for tests of what stands between places and formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tap_files.places.contract import Content, Found


@dataclass
class Disk:
    folder: Path
    is_here: bool = True
    can_skip = True

    def files(self, prefix: str) -> Iterator[Found]:
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and name.startswith(prefix):
                yield self.found(name)

    def found(self, name: str) -> Found:
        stat = os.stat(self.folder / name)
        version = f"{stat.st_size}-{stat.st_mtime_ns}"
        times = stat.st_mtime_ns // 1000, stat.st_ctime_ns // 1000
        return Found(name, stat.st_size, *times, version, f"{stat.st_dev}-{stat.st_ino}")

    def look(self, name: str) -> Found | None:
        return self.found(name) if (self.folder / name).exists() else None

    def open(self, found: Found, offset: int = 0) -> Content:
        file = open(self.folder / found.name, "rb")  # noqa: SIM115  the caller closes it
        file.seek(offset)
        return file

    def path_of(self, found: Found) -> str | None:
        return str(self.folder / found.name) if self.is_here else None

    def close(self) -> None: ...
