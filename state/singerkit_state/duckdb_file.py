"""Opening a DuckDB file, and why it cannot be opened, by what it is: for who reads the state in it, and for who loads into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singerkit_shell.configfile import does_not_answer
from singerkit_shell.errors import (
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from singerkit_state import statefile

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "NO_EXTENSIONS",
    "first_line",
    "literal",
    "not_answering",
    "open_or_make",
    "quoted",
    "run",
    "take_in_log",
    "why_not_opened",
]

NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
"""Nothing is fetched from anywhere, whatever a file or a name looks like."""
_MAGIC, _MAGIC_AT = b"DUCK", 8
_LOOKS, _LOOK_AGAIN_SECONDS = 5, 0.02
_PREPARED = "_singerkit_statement"
_SYNC_FAILED = "fsync failed"
"""What DuckDB says where a file that it opens, and brings up to date by its log, cannot be written to the disk."""
_READ_FAILED = "Could not read from file"
"""What it says where the system cannot read; of what it has read and is none of its own it says other things."""
_HOLDER = re.compile(r"Conflicting lock is held in (.*?) \(PID (\d+)\)")


def open_or_make(path: Path, *, setting: str = "") -> duckdb.DuckDBPyConnection:
    """Open a file for writing, in UTC; one that is not there is made. ``setting`` is as at `why_not_opened`.

    Raises:
        LockHeldError, NotAuthorisedError, CannotWriteError, RetryableError, ConfigurationError: it cannot be.
    """
    import duckdb

    said, away = "", None
    for _ in range(_LOOKS):
        try:
            _make(path)
            connection = _open(path)
        except (duckdb.Error, OSError) as error:
            reason = why_not_opened(path, error, setting=setting)
            said, away = first_line(error), not_answering(path, error)
        else:
            connection.execute("SET TimeZone = 'UTC'")
            return connection
        if reason is not None:
            raise reason
        if take_in_log(path):
            continue
        time.sleep(_LOOK_AGAIN_SECONDS)  # whoever had it open has left it meanwhile
    if away is not None:
        raise away
    if _SYNC_FAILED in said:
        raise CannotWriteError(
            f"The database {path} cannot be written ({said}); what was committed is safe: mend its disk, or make room there, then run again."
        )
    if not path.exists():
        raise CannotWriteError(
            f"The database {path} cannot be made ({said}); nothing was written: make room on the disk of its folder, "
            "then run again."
        )
    raise ConfigurationError(
        f"The database {path} cannot be opened ({said}); nothing was read or written: if a newer version of duckdb has "
        "written it, install that one, else put the file back from a copy, then run again."
    )


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(str(path), config=dict(NO_EXTENSIONS))


def take_in_log(path: Path) -> bool:
    """Bring what was committed and stands in the log beside a file (`.wal`) into it, where opening the file fails at that; tell whether it is.

    DuckDB (1.5) takes in a column that has become JSON from there only where the file is attached to another database.
    """
    import duckdb

    if not os.path.exists(f"{path}.wal"):
        return False
    try:
        with contextlib.closing(duckdb.connect(config=dict(NO_EXTENSIONS))) as beside:
            beside.execute(f"ATTACH {literal(str(path))} AS taken_in")
            beside.execute("CHECKPOINT taken_in")
            beside.execute("DETACH taken_in")
    except duckdb.Error:
        return False
    return True


def _make(path: Path) -> None:
    """Make the file unless it is there, whole or not at all: what is left of half a one would be no database."""
    if os.path.lexists(path) or not path.parent.is_dir():
        return
    making = path.with_name(f".{path.name}.{os.getpid()}.making")
    making.unlink(missing_ok=True)
    try:
        _open(making).close()
        with contextlib.suppress(OSError):  # somebody else has made it meanwhile, or there are no links here
            os.link(making, path)
            statefile.sync_folder(str(path.parent))
    finally:
        making.unlink(missing_ok=True)


def run(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Run a statement with a value for each `?`; return its rows.

    As literals of EXECUTE: for a value that DuckDB is given it imports pandas, where that is installed, which takes longer
    than all else in a short run.
    """
    if parameters and all(map(_has_literal, parameters)):
        connection.execute(f"PREPARE {_PREPARED} AS {statement}")
        return connection.execute(f"EXECUTE {_PREPARED}({', '.join(map(literal, parameters))})").fetchall()
    return connection.execute(statement, list(parameters)).fetchall()


def _has_literal(value: Any) -> bool:
    # A statement ends at NUL.
    return value is None or isinstance(value, int) or (isinstance(value, str) and "\0" not in value)


def literal(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def quoted(*names: str) -> str:
    """Return the name of a thing in a statement: those of what it is in, and its own."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def why_not_opened(
    path: Path, error: Exception, *, for_writing: bool = True, setting: str = ""
) -> SingerkitError | None:
    """Say why a file cannot be opened, by what it is and not by what DuckDB says; None when nothing is wrong with it.

    ``error`` is DuckDB's, and tells who holds the file; ``setting`` is what names it in the config, in brackets.
    """
    try:
        return _by_its_looks(path, for_writing=for_writing, setting=setting)
    except BlockingIOError:
        return LockHeldError(
            f"The database {path} is open in {_holder_in(error)}, and DuckDB lets nobody else read or write a file that one writes "
            "to; nothing was read or changed, wait for it to end or stop it, then run again."
        )
    except PermissionError:
        return NotAuthorisedError(
            f"The database {path} may not be {'read and written' if for_writing else 'read'} by this user; nothing was read or "
            f"changed: grant that, or name another file{setting}, then run again."
        )
    except OSError as reason:
        away = not_answering(path, reason)
        if away is not None:
            return away
        return CannotWriteError(
            f"The database {path} cannot be opened ({reason.strerror}); nothing was read or changed: mend that, then run again."
        )


def _by_its_looks(path: Path, *, for_writing: bool, setting: str) -> SingerkitError | None:
    if path.is_dir():
        return ConfigurationError(
            f"Expected a file of DuckDB at {path}{setting}, got a folder; nothing was read or changed: name a file in it."
        )
    if not path.parent.is_dir():
        return ConfigurationError(
            f"The folder {path.parent} of the database {path.name}{setting} is not there; nothing was written: make it, or "
            "correct the path."
        )
    if not path.exists():
        folder = path.parent
        return (
            None
            if os.access(folder, os.W_OK | os.X_OK)
            else NotAuthorisedError(
                f"No file can be made in the folder {folder} by this user; nothing was written: grant that, or name another "
                f"place for the database{setting}."
            )
        )
    with path.open("r+b" if for_writing else "rb") as file:
        # Nobody has it open in this process, which would lose its lock by this: the connection has failed.
        fcntl.lockf(file, (fcntl.LOCK_EX if for_writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        begins = file.read(_MAGIC_AT + len(_MAGIC))
    if begins[_MAGIC_AT:] != _MAGIC:
        return ConfigurationError(
            f"Expected a database of DuckDB at {path}{setting}, got a file that is none; it was left as it is: name another file, "
            "put the database back from a copy, or move this file away."
        )
    return None


def not_answering(path: str | os.PathLike[str], error: Exception) -> RetryableError | None:
    """Return what to say where a file cannot be read for its disk, whatever is in it; None: it is something else."""
    if not does_not_answer(error) and _READ_FAILED not in str(error):
        return None
    return RetryableError(
        f"The database {path} cannot be read ({first_line(error)}); what was committed is safe: mend its disk, or the way to that, then run again."
    )


def _holder_in(error: Exception) -> str:
    """Return who has the file open, as far as DuckDB says so."""
    found = _HOLDER.search(str(error))
    return f"another process (pid {found[2]}, {found[1]})" if found else "another process"


def first_line(error: Exception) -> str:
    """Return what DuckDB says, without its advice."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
