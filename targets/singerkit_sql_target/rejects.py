"""Dead letters: records that could not be stored, with place and reason, never in a log (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from singerkit_sql_target.dialect import Dialect, Field, Session
from singerkit_wire.batch import Reject
from singerkit_wire.kinds import Column, Kind

__all__ = ["REJECTS", "RejectTable"]

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
}


class RejectTable:
    """The table of dead letters, made with the first of them."""

    def __init__(self, dialect: Dialect, schema: str) -> None:
        self._schema = schema
        self.quoted = dialect.quote(schema, REJECTS)
        self.fields = tuple(
            Field(name, dialect.types[kind], Column(name, kind, nullable=False, required=True))
            for name, kind in _COLUMNS.items()
        )

    def ensure(self, session: Session) -> None:
        """Make the table unless it is there; inside the unit, where the store has DDL in transactions."""
        if session.inspect(self._schema, REJECTS) is None:
            session.create(self.quoted, [(field.name, field.type) for field in self.fields])

    def rows(self, pipeline: str, run_id: str, rejects: Sequence[Reject]) -> list[tuple[Any, ...]]:
        now = datetime.now(UTC)
        return [
            (pipeline, run_id, _text(r.stream), r.line, _text(r.path), _text(r.reason), bytes(r.record), now)
            for r in rejects
        ]


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
