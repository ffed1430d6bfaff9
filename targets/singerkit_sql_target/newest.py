"""Which of several versions of a row counts (`newest_by`): a field of each stream tells, and an older one takes no newer one's place.

A row with the same value is taken as it comes, so the last one wins. Null is older than any value; but a record which says that its row is
gone, and has no value, is taken in its turn.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from singerkit_catalog.patterns import NAME, ByPattern
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.words import counted
from singerkit_sql_target.methods import Method
from singerkit_target.outcomes import Outcome
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import DELETED_AT, VERSION, Stream

__all__ = ["SETTING", "Newest", "NewestBy", "check_ordered", "newest_of", "ordered_by", "told_of_older"]

SETTING: Mapping[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {**NAME, "type": ["string", "null"]},
    "description": "The field that tells which of two versions of a row is the newer, by globs over the names of streams as in `load_method`: "
    '`{"orders": "updated_at", "cdc_*": "_sdc_lsn", "cdc_log": null}`. A row that is older by it than the stored one of its key changes '
    "nothing, and deletes nothing; of several in a unit the greatest counts. For streams with a key under `upsert` or `history`; a number, date or date-time.",
}

_ORDERED = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER, Kind.DATE, Kind.DATE_TIME})


@dataclass(frozen=True)
class NewestBy(ByPattern[str | None]):
    """The fields by pattern; by default there is none."""

    by_pattern: Mapping[str, str | None] = field(default_factory=dict)
    setting: str = "newest_by"
    default: str | None = None


@dataclass(frozen=True)
class Newest:
    """``column`` tells which version of a row is newer, ``mark`` has a value where a record says that its row is gone.

    ``load`` says with which load of its stream a row came (`_sdc_table_version`): of an older row, too, which is at the source all the same.
    All are quoted.
    """

    column: str
    mark: str | None = None
    load: str | None = None

    def among(self, columns: Collection[str]) -> Newest | None:
        """What can be asked of rows with these (quoted) columns; None: they have no version, and are taken as they come."""
        if self.column not in columns:
            return None
        mark, load = (one if one in columns else None for one in (self.mark, self.load))
        return Newest(self.column, mark, load)

    def is_older(self, given: str, than: str) -> str:
        """The condition that a row is older than another one; it is never null."""
        lacks = f"{given}.{self.column} IS NULL"
        if self.mark is not None:
            lacks += f" AND {given}.{self.mark} IS NULL"
        return f"({than}.{self.column} IS NOT NULL AND ({lacks} OR ({given}.{self.column} < {than}.{self.column}) IS TRUE))"

    def rank(self, keys: Sequence[str], place: str) -> str:
        """What the newest row of a key is the greatest by, null last, and then by ``place``; a window function may stand in it."""
        if self.mark is None:
            return self.column
        before = f"max({self.column}) OVER (PARTITION BY {', '.join(keys)} ORDER BY {place})"
        return f"coalesce({self.column}, CASE WHEN {self.mark} IS NOT NULL THEN {before} END)"

    def value(self, column: str, keys: Sequence[str], place: str) -> str:
        """The value of a column in the newest row of a key, of a query over all of them."""
        if column != self.load:
            return column
        return (
            f"first_value({column}) OVER (PARTITION BY {', '.join(keys)} ORDER BY {place} DESC) AS {column}"
        )


def ordered_by(stream: Stream, name: str | None, method: Method, *, is_chosen: bool) -> Stream:
    """Return the stream with the field ``name`` as the one that tells which of its rows is newer; ``is_chosen``: the config chooses its type.

    Raises:
        ConfigurationError: it has no such field, or that would have no effect.
    """
    if name is None:
        return replace(stream, order=None)

    def refused(expected: str, got: str, way: str) -> ConfigurationError:
        return ConfigurationError(
            f"Expected {expected} at `newest_by`, got {got}; nothing of this stream was written: {way}, then run again."
        )

    leave_out = f'leave it out (`{{"newest_by": {{"{stream.name}": null}}}}`)'
    if method not in (Method.UPSERT, Method.HISTORY):
        raise refused(
            f"a stream that `load_method` upserts, or keeps the history of, for `{name}`",
            f"`{stream.name}`, of which it says `{method.value}`",
            f"{leave_out} or choose the method",
        )
    if not stream.key_properties:
        raise refused(
            f"a stream with a key, by which rows replace each other, for `{name}`",
            f"`{stream.name}`, which has none",
            f"{leave_out} or give the stream its key",
        )
    column = next((one for one in stream.columns if one.name == name), None)
    if column is None:
        near = difflib.get_close_matches(name, stream.column_names, 1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        raise refused(f"a field of stream `{stream.name}`", f"`{name}`{hint}", "correct the config")
    if name in stream.key_properties:
        raise refused(
            f"a field of stream `{stream.name}` that is not of its key, since rows of one key have one value there",
            f"`{name}`",
            "choose another field",
        )
    if column.kind not in _ORDERED and not (is_chosen or "x-sql-datatype" in column.schema):
        raise _unordered(stream.name, name, f"`{column.kind.value}`")
    return replace(stream, order=name)


def check_ordered(stream: Stream, types: Mapping[str, str], ordered: Collection[str] | None = None) -> None:
    """See that the column has an order; ``types`` are those of the table, by field, and ``ordered`` those that have one, if not by the kind of their values.

    Raises:
        ConfigurationError: it has none, or not the one that its values mean; or the table has no such column and gets none.
    """
    if stream.order is None:
        return
    column = next((one for one in stream.columns if one.name == stream.order), None)
    if column is None:
        raise _unordered(stream.name, stream.order, "left out of the table (`schema_contract`)")
    type_ = types[stream.order]
    if column.kind not in _ORDERED if ordered is None else type_ not in ordered:
        raise _unordered(stream.name, stream.order, f"a column of type `{type_}`")


def _unordered(stream: str, name: str, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"Expected at `newest_by` a field of stream `{stream}` with numbers, dates or date-times, got `{name}`, which is {got}; no row of "
        f'this stream was written: choose another field, or its type (`{{"column_types": {{"{stream}.{name}": "timestamptz"}}}}`), then run again.'
    )


def newest_of(stream: Stream, columns: Mapping[str, str], quote: Callable[[str], str]) -> Newest | None:
    """Return what tells versions of rows apart in the table of a stream; ``columns`` are those of fields."""
    if stream.order is None:
        return None
    return Newest(
        quote(columns[stream.order]),
        quote(columns[DELETED_AT]) if DELETED_AT in stream.column_names else None,
        quote(columns[VERSION]) if VERSION in columns.keys() - {*stream.column_names} else None,
    )


def told_of_older(outcomes: Mapping[str, Outcome], newest_by: NewestBy) -> list[str]:
    """Return a sentence for each stream of which rows came that were older than those that are stored."""
    return [
        f"Stream `{stream}`: {counted(outcome.older, 'row')} that came {'was' if outcome.older == 1 else 'were'} older by `{newest_by.of(stream)}` "
        "than what is stored, and changed nothing (`newest_by`)."
        for stream, outcome in sorted(outcomes.items())
        if outcome.older
    ]
