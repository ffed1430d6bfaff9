"""CSV: a header and rows of as many fields, as JSON objects with one text for each field."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from tap_rest.formats.looks import is_json, look_of
from tap_rest.formats.texts import TextReader
from tap_rest.settings.body import CsvSettings

__all__ = ["CsvReader"]

csv.field_size_limit(256 * 1024 * 1024)
_TABS = "text/tab-separated-values"
_SHOWN = 8


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
        self._nulls = frozenset(settings.nulls)
        self._readers = readers

    def objects(self, body: bytes, content_type: str) -> list[dict[str, Any]]:
        """Return the rows of a whole body.

        Raises:
            BadDataError: it is no CSV, a row has more or fewer fields than the header, or the header is not that of the stream.
        """
        self._refuse_another_format(body)
        rows = self._rows(io.StringIO(body.decode(), newline=""), content_type)
        names = self._names(rows)
        return list(self._as_objects(names, self._checked(rows, len(names))))

    def _refuse_another_format(self, body: bytes) -> None:
        look = look_of(body)
        if is_json(body) or body.lstrip().startswith(b"<"):
            raise BadDataError(
                f"Expected CSV (`format` of stream {self._stream}), got {look.words}{look.advice or '; leave `format` out'}."
            )

    def _rows(self, lines: Iterable[str], content_type: str) -> Iterator[list[str]]:
        settings = self._settings
        by_type = "\t" if content_type.partition(";")[0].strip().lower() == _TABS else ","
        reader = csv.reader(
            _skipping(lines, settings.skip_lines),
            delimiter=settings.delimiter or by_type,
            quotechar=settings.quote or None,
            quoting=csv.QUOTE_MINIMAL if settings.quote else csv.QUOTE_NONE,
            escapechar=settings.escape,
            strict=True,
        )
        try:
            for row in reader:
                if row:
                    yield row
        except csv.Error as error:
            line = reader.line_num + settings.skip_lines
            raise BadDataError(
                f"Expected CSV, got text that is not (line {line}: {redactor.mask_foreign(str(error))}); check `csv` of stream "
                f"{self._stream}, or whether the body was cut."
            ) from None

    def _names(self, rows: Iterator[list[str]]) -> Sequence[str]:
        """Return the names of the columns: of the config, or of the header, which is seen to be one."""
        if self._settings.names:
            return self._settings.names
        names = next(rows, [])
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

    def _checked(self, rows: Iterator[list[str]], width: int) -> Iterator[list[str]]:
        for number, row in enumerate(rows, 1):
            if len(row) != width:
                raise BadDataError(
                    f"Expected {width} fields in each row of CSV, got {len(row)} in row {number} behind the header; check "
                    f"`csv.delimiter` and `csv.quote` of stream {self._stream}, or ask the makers of the API: no row was taken."
                )
            yield row

    def _as_objects(self, names: Sequence[str], rows: Iterable[list[str]]) -> Iterator[dict[str, Any]]:
        """Yield rows as objects, whose texts have become values where the schema says so."""
        readers = [self._readers.get(name) for name in names]
        columns = [
            [_value(text, reader, self._nulls) for text in column]
            for reader, column in zip(readers, zip(*rows, strict=True), strict=False)
        ]
        return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _value(text: str, reader: TextReader | None, nulls: Collection[str]) -> Any:
    if text in nulls:
        return None
    return text if reader is None else reader(text)


def _skipping(lines: Iterable[str], count: int) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number >= count:
            yield line


def _shown(names: Sequence[str]) -> str:
    shown = redactor.mask_foreign(", ".join(f"`{name[:40]}`" for name in names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown or "nothing"
