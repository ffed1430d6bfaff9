"""A file as it was looked through: a copy on this machine, in which nobody writes while its rows are sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

from singerkit_shell.signals import stop_flag
from tap_files.formats.contract import PIECE_BYTES
from tap_files.places.contract import Content, Found, Place

__all__ = ["COPIED_BYTES", "Copy", "copied"]

COPIED_BYTES = 256 << 20
"""Of longer files, unpacked, there is no copy."""


class Copy(Place):
    """A place around a place, of which one file was copied."""

    def __init__(self, place: Place, found: Found, copy: IO[bytes]) -> None:
        self._place, self._found, self._copy = place, found, copy
        self.can_skip, self.may_grow = place.can_skip, False

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        return self._place.files(prefix, deep=deep)

    def look(self, name: str) -> Found | None:
        return self._found if name == self._found.name else self._place.look(name)

    def open(self, found: Found, offset: int = 0) -> Content:
        if found.name != self._found.name:
            return self._place.open(found, offset)
        content = Path(self._copy.name).open("rb")  # noqa: SIM115  the reader closes it
        content.seek(offset)
        return content

    def path_of(self, found: Found) -> str | None:
        return self._copy.name if found.name == self._found.name else self._place.path_of(found)

    def close(self) -> None:
        """Let go of the copy; the place around which it is stays open."""
        self._copy.close()


def copied(place: Place, found: Found) -> Copy | None:
    """Return a place that has a copy of a file; None: it is too long, there is no room here, or the run is to stop.

    Raises:
        BadDataError: it cannot be read, or is another version than was listed.
    """
    with ExitStack() as kept:
        try:
            copy = kept.enter_context(tempfile.NamedTemporaryFile(prefix="tap-files-"))
        except OSError:
            return None
        content = kept.enter_context(closing(place.open(found)))
        size = 0
        while (part := content.read(PIECE_BYTES)) and not stop_flag:
            size += len(part)
            if size > COPIED_BYTES or not _takes(copy, part):
                return None
        if stop_flag or not _takes(copy, b""):
            return None
        kept.pop_all()
        content.close()
        return Copy(place, found, copy)


def _takes(copy: IO[bytes], part: bytes) -> bool:
    """Write, and tell whether there was room; b"" has all of it be there for whoever opens it."""
    try:
        copy.write(part)
        if not part:
            copy.flush()
    except OSError:
        return False
    return True
