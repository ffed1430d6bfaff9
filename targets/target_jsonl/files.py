"""Files that are appended to, brought back to a length, and made durable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from singerkit_shell.errors import CannotWriteError

__all__ = ["Files"]

_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_END = 16 << 10  # bytes that are compared, so that nobody reads the whole of a file


class Files:
    """The open data files of a folder, by name; ``sizes`` holds their lengths in bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptors: dict[str, int] = {}
        self.sizes: dict[str, int] = {}

    def append(self, name: str, data: bytes) -> None:
        """Write ``data`` at the end of a file, creating it.

        Raises:
            CannotWriteError: no space, no permission.
        """
        try:
            descriptor = self._open(name)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise _cannot(self._folder / name, error) from None
        self.sizes[name] = self.sizes.get(name, 0) + len(data)

    def cut(self, sizes: Mapping[str, int]) -> None:
        """Bring files back to their lengths in ``sizes``; one that others have made shorter is never made longer."""
        for name, size in sizes.items():
            try:
                descriptor = self._open(name)
                if os.fstat(descriptor).st_size > size:
                    os.ftruncate(descriptor, size)
            except OSError as error:
                raise _cannot(self._folder / name, error) from None
            self.sizes[name] = size

    def size(self, name: str) -> int:
        """How long a file is, whoever has written it; 0 when there is none."""
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def end(self, name: str, length: int) -> str:
        """Return a digest of the last bytes before ``length``, as they are on the disk.

        Raises:
            CannotWriteError: the file cannot be read.
        """
        return hashlib.sha256(self._last(name, length, _END)).hexdigest()

    def mark(self, name: str, length: int) -> str:
        """Return what tells that a file is the one that had ``length``: its end, or, where it was empty, its inode.

        Without the device, whose number another mount changes. It is "" where there is no file.
        """
        if length:
            return self.end(name, length)
        path = self._folder / name
        return f"inode {path.lstat().st_ino}" if os.path.lexists(path) else ""

    def is_whole(self, name: str) -> bool:
        """Tell whether a file is empty, or ends with the end of a line."""
        return self._last(name, self.size(name), 1) in (b"", b"\n")

    def _last(self, name: str, length: int, most: int) -> bytes:
        if length == 0:
            return b""
        start = max(0, length - most)
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK)
            try:
                return os.pread(descriptor, length - start, start)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _cannot(self._folder / name, error) from None

    def sync(self) -> None:
        """Make what was written durable; a failed fsync is final (FAULTS S4)."""
        for name, descriptor in self._descriptors.items():
            try:
                os.fsync(descriptor)
            except OSError as error:
                raise _cannot(self._folder / name, error) from None

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _open(self, name: str) -> int:
        if name not in self._descriptors:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK
            self._descriptors[name] = os.open(self._folder / name, flags, 0o666)
        return self._descriptors[name]


def _cannot(path: Path, error: OSError) -> CannotWriteError:
    return CannotWriteError(
        f"The file {path} cannot be written ({error.strerror}); what was committed is safe: make room or check the "
        "permissions, then run again."
    )
