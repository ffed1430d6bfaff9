"""What a PostgreSQL error means to the user: one sentence, one exit code (FAULTS.md D1-D12)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

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
from singerkit_target.contract import UnitInTheWay, UnitLost

__all__ = [
    "REFUSING",
    "UNSTORABLE",
    "WAITS",
    "ConnectionLost",
    "InTheWay",
    "LateRefusal",
    "NotDone",
    "RowsInTheWay",
    "ServerTrouble",
    "TableChanged",
    "check_stored",
    "column_of",
    "during",
    "fault",
    "is_of_catalog",
    "is_refusal",
    "refusal",
]

_SAFE = "what was committed is safe"


class ConnectionLost(UnitLost):
    """The connection is gone, and the transaction with it, unless it was committing."""


class NotDone(psycopg2.Error):
    """PostgreSQL reports success, and has done less: a trigger of the table keeps rows out, or a rule, in.

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
            f"a trigger of the table leaves out {expected - stored} of its rows; let it keep such rows or raise an "
            "exception, or set `on_invalid` to `quarantine` to have them set aside"
        )


class InTheWay(UnitLost, LockHeldError):
    """Another session was in the way; the transaction is rolled back."""


WAITS = (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.DEADLOCK_DETECTED, errorcodes.SERIALIZATION_FAILURE)
"""Codes of errors in which another session had a part."""


class ServerTrouble(UnitLost):
    """The server fails by itself; the transaction is rolled back."""


class _Meaning(NamedTuple):
    """What the caller must do; what has happened (see `fault` for what stands in braces), and the advice to the user."""

    kind: type[SingerkitError]
    finding: str
    advice: str = ""


_LOST = _Meaning(
    ConnectionLost,
    "The connection to PostgreSQL was lost while {doing} ({text})",
    "run again.",
)
_TROUBLE = _Meaning(
    ServerTrouble,
    "PostgreSQL had trouble of its own while {doing} ({text})",
    "see the log of the server, then run again.",
)
_IN_THE_WAY = _Meaning(
    InTheWay,
    "Another session is in the way of {doing} ({text}{others})",
    "run again when it has finished.",
)
_NO_ROOM = _Meaning(
    CannotWriteError,
    "PostgreSQL has no room for {doing} ({text})",
    "make room, or raise the limit that it names, then run again.",
)
_PRIVILEGE = _Meaning(
    NotAuthorisedError,
    "PostgreSQL refused {doing} ({text})",
    "grant the privilege, then run again.",
)
_OWNER = _Meaning(
    NotAuthorisedError,
    "PostgreSQL refused {doing} ({text})",
    "give the table to this role (`ALTER TABLE ... OWNER TO ...`), make the role a member of the owner (`GRANT ... TO ...`), or let the "
    "owner make the change by hand; a table that is to get no column stays as it is with `schema_contract: ignore`. Then run again.",
)
_ROW_SECURITY = _Meaning(
    NotAuthorisedError,
    "Row level security of the table refuses {doing} ({text})",
    "let this role pass it by (`ALTER ROLE ... BYPASSRLS`), make it the owner of the table, and of a table that says FORCE take that off "
    "(`ALTER TABLE ... NO FORCE ROW LEVEL SECURITY`), or take all of it off (`ALTER TABLE ... DISABLE ROW LEVEL SECURITY`), then run again; a policy would keep rows out of the sight of this target, too.",
)
_FUNCTION = _Meaning(
    BadDataError,
    "A trigger, rule or function of the table failed while {doing} ({code}: {text})",
    "mend it, or take it off the table, then run again.",
)
_ALTERED = _Meaning(
    BadDataError,
    "The table was dropped or altered by others while {doing} ({text})",
    "put it back, or reset the state to load it anew.",
)
_NAMED = _Meaning(
    ConfigurationError,
    "PostgreSQL does not know something that the config or a schema names, met while {doing} ({text})",
    "correct `column_types` or `x-sql-datatype`, or create what is missing, then run again.",
)
_DEPENDS = _Meaning(
    ConfigurationError,
    "Something that depends on the table is in the way of {doing} ({text}{detail})",
    "drop it and create it anew after this run, then run again.",
)
_UNSUPPORTED = _Meaning(
    ConfigurationError,
    "This PostgreSQL has no support for something that the table needs, met while {doing} ({text}{detail})",
    "choose another type for the column (`column_types`, `x-sql-datatype`, and in the table), or have a server that supports "
    "it, then run again.",
)
_OTHER_KIND = _Meaning(  # right for a table, and not for what stands in its place: a partition, a typed table
    ConfigurationError,
    "The table is of a kind that does not allow {doing} ({text})",
    "let the stream have an ordinary table, or make the change by hand, then run again.",
)
_DOES_NOT_FIT = _Meaning(
    ConfigurationError,
    "PostgreSQL cannot do what it takes for {doing} with the table, its defaults, indexes and constraints as they are ({text})",
    "change or drop what it names, or let the stream have another table, then run again.",
)
_FOREIGN = _Meaning(
    ConfigurationError,
    "A foreign table below the table failed while {doing} ({code}: {text})",
    "mend its server and its options, then run again.",
)
_NO_DATABASE = _Meaning(
    ConfigurationError,
    "The database is not there any more, met while {doing} ({text})",
    "check the config.",
)
_OF_OTHERS = _Meaning(
    ConfigurationError,
    "Something that others have added to PostgreSQL, an extension or a function, refused {doing} ({code}: {text})",
    "see what that code means there, then run again.",
)
_OURS = _Meaning(
    SingerkitError,
    "PostgreSQL refused a statement while {doing} ({code}: {text})",
)

_MEANINGS: Mapping[str, _Meaning] = {
    # In the order of appendix A of PostgreSQL's documentation: classes, and the codes that mean something else than their class.
    **dict.fromkeys(("00", "01", "02", "03"), _OURS),
    "08": _LOST,
    "09": _FUNCTION,
    "0A": _UNSUPPORTED,
    "0B": _OURS,
    "0F": _OURS,
    "0L": _PRIVILEGE,
    "0P": _PRIVILEGE,
    "0Z": _OURS,
    "10": _FUNCTION,
    "20": _FUNCTION,
    "21": _Meaning(
        BadDataError,
        "Rows with different keys have one key in the table, met while {doing} ({text})",
        "see that no trigger of the table changes keys, then run again.",
    ),
    **dict.fromkeys(("24", "25", "26"), _OURS),
    errorcodes.READ_ONLY_SQL_TRANSACTION: _Meaning(
        CannotWriteError,
        "PostgreSQL is read-only, as on a standby ({text})",
        "name the primary, then run again.",
    ),
    errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT: _LOST,
    "25P04": _LOST,  # transaction_timeout, since PostgreSQL 17
    "27": _FUNCTION,
    "28": _PRIVILEGE,
    "2B": _DEPENDS,
    "2D": _OURS,
    "2F": _FUNCTION,
    "34": _OURS,
    "38": _FUNCTION,
    "39": _FUNCTION,
    "3B": _OURS,
    "3D": _NO_DATABASE,
    "3F": _NAMED,
    "40": _IN_THE_WAY,
    errorcodes.STATEMENT_COMPLETION_UNKNOWN: _LOST,
    "42": _DOES_NOT_FIT,
    errorcodes.INSUFFICIENT_PRIVILEGE: _PRIVILEGE,
    **dict.fromkeys((errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN), _ALTERED),
    # Of what stands in a statement only types and names are the user's own words.
    **dict.fromkeys(
        (
            errorcodes.UNDEFINED_OBJECT,
            errorcodes.SYNTAX_ERROR,
            errorcodes.INVALID_NAME,
            errorcodes.NAME_TOO_LONG,
            errorcodes.RESERVED_NAME,
        ),
        _NAMED,
    ),
    **dict.fromkeys(
        (
            errorcodes.DUPLICATE_COLUMN,
            errorcodes.DUPLICATE_OBJECT,
            errorcodes.DUPLICATE_SCHEMA,
            errorcodes.DUPLICATE_TABLE,
        ),
        _IN_THE_WAY,  # made by it in the same moment
    ),
    **dict.fromkeys(
        (
            errorcodes.WRONG_OBJECT_TYPE,
            errorcodes.GENERATED_ALWAYS,
            errorcodes.INVALID_COLUMN_REFERENCE,
            errorcodes.INVALID_TABLE_DEFINITION,
        ),
        _OTHER_KIND,
    ),
    **dict.fromkeys(
        (
            errorcodes.UNDEFINED_PARAMETER,
            errorcodes.AMBIGUOUS_COLUMN,
            errorcodes.AMBIGUOUS_PARAMETER,
            errorcodes.AMBIGUOUS_ALIAS,
            errorcodes.DUPLICATE_ALIAS,
            errorcodes.DUPLICATE_CURSOR,
            errorcodes.DUPLICATE_PREPARED_STATEMENT,
            errorcodes.GROUPING_ERROR,
            errorcodes.WINDOWING_ERROR,
            errorcodes.INVALID_RECURSION,
            errorcodes.INVALID_CURSOR_DEFINITION,
            errorcodes.INVALID_PREPARED_STATEMENT_DEFINITION,
        ),
        _OURS,
    ),
    "53": _NO_ROOM,
    errorcodes.TOO_MANY_CONNECTIONS: _TROUBLE,
    "54": _Meaning(
        BadDataError,
        "A row is beyond a limit of PostgreSQL, met while {doing} ({text})",
        "set `on_invalid: quarantine` to set such rows aside, or, if it is an index or a key that cannot hold its values, "
        "drop that index or choose another key, or select fewer fields in the tap, then run again.",
    ),
    errorcodes.TOO_MANY_COLUMNS: _Meaning(
        BadDataError,
        "PostgreSQL has a limit that was reached while {doing} ({text})",
        "select fewer fields in the tap, then run again.",
    ),
    "55": _OTHER_KIND,
    **dict.fromkeys((errorcodes.LOCK_NOT_AVAILABLE, errorcodes.OBJECT_IN_USE), _IN_THE_WAY),
    "57": _LOST,
    errorcodes.QUERY_CANCELED: _Meaning(
        RetryableError,
        "PostgreSQL ended the statement while {doing} ({text})",
        "run again, with a longer `statement_timeout` for this role if that is the cause.",
    ),
    "58": _TROUBLE,
    "72": _TROUBLE,
    "F0": _TROUBLE,
    "HV": _FOREIGN,
    "XX": _TROUBLE,
}
"""What errors mean that say nothing about a row, by code or by class. Only `_OURS` is a fault of ours: a statement that is wrong
whatever the user's tables are.
"""


_ALTERS_TABLES = "tablecmds.c"
"""The part of PostgreSQL that has no support for an ALTER TABLE where a view, a trigger or a policy reads the column."""

_JUDGES_ROW_SECURITY = ("DoCopy", "ExecWithCheckOptions")
"""The functions of PostgreSQL that refuse rows of a table with row level security: COPY as a whole, INSERT and UPDATE by a policy."""
_WANTS_OWNER = "must be owner"
"""Of a server that speaks English; others get the advice to grant a privilege."""


def fault(error: psycopg2.Error, doing: str, others: str = "") -> SingerkitError:
    """Translate an error of an open connection; ``doing`` says what was being done, as in `loading stream x`.

    ``others`` names the sessions that may be in the way.
    """
    code = error.pgcode or ""
    if isinstance(error, NotDone):
        return BadDataError(
            f"PostgreSQL did less than was asked while {doing}: {_first_line(error)}, then run again; {_SAFE}."
        )
    if is_refusal(error, _OF_A_VALUE):
        return BadDataError(_refused(error, doing))
    meaning = _IN_THE_WAY if is_of_catalog(error) else _meaning_of(error)
    text = _first_line(error)
    if meaning in (_FUNCTION, _FOREIGN, _OF_OTHERS):  # their words are those of others, and may hold the row
        text = _without_quoted(error, text)
    finding = meaning.finding.format(doing=doing, text=text, code=code, others=others, detail=_detail(error))
    rest = f"; {_SAFE}: {meaning.advice}" if meaning.advice else f"; {_SAFE}."
    if issubclass(meaning.kind, UnitLost):
        return meaning.kind(finding, rest)
    return meaning.kind(finding + rest)


def _meaning_of(error: psycopg2.Error) -> _Meaning:
    code = error.pgcode or ""
    if code == errorcodes.FEATURE_NOT_SUPPORTED and error.diag.source_file == _ALTERS_TABLES:
        return _DEPENDS
    if error.diag.source_function in _JUDGES_ROW_SECURITY and code in (
        errorcodes.FEATURE_NOT_SUPPORTED,
        errorcodes.INSUFFICIENT_PRIVILEGE,
    ):
        return _ROW_SECURITY
    if code == errorcodes.INSUFFICIENT_PRIVILEGE and _WANTS_OWNER in _first_line(error):
        return _OWNER
    return _MEANINGS.get(code) or _MEANINGS.get(code[:2]) or (_OF_OTHERS if code else _LOST)


def _refused(error: psycopg2.Error, doing: str) -> str:
    code = error.pgcode
    if code == errorcodes.UNIQUE_VIOLATION and not _is_raised_by_function(error):
        return (
            f"PostgreSQL refused a row while {doing}: {refusal(error)}; {_SAFE}: if rows that are the same there are to replace each "
            "other, give the stream its columns as the key (tap-rest: `primary_keys`), if all are to be kept, drop that index or "
            "constraint; if the row is wrong, correct it at the source, or set `on_invalid: quarantine` to set such rows aside and "
            "leave those that are stored as they are; then run again."
        )
    way = ""
    if code == errorcodes.FOREIGN_KEY_VIOLATION and _first_line(error).startswith(_CHILD_FIRST):
        way = "if the row that it refers to comes behind a later STATE, let the tap send that stream first, or no STATE between the two; else "
    elif code == errorcodes.FOREIGN_KEY_VIOLATION and _first_line(error).startswith(_PARENT_GOES):
        way = (
            "if the rows that refer to it go, too, let the tap say so before the same STATE; or make the foreign key anew with `ON DELETE "
            "CASCADE` or `ON DELETE SET NULL`; else "
        )
    elif code == errorcodes.NUMERIC_VALUE_OUT_OF_RANGE:
        way = "give the column a type that holds it, "
    elif (
        code == errorcodes.CHECK_VIOLATION and error.diag.constraint_name is None
    ):  # that of partitions has no name
        way = "make the partition that the row belongs to (one that is `DEFAULT` takes all others), "
    return (
        f"PostgreSQL refused a value while {doing}: {refusal(error)}; {_SAFE}: {way}correct the row at the source, or set "
        "`on_invalid: quarantine` to set such rows aside, then run again."
    )


_CHILD_FIRST, _PARENT_GOES = "insert or update", "update or delete"
"""How the words of a server begin that speaks English."""
UNSTORABLE = ("22",)
_OF_A_VALUE = (*UNSTORABLE, "23", "44", "P0")
REFUSING = (*_OF_A_VALUE, "54")
"""Classes of codes that say something about a row: bad data, a constraint, a view's check, an exception of a trigger, a
row that is too large for its index. Others may go in without it.
"""


class LateRefusal(UnitLost, BadDataError):
    """A deferred constraint refuses a row of the unit; written again, the constraint is judged with each batch."""

    exit_code = BadDataError.exit_code


class RowsInTheWay(UnitInTheWay, BadDataError):
    """A table is to be altered while rows of it wait for those that they refer to: it is, before the unit is written again."""

    exit_code = BadDataError.exit_code


class TableChanged(UnitLost, BadDataError):
    """Others have altered a table since its stream was declared; the stream is declared anew, and the unit written again."""

    exit_code = BadDataError.exit_code


def is_refusal(error: psycopg2.Error, classes: Sequence[str] = REFUSING) -> bool:
    """Tell whether a row is to blame, by a code of these classes, or of any where a function of the user's raised it."""
    if is_of_catalog(error):
        return False
    is_of_class = (error.pgcode or "")[:2] in classes
    return is_of_class or ("P0" in classes and _is_raised_by_function(error))


def is_of_catalog(error: psycopg2.Error) -> bool:
    """Tell whether another session has made a table, type or schema of that name in the same moment."""
    return error.pgcode == errorcodes.UNIQUE_VIOLATION and error.diag.schema_name == "pg_catalog"


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
        return "a trigger of the table leaves it out"
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
    return _without_quoted(error, text) if (error.pgcode or "").startswith(UNSTORABLE) else text


def _without_quoted(error: psycopg2.Error, text: str) -> str:
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
