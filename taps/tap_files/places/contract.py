"""The contract of a place: how files are listed and opened, wherever they lie.

A place is one root (a host, a bucket, a disk). It keeps nothing between runs. All names are relative to the root, with `/` between
their parts, and never have an empty, `.` or `..` part: the place refuses such a one with `BadDataError`.

What goes wrong is raised as everywhere (`singerkit_shell.errors`): `RetryableError` when the place stays away after its retries (69),
`NotAuthorisedError` where it refuses (77), `ConfigurationError` for what the config asks wrongly, a folder that is not there among it
(78). Messages name the file and never a credential.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from singerkit_shell.errors import BadDataError

__all__ = ["Content", "FileChanged", "FileGone", "Found", "Place"]


class FileChanged(BadDataError):
    """A file is not what was listed any more: what was read of it does not belong together."""


class FileGone(FileChanged):
    """A file that was listed is not there any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was listed.

    ``name``: relative to the root. ``size``: in bytes; None where the place does not tell. ``modified``: in Unix microseconds; None: untold.
    ``appeared``: the same of the last time that anything of it changed, its name among it; what no copy can set back (a disk: ctime);
    places that have no such time give ``modified``. ``version``: what is another one as soon as the content is (an ETag, a version
    of the store, else size and times). ``identity``: what stays when a file is renamed (device and inode); None: nothing does.
    """

    name: str
    size: int | None
    modified: int | None
    appeared: int | None
    version: str
    identity: str | None = None


class Content(Protocol):
    """The bytes of one file as it was listed, from the place on where it was opened."""

    def read(self, size: int, /) -> bytes:
        """Return at least one byte and at most ``size``; b"" at the end.

        Raises:
            FileChanged: what follows would be of another version than was listed.
        """
        ...

    def close(self) -> None: ...


class Place(Protocol):
    """See the module."""

    can_skip: bool
    """Whether `open` at an offset costs no reading of what is before it."""

    may_grow: bool
    """Whether a file that gets longer while it is read is given on, as far as it was listed: who reads it has to see that it has only grown."""

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        """Yield the files whose names begin with ``prefix``, in any order, as they are listed: a million of them take no memory.

        ``prefix`` is all of a path up to its first wildcard; not ``deep``: only those whose names have no `/` behind it are wanted. Links that lead in a circle are followed once; what is neither a file nor a folder is
        passed over.

        Raises:
            ConfigurationError: the folder that ``prefix`` names is not there. An empty one is no error.
        """
        ...

    def look(self, name: str) -> Found | None:
        """Return one file as it is now; None: it is not there."""
        ...

    def open(self, found: Found, offset: int = 0) -> Content:
        """Open a file at a byte, as the version that was listed.

        A place that can only tell at the end that the version was another one raises `FileChanged` from the last `read`. What has only grown
        behind ``found.size`` has not changed: no byte behind it is given.

        Raises:
            FileChanged, FileGone: it is another version now, or gone.
        """
        ...

    def path_of(self, found: Found) -> str | None:
        """Return the path of a file that lies on this machine; None elsewhere."""
        ...

    def close(self) -> None:
        """Let go of connections. Once, at the end of a run; also after an error."""
        ...
