"""REPLACE: which rows of a stream go, as a row of the columns by whose values they are found (docs/decisions/0084).

Its `where` becomes that row as a record would become one, so that it is compared with what records have stored, in whatever type the column is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from singerkit_shell.configtext import RepeatedKeyError, without_repeats
from singerkit_shell.errors import BadDataError
from singerkit_state.value import decode
from singerkit_wire.batch import Batch
from singerkit_wire.conflicts import Conflicts
from singerkit_wire.domain import Domain
from singerkit_wire.exact import NotNullable, NoVariant, RejectedRow, TooWide, compile_exact
from singerkit_wire.kinds import Kind
from singerkit_wire.messages import Message, decoded
from singerkit_wire.stream import Stream
from singerkit_wire.unstorable import Policy

__all__ = ["Replacement", "condition", "read_replacement"]


class _Replace(msgspec.Struct):
    stream: str
    where: msgspec.Raw


@dataclass(frozen=True)
class Replacement:
    """A REPLACE message at ``line``; ``where`` are its values by field, and ``text`` the JSON that they came as.

    None, of the elements of lists: those go whose record is gone (`singerkit_target.unnesting`).
    """

    stream: str
    where: Mapping[str, Any] | None
    text: bytes
    line: int


def read_replacement(message: Message) -> Replacement:
    """Return what a REPLACE message says.

    Raises:
        BadDataError: it is no such message.
    """
    said: _Replace = decoded(message, _Replace)
    text = bytes(said.where)
    try:
        where = decode(str(text, "utf-8"), without_repeats)
    except (RepeatedKeyError, ValueError) as error:
        raise _not_valid(message.number, f"its `where` {error}") from None
    if where is not None and not (isinstance(where, dict) and where):
        raise _not_valid(message.number, "Expected an object of one or more fields at `where`")
    for name, value in (where or {}).items():
        if isinstance(value, dict | list):
            raise _not_valid(
                message.number, f"Expected text, a number, a boolean or null at `where.{name}`, got more"
            )
    return Replacement(said.stream, where, text, message.number)


def condition(
    replacement: Replacement,
    stream: Stream,
    *,
    domain: Domain,
    policy: Policy,
    conflicts: Conflicts,
    fixed: Collection[str],
) -> Batch | None:
    """Return one row of the columns by whose values the rows are found that go; None: no row that was stored has such values.

    The other arguments are those by which records of the stream are judged (`singerkit_wire.exact.compile_exact`).

    Raises:
        BadDataError: a field is none of the SCHEMA, or a value none that it can have.
    """
    where = replacement.where or {}
    for name in where:
        if name not in stream.fields:
            raise _not_valid(replacement.line, f"the SCHEMA of stream `{stream.name}` has no field `{name}`")
    columns = tuple(
        dataclasses.replace(column, nullable=True, required=False, is_key=False)
        for column in stream.columns
        if (column.variant_of or column.name) in where
    )
    documents = [column.name for column in columns if column.kind is Kind.JSON]
    if documents:
        raise _not_valid(
            replacement.line,
            f"`{documents[0]}` of stream `{stream.name}` holds documents, which are not compared; name a field of one simple type",
        )
    asked = dataclasses.replace(stream, columns=columns, key_properties=(), needed=(), order=None)
    exact = compile_exact(
        asked,
        validate=False,
        # What is stored as null for it stands beside all other nulls.
        policy=policy if policy is Policy.REPLACE else Policy.FAIL,
        extra=(),
        forbid_extra=False,
        domain=domain,
        conflicts=conflicts,
        fixed=fixed,
    )
    try:
        row = exact.decode(b'{"record":%b}\n' % replacement.text)
    except (TooWide, NoVariant, NotNullable):
        return None  # its column would have been another one
    except RejectedRow as rejected:
        raise _not_valid(
            replacement.line, f"{rejected.reason} at {stream.name}.{rejected.path}, of its `where`"
        ) from None
    return Batch(columns, [row], replacement.line)


def _not_valid(line: int, why: str) -> BadDataError:
    return BadDataError(
        f"The REPLACE message at line {line} is not valid: {why}; no row was taken away for it, and what was committed is safe: fix the tap, "
        "then run again."
    )
