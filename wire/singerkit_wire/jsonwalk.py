"""A long JSON document, looked through once: what is short of it is kept as it stands, the items of its long arrays come a piece at a time.

Where an item ends is found out by guessing: what stands between the beginning of an item and a comma that may be behind one is
items, if and only if it is a JSON array once it is put in brackets, since whoever reads JSON knows after each byte where it
stands, whatever follows. That is asked of msgspec, a megabyte at a time. Where guesses fail, brackets are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NoReturn

import msgspec
from msgspec import Raw

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from singerkit_wire.encode import as_they_came, split_records

__all__ = ["Items", "JsonWalker", "items_of"]

PIECE = 1024 * 1024
"""Bytes that are read at once."""
_WHOLE = 256 * 1024 * 1024
"""Bytes that one value may have."""
_SHORT = PIECE
"""Bytes of a value that is kept as it stands."""
_AROUND = 64 * PIECE
"""Bytes of all that is kept."""
_GUESSES, _CANDIDATES = 4, 200
_TOKEN = re.compile(rb'[{\[]|([}\]])|(,)|"[^"\\]*(?:\\.[^"\\]*)*(")?', re.S)
_BLANKS = re.compile(rb"[ \t\r\n]*")
_BETWEEN = re.compile(rb"[ \t\r\n,]*")
_SCALAR = re.compile(rb"[^\s,\]}]*")
_FIRST_NAME = re.compile(rb'\{[ \t\r\n]*"[^"\\]{1,200}"')
_list = msgspec.json.Decoder(list[Raw])


def items_of(text: bytes) -> list[Raw]:
    """Return the items of an array without its brackets, untouched.

    Raises:
        BadDataError: it is no JSON, or not UTF-8.
    """
    return split_records(b"[" + text + b"]", "a long answer", is_utf8=True)


@dataclass(frozen=True, slots=True)
class Items:
    """Some items of the array at ``names``: their ``text`` begins at byte ``start``, behind ``lines`` ends of lines.

    ``is_object``: there was an object where `JsonWalker` was to look for an array: it is the one of ``rows``. ``are_first``: the array
    begins with them.
    """

    names: tuple[str, ...]
    start: int
    lines: int
    text: bytes
    rows: list[Raw]
    are_first: bool = False
    is_object: bool = False

    def places(self) -> Iterator[int]:
        """Yield where each of ``rows`` begins in the text."""
        at = 0
        for row in self.rows:
            blanks = _BETWEEN.match(self.text, at)
            at = blanks.end() if blanks else at
            yield at
            at += len(row)


Walk = Generator[Items, None, None]


class JsonWalker:
    """Looks through documents of UTF-8. ``read`` is given a place and a size, and returns what is there; places only grow.

    ``only``: the members down to an array (or an object) that alone is wanted: it is given however short it is, and nothing around it is kept.
    ``start``: where to begin.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        where: str,
        only: tuple[str, ...] | None = None,
        start: int = 0,
    ) -> None:
        self._read, self._where, self._only = read, where, only
        self._buffer = b""
        self._at = 0
        """Where it stands in the buffer."""
        self._begin = start
        """Where the buffer begins in the document."""
        self._lines = self._counted = 0
        """Ends of lines up to a place in the buffer, and that place."""
        self._kept = 0
        self._parts: list[bytes] = []
        self.arrays: set[tuple[str, ...]] = set()
        """Long arrays that were met, and what ``only`` names."""

    @property
    def place(self) -> int:
        """The byte where it stands."""
        return self._begin + self._at

    @property
    def lines(self) -> int:
        """The ends of lines between the start and where it stands."""
        self._lines += self._buffer.count(b"\n", self._counted, self._at)
        self._counted = self._at
        return self._lines

    def document(self) -> Iterator[Items]:
        """Yield the items of the long arrays of the one document that there is; then `around` has the rest of it.

        Raises:
            BadDataError: it is no JSON, or has more than the rows of long arrays that is long.
        """
        yield from self.next_document()
        if self._byte() is not None:
            self._fail("something behind its end")

    def has_document(self) -> bool:
        """Tell whether there is another document, and go to its first byte."""
        if self._begin + self._at == 0:
            self._fill(3)
            if self._buffer.startswith(b"\xef\xbb\xbf"):
                self._at = 3
        return self._byte() is not None

    def next_document(self) -> Iterator[Items]:
        """As `document`, of the next of several that stand one behind the other."""
        self.has_document()
        self._kept, self._parts, self.arrays = 0, [], set()
        try:
            yield from self._value((), is_long=True)
        except RecursionError:
            self._fail("one nested too deeply")

    def objects_a_line(self) -> Items | None:
        """Return the objects of the next lines, each of which has one and no more; None: they have not, or do not end yet.

        Each is a document, and not looked through: where this fails once it is not to be asked again.
        """
        self._trim()
        self._fill(PIECE)
        end = self._buffer.rfind(b"\n", self._at, self._at + PIECE)
        text = self._buffer[self._at : max(end, self._at)]
        lines = list(filter(None, map(bytes.strip, text.split(b"\n"))))
        try:
            check_utf8(text)
            rows = _list.decode(b"[" + b",".join(lines) + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if (
            not rows
            or list(map(len, rows)) != list(map(len, lines))
            or not all(line[0] == 0x7B for line in lines)
        ):
            return None
        self.arrays = {()}
        return self._taken((), end, rows, are_first=True, is_object=True)

    def rest_of_array(self) -> Iterator[Items]:
        """Go on in the array that ``only`` names, between two items of it, to the end of the document; then as `next_document`."""
        names = self._only or ()
        self.arrays = {names}
        yield from self._rest_of_items(names)
        for depth in range(len(names) - 1, -1, -1):
            yield from self._members(names[:depth], is_first=False)

    @property
    def around(self) -> bytes:
        """The document, of long arrays no more than the first item."""
        return b"".join(self._parts)

    # Values

    def _value(self, names: tuple[str, ...], *, is_long: bool = False) -> Walk:
        """Go behind a value, and keep what is kept of it."""
        self._trim()
        opening = self._byte()
        if opening is None:
            self._fail("an end in the middle")
        if opening not in (0x7B, 0x5B):
            self._add(self._scalar(opening))
            return
        if opening == 0x7B and names == self._only:
            yield self._whole_object(names)
            return
        is_on_the_way = self._only is not None and names == self._only[: len(names)]
        end = None if is_long or is_on_the_way else self._end_of_value(_SHORT)
        if end is not None:
            self._add(self._buffer[self._at : end])
            self._at = end
        elif opening == 0x7B:
            yield from self._object(names)
        else:
            yield from self._array(names)

    def _whole_object(self, names: tuple[str, ...]) -> Items:
        end = self._end_of_value(_WHOLE)
        if end is None:
            self._fail("a value of more than 256 MiB")
        self._note(names)
        return self._taken(names, end, self._rows(end), are_first=True, is_object=True)

    def _note(self, names: tuple[str, ...]) -> None:
        if names == self._only and names in self.arrays:
            self._fail(f"`{'.'.join(names)}` twice")
        self.arrays.add(names)

    def _object(self, names: tuple[str, ...]) -> Walk:
        self._at += 1
        self._add(b"{")
        yield from self._members(names, is_first=True)

    def _members(self, names: tuple[str, ...], *, is_first: bool) -> Walk:
        while (byte := self._byte()) != 0x7D:
            if not is_first:
                self._take(0x2C)
                byte = self._byte()
                self._add(b",")
            if byte != 0x22:
                self._fail("an object without a name")
            name = self._scalar(0x22)
            self._byte()
            self._take(0x3A)
            self._add(name + b":")
            yield from self._value((*names, _text(name)))
            is_first = False
        self._at += 1
        self._add(b"}")

    def _array(self, names: tuple[str, ...]) -> Walk:
        """Go behind a long array, give its items, and keep the first alone."""
        self._note(names)
        self._at += 1
        self._add(b"[")
        if self._byte() != 0x5D:
            yield from self._items(names)
        self._at += 1
        self._add(b"]")

    def _items(self, names: tuple[str, ...], *, is_first: bool = True) -> Walk:
        """Give the pieces of an array, and stop at its closing bracket."""
        end, closes = self._count(0)
        opening, closing = self._looks_of_item(end)
        while True:
            guess = None if closes else self._guess(opening, closing)
            if guess is None:
                end, closes = self._count(PIECE)
                rows = self._rows(end)
            else:
                end, rows = guess
            if is_first and self._only is None:
                self._add(bytes(rows[0]))
            items = self._taken(names, end, rows, are_first=is_first)
            is_first = False
            if self._byte() is None:
                yield items
                self._fail("an end in the middle")
            if not closes:
                self._take(0x2C)
            yield items
            if closes:
                return

    def _taken(
        self, names: tuple[str, ...], end: int, rows: list[Raw], *, are_first: bool, is_object: bool = False
    ) -> Items:
        """Go behind items that end at ``end``, and return them."""
        lines, start, text = self.lines, self.place, self._buffer[self._at : end]
        self._at = end
        return Items(names, start, lines, text, rows, are_first, is_object)

    def _rest_of_items(self, names: tuple[str, ...]) -> Walk:
        byte = self._byte()
        if byte is None:
            self._fail("an end in the middle")
        if byte != 0x5D:
            yield from self._items(names, is_first=False)
        self._at += 1

    # Where items end

    def _looks_of_item(self, end: int) -> tuple[bytes, bytes]:
        """Return how the first item begins, with its first name, and the brackets that it ends with: so others may look, too."""
        name = _FIRST_NAME.match(self._buffer, self._at)
        item = self._buffer[self._at : end].rstrip()
        return name[0] if name else item[:1], item[len(item.rstrip(b"}]")) :]

    def _guess(self, opening: bytes, closing: bytes) -> tuple[int, list[Raw]] | None:
        """Return the end of the last item that is whole in the next piece, and all items up to there."""
        self._trim()
        self._fill(PIECE)
        buffer, begin, guesses = self._buffer, min(self._at + PIECE, len(self._buffer)), 0
        for _ in range(_CANDIDATES):
            begin = buffer.rfind(opening, self._at + 1, begin)
            if begin < 0 or guesses == _GUESSES:
                return None
            comma = _last_before(buffer, begin)
            end = _last_before(buffer, comma) + 1
            if comma <= self._at or buffer[comma] != 0x2C or not buffer.endswith(closing, self._at, end):
                continue
            text = buffer[self._at : end]
            try:
                check_utf8(text)
                return end, _list.decode(b"[" + text + b"]")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                guesses += 1
        return None

    def _count(self, size: int) -> tuple[int, bool]:
        """Return the end of the last item in the next ``size`` bytes, or of the next one; and whether the array closes there."""
        end, depth, at = None, 0, self._at
        while True:
            for token in _TOKEN.finditer(self._buffer, at):
                if token.lastindex is None:
                    if self._buffer[token.start()] == 0x22:
                        break  # a text that goes on
                    depth += 1
                elif token.lastindex == 1:
                    depth -= 1
                    if depth < 0:
                        return token.start(), True
                elif token.lastindex == 2 and depth == 0:
                    if end is not None and token.start() - self._at > size:
                        return end, False
                    end = token.start()
                at = token.end()
            if end is not None and len(self._buffer) - self._at > size:
                return end, False
            if not self._more():
                self._fail("an end in the middle")

    def _rows(self, end: int) -> list[Raw]:
        text = self._buffer[self._at : end].rstrip()
        try:
            check_utf8(text)
        except UnicodeDecodeError:
            raise BadDataError(f"Expected UTF-8 in {self._where}, got other bytes; ask its makers.") from None
        rows = split_records(b"[" + text + b"]", self._where, is_utf8=True)
        return rows if self._only is None else as_they_came(rows)

    def _end_of_value(self, limit: int) -> int | None:
        """Return where an object or an array ends; None: not within ``limit`` bytes."""
        depth, at = 0, self._at
        while True:
            for token in _TOKEN.finditer(self._buffer, at):
                if token.lastindex is None:
                    if self._buffer[token.start()] == 0x22:
                        break
                    depth += 1
                elif token.lastindex == 1:
                    depth -= 1
                    if depth == 0:
                        return token.end()
                at = token.end()
            if len(self._buffer) - self._at > limit:
                return None
            if not self._more():
                self._fail("an end in the middle")

    # Bytes

    def _scalar(self, opening: int) -> bytes:
        pattern = _TOKEN if opening == 0x22 else _SCALAR
        while True:
            found = pattern.match(self._buffer, self._at)
            assert found is not None  # noqa: S101  both match at a quote, and at anything
            is_whole = found[3] is not None if opening == 0x22 else found.end() < len(self._buffer)
            if is_whole or not self._more():
                break
        self._at = found.end()
        return found[0]

    def _add(self, text: bytes) -> None:
        if self._only is not None:
            return
        self._parts.append(text)
        self._kept += len(text)
        if self._kept > _AROUND:
            self._fail("more than 64 MiB beside the rows")

    def _byte(self) -> int | None:
        """Return the next byte that is no blank, and stop there; None at the end."""
        while True:
            blanks = _BLANKS.match(self._buffer, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return None

    def _take(self, byte: int) -> None:
        if self._at >= len(self._buffer) or self._buffer[self._at] != byte:
            self._fail(f"no `{chr(byte)}` where there has to be one")
        self._at += 1

    def _fill(self, size: int) -> None:
        """See that ``size`` bytes from here on are in the buffer, if there are so many."""
        while len(self._buffer) - self._at < size and self._more():
            pass

    def _more(self) -> bool:
        """Take the next piece into the buffer; tell whether there was one."""
        piece = self._read(self._begin + len(self._buffer), PIECE)
        if not piece:
            return False
        if len(self._buffer) > _WHOLE:
            self._fail("a value of more than 256 MiB")
        self._buffer += piece
        return True

    def _trim(self) -> None:
        """Leave out of the buffer what lies behind."""
        if self._at > PIECE // 2:
            self._lines, self._counted = self.lines, 0
            self._begin, self._buffer, self._at = self._begin + self._at, self._buffer[self._at :], 0

    def _fail(self, got: str) -> NoReturn:
        raise BadDataError(f"Expected JSON in {self._where}, got {got} (byte {self.place}).")


def _last_before(buffer: bytes, at: int) -> int:
    """Return where the last byte before ``at`` is that is no blank; -1: there is none."""
    at -= 1
    while at >= 0 and buffer[at] in b" \t\r\n":
        at -= 1
    return at


def _text(name: bytes) -> str:
    try:
        return msgspec.json.decode(name, type=str)
    except msgspec.DecodeError:
        return name.decode("utf-8", "replace")
