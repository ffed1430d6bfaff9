"""From the pieces of a file to what is sent: the columns of the stream, in its order, with those that say where a row comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_wire.columnlines import JsonColumn, rows_of_columns
from singerkit_wire.encode import Record
from tap_files.filecolumns import of_file
from tap_files.formats.cells import CellColumns
from tap_files.formats.contract import BadRow, BadRowFound, Piece, Reader, UnreadableFile
from tap_files.settings.stream import StreamSettings
from tap_files.turns import Turn
from tap_files.typing.columns import Columns, NoValue
from tap_files.typing.texts import Column, Misfit

__all__ = ["BadValues", "Rows", "without"]

_encoder = msgspec.json.Encoder(decimal_format="number")


MOST_TEXT = 10_000
"""Characters of a bad row that are kept."""


class BadValues(Exception):
    """Rows of a piece have texts that are not what their column was declared to be; ``numbers``: of the rows in the piece, from 0."""

    def __init__(self, rows: Sequence[BadRow], numbers: Sequence[int]) -> None:
        super().__init__(numbers)
        self.rows, self.numbers = rows, numbers


class Rows:
    """Makes the rows of one stream. ``grow``: has the stream send what its columns are now, and returns the names of those that are sent."""

    def __init__(
        self,
        stream: str,
        settings: StreamSettings,
        columns: Columns,
        names: Sequence[str],
        grow: Callable[[], Sequence[str]],
    ) -> None:
        self._stream, self._settings, self._columns, self._grow = stream, settings, columns, grow
        self._lay_out(names)

    def _lay_out(self, names: Sequence[str]) -> None:
        self._names, self._sent = names, {*names}

    def _widen(self) -> None:
        self._lay_out(self._grow())

    def begin_file(self, reader: Reader, turn: Turn) -> None:
        """Take the columns of a file, before its first row.

        Raises:
            UnreadableFile: one has the name of a column of ours.
        """
        fields = reader.fields or {}
        self._columns.check_names([*fields])
        partitions = self._settings.pattern.partitions
        if self._columns.learn({**fields, **dict.fromkeys(partitions)}):
            self._widen()
        self._typed = frozenset(name for name, schema in fields.items() if schema is not None)
        reader.wanted = self._sent
        self._alike = {name: _encoder.encode(value) for name, value in of_file(turn.file, turn.found).items()}
        for name, column in self._of_path(turn.found.name).items():
            self._alike[name] = rows_of_columns({name: column}, 1).block[len(_encoder.encode(name)) + 2 : -2]

    def _of_path(self, name: str) -> dict[str, Column]:
        """Return what the parts of a path say, a column of one value each."""
        try:
            values = self._settings.pattern.values(name)
            return self._converted({key: [value] for key, value in values.items()})
        except NoValue as error:
            raise UnreadableFile(
                f"Expected `{error.kind}` in the part `{error.name}=` of its path, got a text that is none"
            ) from None
        except UnicodeDecodeError:
            raise UnreadableFile(
                "Expected a path whose percent signs stand for UTF-8, got other bytes"
            ) from None

    def sifted(self, piece: Piece) -> tuple[Sequence[Record], Sequence[BadRow]]:
        """Return the good rows of a piece, and those that are to be set aside, by their numbers.

        Raises:
            BadRowFound: one is bad, and none is set aside.
        """
        bad = list(piece.bad)
        while not bad or self._settings.sets_aside:
            try:
                return self.of_piece(piece), sorted(bad, key=_number)
            except BadValues as error:
                bad += error.rows
                piece = without(piece, {*error.numbers})
        raise BadRowFound(_placed(min(bad, key=_number)))

    def of_piece(self, piece: Piece) -> Sequence[Record]:
        """Return the rows of a piece.

        Raises:
            BadValues: texts are not what their column was declared to be.
        """
        return self._of_records(piece) if piece.columns is None else self._of_columns(piece, piece.columns)

    def _of_columns(self, piece: Piece, found: Mapping[str, Column]) -> Sequence[Record]:
        if piece.as_rows is not None:
            return piece.as_rows(
                {name: None if name in found else self._beside(name, piece) for name in self._names}
            )
        columns: dict[str, Column | JsonColumn] = {}
        if isinstance(found, CellColumns):
            columns |= self._columns.as_json(found, self._sent)
        columns |= {name: found[name] for name in found if name in self._sent and name not in columns}
        texts = {
            name: values
            for name, values in columns.items()
            if not isinstance(values, JsonColumn) and name not in self._typed
        }
        try:
            columns |= self._converted(texts)
        except NoValue as error:
            raise BadValues(self._bad_rows(error, piece, found), error.numbers) from None
        return rows_of_columns(
            {name: columns[name] if name in columns else self._beside(name, piece) for name in self._names},
            piece.count,
        )

    def _bad_rows(self, error: NoValue, piece: Piece, found: Mapping[str, Column]) -> list[BadRow]:
        reason = f"Expected `{error.kind}`, got a text that is none at {self._stream}.$.{error.name}"
        texts = _encoder.encode_lines(
            [[column[number] for column in found.values()] for number in error.numbers]
        )
        return [
            BadRow(
                piece.numbers[number],
                None if piece.lines is None else piece.lines[number],
                None,
                reason,
                text.decode()[:MOST_TEXT],
            )
            for number, text in zip(error.numbers, texts.splitlines(), strict=True)
        ]

    def _beside(self, name: str, piece: Piece) -> Sequence[int] | bytes:
        """Return a column that a piece has not: a number a row, or the JSON that all rows have there."""
        if name == "_row":
            return piece.numbers
        if name == "_line" and piece.lines is not None:
            return piece.lines
        return self._alike.get(name, b"null")

    def _converted(self, texts: Mapping[str, Column]) -> dict[str, Column]:
        """Return the values of columns of texts; a column that turns out to be of another type is widened before."""
        try:
            return self._columns.convert(texts)
        except Misfit:
            self._columns.look(texts)
            self._widen()
            return self._columns.convert(texts)

    def _of_records(self, piece: Piece) -> Sequence[Record]:
        """Return raw JSON objects with the columns of ours in front of their own."""
        records: Sequence[Any] = piece.records or ()
        if self._columns.look_at_records(records):
            self._widen()
        if not self._own:
            return records
        heads = rows_of_columns({name: self._beside(name, piece) for name in self._own}, piece.count)
        return list(map(_joined, heads, records))

    @property
    def _own(self) -> Sequence[str]:
        """The columns that are ours, and no file's."""
        return [name for name in self._settings.own_columns if name in self._sent]


def _number(bad: BadRow) -> int:
    return bad.row


def _placed(bad: BadRow) -> str:
    line = "" if bad.line is None or f"in line {bad.line}" in bad.reason else f" (line {bad.line})"
    return f"{bad.reason.removesuffix('.')}, record {bad.row}{line}"


def without(piece: Piece, numbers: Collection[int]) -> Piece:
    """Return a piece of columns less some of its rows."""
    kept = [number for number in range(piece.count) if number not in numbers]
    return dataclasses.replace(
        piece,
        count=len(kept),
        numbers=[piece.numbers[number] for number in kept],
        columns={name: [column[number] for number in kept] for name, column in (piece.columns or {}).items()},
        lines=None if piece.lines is None else [piece.lines[number] for number in kept],
    )


def _joined(head: bytes, record: bytes) -> bytes:
    """Return a JSON object with the members of ``head`` in front of its own."""
    rest = bytes(record).lstrip()[1:].lstrip()
    return head[:-1] + (rest if rest.startswith(b"}") else b"," + rest)
