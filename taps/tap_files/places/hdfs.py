"""HDFS, by hdfs-native, which speaks to name nodes and data nodes itself: a version is size and time, in milliseconds."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError, RetryableError, SingerkitError
from singerkit_shell.extras import imported
from singerkit_shell.signals import stop_flag
from tap_files.places.ahead import Ahead
from tap_files.places.contract import Content, Found
from tap_files.places.names import changed, check_name, folder_of, gone, no_folder, sort_out
from tap_files.settings.storage import Patience

__all__ = ["Hdfs", "hdfs_place"]

_T = TypeVar("_T")
_PIECE = 4 << 20
_SAFE = "what was committed is safe."
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}(:\d{1,5})?")
_REFUSED = ("AccessControlException", "AuthorizationException", "SaslException", "GSSAPI", "Kerberos")
_REASONS = (
    ("StandbyException", "its name node is the one that waits"),
    ("SafeModeException", "it is in safe mode"),
    ("refused", "the connection was refused"),
    ("BlocksNotFound", "blocks of it are missing"),
    ("dns", "its name is not known"),
    ("lookup", "its name is not known"),
)


class Hdfs:
    """One cluster; ``where`` names it in messages."""

    can_skip, may_grow = True, True

    def __init__(self, client: Any, where: str, patience: Patience) -> None:
        self._client, self._where, self._patience = client, where, patience

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        folder = folder_of(prefix)
        status = self._status(folder)
        if status is None or not status.isdir:
            raise no_folder(self._where, folder)
        entries = self._asked(lambda: self._client.list_status(f"/{folder}", deep), folder)
        while (entry := self._asked(lambda: next(entries, None), folder)) is not None:
            name = entry.path.lstrip("/")
            if not entry.isdir and name.startswith(prefix):
                yield _found(check_name(name, self._where), entry)

    def look(self, name: str) -> Found | None:
        status = self._status(check_name(name, self._where))
        return None if status is None or status.isdir else _found(name, status)

    def open(self, found: Found, offset: int = 0) -> Content:
        reader = self._asked(lambda: self._client.read(f"/{check_name(found.name, self._where)}"), found.name)
        self._check_same(found)  # behind opening, which has taken the blocks of that version
        size = found.size or 0
        starts = iter(range(offset, size, _PIECE))

        def fetch() -> bytes:
            start = next(starts, size)
            if start >= size:
                return b""
            try:
                piece = self._asked(
                    lambda: bytes(reader.read_range(start, min(_PIECE, size - start))), found.name
                )
            except RetryableError:
                self._check_same(found)  # the blocks of a file that is written anew go
                raise
            if len(piece) != min(_PIECE, size - start):
                raise changed(found.name, self._where)
            return piece

        return Ahead(fetch)

    def path_of(self, _found: Found) -> str | None:
        """None: it lies on no disk of this machine."""
        return None

    def close(self) -> None:
        self._client = None

    def _status(self, name: str) -> Any:
        def ask() -> Any:
            try:
                return self._client.get_file_info(f"/{name}")
            except FileNotFoundError:
                return None

        return self._asked(ask, name)

    def _check_same(self, found: Found) -> None:
        status = self._status(found.name)
        if status is None:
            raise gone(found.name, self._where)
        has_grown = status.length > (found.size or 0)
        if not has_grown and _version(status) != found.version:
            raise changed(found.name, self._where)

    def _asked(self, work: Callable[[], _T], name: str) -> _T:
        try:
            return stop_flag.waiting_for(lambda: self._in_time(work), _SAFE)
        except SingerkitError:
            raise
        except Exception as error:
            raise self._failure(error, name) from None

    def _in_time(self, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns: the library asks on without end where there is no name node."""
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.extend((work(), None))
            except BaseException as error:
                outcome.extend((None, error))

        thread = threading.Thread(target=run, name="hdfs", daemon=True)
        thread.start()
        thread.join(self._patience.total)
        if not outcome:
            raise RetryableError(
                f"There is no answer of {self._where} in {self._patience.total:g} s; {_SAFE[:-1]}: check that it runs and that its ports can be reached "
                "from here, then run again."
            )
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]  # type: ignore[no-any-return]

    def _failure(self, error: Exception, name: str) -> SingerkitError:
        text = str(error)
        if isinstance(error, FileNotFoundError):
            return gone(name, self._where)
        if isinstance(error, PermissionError) or any(sign in text for sign in _REFUSED):
            return NotAuthorisedError(
                f"{self._where} does not let this user read `{name}`; {_SAFE[:-1]}: check `storage.hdfs.user`, or the ticket of Kerberos (`klist`)."
            )
        return RetryableError(
            f"{self._where} does not give `{name}` ({sort_out(_REASONS, text, type(error).__name__)}); {_SAFE[:-1]}: check that it runs, then run again."
        )


def hdfs_place(cluster: str, said: Mapping[str, Any], patience: Patience) -> Hdfs:
    """Raises: ConfigurationError: there can be no such cluster, or the package is not installed."""
    where = f"hdfs://{cluster}"
    library = imported("hdfs_native", "`hdfs://`", "hdfs", "tap-files")
    if not _CLUSTER.fullmatch(cluster):
        raise ConfigurationError(
            "Expected `hdfs://host:port/...` or `hdfs://nameservice/...` in `path`, got something else; nothing was read."
        )
    if "user" in said:
        os.environ["HADOOP_USER_NAME"] = said["user"]
    try:
        client = library.Client(where, config=dict(said.get("options", {})))
    except Exception as error:
        raise ConfigurationError(
            f"What is said of {where} cannot be used ({type(error).__name__}); nothing was read: check `storage.hdfs.options`."
        ) from None
    return Hdfs(client, where, patience)


def _found(name: str, status: Any) -> Found:
    modified = status.modification_time * 1000
    return Found(name, status.length, modified, modified, _version(status))


def _version(status: Any) -> str:
    return f"{status.length}-{status.modification_time}"
