"""The state in a row of a DuckDB file, as target-duckdb keeps it with the rows: read by taps, changed by hand.

    duckdb:///FOLDER/FILE?pipeline=NAME&schema=SCHEMA     an absolute path, as of every URL; a fourth slash changes nothing
    duckdb://FILE?pipeline=NAME                           a path that begins in the working folder

``?``, ``#`` and ``%`` of a path are percent-encoded; ``schema`` is ``main`` unless given. One process at a time has a file
open for writing, and nobody else then even reads it: who comes meanwhile waits `WAIT_SECONDS`. DuckDB frees its lock with
the process. Reading opens the file read-only, so nothing is made or changed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    RetryableError,
    SingerkitError,
)
from singerkit_shell.signals import stop_flag
from singerkit_state.duckdb_file import (
    NO_EXTENSIONS,
    first_line,
    not_answering,
    quoted,
    run,
    take_in_log,
    why_not_opened,
)
from singerkit_state.history import LIMIT, Entry, by_hand, kept_now
from singerkit_state.statefile import check_folder, state_object
from singerkit_state.store import Change, Edit, Holder, Snapshot
from singerkit_state.urls import hide_passwords, mistyped, parameters
from singerkit_state.value import after, is_utf8

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "FORM",
    "WAIT_SECONDS",
    "DuckRow",
    "DuckTable",
    "DuckUrl",
    "opened",
    "parse",
    "store_of",
    "table_of",
]

logger = logging.getLogger(__name__)

FORM = "duckdb:///PATH?pipeline=NAME&schema=SCHEMA"
WAIT_SECONDS = 10.0
"""How long a file is waited for that another process has open."""
_LOOK_AGAIN_SECONDS, _LOOKS = 0.1, 3

_TABLE = "_singerkit_state"
_HISTORY = f"{_TABLE}_history"
_NEEDED = ("pipeline", "epoch", "sequence", "state", "run_id", "committed_at")
_OURS = ("pipeline", "schema")


@dataclass(frozen=True)
class DuckUrl:
    """A state URL, taken apart. ``location`` is the URL as it was given: it holds no secret."""

    path: str
    pipeline: str
    schema: str = "main"
    location: str = ""

    @property
    def where(self) -> str:
        """The place for messages."""
        return f"the database {self.path}, table {self.schema}.{_TABLE}"


def parse(location: str, *, of_any_pipeline: bool = False) -> DuckUrl:
    """Take a state URL apart; without a pipeline in it, ``of_any_pipeline`` makes it that of a whole table.

    Raises:
        ConfigurationError: a part is missing or malformed; or it names a file that is not there, and is meant for one
            that is (to SQLAlchemy three slashes begin a relative path).
    """
    hide_passwords(location)
    address, _, query = location.removeprefix("duckdb://").partition("?")
    ours, others = parameters(query, _OURS)
    path = os.fsdecode(unquote_to_bytes(address))
    if "#" in location:
        raise _not_valid("percent-encode # in its path")
    if not path.strip("/") or path.endswith("/") or "\0" in path:
        raise _not_valid("it names no file")
    if path.startswith((":memory:", "md:")):
        raise _not_valid("a state is kept in a file only")
    if others:
        raise _not_valid(f"it has a parameter that means nothing{mistyped(query, _OURS)}")
    if not ours.get("pipeline") and not of_any_pipeline:
        raise _not_valid(f"it names no pipeline{mistyped(query, _OURS)}")
    if not is_utf8("".join(ours.values())) or "\0" in "".join(ours.values()):
        raise _not_valid("it holds a character that DuckDB cannot store")
    if path.startswith("/"):
        path = f"/{path.lstrip('/')}"
        _check_is_meant(path)
    return DuckUrl(path, ours.get("pipeline", ""), ours.get("schema") or "main", location)


def _check_is_meant(path: str) -> None:
    relative = path[1:]
    if not os.path.exists(path) and os.path.isfile(relative):
        raise _not_valid(
            f"three slashes begin an absolute path, and there is no file {path}, but one {relative} in this folder: write "
            f"duckdb://{relative} for that"
        )


def _not_valid(finding: str) -> ConfigurationError:
    return ConfigurationError(
        f"The state URL is not valid, {finding}; nothing was read or written: expected is {FORM}."
    )


def store_of(location: str) -> DuckRow:
    """Return the row that a state URL names; ConfigurationError where the URL is wrong."""
    return DuckRow(parse(location))


def table_of(location: str) -> DuckTable | None:
    """Return the state table that a URL names without a pipeline; None where it names one."""
    url = parse(location, of_any_pipeline=True)
    return None if url.pipeline else DuckTable(url)


class DuckTable:
    """The rows of all pipelines."""

    def __init__(self, url: DuckUrl) -> None:
        self._url = url

    @property
    def where(self) -> str:
        return self._url.where

    def snapshots(self) -> list[Snapshot]:
        if not _is_there(self._url.path):
            return []
        with _opened(self._url) as table:
            return [table.snapshot(name) for name in table.pipelines()]


class DuckRow:
    """The row of one pipeline."""

    is_file = False

    def __init__(self, url: DuckUrl) -> None:
        self._url = url

    @property
    def pipeline(self) -> str:
        return self._url.pipeline

    @property
    def location(self) -> str:
        return self._url.location

    def read(self, pipeline: str | None = None) -> dict[str, Any] | None:
        """Return the committed STATE value; None where there is no file, no table, no row or no commit yet.

        Raises:
            ConfigurationError: the row is another pipeline's, or holds no state; the file is no database.
            LockHeldError: another process has the file open for longer than `WAIT_SECONDS`.
            NotAuthorisedError, RetryableError: it cannot be opened.
        """
        url = self._url
        if pipeline and pipeline != url.pipeline:
            raise ConfigurationError(
                f"The state URL names the pipeline `{url.pipeline}`, this run is of the pipeline `{pipeline}`; "
                "name the same pipeline in both."
            )
        text = self.snapshot().text
        if text is None:
            logger.info(
                "No state of the pipeline `%s` yet in %s: this is a first run.", url.pipeline, url.where
            )
            return None
        way_out = "set another one with `singerkit-state set`, or forget it with `singerkit-state reset`"
        return state_object(text, f"state of the pipeline `{url.pipeline}` in {url.where}", pipeline, way_out)

    def snapshot(self) -> Snapshot:
        if not _is_there(self._url.path):
            return _Table.nothing(self._url, self._url.pipeline)
        with _opened(self._url) as table:
            return table.snapshot(self._url.pipeline)

    def change(self, edit: Edit, why: str) -> Change:
        """Keep the former value, begin an epoch and set the new value, all in one transaction.

        Raises:
            ConfigurationError: no run of a target has been there.
        """
        if not _is_there(self._url.path):
            raise self._no_table()
        with _opened(self._url, for_writing=True) as table:
            if not table.is_there:
                raise self._no_table()
            return table.change(self._url.pipeline, edit, why)

    def _no_table(self) -> ConfigurationError:
        return ConfigurationError(
            f"There is no {self._url.where}; nothing was changed: let target-duckdb make it, whose `--adopt` takes a state over."
        )

    def entries(self) -> list[Entry]:
        if not _is_there(self._url.path):
            return []
        with _opened(self._url) as table:
            return table.entries(self._url.pipeline)

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None:
        """See that nobody has the file open: the lock goes with its process, and a living one keeps it (LockHeldError)."""
        del confirm  # there is nothing that could be taken from anybody
        self.snapshot()
        return None


class _Table:
    """The state table of an open database. Its statements are inside the caller's transaction, or none."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, url: DuckUrl) -> None:
        self._connection, self._url = connection, url
        self._name, self._history = (quoted(url.schema, name) for name in (_TABLE, _HISTORY))
        columns = self._columns(_TABLE)
        missing = [column for column in _NEEDED if column not in columns]
        if columns and missing:
            raise ConfigurationError(
                f"The table {url.schema}.{_TABLE} of {url.path} is no state table, it has no column `{missing[0]}`; nothing was "
                "read or written: name another schema."
            )
        self.is_there = bool(columns)

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return run(self._connection, statement, parameters)

    def _columns(self, table: str) -> set[str]:
        found = self._execute(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = ? "
            "AND table_name = ?",
            [self._url.schema, table],
        )
        return {name for (name,) in found}

    def pipelines(self) -> list[str]:
        if not self.is_there:
            return []
        return [name for (name,) in self._execute(f"SELECT pipeline FROM {self._name} ORDER BY pipeline")]

    @staticmethod
    def nothing(url: DuckUrl, pipeline: str, others: Sequence[str] = ()) -> Snapshot:
        return Snapshot(where=url.where, kind="database", text=None, pipeline=pipeline, others=tuple(others))

    def snapshot(self, pipeline: str) -> Snapshot:
        # Not as a timestamp with time zone, which takes a package more to become one of Python's.
        found = (
            self._execute(
                f"SELECT epoch, sequence, state, run_id, epoch_us(committed_at) FROM {self._name} WHERE pipeline = ?",
                [pipeline],
            )
            if self.is_there
            else []
        )
        if not found:
            return self.nothing(self._url, pipeline, self.pipelines())
        epoch, sequence, text, run_id, committed_at = found[0]
        return Snapshot(
            where=self._url.where,
            kind="database",
            text=text,
            pipeline=pipeline,
            epoch=epoch,
            sequence=sequence,
            run_id=run_id,
            committed_at=_moment(committed_at),
        )

    def entries(self, pipeline: str) -> list[Entry]:
        if not self._columns(_HISTORY):
            return []
        found = self._execute(
            f'SELECT number, epoch_us("at"), why, "by", pid, run_id, epoch, sequence, state FROM {self._history} '
            "WHERE pipeline = ? ORDER BY number DESC",
            [pipeline],
        )
        return [Entry(number, _moment(at) or _EPOCH, *rest) for number, at, *rest in found]

    def change(self, pipeline: str, edit: Edit, why: str) -> Change:
        self._execute("BEGIN")
        if not self._execute(f"SELECT 1 FROM {self._name} WHERE pipeline = ?", [pipeline]):
            self._execute(
                f"INSERT INTO {self._name} (pipeline, epoch, sequence) VALUES (?, 0, 0)", [pipeline]
            )
        before = self.snapshot(pipeline)
        text = edit(before.text)
        number = self._keep(before, why)
        [(noted,)] = self._execute(f"SELECT former FROM {self._name} WHERE pipeline = ?", [pipeline])
        former = tuple(json.loads(noted or "[]"))
        kept = former if text == before.text else after(former, before.text)
        now = datetime.now(UTC).isoformat()
        self._execute(
            f"UPDATE {self._name} SET epoch = epoch + 1, sequence = sequence + 1, state = ?, former = ?, run_id = ?, host = ?, "
            "pid = ?, started_at = CAST(? AS TIMESTAMPTZ), committed_at = CAST(? AS TIMESTAMPTZ) WHERE pipeline = ?",
            [text, json.dumps(kept), by_hand(why), platform.node(), os.getpid(), now, now, pipeline],
        )
        changed = self.snapshot(pipeline)
        self._execute("COMMIT")
        return Change(before, changed, number)

    def _keep(self, before: Snapshot, why: str) -> int:
        entry = kept_now(before.text, why, before.run_id, before.epoch, before.sequence)
        [(last,)] = self._execute(
            f"SELECT max(number) FROM {self._history} WHERE pipeline = ?", [before.pipeline]
        )
        number = int(last or 0) + 1
        self._execute(
            f'INSERT INTO {self._history} (pipeline, number, "at", why, "by", pid, run_id, epoch, sequence, state) '
            "VALUES (?, ?, CAST(? AS TIMESTAMPTZ), ?, ?, ?, ?, ?, ?, ?)",
            [
                before.pipeline,
                number,
                entry.at.isoformat(),
                entry.why,
                entry.by,
                entry.pid,
                entry.run_id,
                entry.epoch,
                entry.sequence,
                entry.text,
            ],
        )
        self._execute(
            f"DELETE FROM {self._history} WHERE pipeline = ? AND number <= ?",
            [before.pipeline, number - LIMIT],
        )
        return number


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _is_there(path: str) -> bool:
    """Whether there is a database that may hold something: DuckDB makes an empty file first, and a first run may be at it.

    Raises:
        ConfigurationError: nor is there a folder that it could be in.
    """
    try:
        return os.stat(path).st_size > 0
    except OSError:
        check_folder(path)
        return False


@contextlib.contextmanager
def _opened(url: DuckUrl, *, for_writing: bool = False) -> Iterator[_Table]:
    """Open the file, for reading only unless ``for_writing``, and look for the state table.

    Raises:
        SingerkitError: as said at `DuckRow.read`; CannotWriteError where the disk is full.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError(
            f"A state in a file of DuckDB takes the package duckdb, which is not installed here ({error}); nothing was read: "
            "run `pip install 'singerkit[duckdb]'`, then run again."
        ) from None
    try:
        with contextlib.closing(opened(url.path, for_writing=for_writing)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield _Table(connection, url)
    except duckdb.Error as error:
        raise _failed(url, error) from None


def opened(path: str, *, for_writing: bool) -> duckdb.DuckDBPyConnection:
    """Open a file that is there, waiting a moment for whoever has it."""
    import duckdb

    end = time.monotonic() + WAIT_SECONDS
    looks = 0
    while True:
        try:
            return duckdb.connect(path, read_only=not for_writing, config=dict(NO_EXTENSIONS))
        except duckdb.Error as error:
            reason = why_not_opened(Path(path), error, for_writing=for_writing)
            if reason is None and take_in_log(Path(path)):
                continue
            is_locked = isinstance(reason, LockHeldError)
            # Whoever had it open may have left it meanwhile: that it is no database is believed after some looks.
            looks = 0 if is_locked else looks + 1
            if looks == _LOOKS:
                raise reason or _not_opened(path, error) from None
            if reason and is_locked and time.monotonic() > end:
                raise reason from None
        stop_flag.wait(_LOOK_AGAIN_SECONDS)
        stop_flag.raise_if_set("the state was waited for, nothing was read or written.")


def _not_opened(path: str, error: duckdb.Error) -> SingerkitError:
    return not_answering(path, error) or ConfigurationError(
        f"The file {path} cannot be opened as a database ({first_line(error)}); nothing was read or changed: name the file that "
        "target-duckdb loads into, put it back from a copy, or install the version of duckdb that has written it."
    )


def _failed(url: DuckUrl, error: duckdb.Error) -> SingerkitError:
    import duckdb

    away = not_answering(url.path, error)
    if away is not None:
        return away
    if isinstance(error, duckdb.IOException | duckdb.FatalException):
        return CannotWriteError(
            f"The state in {url.where} cannot be read or written ({first_line(error)}); nothing was changed: make room, or put the "
            "file back from a copy."
        )
    if isinstance(error, duckdb.TransactionException | duckdb.OutOfMemoryException):
        return RetryableError(
            f"DuckDB refused {url.where} ({first_line(error)}); nothing was changed: run again."
        )
    return BadDataError(
        f"The state table in {url.where} was altered by others ({type(error).__name__}); nothing was changed: put it back."
    )
