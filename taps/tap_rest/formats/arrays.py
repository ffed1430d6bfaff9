"""Rows as arrays under a header, as objects: `[1, 2]` under `["a", "b"]`, wherever both are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.formats.tables import Items, as_objects, kind_in, members_of_value
from tap_rest.formats.texts import readers_of
from tap_rest.long.rows import LongRows
from tap_rest.paths import Path
from tap_rest.records.bodies import description, first_inside, members_in
from tap_rest.records.detecting import HEADS, array_at
from tap_rest.settings.body import FIRST_ROW, ArraysSettings

__all__ = ["Arrays"]

_NAMES = ("name", "field", "key", "id", "label", "title")
"""Members of an entry of a header that may be the name; the first that is there is it."""
_VALUES, _HEADERS = "Values", "Headers"
"""Google names cells and header so: `dimensionValues` of a row below `dimensionHeaders`."""
_rows_decoder = msgspec.json.Decoder(list[list[Raw]])
_objects_decoder = msgspec.json.Decoder(list[dict[str, Raw]])


class Arrays:
    """The `layout` `arrays` of one stream; ``types``: the schema that says which texts are none."""

    def __init__(self, stream: str, settings: ArraysSettings, types: Mapping[str, Any]) -> None:
        self._stream, self._settings = stream, settings
        self._header = [Items.parse(path, f"arrays.header of stream {stream}") for path in settings.paths]
        self._cells = [Items.parse(path, f"arrays.cells of stream {stream}") for path in settings.cells]
        self._readers = readers_of(types)

    def place(self, response: Response, where: str) -> Path:
        """Return where the rows are, if nobody has said it: the one array of arrays.

        Raises:
            ConfigurationError: there is none, or several.
        """
        if response.body.lstrip()[:1] == b"[":
            return array_at([])
        members = members_in(response, where)
        full = [name for name, value in members.items() if first_inside(value) == b"["]
        others = [name for name in members if name.lower() not in HEADS]
        found = full or [name for name in others if first_inside(members[name]) == b"]"]
        if len(found) == 1:
            return array_at(found)
        names = redactor.mask_foreign(", ".join(f"`$.{name}[*]`" for name in found))
        got = f"several: {names}" if names else description(response.body)
        raise ConfigurationError(
            f"Expected one array of arrays in {where}, got {got}; say where the rows are in `records` of stream {self._stream}."
        )

    def objects(self, rows: Sequence[Raw], response: Response, where: str) -> Sequence[Raw]:
        """Return rows, each with the names of the header; see `layouts.Layout`."""
        if not rows:
            return []
        cells = self._cells or self._cells_in(rows[0])
        has_first = self._settings.header == FIRST_ROW
        first = self._values(rows[:1], cells, where)[0]
        names = self._names(first if has_first else None, response, cells, where)
        if not isinstance(rows, LongRows):
            return self._named(rows[1:] if has_first else rows, names, cells, where, 0)
        long, before = rows.behind(int(has_first)), 0
        for part in long.parts():  # all of them are seen before one is taken
            before += len(self._named(part, names, cells, where, before))
        return long.changed(lambda part: self._named(part, names, cells, where, 0))

    def _named(
        self, rows: Sequence[Raw], names: Sequence[str], cells: Sequence[Items], where: str, before: int
    ) -> list[Raw]:
        table = self._values(rows, cells, where) if rows else []
        for number, row in enumerate(table, before + 1):
            if len(row) != len(names):
                raise BadDataError(
                    f"Expected {len(names)} values in each row in {where}, one for each name of the header, got {len(row)} in row "
                    f"{number}; check `arrays` of stream {self._stream}, or ask the makers of the API: no row was taken."
                )
        return as_objects(names, self._typed(names, table))

    def _cells_in(self, row: Raw) -> list[Items]:
        names = [name for name in members_of_value(row) if name.endswith(_VALUES)]
        return [Items(Path(name, (name,), True), "value") for name in names]

    def _values(self, rows: Sequence[Raw], cells: Sequence[Items], where: str) -> list[list[Raw]]:
        array = b"[" + b",".join(rows) + b"]"
        try:
            if not cells:
                return _rows_decoder.decode(array)
            return [
                [value for items in cells for value in items.of(row) or ()]
                for row in _objects_decoder.decode(array)
            ]
        except (msgspec.DecodeError, RecursionError):
            kind = kind_in(rows[0])
            is_plain = kind == "object" and not cells
            advice = "; leave `layout` out, or say where the values are in each row (`arrays.cells`)"
            raise self._problem(where, f"`{kind}`", advice if is_plain else "; check `records`") from None

    def _names(
        self, first: list[Raw] | None, response: Response, cells: Sequence[Items], where: str
    ) -> list[str]:
        if self._settings.names:
            return [*self._settings.names]
        found = self._header_in(response.members or {}, cells) if first is None else first
        if found is None:
            raise BadDataError(
                f"Expected the names of the columns beside the rows in {where}, got none; say where they are "
                f'(`"arrays": {{"header": "$.columns"}}`, or `"{FIRST_ROW}"`), or what they are (`"names": [...]`), in stream {self._stream}.'
            )
        return self._checked(found, where)

    def _header_in(self, members: Mapping[str, Raw], cells: Sequence[Items]) -> list[Raw] | None:
        header = self._header or _headers_above(cells)
        if header:
            parts = [items.of(members) for items in header]
            return None if None in parts else [name for part in parts for name in part or ()]
        named = (Items(Path(name, (name,), True)).of(members) for name in members if name.lower() in HEADS)
        return next(filter(None, named), None)

    def _checked(self, entries: Sequence[Raw], where: str) -> list[str]:
        """Return the names in a header, seen to be different ones."""
        names: dict[str, None] = {}
        for number, entry in enumerate(entries, 1):
            name = _name_in(entry)
            if not name or name in names:
                got = f"`{redactor.mask_foreign(name[:40])}` twice" if name else f"none for column {number}"
                raise BadDataError(
                    f"Expected a name of its own for each column in the header in {where}, got {got}; say where they are "
                    f"(`arrays.header`), or what they are (`arrays.names`), in stream {self._stream}."
                )
            names[name] = None
        return [*names]

    def _typed(self, names: Sequence[str], table: Sequence[Sequence[Raw]]) -> Sequence[Sequence[Any]]:
        """Make values of texts in those columns of which the schema says that they hold none."""
        numbers = [number for number, name in enumerate(names) if name in self._readers] if table else []
        if not numbers:
            return table
        columns: list[Sequence[Any]] = list(zip(*table, strict=True))
        for number in numbers:
            read = self._readers[names[number]]
            columns[number] = [
                read(msgspec.json.decode(value, type=str)) if kind_in(value) == "string" else value
                for value in columns[number]
            ]
        return list(zip(*columns, strict=True))

    def _problem(self, where: str, got: str, advice: str) -> BadDataError:
        return BadDataError(
            f"Expected an array of arrays in {where} (`layout` `arrays` of stream {self._stream}), got {got}{advice}."
        )


def _headers_above(cells: Sequence[Items]) -> list[Items]:
    names = [(items.at.names or ("",))[-1] for items in cells]
    if not all(name.endswith(_VALUES) for name in names):
        return []
    headers = [name.removesuffix(_VALUES) + _HEADERS for name in names]
    return [Items(Path(name, (name,), True)) for name in headers]


def _name_in(entry: Raw) -> str | None:
    """Return the text that an entry of a header is, or that one of its members is."""
    if kind_in(entry) == "object":
        members = members_of_value(entry)
        entry = next((members[key] for key in _NAMES if key in members), entry)
    return msgspec.json.decode(entry, type=str) if kind_in(entry) == "string" else None
