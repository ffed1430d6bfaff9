"""Lengths of time as ISO 8601 writes them: `P31D`, `P1M`, `PT6H`."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

__all__ = ["Duration", "duration_of"]

_ISO = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII
)
_DAY = 86400
_MONTH = 28 * _DAY


@dataclass(frozen=True, slots=True)
class Duration:
    """So many calendar months, then days of the calendar, then seconds."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    @property
    def at_least(self) -> int:
        """The seconds of it that are certain, whatever month it begins in; the hour that a clock skips aside."""
        return self.months * _MONTH + self.days * _DAY + self.seconds

    @property
    def at_most(self) -> int:
        """Seconds that it never exceeds, wherever it begins: a day in which clocks are put back has an hour more."""
        return self.months * (31 * _DAY + 3600) + self.days * (_DAY + 3600) + self.seconds

    def after(self, moment: int, zone: tzinfo | None) -> int:
        """Return the Unix time so much after another, by the calendar of ``zone``, or of UTC.

        Raises:
            OverflowError, ValueError: no calendar has it.
        """
        wall = datetime.fromtimestamp(moment, zone or UTC)
        year, month = divmod(wall.year * 12 + wall.month - 1 + self.months, 12)
        wall = wall.replace(year=year, month=month + 1, day=min(wall.day, monthrange(year, month + 1)[1]))
        return int((wall + timedelta(days=self.days)).timestamp()) + self.seconds

    def before(self, moment: int, zone: tzinfo | None) -> int:
        """Return the Unix time so much before another."""
        return Duration(-self.months, -self.days, -self.seconds).after(moment, zone)

    def begin(self, moment: int, zone: tzinfo | None) -> int:
        """Return where the unit begins that a moment lies in: the month, day, hour, minute or second of which this is so many."""
        wall = datetime.fromtimestamp(moment, zone or UTC).replace(microsecond=0)
        if self.seconds:
            unit = next(unit for unit in (3600, 60, 1) if self.seconds % unit == 0)
            wall = wall.replace(second=0 if unit > 1 else wall.second, minute=0 if unit > 60 else wall.minute)
        else:
            wall = wall.replace(hour=0, minute=0, second=0, day=wall.day if self.days else 1)
        return int(wall.timestamp())


def duration_of(text: str) -> Duration:
    """Read a duration.

    Raises:
        ValueError: it is none, or no time at all.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError("Expected a duration such as `P31D`, `P1M` or `PT6H`")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    found = Duration(years * 12 + months, weeks * 7 + days, hours * 3600 + minutes * 60 + seconds)
    if not found.at_least or found.at_least > 400 * 366 * _DAY:
        raise ValueError("Expected a duration of a second to 400 years, such as `P31D`, `P1M` or `PT6H`")
    return found
