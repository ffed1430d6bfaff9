"""A column whose type keeps not all of its stream's values: what to tell of it, with statements that have been tried."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier

from singerkit_shell.errors import BadDataError
from singerkit_target.contract import Stream
from target_postgres import ddl

__all__ = ["Misfit", "refuse_chosen_type", "refuse_later_type", "refuse_types"]

_MOST = 10  # columns that a sentence names
_FEW = 3  # views that it names


class Misfit(NamedTuple):
    """A column whose type in the table is another one than the stream's values need."""

    field: str
    short: str
    found: str
    wanted: str


def refuse_later_type(stream: Stream, misfit: Misfit) -> NoReturn:
    """Of a column that goes with the rows before it, nobody can change the type; the next run makes it anew."""
    raise BadDataError(
        f"Expected values of one type for `{misfit.field}` of stream `{stream.name}`, got `{misfit.wanted}` behind rows "
        f"that this run has loaded as `{misfit.found}`; the column was new, and nothing of it is kept: run again, and a tap "
        "that remembers its schemas (tap-rest: in `schema_cache`) says one type for all of them from the start; where it remembers "
        "none, let it look at more rows before the first (tap-rest: `infer`), or choose a type for both with "
        f"`{json.dumps({'column_types': {f'{stream.name}.{misfit.field}': 'text'}}, ensure_ascii=False)}`, then run again."
    )


def refuse_chosen_type(cursor: Cursor, table: Identifier, stream: Stream, misfit: Misfit) -> NoReturn:
    """The type is one that the user has chosen."""
    raise BadDataError(
        f"Expected a column of type `{misfit.wanted}` for `{misfit.field}` of stream `{stream.name}`, as `column_types` or "
        f"`x-sql-datatype` says, got `{misfit.found}` in the table; what is stored is untouched: take the type out of there, "
        f"or change the column's, as with {_change(cursor, table, misfit)}"
        f"{_views_in_the_way(cursor, table, [misfit])}, then run again."
    )


def refuse_types(cursor: Cursor, table: Identifier, stream: Stream, misfits: Sequence[Misfit]) -> NoReturn:
    """Name all columns at once: one at a time would be a run that fails for each."""
    is_one = len(misfits) == 1
    told = [f"`{one.field}` (type `{one.wanted}`, in the table `{one.found}`)" for one in misfits[:_MOST]]
    changes = [_change(cursor, table, one) for one in misfits[:_MOST]]
    more = f" and {len(misfits) - _MOST} others" if len(misfits) > _MOST else ""
    first = misfits[0]
    expected = (
        f"a column of type `{first.wanted}` for `{first.field}` of stream `{stream.name}`, got `{first.found}` in the table"
        if is_one
        else f"columns of the types of stream `{stream.name}`, got others for {', '.join(told)}{more}"
    )
    raise BadDataError(
        f"Expected {expected}; what is stored is untouched: change the type{'' if is_one else 's'}, as with "
        f"{', '.join(changes)}{_views_in_the_way(cursor, table, misfits)}, or, to have values turned into "
        f"{f'`{first.found}`' if is_one else 'what the table has'}, name that in `column_types`, or, if the source has gone back to what it sent before, let the tap forget the new type (tap-rest: "
        "remove the stream's file from the folder `schema_cache`, or declare `schema`), then run again."
    )


def _views_in_the_way(cursor: Cursor, table: Identifier, misfits: Sequence[Misfit]) -> str:
    views = ddl.views_on(cursor, table, [one.short for one in misfits])
    if not views:
        return ""
    named = ", ".join(f"`{view}`" for view in views[:_FEW])
    more = f" and {len(views) - _FEW} others" if len(views) > _FEW else ""
    one, it = ("the view", "it") if len(views) == 1 else ("the views", "them")
    return f" (drop {one} {named}{more} before, which PostgreSQL asks for, and make {it} again after)"


def _change(cursor: Cursor, table: Identifier, misfit: Misfit) -> str:
    """Return the statement that gives the column the type that is wanted, and what it does not keep."""
    found, wanted, column = misfit.found, misfit.wanted, Identifier(misfit.short)
    statement = SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING {}").format(
        table, column, SQL(wanted), _converted(column, found, wanted)
    )
    # Text without an offset is UTC, and would be of the zone of whoever runs this.
    zone = "SET TIME ZONE 'UTC'; " if wanted.lower() in _MOMENTS and _READ_AS_TEXT.match(found) else ""
    loses = f" (which rounds or cuts what `{wanted}` does not hold)" if _ROUNDS.match(wanted) else ""
    return f"`{zone}{statement.as_string(cursor)}`{loses}"


_MOMENTS = ("timestamp with time zone", "timestamptz")
_READ_AS_TEXT = re.compile(r"(?:text|citext|character|bpchar|jsonb?)\b")
_CLOCK = re.compile(r"(?:date|timestamp|time)\b(?!.* with time zone)", re.IGNORECASE)
_WITH_LENGTH = re.compile(r"(?:(?:var)?char|character)\b", re.IGNORECASE)
_ROUNDS = re.compile(r"date\b|time\b|real\b|float|double\b|(?:numeric|decimal|timestamp)\s*\(", re.IGNORECASE)


def _converted(column: Identifier, found: str, wanted: str) -> Composed:
    if wanted == "jsonb":
        return SQL("pg_catalog.to_jsonb({})").format(column)
    if found.startswith("timestamp") and found.endswith("with time zone") and _CLOCK.match(wanted):
        return SQL("({} AT TIME ZONE 'UTC')::{}").format(column, SQL(wanted))
    text = SQL("({} #>> '{{}}')" if found in ("jsonb", "json") else "{}::text").format(column)
    if wanted == "text" or _WITH_LENGTH.match(wanted):  # a cast that is written out cuts without a word
        return text
    if wanted.lower() in _MOMENTS and not _READ_AS_TEXT.match(found):
        return SQL("{}::timestamp AT TIME ZONE 'UTC'").format(column)
    return SQL("{}::{}").format(text, SQL(wanted))
