"""REPLACE messages: what is one, and the row of values that it becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from singerkit_shell.errors import BadDataError
from singerkit_wire.batch import Batch
from singerkit_wire.conflicts import Conflicts, OnConflict
from singerkit_wire.domain import Domain
from singerkit_wire.messages import Message
from singerkit_wire.replacing import condition, read_replacement
from singerkit_wire.stream import stream_of
from singerkit_wire.unstorable import Policy

PROPERTIES = {
    "file": {"type": ["string", "null"]},
    "row": {"type": "integer"},
    "price": {"type": "number"},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "doc": {},
}
STREAM = stream_of("o", {"properties": PROPERTIES}, ("file", "row"))


def found(
    where: Any, policy: Policy = Policy.FAIL, conflict: OnConflict = OnConflict.VARIANT, **said: Any
) -> Batch | None:
    line = json.dumps({"type": "REPLACE", "stream": "o", "where": where, **said}).encode()
    return condition(
        read_replacement(Message("REPLACE", "o", line, 7)),
        STREAM,
        domain=Domain(),
        policy=policy,
        conflicts=Conflicts(lambda _stream, _field: conflict, takes_unstorable=policy is Policy.FAIL),
        fixed=(),
    )


def values(where: Any, **how: Any) -> list[tuple[Any, ...]]:
    batch = found(where, **how)
    assert batch is not None
    return batch.rows()


def test_its_values_are_those_that_a_record_would_store() -> None:
    assert values({"file": "a"}) == [("a",)]
    assert values({"row": 3, "file": None}) == [(None, 3)], (
        "in the order of the columns, and null is a value of a key, too"
    )
    assert str(values({"price": 1})[0][0]) == "1"
    assert values({"at": "2024-01-01T01:00:00+01:00"})[0][0].isoformat() == "2024-01-01T01:00:00+01:00"


def test_a_value_that_no_stored_row_has_finds_none() -> None:
    assert found({"row": 2**70}) is None, "its column would be wider"
    assert found({"row": "x"}) is None, "it would stand beside its column"
    assert found({"file": 5}) is None, "its column would hold any text"
    assert found({"at": "never"}) is None


def test_what_is_stored_otherwise_is_found_so_and_never_as_null() -> None:
    """By `on_unstorable: null` a row with such a value has null there, as have others that are not meant."""
    assert values({"file": "a\u0000"}, policy=Policy.REPLACE) == [("a\ufffd",)]
    with pytest.raises(BadDataError, match=r"at o\.\$\.file, of its `where`"):
        found({"file": "a\u0000"}, policy=Policy.NULL)


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"x": 1}, "the SCHEMA of stream `o` has no field `x`"),
        ({}, "one or more fields at `where`"),
        ([], "one or more fields at `where`"),
        ("a", "one or more fields at `where`"),
        ({"file": ["a"]}, "Expected text, a number, a boolean or null at `where.file`"),
        ({"doc": 1}, "`doc` of stream `o` holds documents"),
        ({"row": 1.5}, r"at o\.\$\.row, of its `where`"),
    ],
)
def test_what_is_none_is_refused_with_its_line(where: Any, why: str) -> None:
    with pytest.raises(BadDataError, match=why) as refused:
        found(where, conflict=OnConflict.FAIL)
    assert "at line 7 is not valid" in str(refused.value)
    assert "no row was taken away" in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"REPLACE","stream":"o"}',
        b'{"type":"REPLACE","where":{"file":"a"}}',
        b'{"type":"REPLACE","stream":"o","where":{"row":1,"row":2}}',
    ],
)
def test_what_lacks_a_part_or_has_one_twice_is_refused(line: bytes) -> None:
    with pytest.raises(BadDataError, match="REPLACE message at line 7 is not valid"):
        read_replacement(Message("REPLACE", "o", line, 7))
