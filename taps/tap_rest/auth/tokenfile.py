"""`token_file`: tokens that outlive a run, and refresh tokens that each renewal replaces by another.

A refresh token that was used is void with many servers, and the answer holds the only one that is good: so two runs never use
one at the same time, and it is known beforehand that the file can be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from singerkit_shell.configfile import read_bytes, reason_of
from singerkit_shell.errors import CannotWriteError, ConfigurationError, LockHeldError
from singerkit_shell.signals import stop_flag

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Kept", "TokenFile"]

_LONGEST = 1 << 20  # bytes
_ROOM = 64 << 10  # bytes that are made sure of before a token is asked for
_MOST = 50
_REMAINS = re.compile(r"[0-9a-f]{12}\.tmp")
_TURN = 0.05  # seconds between two looks at the lock

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one login; ``asked_at`` in seconds since 1970, ``lifetime`` in seconds from then on."""

    access_token: str | None = None
    refresh_token: str | None = None
    asked_at: float = 0
    lifetime: float | None = None


class TokenFile:
    """The file at ``path``, whose entries are named by ``of``: the client, what it asks for, and the first refresh token."""

    def __init__(self, path: str, of: str, wait: float) -> None:
        self._path, self._of, self._wait = os.path.realpath(path), of, wait

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out meanwhile.

        Raises:
            LockHeldError: another run has it for too long.
            CannotWriteError: its lock cannot be made.
            Stopped: a signal came while waiting.
        """
        if fcntl is None:
            raise ConfigurationError(
                "`auth.token_file` needs locks of files, which this system does not have; take it out."
            )
        with self._naming_failures():
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + self._wait
            while not _taken(descriptor):
                if time.monotonic() > until:
                    raise LockHeldError(
                        f"Another run holds {self._path}.lock for more than {self._wait:g} s, so no token was asked for; run again when it has ended."
                    )
                stop_flag.wait(_TURN)
                stop_flag.raise_if_set("no token was asked for.")
            self._take_remains()
            yield
        finally:
            os.close(descriptor)  # which gives the lock back

    def read(self) -> Kept:
        """Return what is kept.

        Raises:
            ConfigurationError: the file is not what `write` makes.
        """
        return Kept(**self._entries().get(self._of, {}))

    def rewritten(self, ask: Callable[[], Given], kept: Callable[[Given], Kept]) -> Given:
        """Return what ``ask`` gives, and keep what ``kept`` makes of it; before it asks it is sure that the file can be written.

        Raises:
            CannotWriteError: it cannot.
            ConfigurationError: see `read`.
        """
        entries = self._entries()
        with self._naming_failures(), self._place() as (descriptor, name):
            _write(descriptor, entries)
            os.replace(name, self._path)
        with self._place() as (descriptor, name):
            with self._naming_failures():
                os.write(descriptor, b" " * _ROOM)
                os.fsync(descriptor)
            given = ask()
            entries.pop(self._of, None)
            newest = dict(list(entries.items())[-_MOST:])
            with self._naming_failures():
                _write(descriptor, {**newest, self._of: msgspec.to_builtins(kept(given))})
                os.replace(name, self._path)
                _sync_folder(os.path.dirname(self._path))
        return given

    def _take_remains(self) -> None:
        """Put into place what a run has left that was killed: of the files that it wrote only the last may be there."""
        folder, begin = os.path.split(f"{self._path}.")
        for name in os.listdir(folder):
            if name.startswith(begin) and _REMAINS.fullmatch(name[len(begin) :]):
                left = os.path.join(folder, name)
                with self._naming_failures():
                    if _entries_in(left) is None:
                        os.unlink(left)
                    else:
                        os.replace(left, self._path)

    def _entries(self) -> dict[str, Any]:
        try:
            entries = _entries_in(self._path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The file {self._path} (`auth.token_file`) cannot be read ({reason_of(error)}); no token was asked for."
            ) from None
        if entries is None:
            raise ConfigurationError(
                f"The file {self._path} (`auth.token_file`) is none that tap-rest wrote, or is torn; no token was asked for: name another file, "
                "or remove it. Where it held the refresh token that was good, give another one at `auth.refresh_token`."
            )
        return entries

    @contextlib.contextmanager
    def _place(self) -> Iterator[tuple[int, str]]:
        """Make a file beside the other that only we may read, and remove it where it was not put into its place."""
        name = f"{self._path}.{secrets.token_hex(6)}.tmp"
        with self._naming_failures():
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    @contextlib.contextmanager
    def _naming_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWriteError(
                f"The file {self._path} (`auth.token_file`) cannot be written ({error.strerror}); make room, or see to the permissions of its "
                "folder (in a container, mount the folder and not the file)."
            ) from None


def _entries_in(path: str) -> dict[str, Any] | None:
    """Return the entries of a file; None: it is none of ours, or torn.

    Raises:
        OSError, ValueError: see `read_bytes`.
    """
    text = read_bytes(path, _LONGEST)
    try:
        entries = json.loads(text)["tokens"]
        msgspec.convert(entries, dict[str, Kept])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return dict(entries)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, entries: dict[str, Any]) -> None:
    """Write in place, over the room that was made sure of; blanks at the end of JSON are nothing."""
    text = json.dumps({"tokens": entries}, indent=1).encode()
    os.pwrite(descriptor, text + b"\n", 0)
    os.fsync(descriptor)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
