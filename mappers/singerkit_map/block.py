"""A block of records of one stream in columns: JSON texts as they came, of which an operation decodes only what it works on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Raw

from singerkit_shell.errors import BadDataError
from singerkit_wire.stream import DELETED_AT

__all__ = ["HIDDEN", "NULL", "Bad", "Block", "Column", "Place", "texts_of"]

Column: TypeAlias = Sequence[Any]
"""A `msgspec.Raw` for each record, or `UNSET` where it leaves the field out."""

NULL = Raw(b"null")
HIDDEN = Raw(b'"***"')
"""What is shown where an operation that protects could not run."""

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Bad:
    """What is wrong with a record: the field, the reason without any value, and the operation."""

    path: str
    reason: str
    place: str


@dataclass(frozen=True)
class Place:
    """Where operations are at work: the stream as it came, and what becomes of bad values (`fail`, `quarantine`, `null`)."""

    stream: str
    on_error: str = "fail"
    nulled: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How many values were made null, by stream, operation and field."""


@dataclass
class Block:
    """Records in columns; all columns and ``lines`` have one item a record.

    ``lines`` are the numbers of the lines of the input, ``bad`` the records that are set aside at the end, by their index.
    """

    place: Place
    columns: dict[str, Column]
    lines: Sequence[int]
    bad: dict[int, Bad] = field(default_factory=dict)
    envelope: dict[str, Column] = field(default_factory=dict)
    """What stands beside the records (`time_extracted`, `version`), in columns too."""
    common: bytes = b""
    """The same as JSON with its comma, where it is the same for all; then there are no such columns."""
    beside: dict[str, list[bytes]] = field(default_factory=dict)
    """Records of other streams, that an operation has made and that go before these, as JSON."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> None:
        """Keep these records, in this order; one that stands there twice becomes two."""
        for columns in (self.columns, self.envelope):
            for name, column in columns.items():
                columns[name] = list(map(column.__getitem__, rows))
        if self.bad:
            self.bad = {new: self.bad[old] for new, old in enumerate(rows) if old in self.bad}
        self.lines = list(map(self.lines.__getitem__, rows))

    def keep(self, stays: Sequence[bool]) -> None:
        """Keep those of the records that stay."""
        for columns in (self.columns, self.envelope):
            for name, column in columns.items():
                columns[name] = list(compress(column, stays))
        if self.bad:
            places = {old: new for new, old in enumerate(compress(range(len(self)), stays))}
            self.bad = {places[row]: bad for row, bad in self.bad.items() if row in places}
        self.lines = list(compress(self.lines, stays))

    def refuse(self, row: int, bad: Bad) -> None:
        """Set a record aside at the end of all operations, of several problems for the first.

        Raises:
            BadDataError: bad values end the run.
        """
        if self.place.on_error != "quarantine":
            raise BadDataError(self.sentence(row, bad))
        self.bad.setdefault(row, bad)

    def nulled(self, row: int, bad: Bad) -> bool:
        """Tell whether null counts in the place of a bad value, and count it; else its record is set aside, as `refuse` has it."""
        if self.place.on_error != "null":
            self.refuse(row, bad)
            return False
        self.place.nulled[self.place.stream, bad.place, bad.path] += 1
        return True

    def deleted(self) -> list[int]:
        """Return the records that say that their row was deleted at the source, whether or not the SCHEMA names the field."""
        marks = self.columns.get(DELETED_AT, ())
        return [row for row, mark in enumerate(marks) if mark is not UNSET and bytes(mark) != b"null"]

    def refuse_deleted(self, place: str) -> None:
        """Set records of deleted rows aside before an operation that can do nothing with them.

        Raises:
            BadDataError: there is one, and bad values end the run.
        """
        for row in self.deleted():
            self.refuse(row, Bad(DELETED_AT, "expected no record of a deleted row", place))

    def sentence(self, row: int, bad: Bad) -> str:
        """Say what is wrong with a record: reason, place, line, operation."""
        reason = bad.reason[:1].upper() + bad.reason[1:]
        ways = "`quarantine`" if self.place.on_error == "null" else "`quarantine` or `null`"
        path = f"$.{bad.path}" if bad.path else "$"
        return (
            f"{reason} at {self.place.stream}.{path} (line {self.lines[row]}), where `{bad.place}` is at work; what was committed is safe: "
            f"mend the operation or the data, or set `on_error` of the map to {ways}, then run again."
        )


def texts_of(column: Column) -> list[bytes | None]:
    """Return the JSON texts of a column, None where a field is left out."""
    try:
        return _encoder.encode_lines(column).split(b"\n")[:-1]  # type: ignore[return-value]
    except TypeError:  # a field is left out
        pass
    return [None if value is UNSET else bytes(value) for value in column]
