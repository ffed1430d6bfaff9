"""What an error of PostgreSQL means to who reads it: one sentence with the way out, and one exit code (DESIGN 7, decision 74)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import psycopg2
from psycopg2 import errorcodes

from singerkit_postgres.errors import first_line
from singerkit_shell.errors import (
    BadDataError,
    ConfigurationError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from singerkit_sql_tap.faults import SAFE

__all__ = ["ERRORS", "LockedError", "fault", "fault_of", "is_ended", "is_locked", "log_gone"]

ERRORS: type[Exception] = psycopg2.Error
_TEST = "`tap-postgres --test` prints the statement for each"


def is_locked(error: Exception) -> bool:
    return getattr(error, "pgcode", None) == errorcodes.LOCK_NOT_AVAILABLE


def is_ended(error: Exception) -> bool:
    return getattr(error, "pgcode", None) == errorcodes.QUERY_CANCELED


class _Meaning(NamedTuple):
    """What the caller must do; what has happened, with `fault`'s words in braces; the advice. ``quotes``: it may quote rows."""

    kind: type[SingerkitError]
    finding: str
    advice: str
    quotes: bool = False


_LOST = _Meaning(
    RetryableError,
    "PostgreSQL at {place}: the connection was lost while {doing} ({text})",
    "run again to continue.",
)
_RIGHTS = _Meaning(
    NotAuthorisedError,
    "PostgreSQL refused {doing} at {place} ({text})",
    f"grant what is missing ({_TEST}), then run again.",
)
_ROW_SECURITY = _Meaning(
    NotAuthorisedError,
    "Row security would keep rows out of sight while {doing} at {place} ({text})",
    "let this role pass it by (`ALTER ROLE ... BYPASSRLS`), or read a view of its owner that says which rows are meant.",
)
_REPLICATION = _Meaning(
    NotAuthorisedError,
    "PostgreSQL lets this role not read the log, met while {doing} at {place} ({text})",
    "`ALTER ROLE ... REPLICATION` (on RDS: `GRANT rds_replication TO ...`), then run again.",
)
_ALTERED = _Meaning(
    BadDataError,
    "A table or column is not there any more, met while {doing} at {place} ({text})",
    "if it has been renamed, altered or dropped, make the catalog again with --discover and run again.",
)
_REFUSED = _Meaning(
    BadDataError,
    "PostgreSQL refused a query while {doing} at {place} ({code}: {text})",
    "if the table or a function in a view has been changed, make the catalog again with --discover and run again.",
)
_VALUE = _Meaning(
    BadDataError,
    "A value of a view, a generated column or a state cannot be computed or compared, met while {doing} at {place} ({code}: {text})",
    "correct the view or the row at the source, or leave the column out.",
    quotes=True,
)
_ENCODING = _Meaning(
    BadDataError,
    "Some text cannot be turned into UTF-8, met while {doing} at {place} ({code}: {text})",
    "correct it at the source, or leave the column out.",
    quotes=True,
)
_FUNCTION = _Meaning(
    BadDataError,
    "A function of a view failed while {doing} at {place} ({code} {text})",
    "mend it at the source, or leave the stream out.",
    quotes=True,
)
_TOO_LARGE = _Meaning(
    BadDataError,
    "A row is beyond a limit of PostgreSQL, met while {doing} at {place} ({text})",
    "leave its large columns out with `select`.",
)
_FOREIGN = _Meaning(
    RetryableError,
    "The foreign server behind a table cannot be read, met while {doing} at {place} ({code}: {text})",
    "see that it runs and lets this role in, then run again.",
)
_DAMAGED = _Meaning(
    BadDataError,
    "PostgreSQL found its own data damaged while {doing} at {place} ({code}: {text})",
    "see the log of the server, and restore the table from a backup.",
)
_TROUBLE = _Meaning(
    RetryableError,
    "PostgreSQL had trouble of its own while {doing} at {place} ({code}: {text})",
    "see the log of the server, then run again.",
)
_NO_ROOM = _Meaning(
    RetryableError,
    "PostgreSQL has no room for {doing} at {place} ({text})",
    "make room there, or raise the limit that it names, then run again.",
)
_OF_ITS_SYSTEM = _Meaning(
    RetryableError,
    "The system that PostgreSQL runs on gave it no shared memory or file for {doing} at {place} ({text})",
    "make room there, `/dev/shm` of a container among it (`--shm-size`), and see the log of the server, then run again.",
)
_CONNECTIONS = _Meaning(
    RetryableError,
    "PostgreSQL takes no more connections, met while {doing} at {place} ({text})",
    "run again later, or raise `max_connections` (for the log: `max_wal_senders`).",
)
_SLOTS = _Meaning(
    ConfigurationError,
    "All replication slots of the server are taken, met while {doing} at {place} ({text})",
    "drop one that nobody needs (`SELECT pg_drop_replication_slot(...)`), or raise `max_replication_slots` and restart the server.",
)
_SLOT_EXISTS = _Meaning(
    LockHeldError,
    "Another session has made the same in the same moment, met while {doing} at {place} ({text})",
    "run again when it has finished.",
)
_IN_USE = _Meaning(
    LockHeldError,
    "Another session holds what is needed for {doing} at {place} ({text})",
    "run again when it has ended; two pipelines need a slot each (`log.slot`).",
)


class LockedError(RetryableError):
    """Another session has held what was needed for longer than `lock_timeout_seconds`."""


_LOCKED = _Meaning(
    LockedError,
    "Another session has held for too long what is needed for {doing} at {place} ({text})",
    "run again when its transaction has ended (`pg_blocking_pids`, `pg_prepared_xacts` tell who that is), or raise `lock_timeout_seconds`.",
)
_IN_THE_WAY = _Meaning(
    RetryableError,
    "Another session was in the way of {doing} at {place} ({text})",
    "run again.",
)
_REPLICA = _Meaning(
    RetryableError,
    "The replica ended the query to replay what its primary has changed, while {doing} at {place} ({text})",
    "run again, with `hot_standby_feedback = on` or a longer `max_standby_streaming_delay` there if it happens often.",
)
_STATE = _Meaning(
    ConfigurationError,
    "PostgreSQL is not set up for {doing} at {place} ({text})",
    f"mend it ({_TEST}), then run again.",
)
_NAMED = _Meaning(
    ConfigurationError,
    "Something that the config names is not at {place}, met while {doing} ({text})",
    "correct the config, or make it at the source.",
)
_UNSUPPORTED = _Meaning(
    ConfigurationError,
    "This PostgreSQL cannot do what is needed for {doing} at {place} ({text})",
    "see the versions that docs/tap-postgres.md names.",
)
_NO_DATABASE = _Meaning(
    ConfigurationError,
    "The database is not there (any more), met while {doing} at {place} ({text})",
    "correct the config.",
)
_WRITES = _Meaning(
    ConfigurationError,
    "Something would be written, which a replica and this session do not do, met while {doing} at {place} ({text})",
    "name the primary; if it is a view that writes, leave the stream out.",
)
_TOOK_TOO_LONG = _Meaning(
    RetryableError,
    "PostgreSQL ended the query while {doing} at {place} ({text})",
    "run again, with a longer `query_timeout` or `statement_timeout` of this role if that is the cause.",
)
_OF_OTHERS = _Meaning(
    ConfigurationError,
    "Something that others have added to PostgreSQL, an extension or a function, refused {doing} at {place} ({code}: {text})",
    "see what that code means there, then run again.",
    quotes=True,
)
_OURS = _Meaning(
    SingerkitError,
    "PostgreSQL refused a statement while {doing} at {place} ({code}: {text})",
    "please report it.",
)

_BY_FUNCTION: Mapping[str, _Meaning] = {
    "check_enable_rls": _ROW_SECURITY,
    "CheckSlotPermissions": _REPLICATION,
    "CheckLogicalDecodingRequirements": _STATE,
    **dict.fromkeys(
        ("dsm_impl_posix", "dsm_impl_posix_resize", "dsm_impl_sysv", "dsm_impl_mmap", "dsm_create"),
        _OF_ITS_SYSTEM,
    ),
    **dict.fromkeys(("OpenTemporaryFileInTablespace", "mdopenfork", "mdcreate"), _OF_ITS_SYSTEM),
}
"""Errors that are told by the function of PostgreSQL which raises them: their words may be translated, this name is not.

What the operating system refuses to the server has the code of a grant that is missing (42501) or of a full disk.
"""

_BY_CODE: Mapping[str, _Meaning] = {
    # In the order of appendix A of PostgreSQL's documentation: classes, and the codes that mean something else than their class.
    **dict.fromkeys(("00", "01", "02", "03"), _OURS),
    "08": _FOREIGN,  # of this connection libpq tells, without a code
    "09": _FUNCTION,
    "0A": _UNSUPPORTED,
    "0B": _OURS,
    "0F": _OURS,
    **dict.fromkeys(("0L", "0P", "28"), _RIGHTS),
    "0Z": _OURS,
    **dict.fromkeys(("10", "20"), _FUNCTION),
    "21": _VALUE,
    "22": _VALUE,
    **dict.fromkeys((errorcodes.CHARACTER_NOT_IN_REPERTOIRE, errorcodes.UNTRANSLATABLE_CHARACTER), _ENCODING),
    "23": _FUNCTION,
    **dict.fromkeys(("24", "25", "26"), _OURS),
    errorcodes.READ_ONLY_SQL_TRANSACTION: _WRITES,
    errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT: _LOST,
    "25P04": _LOST,  # transaction_timeout, since PostgreSQL 17
    "27": _FUNCTION,
    "2B": _OURS,
    "2D": _OURS,
    "2F": _FUNCTION,
    "34": _OURS,
    "38": _FUNCTION,
    "39": _FUNCTION,
    "3B": _OURS,
    "3D": _NO_DATABASE,
    "3F": _ALTERED,
    "40": _IN_THE_WAY,
    errorcodes.SERIALIZATION_FAILURE: _REPLICA,  # what only reads fails so nowhere else
    "42": _REFUSED,
    errorcodes.INSUFFICIENT_PRIVILEGE: _RIGHTS,
    **dict.fromkeys((errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN), _ALTERED),
    errorcodes.UNDEFINED_OBJECT: _NAMED,
    **dict.fromkeys((errorcodes.DUPLICATE_OBJECT, errorcodes.DUPLICATE_TABLE), _SLOT_EXISTS),
    "44": _FUNCTION,
    "53": _NO_ROOM,
    errorcodes.TOO_MANY_CONNECTIONS: _CONNECTIONS,
    errorcodes.CONFIGURATION_LIMIT_EXCEEDED: _SLOTS,
    "54": _TOO_LARGE,
    "55": _STATE,
    errorcodes.OBJECT_IN_USE: _IN_USE,
    errorcodes.LOCK_NOT_AVAILABLE: _LOCKED,
    "57": _LOST,
    errorcodes.QUERY_CANCELED: _TOOK_TOO_LONG,
    **dict.fromkeys(("58", "72", "F0", "XX"), _TROUBLE),
    **dict.fromkeys((errorcodes.DATA_CORRUPTED, errorcodes.INDEX_CORRUPTED), _DAMAGED),
    "HV": _FOREIGN,
    "P0": _FUNCTION,
}
"""What errors mean by code or by class. Only `_OURS` is a fault of ours."""

_IN_FUNCTION = re.compile(r"\bPL/\S+ [^\n]*?([\w.\"]+)\(")
_OF_THE_SERVER = ("08", "40", "53", "55", "57", "58")
"""Classes that a function only passes on."""

_GONE: Mapping[tuple[str, str], str] = {
    (errorcodes.UNDEFINED_OBJECT, "ReplicationSlotAcquire"): "the replication slot is not there any more",
    (errorcodes.UNDEFINED_OBJECT, "get_publication_oid"): "the publication was not there at some place of it",
    **dict.fromkeys(
        (
            (errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE, "ReplicationSlotAcquire"),
            (errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE, "StartLogicalReplication"),
        ),
        "the replication slot is lost: more was written than `max_slot_wal_keep_size` lets it keep",
    ),
    (errorcodes.UNDEFINED_FILE, "WalSndSegmentOpen"): "a part of it has been removed",
}
"""By code and by the function that raises it: after which the log cannot be read on."""


def log_gone(code: str, function: str) -> str | None:
    """Return what is said in `singerkit_tap.log_contract.LogGone` for an error of reading the log; None: it is another one."""
    return _GONE.get((code, function))


def fault(error: Exception, place: str, doing: str) -> SingerkitError:
    """Return what to raise for an error of PostgreSQL; ``doing`` says what was done: `reading table x`."""
    assert isinstance(error, psycopg2.Error)  # noqa: S101  `ERRORS`
    code = error.pgcode or ""
    if not code:
        return RetryableError(_sentence(_LOST, place, doing, code, first_line(error).rstrip(".")))
    text = getattr(error.diag, "message_primary", None) or first_line(error)
    called = _IN_FUNCTION.search(getattr(error.diag, "context", None) or "")
    if called and code[:2] not in _OF_THE_SERVER:
        named = _FUNCTION._replace(quotes=False)  # the name of the function, in the place of its words
        return named.kind(_sentence(named, place, doing, code, f"of `{called.group(1)}`"))
    return fault_of(code, getattr(error.diag, "source_function", None) or "", text, place, doing)


def fault_of(code: str, function: str, text: str, place: str, doing: str) -> SingerkitError:
    """Return what to raise for an error that the server has told: its code, the function that raised it, its words."""
    meaning = _BY_FUNCTION.get(function) or _BY_CODE.get(code) or _BY_CODE.get(code[:2]) or _OF_OTHERS
    return meaning.kind(_sentence(meaning, place, doing, code, text))


def _sentence(meaning: _Meaning, place: str, doing: str, code: str, text: str) -> str:
    finding = meaning.finding.format(
        place=place, doing=doing, code=code, text=_without_quoted(text) if meaning.quotes else text
    )
    return f"{finding}; {SAFE}: {meaning.advice}"


_QUOTED = re.compile(r"[\"'`«»“”„‘’‚‹›「](?:.*[\"'`«»“”„‘’‚‹›」]|.*)", re.DOTALL)
"""Messages may be translated."""


def _without_quoted(text: str) -> str:
    """Leave out what a message quotes, which may stand in a row."""
    return (_QUOTED.sub("`...`", text).strip().splitlines() or [""])[0]
