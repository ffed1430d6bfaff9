"""What the cells of a column are, and so what the column holds: a column with both numbers and texts keeps them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from msgspec import Raw

from tap_files.formats.sheetvalues import Broken, Date, Duration, Moment, Time

__all__ = ["ColumnKinds"]

_KINDS: Mapping[type, tuple[str, str | None]] = {
    int: ("integer", None),
    Raw: ("number", None),
    Decimal: ("number", None),
    float: ("number", None),
    bool: ("boolean", None),
    str: ("string", None),
    Duration: ("string", None),
    Date: ("string", "date"),
    Moment: ("string", "date-time"),
    Time: ("string", "time"),
}
_AT_ONCE = 1000
_EMPTY = frozenset({type(None), Broken})
_ORDER = ["null", "boolean", "integer", "number", "string"]


class ColumnKinds:
    """The types of the values of each column, by its place."""

    def __init__(self) -> None:
        self._types: list[set[type]] = []
        self._rows: list[Sequence[Any]] = []
        """Rows that have not been looked at yet."""

    @property
    def places(self) -> list[int]:
        """The columns that have values."""
        self._look()
        return [place for place, types in enumerate(self._types) if types - _EMPTY]

    def has_broken(self, place: int) -> bool:
        """Tell whether a column has cells without a value (`Broken`)."""
        return place < len(self._types) and Broken in self._types[place]

    def add(self, values: Sequence[Any]) -> None:
        """Take up the values of one row."""
        self._rows.append(values)
        if len(self._rows) == _AT_ONCE:
            self._look()

    def _look(self) -> None:
        columns = list(zip_longest(*self._rows))
        self._types += [set() for _ in range(len(columns) - len(self._types))]
        for types, values in zip(self._types, columns, strict=False):
            types.update(map(type, values))
        self._rows = []

    def schema(self, place: int) -> dict[str, Any]:
        """Return the JSON Schema of a column."""
        types = self._of(place)
        kinds = {_KINDS[one][0] for one in types}
        kinds -= {"integer"} if "number" in kinds else set()
        schema: dict[str, Any] = {"type": sorted({"null", *kinds}, key=_ORDER.index)}
        format_ = _format(types)
        return schema | ({"format": format_} if format_ else {})

    def sent(self, place: int, values: Sequence[Any]) -> Sequence[Any]:
        """Return values of a column as they are sent: days as the moments with which they begin, where others have a time."""
        types = self._of(place)
        if not types & _DATED:
            return values
        make: Callable[[Any], Any] = _as_moment if _format(types) == "date-time" else _as_text
        return [make(value) for value in values]

    def _of(self, place: int) -> set[type]:
        return self._types[place] - _EMPTY if place < len(self._types) else set()


_DATED = {Date, Moment, Time, Duration}


def _format(types: set[type]) -> str | None:
    formats = {_KINDS[one][1] for one in types}
    if formats == {"date", "date-time"}:
        return "date-time"
    return formats.pop() if len(formats) == 1 else None


def _as_text(value: Any) -> Any:
    return str(value) if type(value) in _DATED else value


def _as_moment(value: Any) -> Any:
    return f"{value}T00:00:00" if type(value) is Date else _as_text(value)
