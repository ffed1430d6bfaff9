"""A date or date-time as its text says it: nothing is added, and no digit of a second is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

from singerkit_map.contract import BadValue

__all__ = ["NO_SUCH_TIME", "Moment", "iso_moment", "offset_of"]

NO_SUCH_TIME = "expected a date or date-time, got one that no calendar has"
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,18}))?)?(?: ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
_MOST_OFFSET = timedelta(hours=24)


@dataclass(frozen=True)
class Moment:
    """What the clock showed, to the second; the digits of the fraction; the offset, None where the text has none.

    ``has_clock`` is false of a date.
    """

    wall: datetime
    fraction: str = ""
    offset: timedelta | None = None
    has_clock: bool = True

    @property
    def text(self) -> str:
        """The moment in ISO 8601."""
        if not self.has_clock:
            return self.wall.date().isoformat()
        return f"{self.wall.isoformat()}{self._fraction}{_offset_text(self.offset)}"

    @property
    def date_text(self) -> str:
        return self.wall.date().isoformat()

    @property
    def _fraction(self) -> str:
        return f".{self.fraction}" if self.fraction else ""

    def with_clock(self) -> Moment:
        """Return the moment as a date-time: a date at the beginning of its day."""
        return self if self.has_clock else replace(self, has_clock=True)

    def at(self, offset: timedelta, wall: datetime | None = None) -> Moment:
        """Return the moment with an offset; what the clock shows is ``wall``, or as it was."""
        return replace(self, wall=wall or self.wall, offset=offset)

    def instant(self) -> datetime:
        """Return the moment, which has an offset, to the second.

        Raises:
            OverflowError: it lies outside of the years 1 to 9999 in UTC.
        """
        return self.wall.replace(tzinfo=timezone(self.offset or timedelta(0))).astimezone(UTC)


def iso_moment(text: str) -> Moment:
    """Read a date or date-time of ISO 8601, a blank in the place of the `T` too.

    Raises:
        BadValue: it is none, or no calendar has it.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise BadValue("expected a date or date-time as ISO 8601 has them, got something else")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        wall = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        raise BadValue(NO_SUCH_TIME) from None
    return Moment(wall, fraction or "", offset_of(offset) if offset else None, has_clock=hour is not None)


def offset_of(text: str) -> timedelta:
    """Read `Z`, `+02`, `+0200` or `+02:00`.

    Raises:
        BadValue: no zone has it.
    """
    if text in "Zz":
        return timedelta(0)
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    offset = timedelta(hours=hours, minutes=minutes)
    if offset >= _MOST_OFFSET or minutes > 59:
        raise BadValue("expected a date-time, got one with an offset that no zone has")
    return -offset if text[0] == "-" else offset


def _offset_text(offset: timedelta | None) -> str:
    if offset is None:
        return ""
    seconds = int(offset.total_seconds())
    if not seconds:
        return "Z"
    minutes, odd = divmod(abs(seconds), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    if odd:
        # Local mean times of before 1900: no format of JSON Schema has seconds in an offset.
        raise BadValue(
            "expected a date-time whose offset is of whole minutes, got one from before there were zones"
        )
    return text
