"""What is known of the fields of a table whose rows come of records that are taken apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from singerkit_catalog.unnesting import PARENT_POSITION, POSITION, VALUE, Part, Table, root_key
from singerkit_wire.rowids import RowIds
from singerkit_wire.stream import DELETED_AT

__all__ = ["GONE", "Names", "Wanted", "table_name"]

GONE = '"1970-01-01T00:00:00Z"'
"""What the line behind the elements of a record has in `_sdc_deleted_at`: those from its position on are not there any more."""

_MOST_LEARNED = 1000


@dataclass(frozen=True)
class Wanted:
    """How records are taken apart.

    ``is_closed``: the records may have no field that nothing names. ``missing_is_null``: a list that a record leaves out has no elements;
    else they stay. ``deletes_marked``: a row goes whose record says that it is gone. ``row_ids``: each record is a row of its own, and gets one as its key.
    """

    separator: str
    keys: tuple[str, ...] = ()
    is_closed: bool = False
    missing_is_null: bool = False
    deletes_marked: bool = False
    row_ids: RowIds | None = None

    def table_name(self, stream: str, table: Table) -> str:
        return table_name(stream, table, self.separator)


def table_name(stream: str, table: Table, separator: str) -> str:
    """Return the stream of a table's rows."""
    return separator.join((stream, *table.names))


class Names:
    """The names of fields in the rows of a table; ``whole`` are the columns of what had to stay whole.

    Fields that no schema names are learned as they come. ``may_be_marked``: rows that stay may be marked as deleted.
    """

    def __init__(
        self, table: Table, separator: str, keys: Collection[str], *, may_be_marked: bool = True
    ) -> None:
        self.table = table
        self.may_be_marked = may_be_marked
        self.whole: set[str] = set()
        self._separator = separator
        self._above = (
            []
            if not table.level
            else [*map(root_key, keys), *([PARENT_POSITION] if table.level > 1 else []), POSITION]
        )
        parts = list(table.row.all_parts())
        self._learned: dict[tuple[str, ...], dict[str, str]] = {part.path: {} for part in parts}
        self._known = {
            *self._above,
            *table.wholes(),
            *(name for part in parts for name in part.leaves.values()),
        }
        self._most = len(self._known) + _MOST_LEARNED

    @property
    def count(self) -> int:
        return len(self._known)

    def fields_of(self, part: Part) -> dict[str, str]:
        """Return the fields of an object that stay whole, with their names in the row."""
        return {**part.leaves, **self._learned[part.path]}

    def name_of(self, part: Part, key: str) -> str:
        return self._separator.join((*part.path, key))

    def learn(self, part: Part, key: str) -> bool:
        """Note a field that no schema names; False: its name is taken."""
        learned, name = self._learned[part.path], self.name_of(part, key)
        if key in learned:
            return True
        if name in self._known:
            return False
        if len(self._known) < self._most:
            learned[key] = name
            self._known.add(name)
        return True

    def with_learned(self, row: Mapping[str, str]) -> list[str]:
        """Return the names that the line of a row of a list has: all but those that no schema names, of which it has its own."""
        own = (
            [VALUE]
            if self.table.is_scalar
            else [name for part in self.table.row.all_parts() for name in part.leaves.values()]
        )
        every = [*self._above, *own, *sorted(self.whole), DELETED_AT]
        return [*every, *(name for name in row if name not in every)]
