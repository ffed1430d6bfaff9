"""Avro: reads the blocks of an object container file.

The container is read here, since its blocks are where a later run goes on, and where damage is; what stands in a block is decoded by
fastavro, all at once: a count, values and a zero are what an array is made of.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from singerkit_shell.extras import imported
from tap_files.formats.avroblocks import Container
from tap_files.formats.avrotypes import OddNumber, type_of
from tap_files.formats.contract import PIECE_BYTES, Bytes, OtherSettings, Piece, Reader, Spot, UnreadableFile
from tap_files.settings.avro import AvroSettings

__all__ = ["VALUE", "reader_of"]

logger = logging.getLogger(__name__)

VALUE = "value"
"""The column of a file whose values are no records."""
_LONGEST_CONTEXT = 8192
"""Bytes of a header that is kept in a state; behind a longer one a read begins at the start of the file again, and passes blocks over."""


def reader_of(settings: AvroSettings, content: Bytes, start: Spot) -> Reader:
    """Return what reads one file from a block on.

    Raises:
        ConfigurationError: fastavro, or what its codec needs, is not installed.
        UnreadableFile: it is no Avro.
    """
    return _Avro(settings, content, start)


class _Avro:
    def __init__(self, settings: AvroSettings, content: Bytes, start: Spot) -> None:
        fastavro = imported("fastavro", "Avro", "avro", "tap-files")
        self.wanted: Collection[str] | None = None
        self._settings, self._start = settings, start
        self._nulled = 0
        kept = None if start.context is None else base64.b64decode(start.context)
        self._container = Container(content, start.byte, kept)
        header = self._container.header
        self._context = (
            base64.b64encode(header.content).decode() if len(header.content) <= _LONGEST_CONTEXT else None
        )
        self._type = type_of(header.schema, self._odd)
        self._is_record = isinstance(self._type.read, dict) and self._type.read["type"] == "record"
        self._schema = fastavro.parse_schema({"type": "array", "items": self._type.read})
        self._decode = fastavro.schemaless_reader
        own = self._type.schema
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = (
            own["properties"] if self._is_record else {VALUE: own}
        )

    def pieces(self) -> Iterator[Piece]:
        row, records, size = self._start.row, list[Any](), 0
        passed = 0 if self._start.byte else self._start.row
        for block in self._container.blocks():
            if passed >= block.count:
                passed -= block.count
                continue
            found = self._values(block.content(), block.count, block.byte, row + len(records))
            records += found[passed:]
            passed = 0
            size += block.size
            if size >= PIECE_BYTES:
                yield self._piece(records, row, block.end)
                row, records, size = row + len(records), [], 0
        if records:
            yield self._piece(records, row, self._container.byte)
        if self._nulled:
            logger.warning(
                "%d numbers that are NaN or infinite were sent as null (`avro.infinity`).", self._nulled
            )

    def _values(self, content: bytes, count: int, byte: int, row: int) -> list[Any]:
        """Return the values of one block.

        Raises:
            UnreadableFile: they are not what the schema says.
        """
        array = io.BytesIO(_long(count) + content + b"\0")
        where = f"the block at byte {byte} (row {row + 1} and later)"
        try:
            values: list[Any] = self._decode(array, self._schema, None)
            if array.tell() != len(array.getbuffer()):
                raise ValueError("more bytes than values")
            make = self._type.convert
            return values if make is None else [make(value) for value in values]
        except OddNumber:
            raise OtherSettings(
                f'Expected numbers that JSON has in {where}, got one that is NaN or infinite: set `"infinity": "null"` in `avro`.'
            ) from None
        except (
            ValueError,
            EOFError,
            IndexError,
            KeyError,
            TypeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise UnreadableFile(
                f"Expected values as the schema of the file says in {where}, got others ({type(error).__name__}: {str(error)[:100]}); have the file written anew."
            ) from None

    def _piece(self, records: list[Any], before: int, byte: int) -> Piece:
        names = self._names()
        columns = (
            {name: [record[name] for record in records] for name in names}
            if self._is_record
            else {VALUE: records}
        )
        after = before + len(records)
        behind = Spot(row=after) if self._context is None else Spot(byte, 0, after, self._context)
        return Piece(len(records), range(before + 1, after + 1), columns, behind=behind)

    def _names(self) -> list[str]:
        return [name for name in self.fields or () if self.wanted is None or name in self.wanted]

    def _odd(self, _value: float) -> None:
        if self._settings.infinity == "fail":
            raise OddNumber
        self._nulled += 1


def _long(number: int) -> bytes:
    """Write a number as Avro does."""
    rest, written = number << 1, bytearray()
    while rest > 127:
        written.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*written, rest])
