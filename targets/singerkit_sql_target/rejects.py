"""Dead letters: records that could not be stored, with place and reason, never in a log (DESIGN 6).

With each goes the SCHEMA that it came under, so that it can be replayed, and where rows have a key a digest of the record, so that
the same record is not put there again by another run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from singerkit_sql_target.dialect import Dialect, Field, Runs, Session
from singerkit_wire.batch import Reject
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream

__all__ = ["REJECTS", "Beside", "RejectTable", "Writer", "beside", "digest_of", "not_there_yet"]

REJECTS = "_singerkit_rejects"

_COLUMNS = {
    "pipeline": Kind.STRING,
    "run_id": Kind.STRING,
    "stream": Kind.STRING,
    "line": Kind.INTEGER,
    "path": Kind.STRING,
    "reason": Kind.STRING,
    "record": Kind.BINARY,  # the message as it came: it may not be text at all
    "rejected_at": Kind.DATE_TIME,
    "declared": Kind.STRING,
    "digest": Kind.STRING,
}
_LATER = ("declared", "digest")
"""Which tables made before 2026-11-28 lack."""


@dataclass(frozen=True)
class Writer:
    """Who puts a letter aside: the run that first did, and when, where it is replayed."""

    run_id: str
    at: datetime | None = None


class Beside(msgspec.Struct, frozen=True):
    """What is kept beside a record: its SCHEMA, and its digest."""

    declared: str | None
    digest: str | None


class _Message(msgspec.Struct):
    record: msgspec.Raw


def digest_of(message: bytes) -> str:
    """Return what tells a record from others: of the record alone, since a message has the time, too, at which it was read."""
    try:
        record = bytes(msgspec.json.decode(message, type=_Message).record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        record = message.strip()
    return hashlib.sha256(record).hexdigest()[:32]


def beside(reject: Reject, stream: Stream | None) -> Beside:
    """Return what is kept beside a record of a stream; None: it is not known."""
    if stream is None:
        return Beside(None, None)
    try:
        declared = stream.said.decode() or None
    except UnicodeDecodeError:
        declared = None
    return Beside(declared, digest_of(bytes(reject.record)) if stream.key_properties else None)


def not_there_yet(table: str, given: str) -> str:
    """Return the condition that no other run has put the same record of the same stream there."""
    same = " AND ".join(f"known.{name} = {given}.{name}" for name in ("pipeline", "stream", "digest"))
    return f"NOT EXISTS (SELECT 1 FROM {table} AS known WHERE {same} AND known.run_id <> {given}.run_id)"


class RejectTable:
    """The table of dead letters, made with the first of them."""

    def __init__(self, dialect: Dialect, schema: str) -> None:
        self._schema, self._dialect = schema, dialect
        self.quoted = dialect.quote(schema, REJECTS)
        self.fields = tuple(
            Field(
                name,
                dialect.types[kind],
                Column(name, kind, nullable=name in _LATER, required=name not in _LATER),
            )
            for name, kind in _COLUMNS.items()
        )

    def ensure(self, session: Session) -> None:
        """Make the table unless it is there; inside the unit, where the store has DDL in transactions."""
        found = session.inspect(self._schema, REJECTS)
        if found is None:
            session.create(self.quoted, [(field.name, field.type) for field in self.fields])
            return
        for field in self.fields:
            if field.name not in found.columns:
                session.alter(self.quoted, self._dialect.quote(field.name), field.type, is_new=True)

    def rows(
        self, pipeline: str, writer: Writer, rejects: Sequence[Reject], streams: Mapping[str, Stream]
    ) -> list[tuple[Any, ...]]:
        now = writer.at or datetime.now(UTC)
        return [
            (
                *(pipeline, writer.run_id, _text(r.stream), r.line, _text(r.path), _text(r.reason)),
                *(bytes(r.record), now),
                *msgspec.structs.astuple(beside(r, streams.get(r.stream))),
            )
            for r in rejects
        ]

    def insert(self, runs: Runs, source: str) -> None:
        """Put there what waits in a stage."""
        names = ", ".join(self._dialect.quote(field.name) for field in self.fields)
        runs.execute(
            f"INSERT INTO {self.quoted} ({names}) SELECT {names} FROM {source} AS given "
            f"WHERE {not_there_yet(self.quoted, 'given')}"
        )


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
