"""Rows outside the window that was asked for: they are left out, since they come in their own window. Here it is seen whether they do.

They come where ends are inclusive, or an API goes by days where it was asked by seconds, or does not listen to an end. But an
API that compares another field than the replication key gives each row in one window only, in that of the other field, and a
row that is left out there would never come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_state.order import Value
from singerkit_wire.encode import RawRecord
from tap_rest.answers.answer import TooManyRowsError
from tap_rest.records.cutting import ReadPage
from tap_rest.windows.bounds import Window

__all__ = ["Outside"]

_SAMPLE = 5
_LOOKS = 3
_any_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any, float_hook=Decimal)

Pages = Callable[[Window], Iterable[ReadPage]]
Digests = Callable[[Sequence[RawRecord]], list[str]]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that was left out: its key as it came, what it says, and the window in which it came."""

    value: bytes
    digest: str
    window: Window


class Outside:
    """Looks after rows that were left out of one read.

    ``digests`` are of what rows say, ``ask`` asks for a window once more, and ``own`` returns one, a short one, in which a value lies.
    """

    def __init__(
        self, stream: str, key: str, digests: Digests, ask: Pages, own: Callable[[Value], Window]
    ) -> None:
        self._stream, self._key, self._digests, self._ask, self._own = stream, key, digests, ask, own
        self._waiting: list[_Row] = []
        """Rows of windows to come."""
        self._looks = 0

    def leave_for_later(
        self, values: Sequence[msgspec.Raw], records: Sequence[RawRecord], window: Window
    ) -> None:
        """Take rows that lie beyond a window, some of which are waited for."""
        room = _SAMPLE - len(self._waiting)
        if room > 0:
            self._waiting += self._told(values[:room], records[:room], window)

    def see(self, values: Sequence[msgspec.Raw], records: Sequence[RawRecord]) -> None:
        """Look at the rows of a later window: those that were waited for have come."""
        if not self._waiting:
            return
        wanted = {row.value for row in self._waiting}
        came = [record for value, record in zip(values, records, strict=True) if bytes(value) in wanted]
        digests = set(self._digests(came))
        self._waiting = [row for row in self._waiting if row.digest not in digests]

    def end_window(self, is_past: Callable[[bytes], bool]) -> None:
        """Say that a window is complete; ``is_past`` tells whether a value lies in it, or before.

        Raises:
            BadDataError: a row that should have come in it has not, and is still given in the window where it does not belong.
        """
        due = [row for row in self._waiting if is_past(row.value)]
        self._waiting = [row for row in self._waiting if row not in due]
        for row in due[:1]:  # one of them tells
            self._look_for(row, self._own(_any_value.decode(row.value)))

    def leave(self) -> None:
        """Say that rows of later windows are not waited for: one of them is asked for.

        Raises:
            BadDataError: it does not come, and is still given in the window where it does not belong.
        """
        waiting, self._waiting = self._waiting[:1], []
        for row in waiting if self._looks < _LOOKS else ():
            self._looks += 1
            self._look_for(row, self._own(_any_value.decode(row.value)))

    def look_for(
        self,
        values: Sequence[msgspec.Raw],
        records: Sequence[RawRecord],
        window: Window,
        own: Window | None = None,
    ) -> None:
        """Look whether a row that lies outside a window comes in its ``own`` one, which was read before; of a few rows only.

        Raises:
            BadDataError: it does not, and is still given here.
        """
        if self._looks >= _LOOKS or not records:
            return
        self._looks += 1
        [row] = self._told(values[:1], records[:1], window)
        self._look_for(row, own or self._own(_any_value.decode(row.value)))

    def _look_for(self, row: _Row, own: Window) -> None:
        # Rows that came, or went, since they were seen are no sign, and neither is what an API gives of a window that is too long.
        with suppress(TooManyRowsError):
            if self._comes_in(own, row) or not self._comes_in(row.window, row):
                return
            raise self._strange(row.window)

    def _comes_in(self, window: Window, row: _Row) -> bool:
        return any(row.digest in self._digests(page.records) for page in self._ask(window))

    def _told(
        self, values: Sequence[msgspec.Raw], records: Sequence[RawRecord], window: Window
    ) -> Iterator[_Row]:
        for value, digest in zip(values, self._digests(records), strict=True):
            yield _Row(bytes(value), digest, window)

    def _strange(self, window: Window) -> BadDataError:
        return BadDataError(
            f"Asked for `{window.begin.asked}` to `{window.until.asked}`, the API gives a row of stream {self._stream} whose `{self._key}` "
            "lies outside, and where it lies it does not give it: it compares another field than the replication key, or its ends are "
            "others than `incremental` says. What was confirmed by the target is safe; ask by the field that is the replication "
            "key, set `time_zone` if it compares local times, correct `until` or `granularity`, or leave `until_param` out."
        )
