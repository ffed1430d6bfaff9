"""Whether the rows of a full load are all that the API has, so that those which do not come may leave the target.

The pages are read again by `confirming.Confirmation`: of a stream without contexts as the last of its pages, below parents as a
whole, the list of parents and all below it, once all has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import repeat

from singerkit_state.bookmarks import canonical_json
from singerkit_tap.contract import Context
from singerkit_tap.family import family_of
from singerkit_tap.keys import keys_of
from singerkit_wire.encode import RawRecord
from tap_rest.deletes.confirming import Confirmation
from tap_rest.parents.partitioned import PartitionedStream
from tap_rest.records.cutting import ReadPage

__all__ = ["WholeLoad"]

_WARNED = "the run warns of its answers, which may not be whole"
_ABSENT = "it was not found below a parent (`on_404`), where it may be again"


class WholeLoad:
    """The load of one stream in one run, and why rows may be missing from it."""

    def __init__(self, stream: PartitionedStream) -> None:
        self._stream = stream
        self._doubt: str | None = None
        self._is_sweep = False

    def note_warning(self) -> None:
        """Note that the run warns of rows that may be missing."""
        self._doubt = self._doubt or _WARNED

    @property
    def is_in_doubt(self) -> bool:
        """Whether it is known by now that rows may be missing."""
        return self._doubt is not None

    def doubt(self, *, was_warned: bool) -> str | None:
        """Return why the rows of this run may not be all that the API has; None: they are."""
        doubt = self._doubt
        if doubt is None and self._matters:
            doubt = self._confirmation.doubt or self._stream.asking.endings.doubt
        if doubt is None and was_warned:
            return _WARNED
        return doubt

    def pages(
        self,
        pages: Iterator[ReadPage],
        context: Context | None,
        sweep: Callable[[], Iterator[ReadPage]] | None = None,
    ) -> Iterator[ReadPage]:
        """Yield ``pages``, and, where what did not come is to be removed, what is on them when they are read once more.

        ``sweep`` reads them so, where they are all of an incremental stream; None: such a stream removes nothing.
        """
        self._is_sweep = sweep is not None
        if not self._matters:
            yield from pages
            return
        stream, confirmation = self._stream, self._confirmation
        for page in pages:
            if page.is_absent:
                self._doubt = _ABSENT
            is_all = page.is_last and confirmation.answers == 0 and not stream.is_partitioned
            confirmation.note(page, context, is_all=is_all)
            yield page
        again = sweep or (lambda: stream.asking.pages(None, {}))
        if not stream.is_partitioned and confirmation.answers > 1 and not self._is_sure:
            for _, page in confirmation.missed(lambda: zip(repeat(None), again())):
                yield page

    @property
    def _is_sure(self) -> bool:
        """Whether no row can move to a page that was read.

        So it is where the next page is asked for by the primary key itself, or by the replication key, with which rows only move ahead.
        """
        settings, by = self._stream.settings, self._stream.settings.keyset_field
        is_by_key = by is not None and [by] == [*self._stream.primary_keys]
        return is_by_key or (self._is_sweep and settings.follows_key)

    def missed(self) -> Iterator[tuple[Context, ReadPage]]:
        """Yield the rows that a second read of all contexts shows beyond the first."""
        stream = self._stream
        if not stream.is_partitioned or not self._matters:
            return
        if any(one.doubt_of_load(was_warned=False) is not None for one in stream.lineage()):
            return
        for context, page in self._confirmation.missed(self._all_pages):
            yield context or {}, page

    def _all_pages(self) -> Iterator[tuple[Context | None, ReadPage]]:
        for context in self._stream.all_contexts():
            yield from zip(repeat(context), self._stream.asking.pages(context, {}))

    @cached_property
    def _confirmation(self) -> Confirmation:
        stream = self._stream
        keys, encoder = stream.primary_keys, stream.encoder(whole=True)

        def keys_or_rows(records: Sequence[RawRecord], context: Context | None) -> Sequence[object]:
            if not keys:
                below = canonical_json(context)
                return [(below, bytes(record)) for record in records]
            return keys_of(encoder, encoder.decode(records, stream.constants(context)), keys)

        return Confirmation(keys_or_rows, has_key=bool(keys), is_key_unique=not stream.accepts_duplicate_keys)

    @property
    def _matters(self) -> bool:
        """Whether rows that do not come are removed from the target: of this stream, or of one below it."""
        if self._stream.bookmark_key is not None:
            return self._is_sweep
        return any(stream.sends_versions and stream.selected for stream in family_of(self._stream))
