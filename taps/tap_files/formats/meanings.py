"""What the texts of columns mean where the config says so: null, or a number that is written otherwise than in JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence

from singerkit_shell.secrets import redactor
from tap_files.formats.contract import OtherSettings
from tap_files.settings.lines import LineSettings

__all__ = ["Meanings", "Unclear"]

Column = Sequence[str | None]
_SHOWN = 8


class Unclear(Exception):
    """A text of a column with decimal commas is a number with a point: it could mean either."""


class Meanings:
    """Those of one file; ``section``: of the config, for sentences."""

    def __init__(self, settings: LineSettings, names: Sequence[str], section: str) -> None:
        self._nulls, self._section = settings.nulls, section
        self._nulls_of_bytes = frozenset(word.encode() for word in settings.nulls)
        self._is_by_default = settings.nulls == frozenset([""])
        self._numbers: dict[int, _Numbers] = {}
        for key in ("decimal_comma", "thousands"):
            for name in getattr(settings, key):
                if name not in names:
                    shown = redactor.mask_foreign(", ".join(f"`{one[:40]}`" for one in names[:_SHOWN]))
                    raise OtherSettings(
                        f"Expected the column `{name}`, which `{section}.{key}` names, got {shown}{', ...' * (len(names) > _SHOWN)} in the header"
                    )
                mark = settings.thousands.get(name, "")
                self._numbers[names.index(name)] = _Numbers(mark, name in settings.decimal_comma)

    @property
    def nulls_alone(self) -> frozenset[bytes] | None:
        """The fields that are null, in UTF-8, where nothing else is meant by any, and none has a quote; None: see `of`."""
        if self._numbers or any('"' in word for word in self._nulls):
            return None
        return self._nulls_of_bytes

    def of(self, columns: Sequence[Column]) -> list[Column]:
        """Return what columns of texts mean.

        Raises:
            Unclear: see there.
        """
        meant = [self._without_nulls(column) for column in columns]
        for number, numbers in self._numbers.items():
            meant[number] = [None if text is None else numbers.plain(text) for text in meant[number]]
        return meant

    def unclear_in(self, values: Sequence[str | None]) -> str:
        """Return why a row is not clear; "": it is."""
        for number, numbers in self._numbers.items():
            text = values[number]
            if text is not None and text not in self._nulls and numbers.is_unclear(text):
                return (
                    f"Expected a number with a comma before its decimals in field {number + 1}, got one with a point, which may mean decimals or "
                    f"thousands: say so in `{self._section}.thousands`, or take the column out of `{self._section}.decimal_comma`"
                )
        return ""

    def _without_nulls(self, column: Column) -> Column:
        if self._is_by_default:
            return [text or None for text in column] if "" in column else column
        if self._nulls.isdisjoint(column):
            return column
        return [None if text in self._nulls else text for text in column]


class _Numbers:
    """The numbers of one column. ``mark``: what stands between their thousands; "": nothing."""

    def __init__(self, mark: str, has_comma: bool) -> None:
        self._mark, self._point = mark, "," if has_comma else "."
        groups = rf"[1-9][0-9]{{0,2}}(?:{re.escape(mark)}[0-9]{{3}})+|" if mark else ""
        self._number = re.compile(rf"[+-]?(?:{groups}[0-9]+)(?:{re.escape(self._point)}[0-9]+)?")

    def plain(self, text: str) -> str:
        if self._number.fullmatch(text):
            text = text.replace(self._mark, "") if self._mark else text
            return text.replace(self._point, ".")
        if self.is_unclear(text):
            raise Unclear
        return text

    def is_unclear(self, text: str) -> bool:
        return (
            self._point == ","
            and _WITH_POINT.fullmatch(text) is not None
            and not self._number.fullmatch(text)
        )


_WITH_POINT = re.compile(r"[+-]?[0-9]+\.[0-9]+")
