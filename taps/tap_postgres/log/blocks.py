"""Many rows of one table at once: by column, the JSON that `Rows.record` makes of each.

A row of pgoutput is all but one of MessagePack, which msgspec takes apart, with all of its lengths, in C: `t`, four bytes of length and a text are those of a
binary value there, behind another mark; and `n` (NULL) and `u` (unchanged) are whole numbers. What PostgreSQL writes of a value holds no NUL, so that `t` and two of them
are nothing but the mark of a value, one of less than 64 KB. A longer one keeps its own mark, and is refused as whatever else is not in this form.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.json import encode

from singerkit_shell.encoding import check_utf8, count_lines
from singerkit_wire.readyrows import ReadyRows
from tap_postgres.log.values import (
    Make,
    as_boolean,
    as_document,
    as_instant,
    as_it_is,
    as_local,
    as_number,
    as_plain_text,
    as_text,
)

__all__ = ["Block", "Unusual"]

_MARK, _BINARY = b"t\0\0", b"\xc6\0\0"
_ROW, _ROWS = b"\xdc", b"\xdd"
LARGE = 1 << 16
"""Rows of more bytes are not read at once, since they would be copied more often."""
_CONTROLS = bytes(range(32))
_NO_TEXT = b"\xff"
_OF_NUMBERS = b"0123456789+-.e\n" + _NO_TEXT


class Unusual(Exception):
    """Some rows, at least one, are not in the form that can be read at once; ``places``: where they stand among the others."""

    def __init__(self, places: Collection[int]) -> None:
        super().__init__()
        self.places = frozenset(places)


class _OddValue(Exception):
    """A column has a value of which JSON is made by itself."""


class _Null(bytes, enum.Enum):
    """NULL, as what stands in no text of UTF-8."""

    NULL = ord("n")

    def __new__(cls, mark: int) -> _Null:
        made = bytes.__new__(cls, _NO_TEXT)
        made._value_ = mark
        return made


class _NotSent(enum.Enum):
    """What else than a text may stand in a column that is not sent."""

    NULL, UNCHANGED = b"nu"


_NULL = _Null.NULL

Texts: TypeAlias = Sequence[bytes]
Quick: TypeAlias = Callable[[Texts, bytes], Texts]
"""From the texts of a column, and those again as lines, to the JSON of each."""


class Block:
    """Makes records of rows of ``count`` columns. ``sent``: by their place, those that are, in this order, each with what makes JSON of a value.

    ``null``: a field that is null in each record, behind the others.
    """

    def __init__(self, count: int, sent: Mapping[int, tuple[str, Make]], null: str) -> None:
        values: Any = tuple(bytes | (_Null if place in sent else _NotSent) for place in range(count))
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(list[tuple[values]])
        self._sent = [(place, make) for place, (_, make) in sent.items()]
        self._names = (*(name for name, _ in sent.values()), null)
        fields = (encode(name).replace(b"%", b"%%") + b":%b" for name in self._names[:-1])
        self._record = b"{%b,%b:null}\n" % (b",".join(fields), encode(null))

    def records(self, rows: Texts) -> ReadyRows:
        """Return the records of ``rows``, each as it stands in a message behind `N`. All of their numbers are finite.

        Raises:
            Unusual: some are not what is read at once; they lack a value, say, or are cut off.
        """
        if max(map(len, rows)) > LARGE:
            raise Unusual([place for place, row in enumerate(rows) if len(row) > LARGE])
        try:
            decoded = self._decoded(rows)
        except msgspec.DecodeError:
            odd = [place for place, row in enumerate(rows) if not self._is_usual(row)]
            raise Unusual(odd or range(len(rows))) from None
        columns = [*zip(*decoded, strict=True)]
        made = [_made(columns[place], make) for place, make in self._sent]
        records = ReadyRows(b"".join(map(self._record.__mod__, zip(*made, strict=True))), self._names)
        if len(records) != len(rows):  # a value has a line end
            raise Unusual(range(len(rows)))
        return records

    def _decoded(self, rows: Texts) -> list[Texts]:
        packed = _ROWS + len(rows).to_bytes(4) + _ROW + _ROW.join(rows)
        return self._decoder.decode(packed.replace(_MARK, _BINARY))  # type: ignore[no-any-return]

    def _is_usual(self, row: bytes) -> bool:
        try:
            self._decoded([row])
        except msgspec.DecodeError:
            return False
        return True


def _made(column: Texts, make: Make) -> Texts:
    """Return the JSON of each value of a column."""
    lines = b"\n".join(column)
    has_null = _NO_TEXT in lines
    if make in _AS_THEY_ARE:
        if make is as_number and lines.translate(None, _OF_NUMBERS):  # NaN, Infinity
            raise Unusual([place for place, text in enumerate(column) if text.translate(None, _OF_NUMBERS)])
        return [b"null" if text is _NULL else text for text in column] if has_null else column
    if not has_null:
        return _made_of_texts(column, lines, make)
    texts = [text for text in column if text is not _NULL]
    made = iter(_made_of_texts(texts, b"\n".join(texts), make) if texts else ())
    return [b"null" if text is _NULL else next(made) for text in column]


def _made_of_texts(texts: Texts, lines: bytes, make: Make) -> Texts:
    try:
        return _QUICK[make](texts, lines)
    except (KeyError, _OddValue):
        return [*map(make, texts)]


def _documents(texts: Texts, lines: bytes) -> Texts:
    if b"\r" in lines or count_lines(lines) >= len(texts):
        raise _OddValue
    return texts


def _booleans(texts: Texts, _lines: bytes) -> Texts:
    return [b"true" if text == b"t" else b"false" for text in texts]


def _plain_texts(texts: Texts, lines: bytes) -> Texts:
    return _between(b'"', lines, b"\n", b'"\n"', b'"', len(texts))


def _texts(texts: Texts, lines: bytes) -> Texts:
    if len(lines) - len(lines.translate(None, _CONTROLS)) >= len(texts):
        raise _OddValue
    check_utf8(lines)
    return _plain_texts(texts, lines.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))


def _locals(texts: Texts, lines: bytes) -> Texts:
    if b"f" in lines or b"C" in lines:  # infinity, BC
        raise _OddValue
    return _plain_texts(texts, lines.replace(b" ", b"T"))


def _instants(texts: Texts, lines: bytes) -> Texts:
    if b"f" in lines or b"C" in lines or not lines.endswith(b"+00"):
        raise _OddValue
    return _between(b'"', lines.replace(b" ", b"T"), b"+00\n", b'+00:00"\n"', b':00"', len(texts))


def _between(before: bytes, lines: bytes, old: bytes, new: bytes, behind: bytes, count: int) -> Texts:
    """Return lines that have ``new`` between each two, where ``old`` was."""
    made = lines.replace(old, new)
    if len(made) - len(lines) != (count - 1) * (len(new) - len(old)):
        raise _OddValue
    return (before + made + behind).split(b"\n")


_AS_THEY_ARE = (as_it_is, as_number)
_QUICK: Mapping[Make, Quick] = {
    as_document: _documents,
    as_boolean: _booleans,
    as_plain_text: _plain_texts,
    as_text: _texts,
    as_local: _locals,
    as_instant: _instants,
}
