"""Values that JSON does not have, in rows of the log and of the start of a stream: what the config says of them, as of a table that is read as a whole."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Protocol, cast

from msgspec.structs import replace

from singerkit_tap.log_contract import Change, ReadyChanges, SnapshotPage
from tap_postgres.log.tables import LoggedTable
from tap_postgres.unusual import UnusualValues

__all__ = ["FittedValues", "Settles", "Settling"]


class Settles(Protocol):
    """What is asked of `UnusualValues` for rows of the log."""

    @property
    def is_needed(self) -> bool: ...

    @property
    def looks_at_more(self) -> bool:
        """Whether values are looked at that are not numbers."""
        ...

    def settled_unmarked(self, rows: Sequence[bytes]) -> Sequence[bytes]: ...

    def tell(self, logger: logging.Logger) -> None: ...


class FittedValues:
    """The same, of a stream whose SCHEMA has to describe what is sent: ``fit`` is told rows before they are."""

    is_needed = looks_at_more = True

    def __init__(self, unusual: UnusualValues, fit: Callable[[Sequence[bytes]], None]) -> None:
        self._unusual, self._fit = unusual, fit

    def settled_unmarked(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        settled = self._unusual.settled_unmarked(rows)
        self._fit(settled)
        return settled

    def tell(self, logger: logging.Logger) -> None:
        self._unusual.tell(logger)


class Settling:
    """``make`` returns what settles the values of a stream with these columns (numbers of types)."""

    def __init__(
        self, make: Callable[[str, Mapping[str, int]], Settles], tables: Sequence[LoggedTable]
    ) -> None:
        self._make = make
        self._former: list[Settles] = []
        self._by_stream = {table.stream: make(table.stream, table.columns) for table in tables}

    def renew(self, table: LoggedTable) -> None:
        """Go on with other columns of a table."""
        self._former.append(self._by_stream[table.stream])
        self._by_stream[table.stream] = self._make(table.stream, table.columns)

    def changes(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Return changes as they are to be sent.

        Raises:
            BadDataError: see `UnusualValues`.
        """
        if isinstance(changes, ReadyChanges) and not any(
            self._by_stream[part.stream].looks_at_more for part in changes.parts
        ):  # all of their numbers are finite
            others = self.changes([*changes.others.values()])
            return ReadyChanges(
                changes.parts, dict(zip(changes.others, others, strict=True)), changes.transactions
            )
        settled = [*changes]
        for stream in {change.stream for change in changes}:
            unusual = self._by_stream[stream]
            if not unusual.is_needed:
                continue
            places = [
                place
                for place, change in enumerate(changes)
                if change.stream == stream and change.record is not None
            ]
            rows = [cast(bytes, changes[place].record) for place in places]
            for place, row in zip(places, unusual.settled_unmarked(rows), strict=True):
                if row is not changes[place].record:
                    settled[place] = replace(changes[place], record=row)
        return settled

    def pages(self, stream: str, pages: Iterator[SnapshotPage]) -> Iterator[SnapshotPage]:
        """Yield pages of a chunk as they are to be sent."""
        with contextlib.closing(cast("Generator[SnapshotPage]", pages)):
            for page in pages:
                rows = self._by_stream[stream].settled_unmarked(cast("Sequence[bytes]", page.records))
                yield SnapshotPage(rows, page.after)

    def tell(self, logger: logging.Logger) -> None:
        """Warn of how many were sent as null."""
        for unusual in (*self._former, *self._by_stream.values()):
            unusual.tell(logger)
