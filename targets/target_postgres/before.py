"""What a run has made of a table so far, in the unit in hand and before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from singerkit_wire.kinds import Column, Kind

__all__ = ["NOTHING_NEW", "Before", "New"]


@dataclass(frozen=True)
class New:
    """What was made of the table ``oid`` for a unit that is not committed: columns, by name with their numbers; or all of it."""

    columns: Mapping[str, int] = field(default_factory=dict)
    oid: int | None = None
    is_table: bool = False


NOTHING_NEW = New()


class Before(NamedTuple):
    """What this run has made of the table so far: its columns as the stream had them, those that were made for the unit in
    hand, of these the ones that go when the stream is refused, and the columns of which values wait beside the table.
    """

    given: Mapping[str, Column]
    new: New
    passing: frozenset[str]
    waiting: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        given: Mapping[str, Column] | None,
        new: New,
        kept: Collection[str],
        waiting: frozenset[str] = frozenset(),
    ) -> Before:
        """``given`` are the columns as the stream had them, by name; None: the run meets the table for the first time."""
        if given is None:
            return cls({}, new, frozenset())
        return cls(given, new, frozenset(new.columns.keys() - set(kept)), waiting)

    def turns_into_json(self, short: str, found: str) -> bool:
        """Whether the column holds only values of the unit in hand that are the same as JSON."""
        column = self.given.get(short)
        return (
            short in self.new.columns
            and column is not None
            and not column.number_in_text
            and found in _SAME_AS_JSON.get(column.kind, ())
        )

    def made_documents(self, short: str) -> bool:
        """Whether the unit in hand has made the column, of documents, for values of several types."""
        column = self.given.get(short)
        return short in self.new.columns and column is not None and column.kind is Kind.JSON


_SAME_AS_JSON: Mapping[Kind, Collection[str]] = {
    Kind.INTEGER: ("bigint", "numeric"),
    Kind.BIG_INTEGER: ("numeric",),
    Kind.NUMBER: ("numeric",),
    Kind.BOOLEAN: ("boolean",),
}
"""Types of columns that keep a value of a kind as it was sent, so that nothing is lost on the way to a document; a column of
text keeps any value as it is."""
