"""A file of the disk as what a format reads."""

from __future__ import annotations

import io
from pathlib import Path


class OnDisk:
    """See `tap_files.formats.contract.Bytes`."""

    is_whole = True

    def __init__(self, path: Path, byte: int = 0) -> None:
        self._path, self.name = path, path.name
        self._rest = io.BytesIO(path.read_bytes()[byte:])

    def read(self, size: int, /) -> bytes:
        return self._rest.read(min(size, 999))  # fewer than are asked for, as places give them

    def to_disk(self) -> str:
        return str(self._path)
