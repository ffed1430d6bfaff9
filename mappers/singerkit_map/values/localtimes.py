"""Times without an offset, read in the time zone that they are said to be of."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from singerkit_map.contract import BadValue
from singerkit_map.values.moments import Moment, iso_moment

__all__ = ["LocalTimes"]

_LATER_FOLD = {"gap": {"earlier": 1, "later": 0}, "overlap": {"earlier": 0, "later": 1}}
"""Python reads a time in the gap by the offset before it (fold 0), which is the later moment, or by the one behind it (fold 1)."""
_WORDS = {
    "gap": "that the clocks of {zone} skipped, so that no moment is meant: `gap` says which one to take",
    "overlap": "that the clocks of {zone} showed twice, so that two moments may be meant: `overlap` says which one to take",
}


class LocalTimes:
    """Gives each time of ``zone`` its offset.

    ``gap`` and ``overlap``: `fail`, `earlier`, `later` or `null`, for times that the clocks skipped, and that they showed twice.
    """

    def __init__(
        self, zone: ZoneInfo, to: ZoneInfo | None, gap: str, overlap: str, *, refuses_offsets: bool
    ) -> None:
        self._zone = zone
        self._to = to
        self._choices = {"gap": gap, "overlap": overlap}
        self._refuses_offsets = refuses_offsets

    def of(self, text: str) -> str | None:
        """Return a date-time with its offset; one that has it is left alone, but for ``to``.

        Raises:
            BadValue: it is no date-time; an offset, a gap or an overlap is refused.
        """
        moment = iso_moment(text)
        if not moment.has_clock:
            raise BadValue("expected a date-time, got a date, which no zone makes a moment of")
        try:
            if moment.offset is None:
                found = self._placed(moment)
                if found is None:
                    return None
                return self._moved(found).text
            if self._refuses_offsets:
                raise BadValue("expected a date-time without an offset, got one that has it")
            return text if self._to is None else self._moved(moment).text
        except OverflowError:
            raise BadValue("expected a date-time of the years 1 to 9999, got one at their end") from None

    def _placed(self, moment: Moment) -> Moment | None:
        wall = moment.wall
        first = wall.replace(tzinfo=self._zone, fold=0)
        before, after = _offset(first), _offset(first.replace(fold=1))
        if before == after:
            return moment.at(before)
        what = "gap" if before < after else "overlap"
        choice = self._choices[what]
        if choice == "null":
            return None
        if choice == "fail":
            raise BadValue(f"expected a date-time, got one {_WORDS[what].format(zone=self._zone.key)}")
        offset = after if _LATER_FOLD[what][choice] else before
        if what == "overlap":
            return moment.at(offset)
        # The clocks never showed it: what they did show at that moment is written.
        return _seen_in(self._zone, moment.at(offset))

    def _moved(self, moment: Moment) -> Moment:
        return moment if self._to is None else _seen_in(self._to, moment)


def _seen_in(zone: ZoneInfo, moment: Moment) -> Moment:
    there = moment.instant().astimezone(zone)
    return moment.at(_offset(there), there.replace(tzinfo=None, fold=0))


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta(0)
