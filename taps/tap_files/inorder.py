"""Files in the order in which they are read, in flat memory: those of which there are very many lie in temporary files meanwhile."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import IO

import msgspec

from singerkit_shell.errors import CannotWriteError
from tap_files.places.contract import Found

__all__ = ["InOrder"]

HELD = 50_000
"""Files that are held in memory, about 700 bytes each."""

_decoder = msgspec.json.Decoder(Found)
_encoder = msgspec.json.Encoder()


class InOrder:
    """Files by the time of their modification, then by name; may be gone through more than once, one time after the other.

    Raises:
        CannotWriteError: there is no room for a temporary file.
    """

    def __init__(self, files: Iterable[Found]) -> None:
        self._held: list[Found] = []
        self._written: list[IO[bytes]] = []
        self._count = 0
        for found in files:
            self._held.append(found)
            if len(self._held) == HELD:
                self._write()
        self._held.sort(key=_order)
        self._count += len(self._held)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Found]:
        yield from merge(*map(_read, self._written), self._held, key=_order)

    def _write(self) -> None:
        """Move what is held to a file of its own, in its order."""
        self._held.sort(key=_order)
        try:
            file = tempfile.TemporaryFile(prefix="tap-files-")  # noqa: SIM115  as long as this is
            weakref.finalize(self, file.close)
            file.writelines(_encoder.encode(found) + b"\n" for found in self._held)
            file.flush()
        except OSError as error:
            raise CannotWriteError(
                f"The names of more than {HELD:,} files are written down before they are read, and the folder for that, {tempfile.gettempdir()}, cannot take them "
                f"({error.strerror}); what was confirmed by the target is safe: make room there, or name another folder in the environment variable TMPDIR."
            ) from None
        self._written.append(file)
        self._count += len(self._held)
        self._held = []


def _read(file: IO[bytes]) -> Iterator[Found]:
    file.seek(0)
    for line in file:
        yield _decoder.decode(line)


def _order(found: Found) -> tuple[int, str]:
    return found.modified or 0, found.name
