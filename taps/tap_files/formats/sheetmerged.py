"""Merged cells: only the first one of an area has a value in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tap_files.formats.contract import OtherSettings
from tap_files.formats.sheetxml import Row
from tap_files.settings.xlsx import Area, column_number

__all__ = ["Filling", "areas_by_row"]

_MOST_CELLS = 1 << 20
"""Cells of merged areas that get a value."""


def areas_by_row(merged: Sequence[str], area: Area) -> dict[int, list[tuple[int, int, int, int]]]:
    """Return the merged areas by their first row: left, top, right, bottom."""
    found: dict[int, list[tuple[int, int, int, int]]] = {}
    cells = 0
    for text in merged:
        first, _, last = text.replace("$", "").partition(":")
        left, top = _cell(first)
        right, bottom = _cell(last or first)
        right, bottom = min(right, area.right), min(bottom, area.bottom)
        cells += max(right - left + 1, 0) * max(bottom - top + 1, 0)
        if cells > _MOST_CELLS:
            raise OtherSettings(
                f"Expected at most {_MOST_CELLS} cells in merged areas to be filled, got more; leave `xlsx.fill_merged` out, or read less by `xlsx.range`."
            )
        found.setdefault(top, []).append((left, top, right, bottom))
    return found


def _cell(text: str) -> tuple[int, int]:
    letters = text.rstrip("0123456789")
    return column_number(letters), int(text[len(letters) :])


class Filling:
    """Gives each cell of a merged area the value of its first one."""

    def __init__(self, areas: Mapping[int, Sequence[tuple[int, int, int, int]]]) -> None:
        self._areas = areas
        self._open: list[tuple[int, int, int, Any]] = []
        """Left, right, last row and value of areas that have begun."""

    def rows(self, rows: Iterator[Row]) -> Iterator[Row]:
        if not self._areas:
            yield from rows
            return
        reached = 0
        for row, values in rows:
            for between in range(reached + 1, row):
                if not any(one[2] >= between for one in self._open):
                    break
                yield self._with_values(between, [])
            for left, _, right, bottom in self._areas.get(row, ()):
                value = values[left - 1] if left <= len(values) else None
                if value is not None:
                    self._open.append((left, right, bottom, value))
            yield self._with_values(row, values)
            reached = row
        while self._open:
            reached += 1
            row, values = self._with_values(reached, [])
            if values:
                yield row, values

    def _with_values(self, row: int, values: list[Any]) -> Row:
        self._open = [one for one in self._open if one[2] >= row]
        for left, right, _, value in self._open:
            values += [None] * (right - len(values))
            for place in range(left - 1, right):
                values[place] = value
        return row, values
