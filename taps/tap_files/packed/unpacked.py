"""The bytes of one file as a format reads them: unpacked, from a byte on, or as a file on this machine."""

from __future__ import annotations

import tempfile
from typing import IO

from singerkit_shell.errors import CannotWriteError
from tap_files.formats.contract import UnreadableFile
from tap_files.packed.inflating import Inflated
from tap_files.packed.limits import Limits
from tap_files.packed.packing import START, check_start
from tap_files.places.contract import Content, Found, Place

__all__ = ["Unpacked", "on_disk"]

_PIECE = 1 << 20


class Unpacked:
    """The `Bytes` of a file of a place (`formats/contract.py`); to be closed.

    ``packing``: see `packing_of`. ``start``: the unpacked byte to begin at; what is packed is unpacked from its beginning to get there.
    ``is_text``: the first bytes are held against those of packed files, as no text has them.

    Raises:
        UnreadableFile: it is packed otherwise, or ends before ``start``.
        FileChanged, FileGone: see `Place.open`.
    """

    def __init__(
        self,
        place: Place,
        found: Found,
        packing: str,
        limits: Limits,
        start: int = 0,
        *,
        is_whole: bool = True,
        is_text: bool = True,
    ) -> None:
        self.is_whole = is_whole
        self._place, self._found, self._packing, self._limits = place, found, packing, limits
        self._copy: IO[bytes] | None = None
        self._ahead = b""
        content = place.open(found, start if packing == "none" else 0)
        self._content: Content = content if packing == "none" else Inflated(content, packing, limits)
        try:
            if packing != "none":
                self._skip(start)
            elif is_text and start == 0:
                self._ahead = _first(self._content, START)
                check_start(packing, self._ahead)
        except BaseException:
            self._content.close()
            raise

    def read(self, size: int, /) -> bytes:
        if self._ahead:
            part, self._ahead = self._ahead[:size], self._ahead[size:]
            return part
        return self._content.read(size)

    def to_disk(self) -> str:
        """Return the path of a file that has all of it; see `Bytes.to_disk`.

        Raises:
            CannotWriteError: there is no room for a copy.
            UnreadableFile: it is larger than the limits.
        """
        path = self._place.path_of(self._found) if self._packing == "none" else None
        if path is not None:
            return path
        if self._copy is None:
            self._copy = on_disk(self, self._limits)
        return self._copy.name

    def close(self) -> None:
        """Let go of the file, and of the copy of it."""
        self._content.close()
        if self._copy is not None:
            self._copy.close()

    def _skip(self, size: int) -> None:
        while size:
            part = self._content.read(min(size, _PIECE))
            if not part:
                raise UnreadableFile(
                    f"Expected {size} more bytes before those that were not read yet, got the end; the file was replaced by a shorter one"
                )
            size -= len(part)


def on_disk(content: Content | Unpacked, limits: Limits) -> IO[bytes]:
    """Copy what is left of a content to a temporary file, which goes when it is closed.

    Raises:
        CannotWriteError: there is no room for it.
        UnreadableFile: it is larger than the limits.
    """
    size = 0
    try:
        copy = tempfile.NamedTemporaryFile(prefix="tap-files-")  # noqa: SIM115  the caller closes it
    except OSError as error:
        raise _cannot_write(error) from None
    try:
        while part := content.read(_PIECE):
            size += len(part)
            limits.check(size, size)
            _write(copy, part)
        _write(copy, b"")
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def _write(copy: IO[bytes], part: bytes) -> None:
    try:
        copy.write(part)
        if not part:
            copy.flush()
    except OSError as error:
        raise _cannot_write(error) from None


def _cannot_write(error: OSError) -> CannotWriteError:
    return CannotWriteError(
        f"A file is copied to this machine while it is read, and the folder for such copies, {tempfile.gettempdir()}, cannot take it "
        f"({error.strerror}); rows read so far are safe: make room there, or name another folder in the environment variable TMPDIR."
    )


def _first(content: Content, size: int) -> bytes:
    first = b""
    while len(first) < size and (part := content.read(size - len(first))):
        first += part
    return first
