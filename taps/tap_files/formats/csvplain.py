"""CSV of which all quotes stand where they should, as columns: cut by what C does with a whole text, with no Python for a row.

The text between quotes is taken out, then all fields are cut at once, and where each line begins is seen by its end, which stands in front
of its first field. What does not fit is left to csv: a row that is longer or shorter, blank or goes over several lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

__all__ = ["columns_of"]

_QUOTED = "\0"


def columns_of(text: str, width: int, delimiter: str, quote: str) -> list[Sequence[str]] | None:
    """Return the columns of rows that have ``width`` fields and end in a line end each; None: csv has to look at them.

    ``quote``: "" for none. There is neither an escape nor a comment.
    """
    if _QUOTED in text or not text:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    quoted: Sequence[str] = ()
    if quote and quote in text:
        parts = _quoted_fields(delimiter, quote).split("\n" + text)
        text = _QUOTED.join(parts[::2])[1:]
        quoted = parts[1::2]
        inside = _QUOTED.join(quoted)
        if quote in text or "\n" in inside:
            return None
        if quote in inside:
            quoted = inside.replace(quote * 2, quote).split(_QUOTED)
    columns = _cut(text, width, delimiter)
    return _with_quoted(columns, quoted) if columns and quoted else columns


def _cut(text: str, width: int, delimiter: str) -> list[Sequence[str]] | None:
    count = text.count("\n")
    fields = text.replace("\n", delimiter + "\n").split(delimiter)
    if len(fields) != count * width + 1 or text[-1] != "\n" or text[0] == "\n" or "\n\n" in text:
        return None
    del fields[-1]
    first = "".join(fields[::width])
    if first.count("\n") != count - 1:
        return None
    return [first.split("\n"), *(fields[number::width] for number in range(1, width))]


def _with_quoted(columns: list[Sequence[str]], quoted: Sequence[str]) -> list[Sequence[str]] | None:
    """Put the texts of quoted fields into columns in which all fields are quoted, or else where they belong."""
    count = len(columns[0])
    all_quoted = [
        number
        for number, column in enumerate(columns)
        if column[0] == _QUOTED and column.count(_QUOTED) == count
    ]
    if len(all_quoted) * count == len(quoted):
        for place, number in enumerate(all_quoted):
            columns[number] = quoted[place :: len(all_quoted)]
        return columns
    texts = iter(quoted)
    rows = zip(*columns, strict=True)
    filled = [next(texts) if field == _QUOTED else field for row in rows for field in row]
    return [filled[number :: len(columns)] for number in range(len(columns))]


@cache
def _quoted_fields(delimiter: str, quote: str) -> re.Pattern[str]:
    """Match what stands in quotes between two delimiters or ends of lines; its group is what is inside."""
    delimiter, quote = re.escape(delimiter), re.escape(quote)
    return re.compile(
        rf"{quote}((?<=[{delimiter}\n]{quote})[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+){quote}(?=[{delimiter}\n])"
    )
