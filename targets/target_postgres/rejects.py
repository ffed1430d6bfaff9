"""Dead letters: records that could not be stored, with place and reason, never in a log (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal

from singerkit_wire.batch import Reject

__all__ = ["TABLE", "ensure_table", "insert", "is_there"]

TABLE = "_singerkit_rejects"


def is_there(cursor: Cursor, schema: str) -> bool:
    """Tell whether there is a table of dead letters."""
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s)",
        [schema, TABLE],
    )
    return cursor.fetchone() == (True,)


def ensure_table(cursor: Cursor, schema: str) -> None:
    """Create the dead-letter table unless it exists."""
    cursor.execute(
        SQL(
            "CREATE TABLE IF NOT EXISTS {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pipeline text NOT NULL, "
            "run_id text NOT NULL, stream text NOT NULL, line bigint NOT NULL, path text NOT NULL, reason text NOT NULL, "
            "record bytea NOT NULL, rejected_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        ).format(Identifier(schema, TABLE))
    )


def insert(cursor: Cursor, schema: str, pipeline: str, run_id: str, letters: Sequence[Reject]) -> None:
    """Write refused records; ``record`` is the message as it came, as bytes: it may not be text at all."""
    # Literals, not parameters: psycopg2 would take a percent sign in the schema's name for one.
    rows = [
        SQL("({})").format(SQL(", ").join(map(Literal, values)))
        for values in (
            (pipeline, run_id, _text(r.stream), r.line, _text(r.path), _text(r.reason), r.record)
            for r in letters
        )
    ]
    cursor.execute(
        SQL("INSERT INTO {} (pipeline, run_id, stream, line, path, reason, record) VALUES {}").format(
            Identifier(schema, TABLE), SQL(", ").join(rows)
        )
    )


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
