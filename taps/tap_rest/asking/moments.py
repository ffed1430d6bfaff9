"""`{now}` and `{today}`, moved (`{now-1d}`, `{today-1mo}`) and written (`{now:epoch}`, `{today-7d:%d.%m.%Y}`).

The clock is read once a run, so that all requests of a run speak of the same moment.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from singerkit_shell.validate import nearest
from singerkit_state.instants import Instant, iso_of, pattern_of, writing_problem, zone_named

__all__ = ["Moments", "counted_since_epoch", "is_moment", "moment_problem"]

_EPOCH_DIGITS = {"epoch": 0, "epoch_ms": 3, "epoch_us": 6, "epoch_ns": 9}
_NAMES = ("iso", *_EPOCH_DIGITS)
_HEAD = re.compile(r"(?:now|today)(?![\w.])")
_MOMENT = re.compile(
    r"(?P<base>now|today)(?P<moves>(?:[+-][0-9]{1,6}[a-z]+)*)(?::(?P<format>.+))?", re.DOTALL
)
_MOVE = re.compile(r"([+-])([0-9]+)([a-z]+)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MONTHS = {"mo": 1, "y": 12}


def is_moment(name: str) -> bool:
    """Tell whether what stands in braces is meant to be a moment."""
    return _HEAD.match(name) is not None


def moment_problem(name: str, zone_name: str | None) -> str | None:
    """Return what is wrong with a moment."""
    match = _MOMENT.fullmatch(name)
    if match is None:
        return "is no moment that is known; write it as `{now-1d}` or `{today-1mo:%Y-%m-%d}`"
    for _, _, unit in _MOVE.findall(match["moves"]):
        if unit not in _UNITS and unit not in _MONTHS:
            return f"moves by `{unit}`, which is no unit; those are {', '.join((*_UNITS, *_MONTHS))}"
    written = match["format"]
    if written is None or written in _NAMES:
        return None
    if "%" not in written:
        near = nearest(written, _NAMES)
        return f"is written as `{written}`, which is no format; {f'did you mean `{near}`?' if near else 'write a pattern such as `%Y-%m-%d`'}"
    try:
        problem = writing_problem(written, None if zone_name is None else zone_named(zone_name))
    except ValueError:
        return None  # what is wrong with the zone is said where it stands
    return None if problem is None else f"is written as `{written}`: {problem}"


@dataclass(frozen=True, slots=True)
class Moments:
    """What the placeholders of a stream are in one run. ``now`` reads the clock of the run; ``zone`` is that of the stream."""

    now: Callable[[], datetime]
    zone: tzinfo | None = None

    def written(self, name: str) -> Any:
        """Return a moment as it is sent: a number where it counts seconds, else a text."""
        match = _MOMENT.fullmatch(name)
        assert match is not None  # noqa: S101  the config was looked at
        is_day = match["base"] == "today"
        local = self.now().astimezone(self.zone or UTC)
        if is_day:
            local = local.replace(hour=0, minute=0, second=0, microsecond=0)
        for sign, count, unit in _MOVE.findall(match["moves"]):
            local = _moved(local, int(sign + count), unit, is_day=is_day)
        whole = (local.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        seconds, micro = divmod(whole, 1_000_000)
        instant: Instant = seconds, f"{micro:06}".rstrip("0")
        return _in_format(instant, match["format"] or ("%Y-%m-%d" if is_day else "iso"), self.zone)


def counted_since_epoch(instant: Instant, name: str) -> int:
    """Return the seconds since 1970, or the parts of a second that ``name`` says, cut off downwards."""
    seconds, fraction = instant
    digits: int = _EPOCH_DIGITS[name]
    return seconds * int(10**digits) + int("0" + fraction[:digits].ljust(digits, "0"))


def _moved(moment: datetime, count: int, unit: str, *, is_day: bool) -> datetime:
    """Return a moment moved: a day by the calendar of its zone, a time by what has passed."""
    if unit in _MONTHS:
        months = moment.year * 12 + moment.month - 1 + count * _MONTHS[unit]
        year, month = min(max(months // 12, 1), 9999), months % 12 + 1
        return moment.replace(
            year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1])
        )
    passed = timedelta(**{_UNITS[unit]: count})
    if is_day and unit in ("d", "w"):
        return moment + passed
    return (moment.astimezone(UTC) + passed).astimezone(moment.tzinfo)


def _in_format(instant: Instant, name: str, zone: tzinfo | None) -> Any:
    if name in _EPOCH_DIGITS:
        return counted_since_epoch(instant, name)
    if name == "iso":
        return iso_of((instant[0], ""))
    return pattern_of(instant, name, zone)
