"""Which spans of a replication key are a shard's (`incremental.shard_window`): they lie on one grid, and the shards take turns.

The grid follows from the setting and the time zone alone, so all shards mean the same spans, wherever each of them begins to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from singerkit_state.order import ValueKind
from singerkit_state.shards import Shard
from tap_rest.settings.incremental import Incremental
from tap_rest.windows.bounds import number_of
from tap_rest.windows.durations import Duration, duration_of

__all__ = ["Turns", "said_of", "turns_of"]

Place = int | Decimal
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Turns:
    """The spans of one shard; ``number`` says in which span a place lies, and ``begin`` where a span begins.

    Both raise OverflowError or ValueError where no calendar has it.
    """

    shard: Shard
    number: Callable[[Place], int]
    begin: Callable[[int], Place]

    def first_from(self, place: Place) -> Place | None:
        """Return the first place of the shard at or above another one; None: there is none in the calendar."""
        number = self.number(place)
        ahead = (self.shard.number - number) % self.shard.of
        if not ahead:
            return place
        try:
            return self.begin(number + ahead)
        except (OverflowError, ValueError):
            return None

    def end(self, place: Place) -> Place | None:
        """Return where the span ends that a place lies in; None: the calendar ends before."""
        try:
            return self.begin(self.number(place) + 1)
        except (OverflowError, ValueError):
            return None


def turns_of(settings: Incremental, kind: ValueKind, shard: Shard | None) -> Turns | None:
    """Return the spans of a shard; None: all is read."""
    length = settings.shard_window
    if shard is None or length is None:
        return None
    if not isinstance(length, str):
        step = number_of(length)
        return Turns(shard, lambda place: int(place // step), lambda number: number * step)
    of = duration_of(length)
    if of.seconds:
        return Turns(shard, lambda place: int(place // of.seconds), lambda number: number * of.seconds)
    return _by_calendar(shard, of, kind.zone)


def _by_calendar(shard: Shard, of: Duration, zone: tzinfo | None) -> Turns:
    zone = zone or UTC

    def number(place: Place) -> int:
        wall = datetime.fromtimestamp(int(place), zone).replace(tzinfo=None)
        return (
            (wall.year * 12 + wall.month - 1) // of.months if of.months else (wall - _EPOCH).days // of.days
        )

    def begin(number: int) -> int:
        if of.months:
            year, month = divmod(number * of.months, 12)
            wall = _EPOCH.replace(year=year, month=month + 1)
        else:
            wall = _EPOCH + timedelta(days=number * of.days)
        return int(wall.replace(tzinfo=zone).timestamp())

    return Turns(shard, number, begin)


def said_of(settings: Incremental, kind: ValueKind) -> str:
    """Return all that the grid follows from, as it stands in a state."""
    length = settings.shard_window
    is_local = isinstance(length, str) and not duration_of(length).seconds
    return f"{length} in {kind.zone or 'UTC'}" if is_local else str(length)
