"""The messages of pgoutput, versions 1 to 4 of its protocol: bytes in, what they say out. Knows no connection.

A message begins with its kind, a letter. Within a block of a transaction that is still open (`STREAM_START` to `STREAM_STOP`),
the number of the (sub)transaction stands between kind and contents.

What is cut off, or longer than it says, is a ValueError or an IndexError, and never a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "ABSENT",
    "BEGIN",
    "COMMIT",
    "DELETE",
    "INSERT",
    "MESSAGE",
    "NEW",
    "ORIGIN",
    "RELATION",
    "STREAM_ABORT",
    "STREAM_COMMIT",
    "STREAM_START",
    "STREAM_STOP",
    "TRUNCATE",
    "TYPE",
    "UPDATE",
    "Attribute",
    "Begin",
    "Relation",
    "StreamCommit",
    "Tuple",
    "begin",
    "commit_end",
    "moment",
    "new_row",
    "old_and_new",
    "old_row",
    "relation",
    "stream_abort",
    "stream_commit",
    "stream_start",
    "truncated",
]

BEGIN, COMMIT, ORIGIN, RELATION, TYPE, INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE = b"BCORYIUDTM"
STREAM_START, STREAM_STOP, STREAM_COMMIT, STREAM_ABORT = b"SEcA"

_NULL, _UNCHANGED, _TEXT = b"nut"
NEW, _OLD_KEY, _OLD_ROW = b"NKO"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of a column that the log does not have: one that was stored apart (TOAST) and has not changed."""

Tuple: TypeAlias = list[bytes | _Absent | None]
"""The values of a row, as texts."""


class Begin(NamedTuple):
    """The beginning of a transaction that was committed. ``at``: see `moment`."""

    xid: int
    at: int


class StreamCommit(NamedTuple):
    """The end of a transaction that came in blocks."""

    xid: int
    end: int
    at: int


class Attribute(NamedTuple):
    """A column as it was. ``is_key``: of the replica identity."""

    name: str
    type_oid: int
    modifier: int
    is_key: bool


@dataclass(frozen=True)
class Relation:
    """A table as it was when the changes that follow were made. ``oid``: as it stands in them."""

    oid: bytes
    schema: str
    name: str
    identity: str
    attributes: tuple[Attribute, ...]


def begin(message: bytes, at: int) -> Begin:
    return Begin(_number(message, at + 17, 4), _number(message, at + 9, 8))


def commit_end(message: bytes, at: int) -> int:
    """Return where reading goes on behind a transaction."""
    return _number(message, at + 10, 8)


def stream_start(message: bytes, at: int) -> int:
    """Return the transaction of which a block begins."""
    return _number(message, at + 1, 4)


def stream_commit(message: bytes, at: int) -> StreamCommit:
    return StreamCommit(
        _number(message, at + 1, 4), _number(message, at + 14, 8), _number(message, at + 22, 8)
    )


def stream_abort(message: bytes, at: int) -> tuple[int, int]:
    """Return the transaction, and that of its subtransactions which was rolled back: itself, if all of it was."""
    return _number(message, at + 1, 4), _number(message, at + 5, 4)


def moment(microseconds: int) -> str:
    """Return a point in time of the log (microseconds of this millennium) as RFC 3339."""
    said = _EPOCH + timedelta(microseconds=microseconds)
    return said.isoformat(timespec="microseconds").replace("+00:00", "Z")


def relation(message: bytes, at: int) -> Relation:
    oid = message[at + 1 : at + 5]
    schema, at = _text(message, at + 5)
    name, at = _text(message, at)
    identity, count = chr(message[at]), _number(message, at + 1, 2)
    at += 3
    attributes = []
    for _ in range(count):
        is_key = bool(message[at] & 1)
        column, at = _text(message, at + 1)
        modifier = int.from_bytes(message[at + 4 : at + 8], signed=True)
        attributes.append(Attribute(column, _number(message, at, 4), modifier, is_key))
        at += 8
    _check_end(message, at)
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(attributes))


def truncated(message: bytes, at: int) -> list[bytes]:
    """Return the tables that a TRUNCATE has emptied."""
    first = at + 6
    end = first + 4 * _number(message, at + 1, 4)
    _check_end(message, end)
    return [message[i : i + 4] for i in range(first, end, 4)]


def old_and_new(message: bytes, at: int, columns: int) -> tuple[Tuple, bool, Tuple]:
    """Return what an UPDATE says that has an old row: that one, whether it is whole (else only its key), and the new one."""
    is_whole = message[at + 5] == _OLD_ROW
    old, end = _tuple(message, at + 5, columns, _OLD_KEY, _OLD_ROW)
    return old, is_whole, new_row(message, end, columns)


def old_row(message: bytes, at: int, columns: int) -> Tuple:
    """Return what a DELETE says: the old row, or its key."""
    values, end = _tuple(message, at + 5, columns, _OLD_KEY, _OLD_ROW)
    _check_end(message, end)
    return values


def new_row(message: bytes, at: int, columns: int) -> Tuple:
    """Return the values of a new row, with which a message ends."""
    values, end = _tuple(message, at, columns, NEW)
    _check_end(message, end)
    return values


def _check_end(message: bytes, at: int) -> None:
    if at != len(message):
        raise ValueError("another length than it says")


def _tuple(message: bytes, at: int, columns: int, *kinds: int) -> tuple[Tuple, int]:
    """Return the values of a row of one of ``kinds``, and where it ends."""
    if message[at] not in kinds or _number(message, at + 1, 2) != columns:
        raise ValueError("no such row where one is to be")
    values: Tuple = []
    at += 3
    for _ in range(columns):
        kind = message[at]
        if kind == _TEXT:
            end = at + 5 + _number(message, at + 1, 4)
            values.append(message[at + 5 : end])
            at = end
        elif kind in (_NULL, _UNCHANGED):
            values.append(None if kind == _NULL else ABSENT)
            at += 1
        else:
            raise ValueError("a value of a kind that was not asked for")
    return values, at


def _number(message: bytes, at: int, size: int) -> int:
    if at + size > len(message):
        raise IndexError("cut off")
    return int.from_bytes(message[at : at + size])


def _text(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(0, at)
    return message[at:end].decode(), end + 1
