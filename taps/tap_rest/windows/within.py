"""Which rows of a page belong to the window that was asked for: those whose replication key lies in it.

Others are left out, as they come in their own window (`outside.Outside` sees whether they do). Rows without a key belong to
none: an API may give them to each question, and each is taken once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from singerkit_state.order import Compared, UnorderableError, ValueKind, comparable_keys, order_key
from singerkit_wire.encode import RawRecord
from tap_rest.records.cutting import ReadPage
from tap_rest.windows.bounds import Window
from tap_rest.windows.gaps import Seams
from tap_rest.windows.keycolumn import KeyColumn
from tap_rest.windows.outside import Outside

__all__ = ["Within"]

_encoder = msgspec.json.Encoder(decimal_format="number")
_any_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any, float_hook=Decimal)


class Within:
    """The rows of one read, window by window."""

    def __init__(
        self,
        kind: ValueKind,
        column: KeyColumn,
        outside: Outside,
        seams: Seams,
        digests: Callable[[Sequence[RawRecord]], list[str]],
    ) -> None:
        self._kind, self._column = kind, column
        self._outside, self._seams, self._digests = outside, seams, digests
        self._nulls: Counter[str] = Counter()
        self._nulls_here: Counter[str] = Counter()

    def keep(self, page: ReadPage, window: Window, *, is_first: bool, is_last: bool) -> None:
        """Leave out the rows of a page that are none of ``window``, which nothing comes before, or behind.

        Raises:
            BadDataError: such a row does not come in its own window.
        """
        places = self._places(page, window)
        if places is None:
            return  # the engine says what is wrong with them
        keys, (begin, until, end) = places.keys, places.marks
        numbered = [(number, key) for number, key in enumerate(keys) if key is not None]
        below = [] if is_first else [number for number, key in numbered if key < begin]
        beyond = [] if is_last else [number for number, key in numbered if not key < end]
        known = self._known_nulls(page.records, keys) if places.has_null else ()
        seams = self._seams
        seams.has_whole_end = seams.has_whole_end or any(until < key < end for _, key in numbered)
        seams.has_begin = seams.has_begin or (not is_first and begin in places.present)
        column = self._column.of(page)
        self._outside.see(column, page.records)
        self._outside.look_for(_of(column, below), _of(page.records, below), window)
        self._outside.leave_for_later(_of(column, beyond), _of(page.records, beyond), window)
        if below or beyond or known:
            gone = {*below, *beyond, *known}
            page.records = [record for n, record in enumerate(page.records) if n not in gone]

    def look_at_seam(self, page: ReadPage, seam: Window, window: Window) -> None:
        """Look whether what lies around the end of ``window`` comes: what is before it there, and the rest in the next one.

        Raises:
            BadDataError: it does not.
        """
        places = self._places(page, window)
        if places is None:
            return
        column, (_, until, end) = self._column.of(page), places.marks
        before = [n for n, key in enumerate(places.keys) if key is not None and until < key < end]
        at_end = [n for n, key in enumerate(places.keys) if key is not None and key == end]
        if before and not self._seams.has_whole_end:
            self._outside.look_for(_of(column, before), _of(page.records, before), seam, window)
            self._seams.has_whole_end = True
        if not self._seams.has_begin:
            self._outside.leave_for_later(_of(column, at_end), _of(page.records, at_end), seam)

    def _places(self, page: ReadPage, window: Window) -> Compared | None:
        """Return what the rows of a page are compared by, beside the bounds of a window; None: nothing can be compared."""
        bounds = (window.begin, window.until, window.end)
        marks = [msgspec.Raw(_encoder.encode(bound.value)) for bound in bounds]
        if not page.records:
            return None
        try:
            found = comparable_keys(self._column.of(page), self._kind, marks)
            min([*found.present[:1], *found.marks])  # numbers have no place among times
        except UnorderableError:
            return None
        return found

    def end_window(self, window: Window, *, is_last: bool) -> None:
        """Note that a window is complete.

        Raises:
            BadDataError: a row that should have come in it has not.
        """
        end = order_key(window.end.value, self._kind)
        self._nulls_here = Counter()
        self._outside.end_window(
            lambda value: is_last or order_key(_any_value.decode(value), self._kind) < end
        )

    def leave(self) -> None:
        """Say that what follows the last window is of another shard.

        Raises:
            BadDataError: a row that lies there does not come where it lies.
        """
        self._outside.leave()

    def _known_nulls(self, records: Sequence[RawRecord], keys: Sequence[Any]) -> list[int]:
        """Return which rows without a key came with a question before."""
        numbers = [number for number, key in enumerate(keys) if key is None]
        known = []
        for number, digest in zip(numbers, self._digests(_of(records, numbers)), strict=True):
            self._nulls_here[digest] += 1
            if self._nulls_here[digest] > self._nulls[digest]:
                self._nulls[digest] += 1
            else:
                known.append(number)
        return known


def _of(items: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    return [items[number] for number in numbers]
