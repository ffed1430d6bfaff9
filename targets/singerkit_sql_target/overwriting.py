"""A complete load takes the place of what its table had, with the commit: rows that did not come go (decision 53)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from singerkit_sql_target.dialect import Dialect, Session
from singerkit_sql_target.scopes import Scope
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.stage import Part, Stage
from singerkit_sql_target.tables import Table
from singerkit_target.outcomes import Outcome, Outcomes

__all__ = ["begin", "elements_of", "end"]


def begin(
    session: Session,
    dialect: Dialect,
    tables: Mapping[str, Table],
    stage: Stage,
    settings: Settings,
    outcomes: Outcomes,
) -> dict[str, Sequence[str] | None]:
    """Return by stream which rows go when those of its load are in; what has no key goes before.

    Where rows do not go that did not come, those of a stream without a key are given up.

    Raises:
        BadDataError: a row belongs to no set that is to be replaced.
    """
    found: dict[str, Sequence[str] | None] = {}
    for stream, removes in stage.overwritten.items():
        table = tables[stream]
        if not removes:
            if not table.keys:
                stage.give_up(session, stream)
            continue
        scope = settings.scope(stream)
        of_scope = [] if scope is None else [_in_scope(session, dialect, table, stage.rows_of(stream), scope)]
        found[stream] = None
        if table.keys:
            found[stream] = of_scope + _not_in(dialect, table, stage.rows_of(stream))
        else:
            outcomes.note(stream, Outcome(deleted=session.written(_deletion(table, of_scope))))
    return found


def end(
    session: Session,
    dialect: Dialect,
    tables: Mapping[str, Table],
    loads: Mapping[str, Sequence[str] | None],
    outcomes: Outcomes,
) -> None:
    """Delete the rows with a key that did not come, and before them the elements of their lists."""
    for stream, conditions in loads.items():
        if conditions is None:
            continue
        table = tables[stream]
        for elements in elements_of(tables, [stream]):
            same = " AND ".join(
                f"{table.quoted}.{dialect.quote(key)} = {elements.quoted}.{dialect.quote(own)}"
                for key, own in zip(
                    table.keys, elements.keys, strict=False
                )  # the last one is the place in the list
            )
            goes = " AND ".join([same, *conditions])
            gone = _deletion(elements, [f"EXISTS (SELECT 1 FROM {table.quoted} WHERE {goes})"])
            outcomes.note(elements.stream, Outcome(deleted=session.written(gone)))
        outcomes.note(stream, Outcome(deleted=session.written(_deletion(table, conditions))))


def elements_of(tables: Mapping[str, Table], streams: Collection[str]) -> list[Table]:
    """Return the tables of lists of streams."""
    return [table for table in tables.values() if table.given.lists_of in streams]


def _deletion(table: Table, conditions: Sequence[str]) -> str:
    return f"DELETE FROM {table.quoted}{' WHERE ' if conditions else ''}{' AND '.join(conditions)}"


def _not_in(dialect: Dialect, table: Table, parts: Sequence[Part]) -> list[str]:
    keys = [dialect.quote(key) for key in table.keys]
    same = " AND ".join(f"came.{key} = {table.quoted}.{key}" for key in keys)
    return [f"NOT EXISTS (SELECT 1 FROM {part.source} AS came WHERE {same})" for part in parts]


def _in_scope(session: Session, dialect: Dialect, table: Table, parts: Sequence[Part], scope: Scope) -> str:
    """The condition that a stored row is one of the sets that came."""
    if not parts:  # each record was set aside
        return "false"
    short = [table.columns[name] for name in scope.fields]
    names = [dialect.quote(name) for name in short]
    if any(not {*short} <= {one.name for one in part.fields} for part in parts):
        raise scope.lacks_value(table.stream)
    came = " UNION ALL ".join(f"SELECT {', '.join(names)} FROM {part.source} AS part" for part in parts)
    is_null = " OR ".join(f"{name} IS NULL" for name in names)
    [(lacks_one,)] = session.execute(f"SELECT EXISTS (SELECT 1 FROM ({came}) AS came WHERE {is_null})")
    if lacks_one:
        raise scope.lacks_value(table.stream)
    if scope.is_window:
        (name,) = names
        span = f"SELECT min({name}) AS least, max({name}) AS greatest FROM ({came}) AS came"
        return (
            f"EXISTS (SELECT 1 FROM ({span}) AS span WHERE {table.quoted}.{name} BETWEEN least AND greatest)"
        )
    same = " AND ".join(f"came.{name} = {table.quoted}.{name}" for name in names)
    return f"EXISTS (SELECT 1 FROM ({came}) AS came WHERE {same})"
