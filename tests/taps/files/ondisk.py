"""A file of the disk as what a format reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class OnDisk:
    """See `tap_files.formats.contract.Bytes`."""

    is_whole = True

    def __init__(self, path: Path, byte: int = 0) -> None:
        self._path, self._byte = path, byte
        self._file: Any = None

    def read(self, size: int, /) -> bytes:
        if self._file is None:
            self._file = self._path.open("rb")
            self._file.seek(self._byte)
        return bytes(self._file.read(size))

    def to_disk(self) -> str:
        return str(self._path)
