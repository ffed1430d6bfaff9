"""Messages of PostgreSQL's log: whatever comes, an error that says so or the rows that stand in them, byte by byte.

An input is a list of messages of the replication, each behind its length in two bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from singerkit_shell.errors import BadDataError
from tap_postgres.log import pgoutput
from tap_postgres.log.blocks import Block, Unusual
from tap_postgres.log.changes import Changes, Hooks
from tap_postgres.log.pgoutput import ABSENT, Attribute, Relation, Tuple
from tap_postgres.log.rows import Rows
from tap_postgres.log.spool import Spool
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.values import as_it_is

__all__ = ["check", "frames", "outcome", "seeds"]

COLUMNS = ("id", "a", "b")
OF_TABLE = LoggedTable("s-t", "s", "t", ("id",), dict.fromkeys(("id", "a"), 25))
RELATION = Relation(
    b"\0\0\0\7", "s", "t", "d", tuple(Attribute(name, 25, -1, name == "id") for name in COLUMNS)
)
BLOCK = Block(len(COLUMNS), {0: ("id", as_it_is), 1: ("a", as_it_is)}, "null")
BROKEN = (IndexError, ValueError)
CONTENTS = 25


def frames(data: bytes) -> list[bytes]:
    """The messages of an input; the last one may be shorter than it says."""
    found = []
    while data:
        end = 2 + int.from_bytes(data[:2])
        found.append(data[2:end])
        data = data[end:]
    return found


def check(data: bytes) -> None:
    """Raise when a property of this module does not hold for the messages in ``data``."""
    messages = frames(data)
    outcome(messages)
    for message in messages:
        _check_rows(message)


def outcome(messages: Sequence[bytes]) -> list[object] | None:
    """What comes of messages; None: they are refused."""
    changes = Changes(0, Spool(None, 1 << 20, None), Hooks(_rows, lambda *_: b""))
    try:
        return [change for page in changes.pages(messages) for change in page.changes]
    except BadDataError:
        return None


@functools.lru_cache(100)
def _rows(relation: Relation) -> Rows | None:
    names = [attribute.name for attribute in relation.attributes]
    if len({*names}) < len(names):
        return None  # no table of PostgreSQL
    return Rows(OF_TABLE, relation, {name: as_it_is for name in names if name != "b"})


def _check_rows(message: bytes) -> None:
    """What a row of the message is read as, is written as that message again; the same comes of it where many are read at once."""
    for at in (CONTENTS, 0):
        columns = len(COLUMNS)
        try:
            row = pgoutput.new_row(message, at + 5, columns)
        except BROKEN:
            row = None
        else:
            assert message[at + 5 :] == b"N" + _written(row)
        if message[at + 5 : at + 6] == b"N":
            _check_block(message[at + 6 :], row)
        try:
            old = pgoutput.old_row(message, at, columns)
        except BROKEN:
            pass
        else:
            assert message[at + 6 :] == _written(old)
        try:
            old, is_whole, new = pgoutput.old_and_new(message, at, columns)
        except BROKEN:
            continue
        assert message[at + 5 :] == b"KO"[is_whole : is_whole + 1] + _written(old) + b"N" + _written(new)


def _check_block(text: bytes, row: Tuple | None) -> None:
    """A row between two others: three records, of which it is the second, or none."""
    usual = _written([b"1", b"2", None])
    try:
        first, record, last = BLOCK.records([usual, text, usual])
    except Unusual:
        return
    assert row is not None
    assert ABSENT not in row[:2]
    assert first == last == b'{"id":1,"a":2,"null":null}'
    made = _rows(RELATION)
    assert made is not None
    assert record == made.record(row)[:-1] + b',"null":null}'


def _written(values: Tuple) -> bytes:
    return len(values).to_bytes(2) + b"".join(map(_value, values))


def _value(value: object) -> bytes:
    if isinstance(value, bytes):
        return b"t" + len(value).to_bytes(4) + value
    return b"n" if value is None else b"u"


# Inputs to begin with

_OID = b"\0\0\0\7"
_TABLE = (
    b"R"
    + _OID
    + b"s\0t\0d\0\3"
    + b"".join(
        bytes([name == b"id"]) + name + b"\0\0\0\0\x19\xff\xff\xff\xff" for name in (b"id", b"a", b"b")
    )
)
_ROW, _OTHER = [b"1", b'"x"', None], [b"2", ABSENT, b"y"]
_BEGIN = b"B" + bytes(8) + (1 << 40).to_bytes(8) + (700).to_bytes(4)
_COMMIT = b"C\0" + bytes(8) + (99).to_bytes(8) + bytes(8)
_INSERT = b"I" + _OID + b"N" + _written(_ROW)


def _input(*contents: bytes) -> bytes:
    framed = [b"w" + bytes(24) + one if one[:1] != b"k" else one for one in contents]
    return b"".join(len(one).to_bytes(2) + one for one in framed)


def _streamed(*contents: bytes) -> Iterator[bytes]:
    """Messages of a transaction in a block: behind the kind the number of the (sub)transaction."""
    for one in contents:
        yield one[:1] + (701).to_bytes(4) + one[1:]


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    yield _input(_BEGIN, _TABLE, _INSERT, _COMMIT)
    yield _input(
        _BEGIN,
        _TABLE,
        b"U" + _OID + b"N" + _written(_OTHER),
        b"D" + _OID + b"K" + _written([b"1", None, None]),
        _COMMIT,
    )
    yield _input(_BEGIN, _TABLE, b"U" + _OID + b"O" + _written(_ROW) + b"N" + _written(_OTHER), _COMMIT)
    yield _input(
        _TABLE, _BEGIN, b"U" + _OID + b"K" + _written([b"1", None, None]) + b"N" + _written(_ROW), _COMMIT
    )
    yield _input(
        b"k" + (500).to_bytes(8) + bytes(9), _BEGIN, _TABLE, b"T" + (1).to_bytes(4) + b"\0" + _OID, _COMMIT
    )
    yield _input(
        b"S" + (701).to_bytes(4) + b"\1",
        *_streamed(_TABLE, _INSERT),
        b"E",
        b"A" + (701).to_bytes(4) + (702).to_bytes(4),
        b"c" + (701).to_bytes(4) + b"\0" + bytes(8) + (123).to_bytes(8) + (1 << 40).to_bytes(8),
    )
    yield _input(
        _BEGIN,
        b"O" + bytes(8) + b"name\0",
        b"Y" + _OID + b"s\0type\0",
        b"M\0" + bytes(8) + b"p\0\0\0\0\1x",
        _COMMIT,
    )
