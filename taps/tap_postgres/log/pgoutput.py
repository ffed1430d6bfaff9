"""The messages of pgoutput, versions 1 to 4 of its protocol: bytes in, what they say out. Knows no connection.

A message begins with its kind, a letter. Within a block of a transaction that is still open (`STREAM_START` to `STREAM_STOP`),
the number of the (sub)transaction stands between kind and contents.
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
    "old_and_new",
    "relation",
    "stream_abort",
    "stream_commit",
    "truncated",
    "tuple_at",
]

BEGIN, COMMIT, ORIGIN, RELATION, TYPE, INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE = b"BCORYIUDTM"
STREAM_START, STREAM_STOP, STREAM_COMMIT, STREAM_ABORT = b"SEcA"

_NULL, _UNCHANGED, _TEXT = b"nut"
_NEW, _OLD_KEY, _OLD_ROW = b"NKO"
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
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(attributes))


def truncated(message: bytes, at: int) -> list[bytes]:
    """Return the tables that a TRUNCATE has emptied."""
    begin_ = at + 6
    return [message[i : i + 4] for i in range(begin_, begin_ + 4 * _number(message, at + 1, 4), 4)]


def old_and_new(message: bytes, at: int) -> tuple[Tuple | None, bool, Tuple]:
    """Return what an UPDATE says: the old row, whether it is whole (else only its key), and the new one."""
    at += 5
    kind = message[at]
    if kind == _NEW:
        return None, False, tuple_at(message, at + 1)[0]
    old, at = tuple_at(message, at + 1)
    return old, kind == _OLD_ROW, tuple_at(message, at + 1)[0]


def tuple_at(message: bytes, at: int) -> tuple[Tuple, int]:
    """Return the values of a row, and where it ends."""
    values: Tuple = []
    count = _number(message, at, 2)
    at += 2
    for _ in range(count):
        kind = message[at]
        if kind == _TEXT:
            end = at + 5 + _number(message, at + 1, 4)
            values.append(message[at + 5 : end])
            at = end
        else:
            values.append(None if kind == _NULL else ABSENT)
            at += 1
    return values, at


def _number(message: bytes, at: int, size: int) -> int:
    return int.from_bytes(message[at : at + size])


def _text(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(0, at)
    return message[at:end].decode(), end + 1
