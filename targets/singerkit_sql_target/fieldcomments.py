"""Which field a column holds: its comment says so where the two are not called alike, so that names which are exchanged are noticed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.dialect import ExistingColumn, Words
from singerkit_sql_target.names import fold

__all__ = ["comment_of_field", "new_fields", "refuse_exchanged"]

_FIELD = "field "
_MOST_NAMED = 10


def comment_of_field(field: str) -> str:
    return f"{_FIELD}{field}"


def new_fields(columns: Mapping[str, str], added: Collection[str]) -> dict[str, str]:
    """Return the comments of new columns that are not called as their fields; ``columns`` are those of fields."""
    return {
        column: comment_of_field(field)
        for field, column in columns.items()
        if column != field and column in added
    }


def refuse_exchanged(
    words: Words,
    stream: str,
    columns: Mapping[str, str],
    there: Mapping[str, ExistingColumn],
    table: str,
) -> None:
    """See that no field is to go where another one of the stream was; ``table`` is quoted.

    A column with no comment holds the field of its name; one with a comment of somebody else may hold any.

    Raises:
        ConfigurationError: one is, so that one column would hold two fields.
    """
    by_name = {fold(words.column_name(field), words): field for field in columns}
    held: dict[str, str] = {}
    for field, column in columns.items():
        former = _held(words, column, there[column], by_name) if column in there else None
        if former is not None and former != field and former in columns:
            held[column] = former
    if not held:
        return
    told = ", ".join(f"`{column}` holds `{former}`" for column, former in list(held.items())[:_MOST_NAMED])
    aside = [_rename(words, table, column, _aside(column)) for column in held]
    back = [
        statement
        for column, former in held.items()
        for statement in (
            _rename(words, table, _aside(column), columns[former]),
            _say(words, table, columns[former], former),
        )
    ]
    stays = "; ".join(
        _say(words, table, column, field) for field, column in columns.items() if column in held
    )
    raise ConfigurationError(
        f"The config has fields of stream `{stream}` go into columns of its table in which other fields of it stand (`column_names`, `names`): {told}; nothing "
        f"was written: rename them (`{'; '.join([*aside, *back])}`), or name them as they are; where they hold what the config says, note that (`{stays}`); "
        "then run again."
    )


def _held(words: Words, column: str, found: ExistingColumn, by_name: Mapping[str, str]) -> str | None:
    if found.comment is None:
        return by_name.get(fold(column, words))
    return found.comment.removeprefix(_FIELD) if found.comment.startswith(_FIELD) else None


def _aside(column: str) -> str:
    return f"{column[:40]}__before"


def _rename(words: Words, table: str, former: str, column: str) -> str:
    return f"ALTER TABLE {table} RENAME COLUMN {words.quote(former)} TO {words.quote(column)}"


def _say(words: Words, table: str, column: str, field: str) -> str:
    literal = comment_of_field(field).replace("'", "''")
    return f"COMMENT ON COLUMN {table}.{words.quote(column)} IS '{literal}'"
