"""Files that are appended to, brought back to a length, and made durable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from singerkit_shell.errors import CannotWriteError

__all__ = ["Files"]


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
        """Bring every file back to its length in ``sizes``, unknown ones to nothing."""
        for name in {*self.sizes, *sizes}:
            try:
                descriptor = self._open(name)
                os.ftruncate(descriptor, sizes.get(name, 0))
                os.lseek(descriptor, 0, os.SEEK_END)
            except OSError as error:
                raise _cannot(self._folder / name, error) from None
            self.sizes[name] = sizes.get(name, 0)

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
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            self._descriptors[name] = os.open(self._folder / name, flags, 0o666)
        return self._descriptors[name]


def _cannot(path: Path, error: OSError) -> CannotWriteError:
    return CannotWriteError(
        f"The file {path} cannot be written ({error.strerror}); what was committed is safe: make room or check the "
        "permissions, then run again."
    )
