"""One read of a stream or partition: where it starts, which rows are new, how far it has come."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_state.bookmarks import Bookmark, StreamBookmarks, canonical_json, context_key
from singerkit_state.memory import version_hash
from singerkit_state.order import UnknownOrderError, UnorderableError, starting_value
from singerkit_state.tracker import BookmarkTracker
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.keys import KeyBits, Keys
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import Decoded, Record, RecordEncoder, Rows, SentRows

__all__ = ["Read", "StartingPoint"]


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Where a read starts, beside its bookmark.

    ``date``: the `start_date` of the config. ``is_anew``: all rows are sent again, whatever the bookmark says.
    ``position``: where a full load goes on (`Start.position`). ``continuation``: see `Start.continuation`.
    ``is_sweep``: see `Start`.
    ``clock``: what the source's clock showed before the stream was last read for its children; ``newest``: the value whose
    rows were read for them once more then. See `BookmarkTracker.unsettled`.
    """

    date: str | None
    is_anew: bool
    position: Any
    clock: float | None
    newest: Any
    continuation: Any = None
    is_sweep: bool = False


class Read:
    """One read, and what its rows do to the bookmark; without a replication key all are sent."""

    def __init__(
        self,
        stream: BlockStream,
        bookmarks: StreamBookmarks,
        tracker: BookmarkTracker | None,
        context: Context | None,
        point: StartingPoint,
        *,
        is_shared: bool,
        drives_all: bool,
    ) -> None:
        """``tracker``: None for a full table; ``is_shared``: it goes through the reads of all contexts.

        ``drives_all``: a child has to see the records before the bookmark, too.
        """
        self._stream, self._bookmarks, self._context, self._point = stream, bookmarks, context, point
        self.tracker, self._is_shared, self.drives_all = tracker, is_shared, drives_all
        self.unsettled: Sequence[int] = ()
        """The numbers of the rows that are not sent, and below which something may have changed all the same."""
        self._has_page = False
        self._salt = context_key(stream.identity(context)).encode() if context else b""
        self._former_salts = _former_salts(stream, context, self._salt) if context and tracker else ()
        self._has_taken = False
        if tracker is not None:
            tracker.counts_unmet = stream.start_setting is not None and not drives_all
        self.old_bookmark = tracker.bookmark() if tracker else Bookmark()
        self.start = self._start()

    def _start(self) -> Start:
        if self.tracker is None:
            return Start(
                position=self._point.position,
                continuation=self._point.continuation,
                is_anew=self._point.is_anew,
            )
        if self.drives_all or self._point.is_anew:
            first = starting_value(self._point.date, self._stream.bookmark_kind)
            return Start(
                first, self.old_bookmark.start, is_sweep=self._point.is_sweep, is_anew=self._point.is_anew
            )
        value, bookmark = self.tracker.start_value, self.old_bookmark.start
        return Start(value, bookmark, continuation=self._point.continuation)

    def note_clock(self, own: float | None, familys: float | None, margin: float) -> None:
        """Tell the tracker what the clock showed when its read, or the read of the family, was begun."""
        if self.tracker is not None and not self._has_page:
            self.tracker.note_clock(familys if self._is_shared else own, margin)
        self._has_page = True

    def take(
        self,
        encoder: RecordEncoder,
        rows: Rows,
        records: Sequence[Record],
        reader: SentRows,
        keys: Keys | None,
        known: Decoded | None = None,
    ) -> list[int] | None:
        """Return the numbers of the rows to send; None means all. ``known``: what the page knows of its records."""
        key = self._stream.bookmark_key
        if self.tracker is None or key is None:
            return None
        try:
            column = encoder.column(rows, key)
            bits = None if keys is None else KeyBits(keys)
            numbers = self.tracker.take(
                column,
                records,
                self._salt,
                reader,
                bits,
                self._former_salts,
                whole=self._point.is_anew,
                ascending=None if known is None else known.order_of(records, self.tracker.kind),
            )
            has_newest = self._context is not None or self._point.newest == self.tracker.newest_before
            self.unsettled = self.tracker.unsettled(column, self._point.clock, has_newest=has_newest)
            self._has_taken = self._has_taken or bool(rows)
            if bits is not None:
                self._supersede(bits, range(len(rows)) if numbers is None else numbers, records, reader)
            return numbers
        except UnknownOrderError as error:
            raise self._unknown_order(error) from None
        except UnorderableError as error:
            raise BadDataError(
                f"{error} at {self._stream.name}.$.{key}, the replication key; correct its type in the schema, or "
                "`replication_key_format`."
            ) from None

    def _supersede(
        self, bits: Sequence[int], numbers: Sequence[int], records: Sequence[Record], reader: SentRows
    ) -> None:
        """Void what other partitions remember of the rows that are sent: a row may come back to where it was."""
        if self._is_shared or not self._context:
            return
        keys = self._bookmarks.remembered_elsewhere((bits[number] for number in numbers), self._context)
        if keys:
            moved = [number for number in numbers if bits[number] in keys]
            texts = reader.texts([records[number] for number in moved])
            versions = {
                bits[number]: version_hash(text, bits[number])
                for number, text in zip(moved, texts, strict=True)
            }
            self._bookmarks.supersede(versions, self._context)

    def _unknown_order(self, error: UnknownOrderError) -> SingerkitError:
        where = f"`{self._stream.bookmark_key}`, the replication key of stream `{self._stream.name}`"
        if self._has_taken:
            return BadDataError(
                f'Expected times at {where}, as before, got a text of another look, like `"{error.value}"`; see '
                "`replication_key_format`."
            )
        taken = self._stream.advice.key_formats
        formats = [name for name in error.formats if taken is None or name in taken]
        named = " or ".join(f'`"{name}"`' for name in formats[:3])
        fits = f"; {named} reads all values seen" if named else ""
        if "number" in error.formats and not named:
            return ConfigurationError(
                f'The order of {where}, is not known: it holds numbers as text, like `"{error.value}"`, and as text 10 stands before 9; no row '
                'was sent; choose another key, or, where all values have as many digits, set `"replication_key_format": "text"`.'
            )
        return ConfigurationError(
            f'The order of {where}, is not known: it holds text like `"{error.value}"`, no row was sent; set '
            f'`"replication_key_format"` of the stream{fits}, `"text"` compares as text, by code point.'
        )

    def note_signpost(self, column: Sequence[msgspec.Raw]) -> None:
        """Take the replication keys of rows that were there before the read began."""
        if self.tracker is not None and not self._is_shared:
            with contextlib.suppress(UnorderableError):  # the rows themselves will say so
                self.tracker.note_signpost(column)

    def end_page(self, page: Page) -> None:
        if self.tracker is not None:
            self.tracker.end_page(is_safe=page.is_safe, reached=page.reached)

    def finish(self) -> None:
        if self.tracker is not None and not self._is_shared:
            self.tracker.finish()

    @property
    def is_incremental(self) -> bool:
        return self.tracker is not None

    @property
    def covers_all(self) -> bool:
        return self.tracker is not None and self.tracker.covers_all

    @property
    def bookmark(self) -> Bookmark | None:
        return self.tracker.bookmark() if self.tracker else None

    @property
    def nulls(self) -> int:
        return self.tracker.nulls if self.tracker else 0


def _former_salts(stream: BlockStream, context: Context, salt: bytes) -> list[bytes]:
    """Return what states of other versions, or of another config, told the rows of a context apart by; nobody asks for keyed ones."""
    if stream.primary_keys and not stream.sends_partial_records:
        return []
    formers = [*stream.former_identities(context)]
    written = (canonical_json(former).encode() for former in formers)
    keys = (context_key(former).encode() for former in formers)
    return [text for text in dict.fromkeys((*written, *keys)) if text != salt]
