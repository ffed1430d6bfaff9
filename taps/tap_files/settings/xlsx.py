"""`xlsx` of a stream: how workbooks of Excel are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting

__all__ = ["XLSX", "Area", "XlsxSettings", "xlsx_problems", "xlsx_settings"]

MOST_COLUMNS, MOST_ROWS = 16_384, 1_048_576
_RANGE = re.compile(r"\$?([A-Za-z]{0,3})\$?([0-9]{0,7})(?::\$?([A-Za-z]{0,3})\$?([0-9]{0,7}))?")

XLSX = setting.group(
    "How workbooks of Excel are read. Needs `format` `xlsx`; files of other kinds than .xlsx and .xlsm (.xls, .xlsb, .ods) need "
    "`pip install 'singerkit[excel]'`.",
    {
        "sheet": {
            "type": ["string", "integer"],
            "minLength": 1,
            "minimum": 1,
            "default": 1,
            "secret": False,
            "description": "Name of the sheet, or its number, from 1.",
        },
        "range": setting.name("Cells that are read, with those of the header: `B3:F200`, `B:F`, `B3` for all from there on."),
        "names": setting.names("Names of the columns, where no row has them. Default: the first row of the range that is not empty has."),
        "errors": setting.name(
            "What becomes of a cell with an error (`#N/A`), or with a formula whose value no program has stored: its row is a bad one "
            "(`on_bad_row`), or null is sent, with a warning that counts them.",
            enum=["bad_row", "null"],
            default="bad_row",
        ),
        "fill_merged": setting.flag("Whether each cell of a merged area has its value; otherwise only its first one does.", False),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Area:
    """Cells from the first to the last of both, counted from 1."""

    left: int = 1
    top: int = 1
    right: int = MOST_COLUMNS
    bottom: int = MOST_ROWS


@dataclass(frozen=True)
class XlsxSettings:
    """`xlsx` of a stream; ``names`` is empty where a row has them."""

    sheet: str | int = 1
    area: Area = Area()
    names: tuple[str, ...] = ()
    errors: str = "bad_row"
    fill_merged: bool = False


def xlsx_settings(said: Mapping[str, Any], _path: str = "") -> XlsxSettings:
    """Return what the section says, of a config in which nothing is wrong."""
    own = {key: value for key, value in said.items() if key not in ("range", "names")}
    return XlsxSettings(
        area=_area(said.get("range", "")) or Area(), names=tuple(said.get("names", ())), **own
    )


def xlsx_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what the section, which fits its schema, says that cannot be."""
    if "range" in said and _area(said["range"]) is None:
        yield f"Expected a range of cells at `{place}.range`, as `B3:F200`, `B:F` or `B3`, got `{said['range']}`"
    names = said.get("names", ["a"])
    if not names or len(set(names)) < len(names):
        yield f"Expected a different name for each column at `{place}.names`"


def _area(text: str) -> Area | None:
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    whole = Area()
    left, top, right, bottom = match.groups()
    try:
        area = Area(
            column_number(left) if left else 1,
            int(top or 1),
            column_number(right) if right else whole.right,
            int(bottom) if bottom else whole.bottom,
        )
    except ValueError:
        return None
    fits = 1 <= area.left <= area.right <= whole.right and 1 <= area.top <= area.bottom <= whole.bottom
    return area if fits else None


def column_number(letters: str) -> int:
    """Return the number of a column, from 1, by its letters."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


def column_letters(number: int) -> str:
    """Undo `column_number`."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
