"""CSV of which all quotes stand where they should, as cells: cut by what C does with all bytes, with no Python for a row.

What stands between quotes is taken out, then all fields are cut at once, and where each line begins is seen by its end, which stands in
front of its first field. What does not fit is left to csv: a row that is longer or shorter, blank or goes over several lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from singerkit_shell.encoding import count_lines
from singerkit_wire.columnlines import is_plain
from tap_files.formats.cells import ESCAPED_QUOTE, Cells

__all__ = ["cells_of"]

_QUOTED = b"\0"
"""Stands in place of a field in quotes."""


def cells_of(data: bytes, width: int, delimiter: bytes, quote: bytes) -> Cells | None:
    """Return rows of UTF-8 that have ``width`` fields and end in a line end each; None: csv has to look at them.

    ``quote``: b"" for none. There is neither an escape nor a comment.
    """
    if _QUOTED in data or not data:
        return None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    is_quoted = bool(quote) and quote in data
    is_escaped = is_plain(data, delimiter + (quote if quote == b'"' else b""))
    is_escaped = is_escaped and (is_plain(delimiter) or not is_quoted)
    quoted: Sequence[bytes] = ()
    lines = count_lines(data)
    if is_quoted:
        taken = _taken_out(data, quote, ESCAPED_QUOTE if is_escaped and quote == b'"' else quote)
        if taken is None:
            return None
        data, quoted = taken
        if count_lines(data) != lines:
            return None
    fields = _cut(data, lines, width, delimiter)
    if fields is None or (quoted and not _are_put_back(fields, width, quoted)):
        return None
    return Cells(fields, width, is_escaped)


def _taken_out(data: bytes, quote: bytes, doubled: bytes) -> tuple[bytes, list[bytes]] | None:
    """Return rows without what stands in quotes, and that; ``doubled``: what becomes of two quotes within. None: a quote is left over."""
    parts = data.split(quote)
    outside, inside = parts[::2], parts[1::2]
    if len(outside) == len(inside):
        return None
    if quote * 2 in data:
        outside, inside = _joined_at_doubled(outside, inside, doubled)
    return _QUOTED.join(outside), inside


def _joined_at_doubled(
    outside: list[bytes], inside: list[bytes], doubled: bytes
) -> tuple[list[bytes], list[bytes]]:
    """Join what stands in quotes and has nothing between: quotes that are doubled within a field."""
    left: list[bytes] = []
    joined: list[bytes] = []
    begin = 0
    while (at := _gap(outside, begin + 1)) < len(outside):
        end = at + 1
        while not outside[end]:
            end += 1
        left += outside[begin:at]
        joined += inside[begin : at - 1]
        joined.append(doubled.join(inside[at - 1 : end]))
        begin = end
    return left + outside[begin:], joined + inside[begin:]


def _gap(parts: list[bytes], begin: int) -> int:
    """Return the number of the next one that is empty, or how many there are."""
    try:
        return parts.index(b"", begin)
    except ValueError:
        return len(parts)


def _cut(data: bytes, count: int, width: int, delimiter: bytes) -> list[bytes] | None:
    """Return the fields of ``count`` lines; None: some have more or fewer, or are blank."""
    fields = data.replace(b"\n", delimiter + b"\n").split(delimiter)
    if len(fields) != count * width + 1 or data[-1:] != b"\n":
        return None
    if width == 1 and (data[:1] == b"\n" or b"\n\n" in data):
        return None
    del fields[-1]
    first = b"".join(fields[::width])
    if first.count(b"\n") != count - 1:
        return None
    fields[::width] = first.split(b"\n")
    return fields


def _are_put_back(fields: list[bytes], width: int, quoted: Sequence[bytes]) -> bool:
    """Put what stood in quotes back to where it was taken from; return False if that was only a part of a field."""
    count = len(fields) // width
    columns = [
        number
        for number in range(width)
        if fields[number] == _QUOTED and fields[number::width].count(_QUOTED) == count
    ]
    if len(columns) * count == len(quoted):
        for place, number in enumerate(columns):
            fields[number::width] = quoted[place :: len(columns)]
        return True
    at = -1
    try:
        for text in quoted:
            at = fields.index(_QUOTED, at + 1)
            fields[at] = text
    except ValueError:
        return False
    return True
