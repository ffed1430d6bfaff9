"""The columns of `add_record_metadata` in a table that is there already: made by us, by another loader, or of a field."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Identifier

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.deletions import has_mark
from singerkit_sql_target.fitting import METADATA_KINDS
from singerkit_target import metadata
from singerkit_wire.stream import VERSION, Stream
from target_postgres import ddl
from target_postgres.types import VALUE_TABLE

__all__ = ["fit_metadata", "may_hold_marks"]

_TYPES = {name: VALUE_TABLE[kind].sql for name, kind in METADATA_KINDS.items()}
_INTEGERS = frozenset({"int8", "numeric", "text", "varchar"})
_TIMES = frozenset({"timestamptz", "timestamp", "text", "varchar"})
_NARROW = frozenset({"int2", "int4"})


def fit_metadata(
    cursor: Cursor, table: Identifier, existing: ddl.Existing, stream: Stream, columns: Mapping[str, str]
) -> None:
    """See that the metadata columns which the table has take what is written; ``columns`` are those of the run.

    Raises:
        BadDataError: some do not, as those of a field that the stream has no more.
    """
    misfits = []
    for name, wanted in _TYPES.items():
        short = columns.get(name)
        found = None if short is None or name in stream.column_names else existing.columns.get(short)
        if short is None or found is None:
            continue
        if wanted == "bigint" and found.base in _NARROW:
            ddl.widen_column(cursor, table, short, wanted)
        elif not _fits(name, wanted, found):
            misfits.append((name, wanted, found.type))
    if misfits:
        told = ", ".join(
            f"`{name}` (type `{wanted}`, in the table `{found}`)" for name, wanted, found in misfits
        )
        changes = ", ".join(f"`{_renaming(table, name).as_string(cursor)}`" for name, _, _ in misfits)
        raise BadDataError(
            f"Expected columns of their types for what `add_record_metadata` adds to stream `{stream.name}`, got others for "
            f"{told}; what is stored is untouched: rename what is there, as with {changes}, or take "
            "`add_record_metadata` out of the config, then run again."
        )


def may_hold_marks(existing: ddl.Existing, stream: Stream) -> bool:
    """Tell whether rows may be marked as deleted by an earlier run, in columns that hold what such a run writes."""
    return has_mark(existing.columns, stream) or (
        metadata.may_hold_marks(existing.columns, stream)
        and all(_fits(name, _TYPES[name], existing.columns[name]) for name in metadata.MARKS)
    )


def _fits(name: str, wanted: str, found: ddl.ExistingColumn) -> bool:
    if found.typmod >= 0 and found.base in ("numeric", "varchar"):
        return False
    if found.is_generated or found.is_identity:
        return False
    if name == VERSION and found.base in ("text", "varchar"):
        return False  # it is compared as a number
    return found.base in (_INTEGERS if wanted == "bigint" else _TIMES)


def _renaming(table: Identifier, name: str) -> Composable:
    renamed = Identifier(f"{name}_before")
    return SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(table, Identifier(name), renamed)
