"""Formats of dates, each read strictly: what a format does not say is no such date, and nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from singerkit_map.contract import BadValue
from singerkit_map.values.moments import NO_SUCH_TIME, Moment, iso_moment, offset_of

__all__ = ["FORMATS", "DateFormat", "FormatError", "format_named"]

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_DIGITS: Mapping[str, str] = {
    "%Y": "[0-9]{4}", "%y": "[0-9]{2}", "%m": "[0-9]{2}", "%d": "[0-9]{2}", "%H": "[0-9]{2}", "%I": "[0-9]{2}",
    "%M": "[0-9]{2}", "%S": "[0-9]{2}", "%j": "[0-9]{3}", "%f": "[0-9]{1,18}",
    "%-m": "[0-9]{1,2}", "%-d": "[0-9]{1,2}", "%-H": "[0-9]{1,2}", "%-I": "[0-9]{1,2}",
}  # fmt: skip
"""Directives of strptime that stand for digits: as many as `date` would write. With `-` those without a leading zero, too."""
_OF_ANY_LENGTH = frozenset(name for name, pattern in _DIGITS.items() if "," in pattern)
_WORDS: Mapping[str, Sequence[str]] = {
    "%b": [name[:3] for name in _MONTHS],
    "%B": _MONTHS,
    "%a": [name[:3] for name in _DAYS],
    "%A": _DAYS,
    "%p": ["AM", "PM"],
}
_OFFSET = "[Zz]|[+-][0-9]{2}:?[0-9]{2}"
_INSTEAD = {
    "%Z": "names of zones are not unique; write the name as it stands in the values, and say the zone by `timezone`",
    "%c": "it depends on the locale; write out what it stands for",
    "%x": "it depends on the locale; write out what it stands for",
    "%X": "it depends on the locale; write out what it stands for",
    "%s": "say `epoch`",
}
_DIRECTIVE = re.compile(r"%-?.?", re.DOTALL)
_EPOCH = datetime(1970, 1, 1)
_NUMBER = re.compile(r"(-?)([0-9]{1,30})(?:\.([0-9]{1,18}))?")


class FormatError(ValueError):
    """A format cannot be read for sure; the message says why, and what to write."""


@dataclass(frozen=True)
class DateFormat:
    """One way to write a date: ``read`` gives the moment, None of a text that is written otherwise.

    ``has_clock``: whether a time of day is a part of it, None where each text says so itself. ``needs_pivot``: its years have two digits.
    """

    name: str
    read: Callable[[str], Moment | None]
    has_clock: bool | None
    needs_pivot: bool = False


def _iso(text: str) -> Moment | None:
    try:
        return iso_moment(text)
    except BadValue as error:
        if str(error) == NO_SUCH_TIME:
            raise
        return None


def _epoch(decimals: int) -> Callable[[str], Moment | None]:
    def read(text: str) -> Moment | None:
        match = _NUMBER.fullmatch(text)
        if match is None:
            return None
        sign, whole, fraction = match[1], match[2], match[3] or ""
        digits = int(whole + fraction) * (-1 if sign else 1)
        places = decimals + len(fraction)
        seconds, rest = divmod(digits, 10**places)
        try:
            wall = _EPOCH + timedelta(seconds=seconds)
        except OverflowError:
            raise BadValue(NO_SUCH_TIME) from None
        written = f"{rest:0{places}}".rstrip("0") if places else ""
        return Moment(wall, written, timedelta(0))

    return read


def _rfc2822(text: str) -> Moment | None:
    from singerkit_state.instants import NoInstantError, rfc2822_instant

    try:
        seconds, _ = rfc2822_instant(text)
    except NoInstantError:
        return None
    return Moment(_EPOCH + timedelta(seconds=seconds), "", timedelta(0))


FORMATS: Mapping[str, DateFormat] = {
    one.name: one
    for one in (
        DateFormat("iso", _iso, None),
        DateFormat("rfc2822", _rfc2822, True),
        DateFormat("epoch", _epoch(0), True),
        DateFormat("epoch_ms", _epoch(3), True),
        DateFormat("epoch_us", _epoch(6), True),
        DateFormat("epoch_ns", _epoch(9), True),
    )
}
"""Formats that have a name, the same names as in tap-rest's `replication_key_type`."""


def format_named(name: str, pivot: int | None, months: Sequence[str] | None) -> DateFormat:
    """Return a format by its name or pattern (`%d.%m.%Y`); ``months`` are twelve names beside the English ones.

    Raises:
        FormatError: it cannot be read for sure.
    """
    if name in FORMATS:
        return FORMATS[name]
    if "%" not in name:
        known = ", ".join(f"`{one}`" for one in FORMATS)
        raise FormatError(f"there is no format `{name}`; there are {known}, and patterns such as `%d.%m.%Y`")
    return _Pattern(name, pivot, months).format


class _Pattern:
    """A pattern of directives, as one regular expression whose parts have one length or are parted from the next."""

    def __init__(self, name: str, pivot: int | None, months: Sequence[str] | None) -> None:
        self._name = name
        self._pivot = pivot
        self._months = [[month.casefold() for month in _MONTHS]]
        if months:
            self._months.append([month.casefold() for month in months])
        self._parts: list[str] = []
        self._expression = re.compile("".join(self._pieces()), re.IGNORECASE)
        self._check()
        has_clock = any(part in self._parts for part in ("%H", "%-H", "%I", "%-I"))
        self.format = DateFormat(name, self._read, has_clock, needs_pivot="%y" in self._parts)
        self._says_weekday = "%A" in self._parts or "%a" in self._parts

    def _pieces(self) -> list[str]:
        pieces, last = [], 0
        before: str | None = None
        for use in _DIRECTIVE.finditer(self._name):
            literal = self._name[last : use.start()]
            pieces.append(re.escape(literal))
            last = use.end()
            if use[0] == "%%":
                pieces.append("%")
                before = None
                continue
            if not literal and before in _OF_ANY_LENGTH and use[0] in _DIGITS:
                raise FormatError(
                    f"`{self._name}` has `{before}` right before `{use[0]}`: nobody can tell where one ends and the other begins"
                )
            pieces.append(f"({self._part(use[0])})")
            before = use[0]
        return [*pieces, re.escape(self._name[last:])]

    def _part(self, directive: str) -> str:
        if directive in self._parts:
            raise FormatError(f"`{self._name}` has `{directive}` twice")
        self._parts.append(directive)
        if directive in _DIGITS:
            return _DIGITS[directive]
        if directive == "%z":
            return _OFFSET
        if directive == "%B" and len(self._months) > 1:
            return _any_of([*_MONTHS, *self._months[1]])
        if directive in _WORDS:
            return _any_of(_WORDS[directive])
        why = _INSTEAD.get(directive, f"there are {', '.join([*_DIGITS, *_WORDS, '%z', '%%'])}")
        raise FormatError(f"`{self._name}` has `{directive}`, which is not read: {why}")

    def _check(self) -> None:
        has = set(self._parts)
        year = has & {"%Y", "%y"}
        month = has & {"%m", "%-m", "%b", "%B"}
        day = has & {"%d", "%-d"}
        hours = has & {"%H", "%-H", "%I", "%-I"}
        if len(year) != 1 or not (
            ("%j" in has and not month | day) or (len(month) == len(day) == 1 and "%j" not in has)
        ):
            raise FormatError(
                f"`{self._name}` has to say one year, one month and one day of it, or the day of the year (`%j`)"
            )
        if len(hours) > 1 or bool(has & {"%I", "%-I"}) != ("%p" in has):
            raise FormatError(f"`{self._name}` has to say one hour: `%H` of 24, or `%I` of 12 with `%p`")
        if (
            (has & {"%M", "%S", "%f", "%z"} and not hours)
            or ("%S" in has and "%M" not in has)
            or ("%f" in has and "%S" not in has)
        ):
            raise FormatError(
                f"`{self._name}` leaves out what stands before the smallest part of its time of day"
            )
        if "%y" in has and self._pivot is None:
            raise FormatError(
                f"`{self._name}` has years of two digits; say by `pivot` where a century begins: with 70, 69 is 2069 and 70 is 1970"
            )

    def _read(self, text: str) -> Moment | None:
        match = self._expression.fullmatch(text)
        if match is None:
            return None
        parts = dict(zip(self._parts, match.groups(), strict=True))
        try:
            day = self._day(parts)
            wall = datetime(
                day.year, day.month, day.day, _hour(parts), int(parts.get("%M", 0)), int(parts.get("%S", 0))
            )
        except ValueError:
            raise BadValue(NO_SUCH_TIME) from None
        if self._says_weekday:
            _check_weekday(parts, day)
        offset = offset_of(parts["%z"]) if "%z" in parts else None
        return Moment(wall, parts.get("%f", ""), offset, has_clock=self.format.has_clock is True)

    def _day(self, parts: Mapping[str, str]) -> date:
        year = int(parts["%Y"]) if "%Y" in parts else self._century(int(parts["%y"]))
        if "%j" in parts:
            day = date(year, 1, 1) + timedelta(days=int(parts["%j"]) - 1)
            if day.year != year:
                raise ValueError
            return day
        return date(year, self._month(parts), int(parts.get("%d") or parts["%-d"]))

    def _century(self, year: int) -> int:
        return year + (2000 if self._pivot is None or year < self._pivot else 1900)

    def _month(self, parts: Mapping[str, str]) -> int:
        number = parts.get("%m") or parts.get("%-m")
        if number:
            return int(number)
        name = (parts.get("%B") or parts["%b"]).casefold()
        for months in self._months:
            for index, month in enumerate(months):
                if name == month or ("%b" in parts and name == month[:3]):
                    return index + 1
        raise ValueError


def _any_of(words: Sequence[str]) -> str:
    """Longer words first: of two of which one begins the other, the longer is meant wherever it stands."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _hour(parts: Mapping[str, str]) -> int:
    if "%p" not in parts:
        return int(parts.get("%H") or parts.get("%-H") or 0)
    hour = int(parts.get("%I") or parts["%-I"])
    if not 1 <= hour <= 12:
        raise ValueError
    return hour % 12 + (12 if parts["%p"].upper() == "PM" else 0)


def _check_weekday(parts: Mapping[str, str], day: date) -> None:
    said = parts.get("%A") or parts.get("%a")
    if said and not _DAYS[day.weekday()].casefold().startswith(said.casefold()):
        raise BadValue("expected a date, got one whose day of the week is another")
