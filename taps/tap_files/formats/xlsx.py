"""Workbooks of Excel: one sheet, whose rows are read twice, as only all of its cells say what a column holds."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import zip_longest
from typing import Any, Protocol

import msgspec

from tap_files.formats.contract import (
    PIECE_BYTES,
    BadRow,
    Bytes,
    OtherSettings,
    Piece,
    Reader,
    Spot,
    UnreadableFile,
)
from tap_files.formats.sheetcolumns import ColumnKinds
from tap_files.formats.sheetmerged import Filling, areas_by_row
from tap_files.formats.sheetvalues import Broken
from tap_files.formats.sheetxml import Book, Row
from tap_files.settings.xlsx import Area, XlsxSettings, column_letters

__all__ = ["reader_of"]

logger = logging.getLogger(__name__)

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CELL_BYTES = 24
"""About so many bytes are a cell without a text."""
_WEIGHED = 8
"""Of as many rows one is weighed."""
_MOST_KEPT = 500_000
"""Cells of a sheet that stay in memory between the two times that it is read."""


class Workbook(Protocol):
    """A workbook of any kind."""

    @property
    def sheets(self) -> list[str]: ...
    def rows(self, sheet: int) -> Iterator[Row]: ...
    def merged(self, sheet: int) -> list[str]: ...
    def close(self) -> None: ...


def reader_of(settings: XlsxSettings, content: Bytes, start: Spot) -> Reader:
    """Return what reads one sheet of one file from a record on.

    Raises:
        ConfigurationError: what reads it is not installed, or would not tell what `errors` asks for.
        UnreadableFile: it is no workbook, has no such sheet, or no names for its columns.
    """
    return _Sheet(settings, content.to_disk(), start)


def _opened(path: str, settings: XlsxSettings) -> Workbook:
    with open(path, "rb") as file:
        beginning = file.read(8)
        is_other = beginning.startswith(_ZIP) and b"mimetype" in file.read(64)
    if beginning.startswith(_ZIP) and not is_other:
        book = Book(path)
        if not book.is_binary:
            return book
        book.close()
        is_other = True
    if not is_other and beginning != _OLE:
        shown = "one of 0 bytes" if not beginning else "other bytes at its beginning: it is of another format"
        raise UnreadableFile(
            f"Expected a workbook of Excel, got {shown}; have it written anew, or say what it is in `format`."
        )
    from tap_files.formats.otherworkbooks import OtherBook

    return OtherBook(path, settings)


class _Sheet:
    def __init__(self, settings: XlsxSettings, path: str, start: Spot) -> None:
        self.wanted: Collection[str] | None = None
        self._settings, self._path, self._start = settings, path, start
        self._header_row = 0
        self._nulled = 0
        self._kept: list[Row] | None = []
        """All rows, of a sheet that has few; None: it is read again."""
        self._kinds = ColumnKinds()
        with closing(_opened(path, settings)) as book:
            self._columns = self._looked_through(book)
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = {
            name: self._kinds.schema(place) for name, place in self._columns.items()
        }

    def _looked_through(self, book: Workbook) -> dict[str, int]:
        """Return the columns by name, after a look at all rows."""
        settings, kinds = self._settings, self._kinds
        self._number = _number_of(settings.sheet, book.sheets)
        self._sheet_name = book.sheets[self._number]
        self._filled = areas_by_row(book.merged(self._number), settings.area) if settings.fill_merged else {}
        names = dict(enumerate(settings.names))
        cells = 0
        for row, values in self._rows_of(book):
            cells += len(values)
            if self._kept is not None:
                self._kept.append((row, values))
            if cells > _MOST_KEPT:
                self._kept = None
            if not names and not self._header_row:
                self._header_row, names = row, _names(values, row, settings.area)
            else:
                kinds.add(values)
        self._check_names(names, kinds)
        return {name: place for place, name in names.items()}

    def _check_names(self, names: Mapping[int, str], kinds: ColumnKinds) -> None:
        left = self._settings.area.left
        unnamed = next((place for place in kinds.places if place not in names), None)
        if unnamed is not None:
            letters = column_letters(left + unnamed)
            known = f"the header in row {self._header_row}" if self._header_row else "`names`"
            raise OtherSettings(
                f"Expected a name for each column that has values, got none for column {letters} of sheet `{self._sheet_name}` in {known}; give all "
                "names in `xlsx.names`, or leave the column out with `xlsx.range`."
            )

    def _rows(self) -> Iterator[Row]:
        if self._kept is not None:
            yield from self._kept
            return
        with closing(_opened(self._path, self._settings)) as book:
            yield from self._rows_of(book)

    def _rows_of(self, book: Workbook) -> Iterator[Row]:
        """Yield the rows of the area, from its first column on, that are not empty."""
        area, filled = self._settings.area, Filling(self._filled)
        is_whole_width = area.left == 1
        for row, values in filled.rows(book.rows(self._number)):
            if row < area.top:
                continue
            if row > area.bottom:
                return
            own = (
                values if is_whole_width and len(values) <= area.right else values[area.left - 1 : area.right]
            )
            if any(value is not None and value != "" for value in own):
                yield row, own

    def pieces(self) -> Iterator[Piece]:
        rows: list[Row] = []
        size, before, number, weight = 0, self._start.row, 0, 0
        for row, values in self._rows():
            if row == self._header_row:
                continue
            number += 1
            if number <= self._start.row:
                continue
            rows.append((row, values))
            if number % _WEIGHED == 0 or len(rows) == 1:
                weight = sum(len(value) if isinstance(value, str) else _CELL_BYTES for value in values)
            size += weight
            if size >= PIECE_BYTES:
                yield self._piece(rows, before)
                before, rows, size = number, [], 0
        if rows:
            yield self._piece(rows, before)
        if self._nulled:
            logger.warning(
                "%d cells that hold an error, or a formula without a stored value, were sent as null (`xlsx.errors`).",
                self._nulled,
            )

    def _piece(self, rows: Sequence[Row], before: int) -> Piece:
        bad: list[BadRow] = []
        chosen = {
            name: place for name, place in self._columns.items() if self.wanted is None or name in self.wanted
        }
        table = list(zip_longest(*(values for _, values in rows)))
        nothing = [None] * len(rows)
        by_name = {name: table[place] if place < len(table) else nothing for name, place in chosen.items()}
        broken = self._broken(by_name)
        if broken and self._settings.errors == "null":
            self._nulled += sum(map(len, broken.values()))
            by_name = {name: _without_broken(values) for name, values in by_name.items()}
        elif broken:
            bad = [
                self._bad(before + 1 + place, *rows[place], chosen[names[0]])
                for place, names in broken.items()
            ]
        good = [place for place in range(len(rows)) if not bad or place not in broken]
        columns = {
            name: self._kinds.sent(chosen[name], values if not bad else [values[place] for place in good])
            for name, values in by_name.items()
        }
        after = before + len(rows)
        return Piece(
            count=len(good),
            numbers=range(before + 1, after + 1) if not bad else [before + 1 + place for place in good],
            columns=columns,
            lines=[rows[place][0] for place in good],
            behind=Spot(0, rows[-1][0], after),
            bad=bad,
        )

    def _broken(self, by_name: Mapping[str, Sequence[Any]]) -> dict[int, list[str]]:
        """Return the rows with cells that have no value, and their columns."""
        broken: dict[int, list[str]] = {}
        for name, values in by_name.items():
            if self._kinds.has_broken(self._columns[name]):
                for place, value in enumerate(values):
                    if type(value) is Broken:
                        broken.setdefault(place, []).append(name)
        return dict(sorted(broken.items()))

    def _bad(self, number: int, row: int, values: Sequence[Any], place: int) -> BadRow:
        cell = f"{column_letters(self._settings.area.left + place)}{row}"
        shown = [str(value) if isinstance(value, str) else value for value in values]
        text = msgspec.json.Encoder(decimal_format="number").encode(shown).decode()[:10_000]
        return BadRow(
            number,
            row,
            0,
            f"Expected a value in cell {cell} of sheet `{self._sheet_name}`, got {values[place]}",
            text,
        )


def _without_broken(values: Sequence[Any]) -> list[Any]:
    return [None if type(value) is Broken else value for value in values]


def _number_of(sheet: str | int, sheets: Sequence[str]) -> int:
    if isinstance(sheet, str) and sheet in sheets:
        return sheets.index(sheet)
    if isinstance(sheet, int) and sheet <= len(sheets):
        return sheet - 1
    there = ", ".join(f"`{name}`" for name in sheets[:20])
    shown = f"`{sheet}`" if isinstance(sheet, str) else f"number {sheet}"
    raise OtherSettings(
        f"Expected sheet {shown} in the workbook, got {len(sheets)} others: {there}; name one of them in `xlsx.sheet`."
    )


def _names(values: Sequence[Any], row: int, area: Area) -> dict[int, str]:
    names: dict[int, str] = {}
    places: dict[str, int] = {}
    for place, value in enumerate(values):
        name = "" if value is None or type(value) is Broken else _name(value)
        if not name:
            continue
        if name in places:
            first, second = (column_letters(area.left + one) for one in (places[name], place))
            raise OtherSettings(
                f"Expected different names for the columns in row {row}, got `{name}` in both {first} and {second}; give names in `xlsx.names`, or "
                "leave one out with `xlsx.range`."
            )
        names[place], places[name] = name, place
    return names


def _name(value: Any) -> str:
    return (
        value if isinstance(value, str) else bytes(value).decode() if isinstance(value, bytes) else str(value)
    ).strip()
