"""A complete load takes the place of what its table had, with the commit: rows that did not come go (decision 53)."""

from __future__ import annotations

from collections.abc import Mapping

from singerkit_sql_target.dialect import Dialect, Session
from singerkit_sql_target.stage import Stage
from singerkit_sql_target.tables import Table

__all__ = ["begin", "end"]


def begin(
    session: Session, dialect: Dialect, tables: Mapping[str, Table], stage: Stage
) -> dict[str, str | None]:
    """Return by stream what is to be done when the rows of its load are in; what has no key goes before.

    Where rows do not go that did not come, those of a stream without a key are given up.
    """
    found: dict[str, str | None] = {}
    for stream, removes in stage.overwritten.items():
        table = tables[stream]
        if not removes:
            if not table.keys:
                stage.give_up(session, stream)
            continue
        found[stream] = None
        if table.keys:
            found[stream] = _removal(dialect, table, [part.source for part in stage.rows_of(stream)])
        else:
            session.execute(f"DELETE FROM {table.quoted}")
    return found


def end(session: Session, loads: Mapping[str, str | None]) -> None:
    """Delete the rows with a key that did not come."""
    for removal in loads.values():
        if removal is not None:
            session.execute(removal)


def _removal(dialect: Dialect, table: Table, sources: list[str]) -> str:
    keys = [dialect.quote(key) for key in table.keys]
    same = " AND ".join(f"came.{key} = {table.quoted}.{key}" for key in keys)
    others = [f"NOT EXISTS (SELECT 1 FROM {source} AS came WHERE {same})" for source in sources]
    return f"DELETE FROM {table.quoted}{' WHERE ' if others else ''}{' AND '.join(others)}"
