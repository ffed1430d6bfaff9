"""CSV: a header and rows of as many fields, as JSON objects with one text for each field."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from tap_rest.formats.looks import is_json, look_of
from tap_rest.formats.texts import TextReader
from tap_rest.settings.body import CsvSettings

__all__ = ["TABS", "CsvReader", "CsvTable", "CutRowError"]

csv.field_size_limit(256 * 1024 * 1024)
TABS = "text/tab-separated-values"
_SHOWN = 8
_CUT = "unexpected end of data"
_encoder = msgspec.json.Encoder()


class CutRowError(BadDataError):
    """A text ends in the middle of a row."""


class CsvReader:
    """Reads the bodies of one stream.

    ``keys`` are the fields that every header has to have; ``readers`` make values of the texts of some.
    """

    def __init__(
        self, settings: CsvSettings, stream: str, keys: Sequence[str], readers: Mapping[str, TextReader]
    ) -> None:
        self._settings = settings
        self._stream = stream
        self._keys = keys
        self._former: Sequence[str] = ()
        """The header of an answer before."""
        self._readers = readers

    def table(self, start: bytes, content_type: str) -> CsvTable:
        """Return what reads the rows of a body that begins with ``start``.

        Raises:
            BadDataError: it is no CSV, or its header is not that of the stream.
        """
        self._refuse_another_format(start)
        by_type = "\t" if content_type.partition(";")[0].strip().lower() == TABS else ","
        return CsvTable(self._settings, self._stream, self._readers, by_type, start, self._checked_names)

    def _refuse_another_format(self, body: bytes) -> None:
        look = look_of(body)
        if is_json(body) or body.lstrip().startswith(b"<"):
            raise BadDataError(
                f"Expected CSV (`format` of stream {self._stream}), got {look.words}{look.advice or '; leave `format` out'}."
            )

    def _checked_names(self, names: Sequence[str]) -> Sequence[str]:
        """Return the names in a header, which is seen to be one."""
        self._look_at_names(names)
        missing = [key for key in self._keys if key not in names]
        if missing or (self._former and not set(self._former) & set(names)):
            fields = " and ".join(f"`{key}`" for key in missing) or "those of the answer before"
            raise BadDataError(
                f"Expected a header with {fields} as the first line of CSV, got {_shown(names)}; if the rows have no header, name their "
                f'fields (`"csv": {{"names": [...]}}` in stream {self._stream}).'
            )
        self._former = names
        return names

    def _look_at_names(self, names: Sequence[str]) -> None:
        way = f'name the columns yourself (`"csv": {{"names": [...], "skip_lines": 1}}` in stream {self._stream})'
        for number, name in enumerate(names, 1):
            if not name.strip():
                raise BadDataError(
                    f"Expected a name for each column in the header of CSV, got none for column {number}; {way}."
                )
            if name in names[: number - 1]:
                raise BadDataError(f"Two columns of the header of CSV have the name {_shown([name])}; {way}.")
        others = [char for char in ";\t|," if len(names) == 1 and char in names[0]]
        if others and self._settings.delimiter is None:
            fits = others[0].replace("\t", "\\t")
            raise BadDataError(
                f"Expected CSV with `,` between its fields, got one field with `{fits}` in it; set "
                f'`"csv": {{"delimiter": "{fits}"}}` in stream {self._stream}.'
            )


class CsvTable:
    """One body of CSV, from its beginning; ``begin``: the bytes of it before the first row.

    ``take_names`` is given the header, and returns the names of the columns.
    """

    def __init__(
        self,
        settings: CsvSettings,
        stream: str,
        readers: Mapping[str, TextReader],
        delimiter: str,
        start: bytes,
        take_names: Callable[[Sequence[str]], Sequence[str]],
    ) -> None:
        self._settings, self._stream = settings, stream
        self._delimiter = settings.delimiter or delimiter
        self._nulls = frozenset(settings.nulls)
        self.begin = self._lines = 0
        lines = self._counted(_text_in(start, stream))
        for _ in range(settings.skip_lines):
            next(lines, None)
        header = None if settings.names else next(self._parsed(lines, 0), [])
        self._names = settings.names if header is None else take_names(header)
        self._columns = [readers.get(name) for name in self._names]

    def array(self, text: bytes, rows_before: int = 0, lines_before: int = 0) -> bytes:
        """Return whole rows as an array of JSON objects, one for each row that is not blank.

        Raises:
            CutRowError: the last row goes on behind the text.
            BadDataError: it is no CSV, or a row has more or fewer fields than the header.
        """
        lines = io.StringIO(_text_in(text, self._stream), newline="")
        rows = list(self._parsed(lines, self._lines + lines_before))
        width = len(self._names)
        if set(map(len, rows)) - {width}:
            number = next(number for number, row in enumerate(rows, 1) if len(row) != width)
            raise BadDataError(
                f"Expected {width} fields in each row of CSV, got {len(rows[number - 1])} in row {rows_before + number} behind the header; "
                f"check `csv.delimiter` and `csv.quote` of stream {self._stream}, or ask the makers of the API: no row was taken."
            )
        columns = [
            [_value(text, reader, self._nulls) for text in column]
            for reader, column in zip(self._columns, zip(*rows, strict=True), strict=False)
        ]
        return _encoder.encode(
            [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]
        )

    def _counted(self, text: str) -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            self.begin += len(line.encode())
            self._lines += 1
            yield line

    def _parsed(self, lines: Iterable[str], before: int) -> Iterator[list[str]]:
        settings = self._settings
        reader = csv.reader(
            lines,
            delimiter=self._delimiter,
            quotechar=settings.quote or None,
            quoting=csv.QUOTE_MINIMAL if settings.quote else csv.QUOTE_NONE,
            escapechar=settings.escape,
            strict=True,
        )
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            kind = CutRowError if str(error) == _CUT else BadDataError
            raise kind(
                f"Expected CSV, got text that is not (line {before + reader.line_num}: {redactor.mask_foreign(str(error))}); check `csv` "
                f"of stream {self._stream}, or whether the body was cut."
            ) from None


def _value(text: str, reader: TextReader | None, nulls: Collection[str]) -> Any:
    if text in nulls:
        return None
    return text if reader is None else reader(text)


def _text_in(text: bytes, stream: str) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDataError(
            f"Expected UTF-8 in the CSV of stream {stream}, got other bytes ({error.reason}); say its charset in `csv.encoding`."
        ) from None


def _shown(names: Sequence[str]) -> str:
    shown = redactor.mask_foreign(", ".join(f"`{name[:40]}`" for name in names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown or "nothing"
