"""Workbooks that are no .xlsx (.xls, .xlsb, .ods), read by python-calamine: as a whole, numbers as the doubles that they are.

It gives an error, and a formula without a value, as it gives an empty cell; so they are read only where the config says that these
become null.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.extras import imported
from singerkit_wire.momenttexts import duration_text
from tap_files.formats.contract import UnreadableFile
from tap_files.formats.sheetvalues import Date, Duration, Moment, Time, number
from tap_files.formats.sheetxml import Row
from tap_files.settings.xlsx import XlsxSettings, column_letters

__all__ = ["OtherBook"]


class OtherBook:
    """An opened workbook.

    Raises:
        ConfigurationError: python-calamine is not installed, or `errors` asks for what it does not tell.
        UnreadableFile: it is none, or has a password.
    """

    def __init__(self, path: str, settings: XlsxSettings) -> None:
        calamine = imported("python_calamine", "workbooks other than .xlsx", "excel", "tap-files")
        try:
            self._book = calamine.load_workbook(path)
        except calamine.PasswordError:
            raise UnreadableFile(
                "Expected a workbook without a password, got one with; have it saved without."
            ) from None
        except calamine.CalamineError as error:
            raise UnreadableFile(
                f"Expected a workbook of Excel, got one that cannot be read ({str(error)[:200]}); have it saved anew, as .xlsx."
            ) from None
        if settings.errors != "null":
            raise ConfigurationError(
                "Expected `xlsx.errors` `null` for workbooks other than .xlsx, since python-calamine does not tell cells with errors from empty ones, got "
                "`bad_row`; set it, or have the files saved as .xlsx."
            )
        self._calamine = calamine
        self.sheets: list[str] = list(self._book.sheet_names)

    def close(self) -> None:
        """Let go of the file."""
        self._book.close()

    def rows(self, sheet: int) -> Iterator[Row]:
        """See `sheetxml.Book.rows`."""
        found = self._read(sheet)
        left = 0 if found.start is None else found.start[1]
        for place, values in enumerate(found.iter_rows()):
            own = [None if value == "" else _value(value) for value in values]
            while own and own[-1] is None:
                own.pop()
            if own:
                yield place + 1, [None] * left + own

    def merged(self, sheet: int) -> list[str]:
        """See `sheetxml.Book.merged`."""
        areas = self._read(sheet).merged_cell_ranges or []
        return [
            f"{column_letters(left + 1)}{top + 1}:{column_letters(right + 1)}{bottom + 1}"
            for (top, left), (bottom, right) in areas
        ]

    def _read(self, sheet: int) -> Any:
        try:
            return self._book.get_sheet_by_index(sheet)
        except self._calamine.CalamineError as error:
            raise UnreadableFile(
                f"Expected cells in sheet `{self.sheets[sheet]}`, got what cannot be read ({str(error)[:200]}); have the file saved anew, as .xlsx."
            ) from None


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return number(repr(value))
    if isinstance(value, dt.datetime):
        return Moment(value.isoformat())
    if isinstance(value, dt.date):
        return Date(value.isoformat())
    if isinstance(value, dt.time):
        return Time(value.isoformat())
    if isinstance(value, dt.timedelta):
        return Duration(duration_text(value // dt.timedelta(microseconds=1), "us"))
    return value
