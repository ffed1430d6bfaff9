"""The rows of a table as it was in the log: tuples of pgoutput to JSON objects, one by one, or many at once (`blocks`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec.json import encode

from singerkit_shell.errors import BadDataError
from singerkit_wire.readyrows import ReadyRows
from singerkit_wire.stream import DELETED_AT
from tap_postgres.log.blocks import Block, Unusual
from tap_postgres.log.pgoutput import ABSENT, Relation, Tuple, new_row
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.values import Make

__all__ = ["Rows", "filled"]

FEW = 8
"""So many rows are made as fast one by one."""


class Rows:
    """What the log says of one table, as long as its columns stay as they are."""

    def __init__(
        self, table: LoggedTable, relation: Relation, makers: Mapping[str, Make], doubt: str | None = None
    ) -> None:
        """``makers``: of the columns that are sent. ``doubt``: why rows that are there may have other values since, of which the log says nothing."""
        self.doubt = doubt
        self.table, self.relation = table, relation
        self.stream = table.stream
        self.names = tuple(attribute.name for attribute in relation.attributes)
        self._sent = {
            self.names.index(name): (name, makers[name])
            for name in table.columns
            if name in makers and name in self.names
        }
        self._makers = {place: (b"%b:" % encode(name), make) for place, (name, make) in self._sent.items()}
        self.key = self._key()
        self.blind = self._blind()

    def _key(self) -> tuple[int, ...]:
        """Return where the columns of the key stand.

        Raises:
            BadDataError: the log does not have them.
        """
        missing = [name for name in self.table.key if name not in self.names]
        if missing:
            raise BadDataError(
                f"In the log, table `{self.table.schema}.{self.table.name}` has no column `{missing[0]}`, which is a key of stream "
                f"`{self.stream}`; what was confirmed by the target is safe: discover anew and start the stream over."
            )
        return tuple(self.names.index(name) for name in self.table.key)

    def _blind(self) -> str | None:
        """Return why changes of rows do not say which row it was, if that is so: inserts alone are sure then."""
        lacking = [
            name
            for number in self.key
            if not self.relation.attributes[number].is_key
            for name in [self.names[number]]
        ]
        if not lacking and (self.key or self.relation.identity == "f"):
            return None
        what = f"without its key (`{lacking[0]}`)" if lacking else "without what they were"
        return (
            f"rows of table `{self.table.schema}.{self.table.name}` were changed while its replica identity was another one, so that the log has "
            f"them {what}"
        )

    def blind_by(self, old: Tuple) -> str | None:
        """Return why an old row does not say which one it was: a partition may have had another replica identity than its root."""
        if not any(old[number] is None for number in self.key):
            return None
        return f"the log has changed rows of a partition of table `{self.table.schema}.{self.table.name}` without their key"

    def record(self, values: Tuple, only: Sequence[int] | None = None) -> bytes:
        """Return the record of a row, without what the log does not have of it; ``only``: places of its columns."""
        parts = []
        for number in self._makers if only is None else only:
            name, make = self._makers[number]
            value = values[number]
            if isinstance(value, bytes):
                parts.append(name + make(value))
            elif value is None:
                parts.append(name + b"null")
        return b"{%b}" % b",".join(parts)

    @cached_property
    def _block(self) -> Block:
        return Block(len(self.names), self._sent, DELETED_AT)

    def ready(self, new: Sequence[bytes]) -> tuple[ReadyRows | None, Sequence[int]]:
        """Return the records of those new rows that can be made at once, with the places of these; `DELETED_AT` of each is null.

        ``new``: each as it stands in its message behind `N`.
        """
        places, rows = [*range(len(new))], new
        while self._makers and len(rows) >= FEW:
            try:
                return self._block.records(rows), places
            except Unusual as unusual:
                places = [place for at, place in enumerate(places) if at not in unusual.places]
                rows = [new[place] for place in places]
        return None, ()

    def new(self, row: bytes) -> bytes:
        """Return the record of one new row, without `DELETED_AT`.

        Raises:
            ValueError, IndexError: it is cut off.
        """
        return self.record(new_row(b"N" + row, 0, len(self.names)))

    def absent(self, values: Tuple) -> list[str]:
        """Return the columns that are sent and that the log does not have."""
        return [self.names[number] for number in self._makers if values[number] is ABSENT]

    def has_new_key(self, old: Tuple, new: Tuple) -> bool:
        return any(old[number] != new[number] for number in self.key)


def filled(new: Tuple, old: Tuple) -> Tuple:
    """Return a new row with what it lacks from the old one, which is whole."""
    if ABSENT not in new:
        return new
    return [before if value is ABSENT else value for value, before in zip(new, old, strict=True)]
