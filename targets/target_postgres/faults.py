"""What a PostgreSQL error means to the user: one sentence, one exit code (FAULTS.md D1-D12)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2
from psycopg2 import errorcodes

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from singerkit_target.contract import UnitLost

__all__ = [
    "REFUSING",
    "UNSTORABLE",
    "WAITS",
    "ConnectionLost",
    "InTheWay",
    "LateRefusal",
    "NotDone",
    "TableChanged",
    "check_stored",
    "column_of",
    "connection_fault",
    "during",
    "fault",
    "is_refusal",
    "refusal",
]

_SAFE = "what was committed is safe"


class ConnectionLost(UnitLost):
    """The connection is gone, and the transaction with it, unless it was committing."""


class NotDone(psycopg2.Error):
    """PostgreSQL reports success, and has done less: a trigger or rule of the table keeps rows out, or in.

    To those who catch errors it is the refusal that the trigger should have raised.
    """

    pgcode = errorcodes.RAISE_EXCEPTION


def check_stored(expected: int, stored: int) -> None:
    """See that the server has stored what it was given.

    Raises:
        NotDone: it counts fewer rows.
    """
    if stored < expected:
        raise NotDone(
            f"a trigger or rule of the table leaves out {expected - stored} of its rows; let it keep such rows or raise an "
            "exception, or set `on_invalid` to `quarantine` to have them set aside"
        )


class InTheWay(UnitLost, LockHeldError):
    """Another session was in the way; the transaction is rolled back."""


def connection_fault(error: psycopg2.Error, where: str) -> SingerkitError:
    """Translate an error of connecting; psycopg2 gives these no code, only the server's words."""
    text = _first_line(error)
    lowered = text.lower()
    if "authentication failed" in lowered or "pg_hba.conf" in lowered or "no password supplied" in lowered:
        return NotAuthorisedError(
            f"PostgreSQL at {where} refused the credentials ({text}); nothing is lost: check user and password."
        )
    if "certificate file" in lowered or "private key file" in lowered or "does not support ssl" in lowered:
        return ConfigurationError(
            f"There is no encrypted connection to PostgreSQL at {where} ({text}); nothing is lost: check `sslmode` and the "
            "files of certificates."
        )
    if "does not exist" in lowered and ("role" in lowered or "database" in lowered):
        return ConfigurationError(
            f"PostgreSQL at {where} answered: {text}; nothing is lost: check the config."
        )
    if "invalid" in lowered and ("dsn" in lowered or "option" in lowered or "sslmode" in lowered):
        return ConfigurationError(
            f"The connection settings are not valid ({text}); nothing is lost: check the config."
        )
    return RetryableError(
        f"PostgreSQL at {where} cannot be reached ({text}); nothing is lost: check that it runs, then run again."
    )


WAITS = (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.DEADLOCK_DETECTED, errorcodes.SERIALIZATION_FAILURE)
"""Codes of errors in which another session had a part."""


_OTHER_KINDS = (
    errorcodes.WRONG_OBJECT_TYPE,
    errorcodes.GENERATED_ALWAYS,
    errorcodes.INVALID_COLUMN_REFERENCE,
    errorcodes.INVALID_TABLE_DEFINITION,
    errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE,
)
"""Codes of statements that are right for a table, and not for what stands in its place: a partition, a typed table."""


def fault(error: psycopg2.Error, doing: str, others: str = "") -> SingerkitError:
    """Translate an error of an open connection; ``doing`` says what was being done, as in `loading stream x`.

    ``others`` names the sessions that may be in the way.
    """
    code = error.pgcode or ""
    text = _first_line(error)
    if isinstance(error, NotDone):
        return BadDataError(
            f"PostgreSQL did less than was asked while {doing}: {text}, then run again; {_SAFE}."
        )
    if code == errorcodes.UNIQUE_VIOLATION and not _is_raised_by_function(error):
        return BadDataError(
            f"PostgreSQL refused a row while {doing}: {refusal(error)}; {_SAFE}: if rows that are the same there are to replace each "
            "other, give the stream its columns as the key (tap-rest: `primary_keys`), if all are to be kept, drop that index or "
            "constraint; if the row is wrong, correct it at the source, or set `on_invalid: quarantine` to set such rows aside and "
            "leave those that are stored as they are; then run again."
        )
    if is_refusal(error, _OF_A_VALUE):
        way = (
            "give the column a type that holds it, " if code == errorcodes.NUMERIC_VALUE_OUT_OF_RANGE else ""
        )
        return BadDataError(
            f"PostgreSQL refused a value while {doing}: {refusal(error)}; {_SAFE}: {way}correct the row at the source, or set "
            "`on_invalid: quarantine` to set such rows aside, then run again."
        )
    if code == errorcodes.CARDINALITY_VIOLATION:
        return BadDataError(
            f"Rows with different keys have one key in the table, met while {doing} ({text}); {_SAFE}: see that no trigger "
            "or rule of the table changes keys, then run again."
        )
    if code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return NotAuthorisedError(
            f"PostgreSQL refused {doing} ({text}); {_SAFE}: grant the privilege, then run again."
        )
    if code in (errorcodes.DISK_FULL, errorcodes.OUT_OF_MEMORY):
        return CannotWriteError(
            f"PostgreSQL has no room for {doing} ({text}); {_SAFE}: make room, then run again."
        )
    if code in WAITS:
        return InTheWay(
            f"Another session is in the way of {doing} ({text}{others}); {_SAFE}: run again when it has finished."
        )
    if code == errorcodes.QUERY_CANCELED:
        return RetryableError(
            f"PostgreSQL ended the statement while {doing} ({text}); {_SAFE}: run again, with a longer "
            "`statement_timeout` for this role if that is the cause."
        )
    if code == errorcodes.READ_ONLY_SQL_TRANSACTION:
        return CannotWriteError(
            f"PostgreSQL is read-only, as on a standby ({text}); {_SAFE}: name the primary, then run again."
        )
    if code in (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN):
        return BadDataError(
            f"The table was dropped or altered by others while {doing} ({text}); {_SAFE}: put it back, or reset the "
            "state to load it anew."
        )
    if code in (errorcodes.UNDEFINED_OBJECT, errorcodes.INVALID_SCHEMA_NAME):
        return ConfigurationError(
            f"PostgreSQL does not know something that the config or a schema names, met while {doing} ({text}); "
            f"{_SAFE}: correct `column_types` or `x-sql-datatype`, or create what is missing, then run again."
        )
    if code in (errorcodes.FEATURE_NOT_SUPPORTED, errorcodes.DEPENDENT_OBJECTS_STILL_EXIST):
        return ConfigurationError(
            f"Something that depends on the table is in the way of {doing} ({text}{_detail(error)}); {_SAFE}: drop it and create it "
            "anew after this run, then run again."
        )
    if code in _OTHER_KINDS:
        return ConfigurationError(
            f"The table is of a kind that does not allow {doing} ({text}); {_SAFE}: let the stream have an ordinary "
            "table, or make the change by hand, then run again."
        )
    if code.startswith("54"):
        return BadDataError(
            f"PostgreSQL has a limit that was reached while {doing} ({text}); {_SAFE}: select fewer fields in the "
            "tap, then run again."
        )
    if not code or code[:2] in ("08", "57", "53", "58"):
        return ConnectionLost(
            f"The connection to PostgreSQL was lost while {doing} ({text}); {_SAFE}: run again."
        )
    return SingerkitError(f"PostgreSQL refused a statement while {doing} ({code}: {text}); {_SAFE}.")


UNSTORABLE = ("22",)
_OF_A_VALUE = (*UNSTORABLE, "23", "44", "P0")
REFUSING = (*_OF_A_VALUE, "54")
"""Classes of codes that say something about a row: bad data, a constraint, a view's check, an exception of a trigger, a
row that is too large for its index. Others may go in without it.
"""


class LateRefusal(UnitLost, BadDataError):
    """A deferred constraint refuses a row of the unit; written again, the constraint is judged with each batch."""

    exit_code = BadDataError.exit_code


class TableChanged(UnitLost, BadDataError):
    """Others have altered a table since its stream was declared; the stream is declared anew, and the unit written again."""

    exit_code = BadDataError.exit_code


def is_refusal(error: psycopg2.Error, classes: Sequence[str] = REFUSING) -> bool:
    """Tell whether a row is to blame, by a code of these classes, or of any where a function of the user's raised it."""
    is_of_class = (error.pgcode or "")[:2] in classes
    return is_of_class or ("P0" in classes and _is_raised_by_function(error))


def _is_raised_by_function(error: psycopg2.Error) -> bool:
    """Tell whether an exception of a trigger or the like says something about a row, with whatever code."""
    code = error.pgcode or ""
    is_of_the_server = code[:2] in ("", "08", "40", "53", "55", "57", "58") or code in (
        errorcodes.INSUFFICIENT_PRIVILEGE,
        errorcodes.READ_ONLY_SQL_TRANSACTION,
    )
    is_of_the_server = is_of_the_server and code != errorcodes.OBJECT_IN_USE  # by this very statement
    return not is_of_the_server and bool(_IN_FUNCTION.search(getattr(error.diag, "context", None) or ""))


@contextmanager
def during(doing: str) -> Iterator[None]:
    """Name what was being done when a row is refused, where the job as a whole does more than that."""
    try:
        yield
    except psycopg2.Error as error:
        if not is_refusal(error):
            raise
        raise fault(error, doing) from error


def refusal(error: psycopg2.Error) -> str:
    """Say why a row was refused and in which column, without what stands in it."""
    if isinstance(error, NotDone):
        return "a trigger or rule of the table leaves it out"
    function = _IN_FUNCTION.search(getattr(error.diag, "context", None) or "")
    if function:  # its words are the user's own, and may hold the row
        return f"an exception of the function `{function.group(1)}`{_place(error)}"
    return f"{_without_value(error, _first_line(error))}{_place(error)}"


_IN_FUNCTION = re.compile(r"\bPL/\S+ [^\n]*?([\w.\"]+)\(")
_QUOTED = re.compile(
    r"[\"'`«»“”„‘’‚‹›「](?:.*[\"'`«»“”„‘’‚‹›」]|.*)", re.DOTALL
)  # messages may be translated


def _without_value(error: psycopg2.Error, text: str) -> str:
    """Leave out what an error of class 22 quotes: that is row content. Class 23 quotes names of columns and constraints."""
    if not (error.pgcode or "").startswith("22"):
        return text
    primary = getattr(error.diag, "message_primary", None) or text
    return _QUOTED.sub("`...`", primary).strip().splitlines()[0]


def _first_line(error: psycopg2.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _detail(error: psycopg2.Error) -> str:
    """What PostgreSQL adds about objects, not rows: which view it is."""
    detail = (getattr(error.diag, "message_detail", None) or "").strip().splitlines()
    return f": {detail[0].rstrip('.')}" if detail else ""


def _place(error: psycopg2.Error) -> str:
    column = column_of(error)
    return f" in column `{column}`" if column else ""


def column_of(error: psycopg2.Error) -> str | None:
    """The column that COPY names in its context; the value it quotes is row content and is left out."""
    context = getattr(error.diag, "context", None) or ""
    for part in context.split(","):
        words = part.split(":")[0].split()
        if words[:1] == ["column"]:
            return " ".join(words[1:])
    return getattr(error.diag, "column_name", None)
