"""The rows of a sheet whose XML is as Excel and its like write it: found by one regular expression, several times as fast as a parser.

Each block of rows is first held against the grammar of such XML as a whole, so that nothing of it is passed over; what is not so
plain, or is damaged, raises `Unusual`, and is read by the parser (`sheetxml.py`), whose values are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tap_files.formats.sheetvalues import Broken, number
from tap_files.settings.xlsx import MOST_ROWS

__all__ = ["Unusual", "plain_rows"]

_CELL = (
    r'<c r="{0}[A-Z]{{1,3}})[0-9]{{1,7}}"(?: s="{0}[0-9]{{1,5}})")?(?: t="{0}[a-zA-Z]{{1,9}})")?(?: [cv]m="[0-9]+")*+'
    r"(?: ?/>|>(?:{0}<f)(?:[^>]*/>|[^>]*(?<!/)>[^<]*</f>))?"
    r"(?:{0}<v)(?:>{0}[^<]*)</v>| ?/>)|<is><t(?: xml:space=\"preserve\")?{0}>){0}[^<]*)</t></is>)?</c>)"
)
_ROW = r'<row r="{0}[0-9]{{1,7}})"[^>]*'
_PLAIN = re.compile("(?:{row}/>|{row}(?<!/)>(?:{cell})*+</row>)*+".format(row=_ROW.format("(?:"), cell=_CELL.format("(?:")))  # fmt: skip
_PARTS = re.compile(f"{_ROW.format('(')}>|{_CELL.format('(')}")
_UTF_8 = re.compile(
    rb"\s*<\?xml [^>]*encoding=['\"](?i:utf-8)['\"][^>]*>|\s*<\?xml (?![^>]*encoding)[^>]*>|\s*<worksheet"
)
_BEGIN, _END, _LAST = b"<sheetData>", b"</sheetData>", b"</row>"
_LONGEST_HEAD = 1 << 20
_LONGEST_ROW = 1 << 24
_ENTITY = re.compile(r"&(?:#x([0-9A-Fa-f]{1,6})|#([0-9]{1,7})|([a-z]+));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class Unusual(Exception):
    """The XML is not so plain."""


def plain_rows(
    chunks: Iterator[bytes],
    strings: Sequence[str],
    is_number: Sequence[bool],
    convert: Callable[[str, str, str], Any],
    column: Callable[[str], int],
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows that are not empty.

    ``is_number``: by style, whether a number is one. ``convert`` makes a value of text, type and style of any other cell.

    Raises:
        Unusual: none of what is behind the last row may be read so.
    """
    columns: dict[str, int] = {}
    last = 0
    for block in _blocks(chunks):
        if _PLAIN.fullmatch(block) is None:
            raise Unusual
        try:
            for row, values in _rows(block, strings, is_number, convert, column, columns):
                if not last < row <= MOST_ROWS:
                    raise Unusual
                last = row
                if values:
                    yield row, values
        except (ValueError, LookupError, ArithmeticError):
            raise Unusual from None


def _rows(
    block: str,
    strings: Sequence[str],
    is_number: Sequence[bool],
    convert: Callable[[str, str, str], Any],
    column: Callable[[str], int],
    columns: dict[str, int],
) -> Iterator[tuple[int, list[Any]]]:
    row, reached, values = 0, 0, list[Any]()
    is_literal = not any(mark in block for mark in ("&", "_x", "\r"))
    for begins, letters, style, kind, has_formula, has_value, text, has_inline, inline in _PARTS.findall(
        block
    ):
        if begins:
            if row:
                yield row, values
            row, reached, values = int(begins), 0, []
            continue
        place = columns.get(letters)
        if place is None:
            place = columns[letters] = column(letters)
        if place <= reached:
            raise Unusual
        reached = place
        if kind == "s" and text:
            value = strings[int(text)]
        elif text and (not kind or kind == "n") and is_number[int(style or 0)]:
            value = number(text)
        elif inline and is_literal and kind == "inlineStr":
            value = inline
        elif text or inline or ((has_value or has_inline) and kind in ("str", "inlineStr")):
            value = convert(_plain_text(text or inline), kind or "n", style or "0")
        elif has_formula:
            value = Broken("a formula without a stored value")
        else:
            continue
        if value is not None:
            if place - 1 != len(values):
                values.extend([None] * (place - 1 - len(values)))
            values.append(value)
    if row:
        yield row, values


def _plain_text(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    if match[3]:
        return _NAMED[match[3]]
    return chr(int(match[1], 16) if match[1] else int(match[2]))


def _blocks(chunks: Iterator[bytes]) -> Iterator[str]:
    """Yield whole rows, up to the end of the data of the sheet."""
    head = b""
    for chunk in chunks:
        head += chunk
        if _BEGIN in head:
            break
        if len(head) > _LONGEST_HEAD or not chunk:
            raise Unusual
    before, _, rest = head.partition(_BEGIN)
    if (
        b"<!" in before
        or b"<worksheet" not in before
        or _UTF_8.match(before.removeprefix(b"\xef\xbb\xbf")) is None
    ):
        raise Unusual
    while True:
        end = rest.find(_END)
        if end >= 0:
            yield _decoded(rest[:end])
            return
        whole = rest.rfind(_LAST) + len(_LAST)
        if whole > len(_LAST) - 1:
            yield _decoded(rest[:whole])
            rest = rest[whole:]
        chunk = next(chunks, b"")
        if not chunk or len(rest) > _LONGEST_ROW:
            raise Unusual
        rest += chunk


def _decoded(block: bytes) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError:
        raise Unusual from None
