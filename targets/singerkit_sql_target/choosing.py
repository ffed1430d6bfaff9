"""A column that is there gets the type that the config chooses for it, where each of its values survives that (docs/decisions/0057)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import Change, Dialect, ExistingColumn, Session
from singerkit_sql_target.fitting import MOST_NAMED, Fitting
from singerkit_sql_target.variants import variant_in
from singerkit_wire.kinds import Column, Kind

__all__ = ["chosen_change", "refused_choice", "tell_chosen"]

_AS_SAID = "as `column_types` or `x-sql-datatype` says"


def chosen_change(
    fitting: Fitting, session: Session, dialect: Dialect, column: Column, name: str, found: str, wanted: str
) -> Change | None:
    """Return the way from the type of a column to the one that is chosen for it; None: there is none.

    Raises:
        BadDataError: values would not be what they were.
    """
    way = dialect.choice(column, found, wanted)
    if way is None or dialect.as_stored(column, wanted) is None or (column.is_key and not way.keeps_keys):
        return None
    quoted = dialect.quote(name)
    if way.survives is not None:
        survives = way.survives.replace("{}", quoted)
        [(values, lost)] = session.execute(
            f"SELECT count(*), count(*) FILTER (WHERE NOT coalesce({survives}, false)) FROM {fitting.quoted} WHERE {quoted} IS NOT NULL"
        )
        if lost:
            some = "whose only value" if values == 1 else f"of whose {values} values {lost}"
            raise refused_choice(
                fitting, [(column.name, name, found, wanted)], f", {some} would not be what it was"
            )
    return Change(way.using)


def refused_choice(
    fitting: Fitting, misfits: Sequence[tuple[str, str, str, str]], why: str = ""
) -> BadDataError:
    """What refuses types that the user has chosen for columns of others: of each its field and its name, the type found, the type wanted."""
    quote = fitting.words.quote
    changes = ", ".join(
        f"`ALTER TABLE {fitting.quoted} ALTER {quote(name)} TYPE {wanted}`"
        for _, name, _, wanted in misfits[:MOST_NAMED]
    )
    expected = fitting.expected([(field, found, wanted) for field, _, found, wanted in misfits])
    return BadDataError(
        f"{expected}{why}, {_AS_SAID}; what is stored is untouched: change "
        f"the column with {changes}, or, where all that comes can be stored as before, take the type out of there; then run again."
    )


def tell_chosen(
    fitting: Fitting,
    column: Column,
    name: str,
    there: Mapping[str, ExistingColumn],
    wanted: str,
) -> None:
    """Say what was done, and how what stands beside the column comes back into it."""
    variant, quote = variant_in(there, column.name), fitting.words.quote
    back = ""
    if variant is not None and wanted == fitting.words.types[Kind.STRING]:
        beside = quote(variant)
        back = (
            f" What stands beside it comes back with `UPDATE {fitting.quoted} SET {quote(name)} = {beside}, {beside} = NULL "
            f"WHERE {beside} IS NOT NULL`."
        )
    fitting.log.warning(
        "Column `%s` of stream `%s` is `%s` now, as was chosen, and was `%s`: all that is stored there is what it was.%s",
        column.name,
        fitting.stream.name,
        wanted,
        there[name].type,
        back,
    )
