"""An SSH server with SFTP, by paramiko: names are those of its root, a version is size and time, which SFTP tells in whole seconds.

A client of SFTP serves one thing at a time: each listing and each open file has one of its own, over one connection.
"""

from __future__ import annotations

import errno
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_shell.extras import imported
from singerkit_shell.signals import stop_flag
from singerkit_shell.ssh import logged_in, reason_of
from tap_files.places.ahead import Ahead
from tap_files.places.contract import Content, FileChanged, Found
from tap_files.places.names import changed, check_name, folder_of, gone, no_folder
from tap_files.places.sftpreads import piece_of
from tap_files.settings.storage import Patience

__all__ = ["Sftp", "sftp_place"]

_T = TypeVar("_T")
_PIECE = 4 << 20
"""Bytes that are asked for at once, in many requests of which none waits for the one before; so many are held."""
_CLOSED = "Socket is closed"
"""What paramiko says of a client of a connection that is no more."""
_SAFE = "what was committed is safe."


class _LostError(Exception):
    """The connection has ended, or there was none; ``str`` says how. ``last``: what is said where it stays so."""

    def __init__(self, how: str, last: RetryableError | None = None) -> None:
        super().__init__(how)
        self.last = last


class Sftp:
    """``given``: the settings of a login, with `host`, `port` and `username`."""

    can_skip, may_grow = True, True

    def __init__(self, given: Mapping[str, Any], patience: Patience) -> None:
        self._given, self._patience = given, patience
        self._where = f"sftp://{given['host']}:{given['port']}"
        self._follows = bool(given.get("follow_links", True))
        self._ssh: Any = None
        self._idle: list[Any] = []
        self._lock, self._logging_in = threading.RLock(), threading.Lock()

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        folder = folder_of(prefix)
        status = self._asked(lambda client: client.stat(f"/{folder}"), folder, may_lack=True)
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise no_folder(self._where, folder)
        real = self._asked(lambda client: client.normalize(f"/{folder}"), folder)
        yield from self._below(folder, prefix, (real,), deep=deep)

    def look(self, name: str) -> Found | None:
        check_name(name, self._where)
        status = self._asked(lambda client: client.stat(f"/{name}"), name, may_lack=True)
        return _found(name, status) if status is not None and stat.S_ISREG(status.st_mode) else None

    def open(self, found: Found, offset: int = 0) -> Content:
        check_name(found.name, self._where)
        reading = _Reading(self, found, offset)
        reading.begin()
        return Ahead(reading.fetch, reading.end)

    def path_of(self, _found: Found) -> str | None:
        """None: it lies on no disk of this machine."""
        return None

    def close(self) -> None:
        with self._lock:
            if self._ssh is not None:
                self._ssh.close()
            self._ssh, self._idle = None, []

    def _below(self, folder: str, prefix: str, above: tuple[str, ...], *, deep: bool) -> Iterator[Found]:
        """Yield what lies in a folder; ``above``: the real paths of the folders that led here, its own at the end."""
        folders: list[tuple[str, str]] = []
        for name, status, real in self._entries(folder, prefix, above[-1]):
            if stat.S_ISDIR(status.st_mode):
                folders.append((name, real))
            elif stat.S_ISREG(status.st_mode):
                yield _found(check_name(name, self._where), status)
        for name, real in folders if deep else ():
            if real not in above:
                yield from self._below(name, prefix, (*above, real), deep=True)

    def _entries(self, folder: str, prefix: str, real: str) -> Iterator[tuple[str, Any, str]]:
        """Yield name, status and real path of what lies in a folder and may belong to ``prefix``; of links, of what they lead to."""
        entries = self._listing(folder)
        while (entry := self._next_of(entries, folder)) is not None:
            name = f"{folder}/{entry.filename}" if folder else entry.filename
            path = f"{real.rstrip('/')}/{entry.filename}"
            if not name.startswith(prefix):
                continue
            if not stat.S_ISLNK(entry.st_mode or 0):
                yield name, entry, path
            elif self._follows and (led := self._led(name)) is not None:
                yield name, *led

    def _next_of(self, entries: Iterator[Any], folder: str) -> Any:
        try:
            return self._in_time(lambda: next(entries, None), folder)
        except _LostError as lost:
            raise RetryableError(
                f"The connection to {self._where} was lost ({lost}) while `{folder}` was being listed; {_SAFE[:-1]}: run again."
            ) from None

    def _led(self, name: str) -> tuple[Any, str] | None:
        """Return what a link leads to, and its real path; None: nowhere, or to itself."""
        try:
            status = self._asked(lambda client: client.stat(f"/{name}"), name, may_lack=True)
            return (
                None
                if status is None
                else (status, self._asked(lambda client: client.normalize(f"/{name}"), name))
            )
        except RetryableError:
            return None  # servers say no more of a link that leads to itself than that it has failed

    def _listing(self, folder: str) -> Iterator[Any]:
        client = self.taken()
        yield from client.listdir_iter(f"/{folder}", read_aheads=8)
        self.give_back(client)

    def _asked(self, ask: Callable[[Any], Any], name: str, *, may_lack: bool = False) -> Any:
        """Return an answer of the server, over another connection where one was lost."""

        def work() -> Any:
            client = self.taken()
            try:
                answer = ask(client)
            except FileNotFoundError:
                self.give_back(client)
                if may_lack:
                    return None
                raise
            self.give_back(client)
            return answer

        return self.again(work, name)

    def again(self, work: Callable[[], _T], name: str) -> _T:
        """Return what ``work`` returns, which is done again where the connection was lost meanwhile.

        Raises:
            RetryableError: it is lost again and again.
        """
        until, tries = time.monotonic() + self._patience.total, 1
        while True:
            try:
                return self._in_time(work, name)
            except _LostError as lost:
                if tries >= self._patience.tries or time.monotonic() > until:
                    raise lost.last or RetryableError(
                        f"The connection to {self._where} was lost ({lost}) {tries} times, last for `{name}`; {_SAFE[:-1]}: check the server and the "
                        "way to it, then run again."
                    ) from None
            stop_flag.wait(self._patience.wait_after(tries))
            stop_flag.raise_if_set(_SAFE)
            tries += 1

    def _in_time(self, work: Callable[[], _T], name: str) -> _T:
        try:
            return stop_flag.waiting_for(work, _SAFE)
        except (OSError, EOFError, UnicodeError) as error:
            raise self._meaning(error, name) from None
        except Exception as error:
            import paramiko

            if isinstance(error, paramiko.SSHException):
                raise self._meaning(error, name) from None
            raise

    def _meaning(self, error: Exception, name: str) -> Exception:
        if isinstance(error, UnicodeError):
            return BadDataError(
                f"A name in `{name}` in {self._where} is not in UTF-8; nothing of it was read: rename the file, or let `path` begin with another folder."
            )
        number = getattr(error, "errno", None)
        if number == errno.ENOENT:
            return gone(name, self._where)
        if number == errno.EACCES:
            return NotAuthorisedError(
                f"The server {self._where} does not let `{self._given['username']}` read `{name}`; {_SAFE[:-1]}: let it be allowed there, or narrow `path`."
            )
        is_of_a_file = number is None and isinstance(error, OSError) and not isinstance(error, TimeoutError)
        if is_of_a_file and str(error) != _CLOSED and self._is_connected():
            return RetryableError(
                f"The server {self._where} could not read `{name}` ({reason_of(error)[:100]}); {_SAFE[:-1]}: look at it there, then run again."
            )
        if str(error) != _CLOSED or not self._is_connected():  # else another one is there already
            self.close()
        return _LostError(reason_of(error)[:100])

    def _is_connected(self) -> bool:
        with self._lock:
            return (
                self._ssh is not None
                and self._ssh.get_transport() is not None
                and self._ssh.get_transport().is_active()
            )

    def taken(self) -> Any:
        """Return a client that nobody else uses until it is given back."""
        with self._lock:
            while self._idle:
                client = self._idle.pop()
                if not client.get_channel().closed:
                    return client
        client = self._connected().open_sftp()
        client.get_channel().settimeout(self._patience.read)
        return client

    def _connected(self) -> Any:
        """Return the connection, made anew where there is none. Logging in takes its time: `close` does not wait for it."""
        with self._logging_in:
            with self._lock:
                if self._is_connected():
                    return self._ssh
            try:
                ssh = logged_in(self._given, "storage.sftp", self._patience.connect)
            except RetryableError as error:
                raise _LostError("there is none", error) from None
            with self._lock:
                self._ssh, self._idle = ssh, []
            return ssh

    def give_back(self, client: Any) -> None:
        """Keep a client for the next, unless it is of a connection that was given up meanwhile."""
        with self._lock:
            if self._is_connected() and client.get_channel().get_transport() is self._ssh.get_transport():
                self._idle.append(client)

    def changed(self, found: Found) -> FileChanged:
        return changed(found.name, self._where)


class _Reading:
    """One file that is read; opened again where the connection is lost, if it is still the same."""

    def __init__(self, place: Sftp, found: Found, offset: int) -> None:
        self._place, self._found, self._at = place, found, offset
        self._client: Any = None
        self._file: Any = None

    def begin(self) -> None:
        """Raises: FileChanged, FileGone: it is another version than was listed."""
        self._place.again(self._opened, self._found.name)

    def fetch(self) -> bytes:
        return self._place.again(self._next, self._found.name)

    def end(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
                self._place.give_back(self._client)
            except Exception:
                self._client.close()
        self._file = None

    def _opened(self) -> None:
        self._file = None
        self._client = self._place.taken()
        self._file = self._client.open(f"/{self._found.name}", "rb")
        self._check()

    def _next(self) -> bytes:
        if self._file is None:
            self._opened()
        file, self._file = self._file, None  # of no use any more where this fails
        size = min(_PIECE, (self._found.size or 0) - self._at)
        piece = piece_of(self._client, file, self._at, size) if size > 0 else b""
        self._file = file
        self._check()
        if len(piece) != max(size, 0):
            raise self._place.changed(self._found)
        self._at += len(piece)
        return piece

    def _check(self) -> None:
        status = self._file.stat()
        has_grown = status.st_size > (self._found.size or 0)
        if not has_grown and _version(status) != self._found.version:
            raise self._place.changed(self._found)


def _found(name: str, status: Any) -> Found:
    modified = int(status.st_mtime) * 1_000_000
    return Found(name, status.st_size, modified, modified, _version(status))


def _version(status: Any) -> str:
    return f"{status.st_size}-{status.st_mtime}"


def sftp_place(host: str, said: Mapping[str, Any], patience: Patience) -> Sftp:
    """Return the place of ``host`` of a path: `user@host:port`, of which user and port may be left out."""
    imported("paramiko", "`sftp://`", "sftp", "tap-files")
    return Sftp(_login(host, said), patience)


def _login(host: str, said: Mapping[str, Any]) -> dict[str, Any]:
    user, _, name = host.rpartition("@")
    name, separator, port = name.rpartition(":") if not name.endswith("]") else (name, "", "")
    if not separator:
        name, port = port or name, "22"
    user = user or said.get("username", "")
    if not user or not name.strip("[]") or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(
            "Expected `sftp://user@host:port/...` in `path` (the user may stand at `storage.sftp.username`), got something else; nothing was sent."
        )
    return {**said, "username": user, "host": name.strip("[]"), "port": int(port)}
