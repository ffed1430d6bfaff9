"""Records that are none, set aside: a stream of their own beside that of the good ones, committed with the same STATE.

A row of it says where a bad record stands, why it is bad, and what it is, as it stands in the file. It is read after each page of the
stream that it belongs to, as a child of it is; the position of that one covers both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.words import counted, ended
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.stream import BlockStream, Owner
from singerkit_wire.encode import Record
from singerkit_wire.typedrows import RowMaker
from tap_files.formats.contract import BadRow

__all__ = ["ENDING", "BadRows", "TooManyBadRows"]

ENDING = "__bad_rows"
"""What stands behind the name of the stream."""

_PROPERTIES: dict[str, Any] = {
    "_file": {"type": "string"},
    "_row": {"type": "integer"},
    "line": {"type": ["null", "integer"]},
    "byte": {"type": ["null", "integer"]},
    "reason": {"type": "string"},
    "text": {"type": ["null", "string"]},
}
_VERSION: dict[str, Any] = {"_etag": {"type": "string"}}


class TooManyBadRows(BadDataError):
    """A run has met more bad rows than it may set aside."""


class BadRows(BlockStream):
    """The bad rows of one stream."""

    goes_on_by_position = True
    reads_parent_records = False

    def __init__(self, tap: Owner, files: BlockStream, limit: int, *, keeps_versions: bool) -> None:
        """``files``: the stream whose rows they would be; ``limit``: how many one run may set aside; ``keeps_versions``: those of all versions of a file stay."""
        super().__init__(
            tap,
            files.name + ENDING,
            {"type": "object", "properties": _PROPERTIES | (_VERSION if keeps_versions else {})},
            key_properties=("_file", "_row", *(_VERSION if keeps_versions else ())),
            parent=files,
            is_key_unique=True,
        )
        self._files, self._limit = files, limit
        self._pages: list[Page] = []
        self._contexts = self._count = 0
        self._first = ""

    @property
    def divider(self) -> BlockStream:
        """Those of a file are of its shard."""
        return self._files

    @property
    def property_metadata(self) -> dict[str, dict[str, Any]]:
        return {"_file": {"inclusion": "automatic"}}

    def check_selected(self) -> None:
        """See that they go anywhere.

        Raises:
            ConfigurationError: they are not selected.
        """
        if not self.selected:
            raise ConfigurationError(
                f"Stream `{self._files.name}` sets bad rows aside, and `{self.name}`, where they go, is not selected, so that they would be lost; nothing was read. Select it, or leave `on_bad_row` out."
            )

    def take(self, file: str, version: str, rows: Sequence[BadRow]) -> None:
        """Take rows of a version of a file, to be sent behind the page in hand.

        Raises:
            TooManyBadRows: there are more than may be set aside.
        """
        if not rows:
            return
        self._first = self._first or f"{ended(rows[0].reason)} It is record {rows[0].row:,} of {file}."
        if self._count + len(rows) > self._limit:
            raise TooManyBadRows(
                f"More than {counted(self._limit, 'bad row')} came of stream `{self._files.name}` in this run (`bad_row_limit`), the last ones in {file}; what comes before them is safe. The first: {self._first}"
            )
        self._count += len(rows)
        names = [*_PROPERTIES, *_VERSION]
        values = [(file, one.row, one.line, one.byte, one.reason, one.text, version) for one in rows]
        sent = [name for name in names if name in self.schema["properties"] and self.mask["properties", name]]
        picked = [
            tuple(value for name, value in zip(names, row, strict=True) if name in sent) for row in values
        ]
        self._pages.append(Page(RowMaker(sent).rows(picked)))

    def replace(self, file: str) -> None:
        """Have those of a file go that is read anew."""
        self._pages.append(Page((), replaces={"_file": file}))

    def child_contexts(self, records: Sequence[Record], parent_context: Context | None) -> Iterable[Context]:  # noqa: ARG002
        if self._pages:
            self._contexts += 1
            yield {"page": self._contexts}

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002
        pages, self._pages = self._pages, []
        yield from pages

    def summary(self) -> str | None:
        """Return what is told at the end of a run; None: nothing was bad."""
        if not self._count:
            return None
        return f"{counted(self._count, 'bad row')} of stream `{self._files.name}` {'was' if self._count == 1 else 'were'} set aside, in `{self.name}`. The first: {self._first}"
