"""Dead letters: records that could not be stored, with place and reason, never in a log (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier, Literal

from singerkit_sql_target.rejects import Writer, beside, not_there_yet
from singerkit_wire.batch import Reject
from singerkit_wire.stream import Stream
from target_postgres.words import WORDS

__all__ = ["TABLE", "ensure_table", "insert", "is_there"]

TABLE = "_singerkit_rejects"
_LATER = ("declared", "digest")
"""Columns that tables lack which were made before 2026-11-28."""


def is_there(cursor: Cursor, schema: str) -> bool:
    """Tell whether there is a table of dead letters, with all of its columns."""
    cursor.execute(
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE n.nspname = %s AND c.relname = %s AND a.attname = ANY (%s) "
        "AND NOT a.attisdropped",
        [schema, TABLE, list(_LATER)],
    )
    return cursor.fetchone() == (len(_LATER),)


def ensure_table(cursor: Cursor, schema: str) -> None:
    """Create the dead-letter table unless it exists, and the columns that it lacks."""
    table = Identifier(schema, TABLE)
    cursor.execute(
        SQL(
            "CREATE TABLE IF NOT EXISTS {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pipeline text NOT NULL, "
            "run_id text NOT NULL, stream text NOT NULL, line bigint NOT NULL, path text NOT NULL, reason text NOT NULL, "
            "record bytea NOT NULL, rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(), declared text, digest text)"
        ).format(table)
    )
    for name in _LATER:
        cursor.execute(SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} text").format(table, Identifier(name)))


def insert(
    cursor: Cursor,
    schema: str,
    pipeline: str,
    writer: Writer,
    letters: Sequence[Reject],
    streams: Mapping[str, Stream],
) -> None:
    """Write refused records, but those that another run has written; ``record`` is the message as it came: it may not be text at all."""
    # Literals, not parameters: psycopg2 would take a percent sign in the schema's name for one.
    rows = [
        _row(place, pipeline, writer, letter, streams.get(letter.stream))
        for place, letter in enumerate(letters)
    ]
    names = SQL("pipeline, run_id, stream, line, path, reason, record, rejected_at, declared, digest")
    cursor.execute(
        SQL(
            "INSERT INTO {} ({}) SELECT {} FROM (VALUES {}) AS given (place, {}) WHERE {} ORDER BY place"
        ).format(
            Identifier(schema, TABLE),
            names,
            names,
            SQL(", ").join(rows),
            names,
            SQL(not_there_yet(WORDS.quote(schema, TABLE), "given").replace("{", "{{").replace("}", "}}")),
        )
    )


def _row(place: int, pipeline: str, writer: Writer, letter: Reject, stream: Stream | None) -> Composed:
    texts = (
        pipeline,
        writer.run_id,
        _text(letter.stream),
        letter.line,
        _text(letter.path),
        _text(letter.reason),
    )
    at = SQL("clock_timestamp()") if writer.at is None else SQL("{}::timestamptz").format(Literal(writer.at))
    values = [
        Literal(place),
        *map(Literal, texts),
        SQL("{}::bytea").format(Literal(letter.record)),
        at,
        *(SQL("{}::text").format(Literal(one)) for one in msgspec.structs.astuple(beside(letter, stream))),
    ]
    return SQL("({})").format(SQL(", ").join(values))


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
