"""One array for each column, as objects: `{"a": [1, 2], "b": [3, 4]}`. What is no array is no column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.formats.tables import as_objects, is_array, members_of_value, split
from tap_rest.paths import Path
from tap_rest.records.bodies import description

__all__ = ["Columns"]

_SHOWN = 8


class Columns:
    """The `layout` `columns` of one stream."""

    def __init__(self, stream: str, *, is_missing_empty: bool) -> None:
        self._stream = stream
        self._is_missing_empty = is_missing_empty

    def place(self, _response: Response, _where: str) -> Path | None:
        """See `layouts.Layout`: `records` is `$` by default."""
        return None

    def objects(self, found: Sequence[Raw], response: Response, where: str) -> list[Raw]:
        """Return the rows of one object, or of several one after the other; see `layouts.Layout`."""
        return [row for table in found for row in self._rows(table, response, where)]

    def _rows(self, table: Raw, response: Response, where: str) -> list[Raw]:
        columns = {
            name: split(value) or [] for name, value in members_of_value(table).items() if is_array(value)
        }
        if not columns and self._is_missing_empty:
            return []
        if not columns:
            fits = redactor.mask_foreign(" or ".join(self._places(response)))
            raise BadDataError(
                f"Expected an object of arrays in {where} (`layout` `columns` of stream {self._stream}), got "
                f"{description(bytes(table))}; say where it is in `records`{f' ({fits})' if fits else ''}."
            )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(
                f"{length} in `{name[:40]}`" for name, length in list(lengths.items())[:_SHOWN]
            )
            raise BadDataError(
                f"Expected columns of one length in {where}, got {redactor.mask_foreign(counts)}, so that nobody knows which values belong "
                f"together; check `records` of stream {self._stream}, or ask the makers of the API: no row was taken."
            )
        return as_objects([*columns], zip(*columns.values(), strict=True))

    def _places(self, response: Response) -> Iterator[str]:
        for name, value in (response.members or {}).items():
            if any(map(is_array, members_of_value(value).values())):
                yield f"`$.{name}`"
