"""Variants: which columns of a table hold the values of a field that its own column does not (docs/decisions/0056).

The comment of such a column says of which field it is, so that it may be renamed, and one of the same name that somebody else
has made is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from singerkit_catalog.admitted import json_types
from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import ExistingColumn
from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.names import fold
from singerkit_wire.conflicts import OnConflict, with_variant
from singerkit_wire.domain import Numbers
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream

__all__ = [
    "called",
    "comment_of",
    "divided",
    "new_variants",
    "policy",
    "stands_beside",
    "variant_in",
    "with_variants_of",
]

_COMMENT = re.compile(r'variant of field ("(?:[^"\\]|\\.)*")')
_SUFFIX = "__text"


def comment_of(field: str) -> str:
    """Return the comment of the column that is the variant of a field."""
    return f"variant of field {json.dumps(field, ensure_ascii=False)}: values that are not of the type of its column"


def _field_in(comment: str | None) -> str | None:
    found = _COMMENT.search(comment or "")
    return None if found is None else str(json.loads(found.group(1)))


def _variants(there: Mapping[str, ExistingColumn]) -> dict[str, str]:
    """Return the variants of a table by their fields; of several the first counts."""
    found: dict[str, str] = {}
    for name, column in there.items():
        field = _field_in(column.comment)
        if field is not None:
            found.setdefault(field, name)
    return found


def variant_in(there: Mapping[str, ExistingColumn], field: str) -> str | None:
    """Return the column that is the variant of a field; None: there is none."""
    return _variants(there).get(field)


def with_variants_of(fitting: Fitting, there: Mapping[str, ExistingColumn]) -> Stream:
    """Return the stream with the variants that its table has, and those that it wants under names that are free.

    Raises:
        BadDataError: a field of the stream has the name of a variant.
    """
    stream, words = fitting.stream, fitting.words
    found = {field: name for field, name in _variants(there).items() if field in stream.fields}
    own = {fold(words.column_name(fitting.column(field)), words): field for field in stream.fields}
    for field, name in found.items():
        if fold(name, words) in own:
            raise _refused(fitting, own[fold(name, words)], field, name, there)
    wanted = [column.variant_of for column in stream.columns if column.variant_of is not None]
    for field in dict.fromkeys([*found, *wanted]):
        name = found.get(field) or _named(fitting, field, there)
        stream = with_variant(stream, field, name, takes_all=_is_filler(stream, field))
    return stream


def called(fitting: Fitting) -> Callable[[str], str]:
    """Return what the config calls the column of a field; a variant is called what it is."""
    variants = {column.name for column in fitting.stream.columns if column.variant_of is not None}
    return lambda name: name if name in variants else fitting.column(name)


def _is_filler(stream: Stream, field: str) -> bool:
    return any(column.is_filler for column in stream.columns if column.name == field)


def _named(fitting: Fitting, field: str, there: Mapping[str, ExistingColumn]) -> str:
    """Return a name for the variant of a field that neither the table nor the stream has."""
    words = fitting.words
    others = [one.name for one in fitting.stream.columns if one.variant_of != field]
    called_ = called(fitting)
    taken = {fold(words.column_name(called_(name)), words) for name in others} | {
        fold(name, words) for name in there
    }
    number = 1
    while True:
        name = words.column_name(f"{fitting.column(field)}{_SUFFIX}{'' if number == 1 else f'_{number}'}")
        if fold(name, words) not in taken or _is_inherited(there.get(name)):
            return name
        number += 1


def _is_inherited(column: ExistingColumn | None) -> bool:
    """Whether somebody has made it in the table that this one has its columns from, as the run has asked."""
    return column is not None and column.is_inherited and column.comment is None and column.type == "text"


def new_variants(stream: Stream, columns: Mapping[str, str], added: Collection[str]) -> dict[str, str]:
    """Return the fields of the variants among new columns, by column."""
    return {
        columns[column.name]: column.variant_of
        for column in stream.columns
        if column.variant_of is not None and columns[column.name] in added
    }


def policy(fitting: Fitting, column: Column) -> OnConflict | None:
    """Return what becomes of a field whose schema says another type than its column has; None: it is refused."""
    if column.is_key or column.name in fitting.stream.key_properties or column.variant_of is not None:
        return None
    return fitting.settings.conflicts.of(fitting.stream.name, column.name)


def stands_beside(fitting: Fitting, column: Column) -> bool:
    """Tell whether a value of a field that its column does not hold goes to a variant."""
    return policy(fitting, column) in (OnConflict.VARIANT, OnConflict.WIDEN)


_NUMBERS = frozenset({"integer", "number"})
_TAKEN: Mapping[Kind, frozenset[str]] = {
    Kind.INTEGER: _NUMBERS,
    Kind.BIG_INTEGER: _NUMBERS,
    Kind.NUMBER: _NUMBERS,
    Kind.BOOLEAN: frozenset({"boolean"}),
}
"""The JSON types of values that a column of a kind takes as they are; of a text nothing tells that it was meant as a date."""


def divided(
    fitting: Fitting,
    column: Column,
    there: Mapping[str, ExistingColumn],
    types: tuple[str, str],
    home: tuple[Kind, Numbers | None],
) -> Stream | None:
    """Return the stream with what a column does not hold in a variant beside it; None: it is to be refused.

    ``types`` are that of the column and the one that its schema wants; ``home`` is the kind of values that it takes, and which numbers.
    """
    stream = fitting.stream
    kind, numbers = home
    if not stands_beside(fitting, column):
        return None
    name = next((one.name for one in stream.columns if one.variant_of == column.name), None)
    name = name or _named(fitting, column.name, there)
    is_text_of_number = column.number_in_text and kind is Kind.NUMBER
    takes_all = not (is_text_of_number or _TAKEN.get(kind, frozenset()) & json_types(column.schema))
    _tell_divided(fitting, column, types, name, takes_all=takes_all)
    made = with_variant(stream, column.name, name, takes_all=takes_all)
    own = replace(column, kind=kind, numbers=numbers, number_in_text=is_text_of_number, is_filler=takes_all)
    return replace(made, columns=tuple(own if one.name == column.name else one for one in made.columns))


def _tell_divided(
    fitting: Fitting, column: Column, types: tuple[str, str], name: str, *, takes_all: bool
) -> None:
    """Warn of a field whose schema says another type than its column has."""
    found, wanted = types
    fitting.log.warning(
        "The schema of stream `%s` says `%s` for `%s`, and its column is `%s`: %s stand as they come in `%s` beside it, and it is null in "
        "those rows (`on_type_conflict`).",
        fitting.stream.name,
        wanted,
        column.name,
        found,
        "values of this run" if takes_all else "values that it does not hold",
        name,
    )


def _refused(
    fitting: Fitting, field: str, of: str, name: str, there: Mapping[str, ExistingColumn]
) -> BadDataError:
    words = fitting.words
    number = 2
    while f"{name}_{number}" in there:
        number += 1
    rename = f"ALTER TABLE {fitting.quoted} RENAME COLUMN {words.quote(name)} TO {words.quote(words.column_name(f'{name}_{number}'))}"
    return BadDataError(
        f"Expected another name than `{field}` in stream `{fitting.stream.name}`, which its table has for values of `{of}` that are not of "
        f"the type of that column; what is stored is untouched: give that one another name with `{rename}` (its comment says what it is), then run again."
    )
