"""A place whose packed files are given unpacked; and contents as files on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

from tap_files.formats.contract import UnreadableFile
from tap_files.opening import cannot_copy, read_up_to
from tap_files.packed.inflating import Inflated
from tap_files.packed.limits import Limits
from tap_files.packed.packing import START, check_start, packing_of
from tap_files.places.contract import Content, Found, Place

__all__ = ["Unpacking", "on_disk"]

_PIECE = 1 << 20


class Unpacking(Place):
    """A `Place` around a place. What is packed is unpacked as it is read, from its beginning, whatever byte is wanted.

    ``compression``: see `packing_of`. ``is_text``: the first bytes of what is not packed are held against those of packed files, as no text
    has them. Sizes are those that the place tells, of the packed files.

    Raises (`open`, and `read` of what it returns):
        UnreadableFile: a file is packed otherwise, cut, broken, larger than the limits, or ends before the byte that is wanted.
        ConfigurationError: it is packed in a way that is not read.
    """

    def __init__(
        self, place: Place, compression: str = "auto", limits: Limits | None = None, *, is_text: bool = True
    ) -> None:
        self._place, self._compression, self._limits = place, compression, limits or Limits()
        self._is_text = is_text
        self.can_skip, self.may_grow = place.can_skip, place.may_grow

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        return self._place.files(prefix, deep=deep)

    def look(self, name: str) -> Found | None:
        return self._place.look(name)

    def open(self, found: Found, offset: int = 0) -> Content:
        packing = packing_of(found.name, self._compression)
        content = self._place.open(found, offset if packing == "none" else 0)
        try:
            if packing != "none":
                return _from(Inflated(content, packing, self._limits), offset)
            is_looked_at = self._is_text and self._compression == "auto" and not offset
            return _text(content) if is_looked_at else content
        except BaseException:
            content.close()
            raise

    def path_of(self, found: Found) -> str | None:
        packing = packing_of(found.name, self._compression)
        return self._place.path_of(found) if packing == "none" else None

    def close(self) -> None:
        self._place.close()


class _Held:
    """A content of which the first bytes were looked at."""

    def __init__(self, held: bytes, content: Content) -> None:
        self._held, self._content = held, content

    def read(self, size: int, /) -> bytes:
        if self._held:
            part, self._held = self._held[:size], self._held[size:]
            return part
        return self._content.read(size)

    def close(self) -> None:
        self._content.close()


def _text(content: Content) -> Content:
    held = read_up_to(content, START)
    check_start("none", held)
    return _Held(held, content)


def _from(content: Content, offset: int) -> Content:
    left = offset
    while left:
        part = content.read(min(left, _PIECE))
        if not part:
            raise UnreadableFile(
                f"Expected {left} more bytes before those that were not read yet, got the end; the file was replaced by a shorter one"
            )
        left -= len(part)
    return content


def on_disk(content: Content, limits: Limits) -> IO[bytes]:
    """Copy what is left of a content to a temporary file, which goes when it is closed.

    Raises:
        CannotWriteError: there is no room for it.
        UnreadableFile: it is larger than the limits.
    """
    size = 0
    try:
        copy = tempfile.NamedTemporaryFile(prefix="tap-files-")  # noqa: SIM115  the caller closes it
    except OSError as error:
        raise cannot_copy(error) from None
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
        raise cannot_copy(error) from None
