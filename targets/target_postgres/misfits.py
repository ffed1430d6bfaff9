"""A column whose type keeps not all of its stream's values: what to tell of it, with statements that have been tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.fitting import FORGET_TYPES, MOST_NAMED, Fitting
from singerkit_wire.kinds import Column, Kind
from target_postgres import ddl
from target_postgres.changes import Change, change_of, goes_on_as, text_of
from target_postgres.ddl import ExistingColumn
from target_postgres.stored import keeps_keys
from target_postgres.types import ColumnType, is_type_name, keeps_values

__all__ = ["Misfit", "refuse_chosen_type", "refuse_later_type", "refuse_types"]

_FEW = 3  # views that it names
_EVERY_NUMBER = "numeric"


class Misfit(NamedTuple):
    """A column whose type in the table is another one than the stream's values need."""

    column: Column
    short: str
    found: ExistingColumn
    wanted: ColumnType
    is_key: bool

    @property
    def field(self) -> str:
        return self.column.name


def refuse_later_type(fitting: Fitting, misfit: Misfit) -> NoReturn:
    """Of a column that goes with the rows before it, nobody can change the type; the next run makes it anew."""
    raise BadDataError(
        f"Expected values of one type for `{misfit.field}` of stream `{fitting.stream.name}`, got `{misfit.wanted.sql}` behind rows "
        f"that this run has loaded as `{misfit.found.type}`; the column was new, and nothing of it is kept: run again, and a tap "
        "that remembers its schemas (tap-rest: in `schema_cache`) says one type for all of them from the start; where it remembers "
        "none, let it look at more rows before the first (tap-rest: `infer`), or choose a type for both with "
        f"`{fitting.choice({misfit.field: 'text'})}`, then run again."
    )


def refuse_chosen_type(
    fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit, why: str = ""
) -> NoReturn:
    """The type is one that the user has chosen; ``why`` the column does not get it."""
    other_choice = (
        "take the type out of there, or "
        if keeps_values(misfit.found, misfit.column.kind)
        else f"choose the table's with `{fitting.choice({misfit.field: misfit.found.type})}`, or "
        if _may_go_on(misfit)
        else ""
    )
    raise BadDataError(
        f"Expected a column of type `{misfit.wanted.sql}` for `{misfit.field}` of stream `{fitting.stream.name}`, as `column_types` or "
        f"`x-sql-datatype` says, got `{misfit.found.type}` in the table{why and ', '}{why}; what is stored is untouched: {other_choice}"
        f"{_way_out(fitting, cursor, table, [misfit])}, then run again."
    )


def refuse_types(fitting: Fitting, cursor: Cursor, table: Identifier, misfits: Sequence[Misfit]) -> NoReturn:
    """Name all columns at once: one at a time would be a run that fails for each."""
    going_on = {one.field: one.found.type for one in misfits[:MOST_NAMED] if _may_go_on(one)}
    as_before = (
        f"or, where all that comes can be stored as before, choose that with `{fitting.choice(going_on)}`, "
        if going_on
        else ""
    )
    raise BadDataError(
        f"{fitting.expected([(one.field, one.found.type, one.wanted.sql) for one in misfits])}; what is stored is untouched: "
        f"{_way_out(fitting, cursor, table, misfits)}, {as_before}or, {FORGET_TYPES}"
    )


def _may_go_on(misfit: Misfit) -> bool:
    """Whether the type that the table has can be chosen for what comes."""
    return (
        goes_on_as(misfit.column, misfit.found)
        and is_type_name(misfit.found.type)
        and (not misfit.is_key or keeps_keys(misfit.column, misfit.found))
    )


def _way_out(fitting: Fitting, cursor: Cursor, table: Identifier, misfits: Sequence[Misfit]) -> str:
    """Say how the columns get types that hold both what is stored and what comes, or how all of it is read anew."""
    wanted = [ddl.column_of_type(cursor, _type_for(one)) for one in misfits]
    changes = [change_of(one.column, one.found, type_) for one, type_ in zip(misfits, wanted, strict=True)]
    anew = f"read the stream anew: run {fitting.start_over}, `DROP TABLE {fitting.quoted}`, then the pipeline again"
    for one, change in zip(misfits, changes, strict=True):
        if one.is_key and (change is None or not change.keeps_keys):
            return (
                f"`{one.field}` is a part of the key, and the rows that are stored would not be found by it when they come again, "
                f"since it is not known how their values are written then, and would be there twice: {anew} (what the source does not have "
                "any more is gone then)"
            )
    told = ", ".join(
        _told(cursor, table, one, change, anew)
        for one, change in zip(misfits[:MOST_NAMED], changes[:MOST_NAMED], strict=True)
    )
    return f"change the type{'' if len(misfits) == 1 else 's'}, as with {told}{_views_in_the_way(cursor, table, misfits)}"


def _type_for(misfit: Misfit) -> str:
    """Return the type to change to: integers go into a column of any numbers, and what is stored there may be none."""
    is_number = misfit.found.base in ("numeric", "float4", "float8")
    if is_number and misfit.column.kind is Kind.INTEGER and not misfit.wanted.is_chosen:
        return _EVERY_NUMBER
    return misfit.wanted.sql


def _told(cursor: Cursor, table: Identifier, misfit: Misfit, change: Change | None, anew: str) -> str:
    """Name the statement that changes a column, what it does not keep, and the one that helps where there is none."""
    text = text_of(misfit.found)
    as_text = _statement(cursor, table, misfit, text, "text")
    if misfit.wanted.is_chosen:
        as_text = f"{as_text} and `text` chosen for it"
    if change is None:
        return (
            f"{as_text} (text holds both: no way leads from `{misfit.found.type}` to `{misfit.wanted.sql}`)"
        )
    told = _statement(cursor, table, misfit, change, _type_for(misfit))
    if not change.may_fail or misfit.found.base == "text":
        return told
    return f"{told} or, where that is refused for a value, {anew if misfit.is_key else as_text}"


def _statement(cursor: Cursor, table: Identifier, misfit: Misfit, change: Change, type_: str) -> str:
    column = Identifier(misfit.short)
    statement = SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING {}").format(
        table, column, SQL(type_), change.expression(column, misfit.found, type_)
    )
    note = f" ({change.note})" if change.note else ""
    return f"`{change.settings}{statement.as_string(cursor)}`{note}"


def _views_in_the_way(cursor: Cursor, table: Identifier, misfits: Sequence[Misfit]) -> str:
    views = ddl.views_on(cursor, table, [one.short for one in misfits])
    if not views:
        return ""
    named = ", ".join(f"`{view}`" for view in views[:_FEW])
    more = f" and {len(views) - _FEW} others" if len(views) > _FEW else ""
    one, it = ("the view", "it") if len(views) == 1 else ("the views", "them")
    return f" (drop {one} {named}{more} before, which PostgreSQL asks for, and make {it} again after)"
