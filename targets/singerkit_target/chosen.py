"""Column types that the config chooses, by `STREAM.COLUMN`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_wire.stream import Stream

__all__ = ["check_chosen", "refused_type"]

_ALIKE = 0.8
"""How like a column's name another has to be to pass for a slip (difflib's ratio)."""


def check_chosen(stream: Stream, column_types: Mapping[str, str]) -> None:
    """See that `column_types` does not misspell a column, which would get its default type.

    A column that is like none of the stream's may come with a later SCHEMA or run (a field that few records have), with
    `extra: load` (where nobody asks here) the records bring columns, and a name with a further dot may belong to a stream with a dot in its name:
    what was never met is told at the end of the run.

    Raises:
        ConfigurationError: it names one that the stream does not have, and that is nearly the name of another.
    """
    prefix = f"{stream.name}."
    for name in column_types:
        column = name.removeprefix(prefix)
        if column == name or set(".*?[") & set(column) or column in stream.column_names:
            continue
        unchosen = [other for other in stream.column_names if prefix + other not in column_types]
        near = difflib.get_close_matches(column, unchosen, 1, _ALIKE)
        if near:
            raise ConfigurationError(
                f"Expected a column of stream `{stream.name}` at `column_types.{name}`, got none of that name in its SCHEMA "
                f"(did you mean `{near[0]}`?); what was committed is safe: correct the config, or let the tap name the "
                "field in its schema, then run again."
            )


def refused_type(stream: str, column: str, error: ValueError) -> BadDataError:
    """Return the error that refuses a chosen type; ``error`` says why."""
    return BadDataError(
        f"{error}, at `{column}` of stream `{stream}`; correct `column_types` in the config or `x-sql-datatype` in the schema, then "
        "run again."
    )
