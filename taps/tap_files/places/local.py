"""Files on a disk of this machine, or on one that is mounted (NFS)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from tap_files.places.contract import Content, FileChanged, FileGone, Found, Place
from tap_files.places.names import check_name

__all__ = ["LocalPlace"]

_AGAIN = "run again when it is there."


class LocalPlace(Place):
    """The disk from a folder on: ``root`` is "/" or the folder in which the run began.

    A file is another version when its size, the time of its content, or the time at which anything of it changed is another one: the last one
    cannot be set back, as `cp -p` and `touch` do with the other. Links are followed.
    """

    can_skip, may_grow = True, True

    def __init__(self, root: str) -> None:
        self._root = root

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        """See `Place.files`."""
        folder, _, _ = prefix.rpartition("/")
        try:
            status = os.stat(self._path(folder))
        except (FileNotFoundError, NotADirectoryError):
            raise self._no_folder(folder) from None
        except OSError as error:
            raise _failure(error, self._path(folder)) from None
        if not stat.S_ISDIR(status.st_mode):
            raise self._no_folder(folder)
        yield from self._below(f"{folder}/" if folder else "", prefix, {_same(status)}, deep=deep)

    def _no_folder(self, folder: str) -> ConfigurationError:
        return ConfigurationError(
            f"The folder {self._path(folder)} is not there (or is none); nothing was read. Correct `path`, or make the folder: an empty one "
            f"is no error.{_hint(folder)}"
        )

    def _below(self, folder: str, prefix: str, above: set[tuple[int, int]], *, deep: bool) -> Iterator[Found]:
        """Yield what lies in a folder, whose name ends with `/`; ``above``: the folders that lead here, by device and inode."""
        folders = []
        try:
            with os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    name = folder + entry.name
                    if not name.startswith(prefix):
                        continue
                    status = _status(entry)
                    if status is None:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        folders.append((f"{name}/", _same(status)))
                    elif stat.S_ISREG(status.st_mode):
                        yield _found(_checked(name), status)
        except FileNotFoundError:
            return  # it has gone meanwhile
        except OSError as error:
            raise _failure(error, self._path(folder)) from None
        for name, same in folders:
            if deep and same not in above:
                yield from self._below(name, prefix, {*above, same}, deep=deep)

    def look(self, name: str) -> Found | None:
        """See `Place.look`."""
        check_name(name, self._root)
        try:
            status = os.stat(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failure(error, self._path(name)) from None
        return _found(name, status) if stat.S_ISREG(status.st_mode) else None

    def open(self, found: Found, offset: int = 0) -> Content:
        """See `Place.open`."""
        check_name(found.name, self._root)
        path = self._path(found.name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise FileGone(f"The file {found.name} was listed, and is not there any more; {_AGAIN}") from None
        except OSError as error:
            raise _failure(error, path) from None
        content = _LocalContent(descriptor, found, path)
        content.begin(offset)
        return content

    def path_of(self, found: Found) -> str | None:
        """Return the path of a file on this machine."""
        return self._path(found.name)

    def close(self) -> None:
        """Nothing is held."""

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)


class _LocalContent(Content):
    def __init__(self, descriptor: int, found: Found, path: str) -> None:
        self._descriptor, self._found, self._path, self._at = descriptor, found, path, 0

    def begin(self, offset: int) -> None:
        try:
            self._check()
        except BaseException:
            self.close()
            raise
        self._at = offset

    def read(self, size: int, /) -> bytes:
        left = (self._found.size or 0) - self._at
        try:
            data = os.pread(self._descriptor, min(size, left), self._at) if left > 0 else b""
        except OSError as error:
            raise _failure(error, self._path) from None
        self._at += len(data)
        if not data:
            self._check()
            if left > 0:
                raise _changed(self._found)
        return data

    def _check(self) -> None:
        status = os.fstat(self._descriptor)
        # A longer one may be another file that was moved to the name. (Some file systems number a file anew each time.)
        has_grown = status.st_size > (self._found.size or 0) and _identity(status) == self._found.identity
        if has_grown or _version(status) == self._found.version or self._was_moved(status):
            return
        raise _changed(self._found)

    def _was_moved(self, status: os.stat_result) -> bool:
        """Tell whether nothing has changed but the name: nobody writes by the former one any more."""
        if (status.st_size, status.st_mtime_ns // 1000) != (self._found.size, self._found.modified):
            return False
        try:
            return _same(os.stat(self._path)) != _same(status)
        except OSError:
            return True

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _changed(found: Found) -> FileChanged:
    return FileChanged(
        f"The file {found.name} was changed while it was read; what was read of it is given up: run again when nobody writes it."
    )


def _found(name: str, status: os.stat_result) -> Found:
    return Found(
        name,
        status.st_size,
        status.st_mtime_ns // 1000,
        status.st_ctime_ns // 1000,
        _version(status),
        _identity(status),
    )


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _same(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what is known of an entry, or of what it links to; None: it has gone, or leads nowhere."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == 40:  # a link that leads to itself
            return None
        raise


def _checked(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise BadDataError(
            f"The name of the file {shown} is no UTF-8, and no row could say where it comes from; nothing of it was read: rename it."
        ) from None
    return name


def _failure(error: OSError, path: str) -> Exception:
    if isinstance(error, PermissionError):
        return NotAuthorisedError(
            f"{path} may not be read by this user ({error.strerror}); give it leave to, then run again."
        )
    return RetryableError(
        f"{path} cannot be read ({error.strerror}); what was confirmed by the target is safe, {_AGAIN}"
    )


def _hint(folder: str) -> str:
    """Return what a path seems to be meant for."""
    url = re.match(r"([a-z][a-z0-9+.-]+):/(?=[^/])", folder)
    if url is not None:
        return f" A URL has two slashes: `{url[1]}://`."
    if folder.startswith("~") or "$" in folder:
        return " Neither `~` nor `$NAME` is filled in: write the path out, or `${NAME}` in a config."
    return ""
