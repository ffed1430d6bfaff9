"""A long JSON document, looked through once: what is short of it is kept as it stands, of its long arrays it is noted where their items are.

Where an item ends is found out by guessing: what stands between the beginning of an item and a comma that may be behind one is
items, if and only if it is a JSON array once it is put in brackets, since whoever reads JSON knows after each byte where it
stands, whatever follows. That is asked of msgspec, a megabyte at a time. Where guesses fail, brackets are counted.
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec
from msgspec import Raw

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from singerkit_wire.encode import split_records
from tap_rest.long.rows import Pieces
from tap_rest.storing import PIECE, WHOLE, Span

__all__ = ["Walker", "items_of"]

_SHORT = PIECE
"""Bytes of a value that is kept as it stands."""
_AROUND = 64 * PIECE
"""Bytes of all that is kept."""
_GUESSES, _CANDIDATES = 4, 200
_TOKEN = re.compile(rb'[{\[]|([}\]])|(,)|"[^"\\]*(?:\\.[^"\\]*)*(")?', re.S)
_BLANKS = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^\s,\]}]*")
_FIRST_NAME = re.compile(rb'\{[ \t\r\n]*"[^"\\]{1,200}"')
_list = msgspec.json.Decoder(list[Raw])


def items_of(text: bytes) -> list[Raw]:
    """Return the items of an array without its brackets, untouched.

    Raises:
        BadDataError: it is no JSON, or not UTF-8.
    """
    return split_records(b"[" + text + b"]", "a long answer", is_utf8=True)


class Walker:
    """Looks through one document of UTF-8; `arrays` holds, by their place, the long ones."""

    def __init__(self, span: Span, where: str) -> None:
        self._span, self._where = span, where
        self._buffer = b""
        self._at = 0
        """Where it stands in the buffer."""
        self._begin = 0
        """Where the buffer begins in the document."""
        self._kept = 0
        self.arrays: dict[tuple[str, ...], Pieces] = {}

    def around(self) -> bytes:
        """Return the document, of long arrays no more than the first item.

        Raises:
            BadDataError: it is no JSON, or has more than the rows of long arrays that is long.
        """
        self._fill(3)
        if self._buffer.startswith(b"\xef\xbb\xbf"):
            self._at = 3
        parts: list[bytes] = []
        try:
            self._value((), parts, is_long=True)
        except RecursionError:
            self._fail("one nested too deeply")
        if self._byte() is not None:
            self._fail("something behind its end")
        return b"".join(parts)

    # Values

    def _value(self, names: tuple[str, ...], parts: list[bytes], *, is_long: bool = False) -> None:
        """Go behind a value, and add to ``parts`` what is kept of it."""
        self._trim()
        opening = self._byte()
        if opening is None:
            self._fail("an end in the middle")
        if opening not in (0x7B, 0x5B):
            self._add(self._scalar(opening), parts)
            return
        end = None if is_long else self._end_of_value(_SHORT)
        if end is not None:
            self._add(self._buffer[self._at : end], parts)
            self._at = end
        elif opening == 0x7B:
            self._object(names, parts)
        else:
            parts.append(self._array(names))

    def _object(self, names: tuple[str, ...], parts: list[bytes]) -> None:
        self._at += 1
        parts.append(b"{")
        is_first = True
        while (byte := self._byte()) != 0x7D:
            if not is_first:
                self._take(0x2C)
                byte = self._byte()
                parts.append(b",")
            if byte != 0x22:
                self._fail("an object without a name")
            name = self._scalar(0x22)
            self._byte()
            self._take(0x3A)
            self._add(name + b":", parts)
            self._value((*names, _text(name)), parts)
            is_first = False
        self._at += 1
        parts.append(b"}")

    def _array(self, names: tuple[str, ...]) -> bytes:
        """Go behind a long array, note where its items are, and return it with the first alone."""
        self._at += 1
        pieces = Pieces(self._span, items_of)
        if self._byte() != 0x5D:
            self._items(pieces)
        self._at += 1
        self.arrays[names] = pieces
        return b"[" + (b"" if pieces.first is None else bytes(pieces.first)) + b"]"

    def _items(self, pieces: Pieces) -> None:
        """Note the pieces of an array, and stop at its closing bracket."""
        end, closes = self._count(0)
        opening, closing = self._looks_of_item(end)
        while True:
            guess = None if closes else self._guess(opening, closing)
            if guess is None:
                end, closes = self._count(PIECE)
                rows = self._rows(end)
            else:
                end, rows = guess
            pieces.add(self._begin + self._at, end - self._at, rows)
            self._at = end
            if self._byte() is None:
                self._fail("an end in the middle")
            if closes:
                return
            self._take(0x2C)

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
        return split_records(b"[" + text + b"]", self._where, is_utf8=True)

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

    def _add(self, text: bytes, parts: list[bytes]) -> None:
        parts.append(text)
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
        piece = self._span.read(self._begin + len(self._buffer), PIECE)
        if not piece:
            return False
        if len(self._buffer) > WHOLE:
            self._fail("a value of more than 256 MiB")
        self._buffer += piece
        return True

    def _trim(self) -> None:
        """Leave out of the buffer what lies behind."""
        if self._at > PIECE // 2:
            self._begin, self._buffer, self._at = self._begin + self._at, self._buffer[self._at :], 0

    def _fail(self, got: str) -> NoReturn:
        place = self._begin + self._at
        raise BadDataError(f"Expected JSON in {self._where}, got {got} (byte {place}).")


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
