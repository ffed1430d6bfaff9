"""The one reader of points in time: ISO 8601 in all its common looks, RFC 2822, patterns, and local times.

A point in time is an `Instant`: whole seconds since 1970-01-01T00:00:00Z, and the digits of the fraction without
trailing zeros, so that any number of digits compares exactly. What is moved back keeps its look.

Local times are read in a time zone with care: an hour that comes twice when the clocks go back is one point in time
(its beginning), so that no row of it counts as earlier than another; a time that the clocks skipped is the moment of
the skip. Both are on the safe side: a start never lies after a row that it should cover.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

__all__ = [
    "Instant",
    "NoInstantError",
    "check_calendar",
    "has_no_offset",
    "is_date",
    "iso_asked",
    "iso_instant",
    "iso_less",
    "iso_like",
    "iso_of",
    "looks_like_iso",
    "pattern_asked",
    "pattern_in_full",
    "pattern_instant",
    "pattern_less",
    "pattern_of",
    "pattern_problem",
    "rfc2822_instant",
    "rfc2822_less",
    "rfc2822_of",
    "wall_clock",
    "writing_problem",
    "zone_named",
]

Instant = tuple[int, str]


class NoInstantError(ValueError):
    """A text is no point in time of the expected look. The message shows no value."""


_ISO = re.compile(
    r"(?P<year>[+-]?\d{4,})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:(?P<t>[Tt ])(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:(?P<dot>[.,])(?P<fraction>\d+))?)?"
    r"(?P<zone> ?(?:[Zz]|(?P<sign>[+-])(?P<oh>\d\d)(?::?(?P<om>\d\d))?))?"
    r"|(?P<datezone> ?(?:[Zz]|(?P<dsign>[+-])(?P<doh>\d\d):?(?P<dom>\d\d)))?)",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1)


def _parsed(text: object) -> re.Match[str]:
    match = _ISO.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise NoInstantError("Expected a date-time, got something else")
    return match


def is_date(text: str) -> bool:
    """Tell whether an ISO text has no time of day."""
    return _parsed(text)["hour"] is None


def looks_like_iso(text: str) -> bool:
    """Tell whether ``text`` is written like a date or date-time, whether or not a calendar has it."""
    return _ISO.fullmatch(text) is not None


def has_no_offset(text: object) -> bool:
    """Tell whether ``text`` is an ISO date-time that does not say in which zone it is meant."""
    try:
        match = _parsed(text)
    except NoInstantError:
        return False
    return match["hour"] is not None and match["zone"] is None


def iso_instant(text: object, zone: tzinfo | None = None) -> Instant:
    """Read an ISO 8601 date or date-time; without an offset it is of ``zone``, or UTC.

    Raises:
        NoInstantError: it is something else, or a time that no calendar has.
    """
    return _read_instant(text if isinstance(text, str) else "", zone)


@lru_cache(maxsize=32)  # the ends of a page are looked at by several
def _read_instant(text: str, zone: tzinfo | None) -> Instant:
    match = _parsed(text)
    wall, offset = _wall(match), _offset(match)
    fraction = (match["fraction"] or "").rstrip("0")
    if offset is not None or zone is None:
        return wall - (offset or 0), fraction
    return _from_wall(wall, zone), fraction


def check_calendar(text: object) -> None:
    """See that a date or date-time is one that a calendar has, in UTC too.

    What a source sends may be less than that (`iso_instant`): it has an order all the same.

    Raises:
        NoInstantError: it is not.
    """
    seconds, _ = iso_instant(text)
    match = _parsed(text)
    try:
        date(int(match["year"]), int(match["month"]), int(match["day"]))
        _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        raise NoInstantError("Expected a date-time, got one that no calendar has") from None


def _wall(match: re.Match[str]) -> int:
    """Return the seconds from 1970-01-01T00:00:00 to what the clock on the wall showed."""
    year, month, day = int(match["year"]), int(match["month"]), int(match["day"])
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if not (0 < month < 13 and 0 < day < 32 and hour < 25 and minute < 60 and second < 61):
        raise NoInstantError("Expected a date-time, got one that no calendar has")
    return _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second


def _offset(match: re.Match[str]) -> int | None:
    if match["zone"] is None and match["datezone"] is None:
        return None
    sign, hours, minutes = (match["sign"] or match["dsign"]), *_offset_digits(match)
    if hours > 23 or minutes > 59:
        raise NoInstantError("Expected a date-time, got one with an offset that no zone has")
    seconds = hours * 3600 + minutes * 60
    return -seconds if sign == "-" else seconds


def _offset_digits(match: re.Match[str]) -> tuple[int, int]:
    return int(match["oh"] or match["doh"] or 0), int(match["om"] or match["dom"] or 0)


def _days(year: int, month: int, day: int) -> int:
    """Count days from 1970-01-01 in the Gregorian calendar, for any year."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468


def iso_less(text: str, back: int, zone: tzinfo | None = None) -> str:
    """Return an ISO text moved back by ``back`` seconds, or days for a date, in the look it has.

    A local time inside an hour that comes twice is moved to the beginning of that hour, also by 0 seconds.
    """
    match = _parsed(text)
    if match["hour"] is None:
        return _date_text(_wall(match) // 86400 - back) + (match["datezone"] or "")
    before = _wall(match)
    wall = before - back
    fraction = match["fraction"] or ""
    if match["zone"] is None and zone is not None:
        wall = min(wall_clock(_from_wall(before, zone) - back, zone), before)
        fraction = fraction if wall == before - back else "0" * len(fraction)
    if wall == before and fraction == (match["fraction"] or ""):
        return text
    return _rewritten(match, wall, fraction)


def iso_asked(text: str, zone: tzinfo) -> str:
    """Return what to ask for, so that rows from an ISO text on come: see `unambiguous_wall`."""
    match = _parsed(text)
    if match["hour"] is None or match["zone"] is not None:
        return text
    wall = _wall(match)
    asked = unambiguous_wall(wall, zone)
    return text if asked == wall else _rewritten(match, asked, "9" * len(match["fraction"] or ""))


def iso_like(text: str, seconds: int, zone: tzinfo | None = None) -> str:
    """Return a point in time in the look of an ISO text: a date, its offset, digits of a second, which are zeros."""
    match = _parsed(text)
    offset = _offset(match)
    wall = seconds + offset if offset is not None else seconds if zone is None else wall_clock(seconds, zone)
    if match["hour"] is None:
        return _date_text(wall // 86400) + (match["datezone"] or "")
    return _rewritten(match, wall, "0" * len(match["fraction"] or ""))


def _rewritten(match: re.Match[str], wall: int, fraction: str) -> str:
    """Write a local time in the look of an ISO text."""
    days, second = divmod(wall, 86400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}"
    if match["second"] is not None:
        clock += f":{second % 60:02}" + (f"{match['dot']}{fraction}" if fraction else "")
    return f"{_date_text(days)}{match['t']}{clock}{match['zone'] or ''}"


def _date_text(days: int) -> str:
    ordinal = min(max(days + date(1970, 1, 1).toordinal(), 1), date.max.toordinal())
    return date.fromordinal(ordinal).isoformat()


def iso_of(instant: Instant, zone: tzinfo | None = None, *, as_date: bool = False) -> str:
    """Write a point in time as ISO 8601, in UTC; as a date: the day it lies on in ``zone``."""
    seconds, fraction = instant
    if as_date:
        return _date_text((seconds if zone is None else wall_clock(seconds, zone)) // 86400)
    days, second = divmod(seconds, 86400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{_date_text(days)}T{clock}{'.' + fraction if fraction else ''}Z"


# Local times


def _from_wall(wall: int, zone: tzinfo) -> int:
    """Return the seconds of a local time: the earliest it can be meant to be; of a skipped one, the skip."""
    before, after = _offsets(wall, zone)
    if before == after:
        return wall - before
    turn = _turn(wall, before, after, zone)
    return turn if before < after else turn - (before - after)


def wall_clock(seconds: int, zone: tzinfo) -> int:
    """Return what the clocks of ``zone`` show; in an hour that comes twice, its beginning, as they show it."""
    try:
        moment = datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return seconds
    wall = seconds + _seconds(moment.utcoffset())
    before, after = _offsets(wall, zone)
    return _turn(wall, before, after, zone) + after if before > after else wall


def unambiguous_wall(wall: int, zone: tzinfo) -> int:
    """Return a local time, or the last second before the hour that comes twice in which it lies.

    From a time inside that hour a server may count from its first occurrence on, or from its second, where others are lost.
    """
    before, after = _offsets(wall, zone)
    return _turn(wall, before, after, zone) + after - 1 if before > after else wall


def _offsets(wall: int, zone: tzinfo) -> tuple[int, int]:
    """Return the offsets that a local time may have: before and after the clocks changed."""
    try:
        moment = _EPOCH + timedelta(seconds=wall)
        first, second = (moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    except (ValueError, OverflowError):
        return 0, 0
    return _seconds(first), _seconds(second)


def _turn(wall: int, before: int, after: int, zone: tzinfo) -> int:
    """Return the second at which the clocks of ``zone`` changed, near a local time with two offsets."""
    low, high = wall - max(before, after), wall - min(before, after)
    while high - low > 1:
        middle = (low + high) // 2
        if _seconds(datetime.fromtimestamp(middle, zone).utcoffset()) == after:
            high = middle
        else:
            low = middle
    return high


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else offset // timedelta(seconds=1)


# Patterns, as strptime has them


_MOMENTS = [
    datetime(year, month, day, hour, 50 - hour, 55 - hour, tzinfo=UTC)
    for year in (1999, 2026)
    for month in (2, 7, 11)
    for day in (3, 27)
    for hour in (0, 1, 11, 12, 13, 23)
]
"""Points in time, in order, that tell whether a look keeps their order."""
_NO_ORDER = (
    "times of this look have no order; a year is needed, and whatever is left out must be the small end"
)
_LITERAL_OFFSET = re.compile(
    r"(?<!%)(?<!%:) ?(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))$", re.ASCII
)
_IN_FULL = {"%F": "%Y-%m-%d", "%D": "%m/%d/%y", "%T": "%H:%M:%S", "%R": "%H:%M", "%h": "%b"}
_IN_FULL |= {"%e": "%d", "%k": "%H", "%l": "%I", "%P": "%p"}


def pattern_problem(pattern: str, zone: tzinfo | None = None) -> str | None:
    """Return what is wrong with a pattern as the look of ordered times; None when it is fine."""
    if "%Z" in pattern:
        return "`%Z` cannot be read for sure; use `%z`, or write the zone's name as it stands in the values"
    try:
        read = [datetime.strptime(moment.strftime(pattern), pattern) for moment in _MOMENTS]
    except (ValueError, re.error):
        return "it is not a pattern that strptime reads"
    read = [moment.replace(tzinfo=UTC) for moment in read]
    if (
        read[0].year != 1999
        or sorted(read) != read
        or any(a > b for a, b in zip(read, _MOMENTS, strict=True))
    ):
        return _no_order(pattern)
    said = _LITERAL_OFFSET.search(pattern)
    if said is not None and not _is_offset_of(said, zone):
        return (
            f"it ends in `{said[0].strip()}`, and its times are read as of {_called(zone)}; write `%z` in its place, which "
            "reads offsets and `Z`, or set `time_zone` right"
        )
    return None


def writing_problem(pattern: str, zone: tzinfo | None = None) -> str | None:
    """Return why a time that is written by a pattern, in ``zone`` or UTC, would be read as another; None when it is fine.

    A few times are written and read back, as whoever is asked with them has to. One that is cut off downwards is fine.
    """
    if "%s" in pattern:
        return "`%s` depends on the zone of this machine; use `epoch`"
    rest = re.sub(r"%[-_0^#]?[A-Za-z%]", "", pattern)
    if "%" not in pattern or re.search(r"([YyMDdHhmsS])\1", rest):
        return (
            "it has letters where a date is wanted; a pattern has directives of strftime, such as `%Y-%m-%d`"
        )
    said = _LITERAL_OFFSET.search(pattern)
    if said is not None and not _is_offset_of(said, zone):
        return (
            f"it ends in `{said[0].strip()}`, and the time is written in {_called(zone)}; write `%z` in its place (then the "
            "time is written in UTC), or use `iso`"
        )
    start = len(pattern) if said is None else said.start()
    try:
        read = [_read_back(moment, pattern[:start], zone) for moment in _MOMENTS]
    except (ValueError, re.error):
        return "what it writes cannot be read back as a time; see the directives of strptime"
    is_later = any(a > b.timestamp() for a, b in zip(read, _MOMENTS, strict=True))
    if is_later or sorted(read) != read or read[0] == read[-1]:
        return _no_order(pattern)
    return None if looks_like_iso(_MOMENTS[-1].strftime(pattern[:start])) else _tail_problem(pattern[:start])


def _no_order(pattern: str) -> str:
    full = pattern_in_full(pattern)
    if "%I" in full and "%p" not in full and "%H" not in full:
        return "its hours are those of half a day (`%I`), and nothing says which half; write `%H`, or `%p` as well"
    return _NO_ORDER


def _tail_problem(pattern: str) -> str | None:
    """Return what is wrong with the text behind the last directive, which whoever reads it takes for a part of the time.

    What stands behind a quote or a bracket is no part of it, nor are noughts or the signs of another script.
    """
    tail = re.split(r"['\"`)\]}>]", re.split(r"%[-_0^#]?[A-Za-z%]", pattern)[-1])[0]
    letters = re.match(r"([A-Za-z]+)| ([A-Za-z]+)$", re.sub(r"^[Tt ]?(?=0)", "", tail))
    if letters is not None and letters[0].strip().lower() not in ("z", "utc", "gmt"):
        return (
            f"it ends in `{tail.strip()}`, which no time ends in; text around the time stands in `template`, and a zone is "
            "written by `%z`, or as `Z` where it is UTC"
        )
    is_to_the_day = any(directive in pattern_in_full(pattern) for directive in ("%d", "%j", "%x", "%c", "%u"))
    if is_to_the_day and re.search("[1-9]", tail):
        return f"it ends in `{tail.strip()}`, which is later than the time that is meant; noughts are not"
    return None


def pattern_in_full(pattern: str) -> str:
    """Return a pattern of strftime in the directives that strptime has, too."""
    return re.sub(
        r"%[-_0^#]?([A-Za-z%])", lambda match: _IN_FULL.get("%" + match[1], "%" + match[1]), pattern
    )


def _read_back(moment: datetime, pattern: str, zone: tzinfo | None) -> int:
    instant = (int(moment.timestamp()), "")
    text = pattern_of(instant, pattern, zone)
    if looks_like_iso(text):  # what the pattern has besides directives counts, too: `%Y-%m-%dT23:59:59`
        return iso_instant(text, zone)[0]
    return pattern_instant(text, pattern_in_full(pattern), zone)[0]


def _is_offset_of(said: re.Match[str], zone: tzinfo | None) -> bool:
    """Tell whether an offset that a pattern has in so many digits is that of ``zone``, always."""
    seconds = 0 if said["utc"] else int(said["hours"]) * 3600 + int(said["minutes"]) * 60
    seconds = -seconds if said["sign"] == "-" else seconds
    return all(_seconds(moment.astimezone(zone or UTC).utcoffset()) == seconds for moment in _MOMENTS)


def _called(zone: tzinfo | None) -> str:
    return "UTC" if zone is None else f"{zone} (`time_zone`)"


def pattern_instant(text: object, pattern: str, zone: tzinfo | None = None) -> Instant:
    """Read a text by a pattern; without `%z` it is of ``zone``, or UTC.

    Raises:
        NoInstantError: it has another look.
    """
    moment = _by_pattern(text, pattern)
    if moment.tzinfo is None and zone is not None:
        seconds = _from_wall(_whole(moment), zone)
    else:
        seconds = _whole(moment.replace(tzinfo=None)) - _seconds(moment.utcoffset())
    return seconds, f"{moment.microsecond:06}".rstrip("0")


def _by_pattern(text: object, pattern: str) -> datetime:
    try:
        return datetime.strptime(text, pattern) if isinstance(text, str) else _refuse_pattern()
    except ValueError:
        return _refuse_pattern()


def _refuse_pattern() -> datetime:
    raise NoInstantError("Expected a time of the look that `replication_key_format` says, got something else")


def _whole(moment: datetime) -> int:
    return (moment.replace(microsecond=0) - _EPOCH) // timedelta(seconds=1)


def pattern_less(text: str, back: int, pattern: str, zone: tzinfo | None = None) -> str:
    """Return a text of a pattern moved back by seconds, or days where the pattern has no time of day."""
    moment = _by_pattern(text, pattern)
    if not _has_clock(pattern):
        back *= 86400
    if moment.tzinfo is None and zone is not None:
        wall = min(wall_clock(_from_wall(_whole(moment), zone) - back, zone), _whole(moment))
        if wall == _whole(moment):
            return text
        fraction = moment.microsecond if wall == _whole(moment) - back else 0
        return _written(_within(wall, fraction), pattern)
    if back == 0:
        return text
    wall = _whole(moment.replace(tzinfo=None)) - back
    return _written(_within(wall, moment.microsecond).replace(tzinfo=moment.tzinfo), pattern)


def pattern_asked(text: str, pattern: str, zone: tzinfo) -> str:
    """Return what to ask for, so that rows from a text of a pattern on come: see `unambiguous_wall`."""
    moment = _by_pattern(text, pattern)
    if moment.tzinfo is not None or not _has_clock(pattern):
        return text
    asked = unambiguous_wall(_whole(moment), zone)
    return text if asked == _whole(moment) else _written(_within(asked, 999_999), pattern)


def _has_clock(pattern: str) -> bool:
    return any(directive in pattern for directive in ("%H", "%I", "%X", "%c"))


def pattern_of(instant: Instant, pattern: str, zone: tzinfo | None = None, *, is_asked: bool = False) -> str:
    """Write a point in time by a pattern, cut off downwards: in UTC where it has `%z`, else in ``zone``, or UTC.

    ``is_asked``: rows from it on are asked for, and a time in an hour that comes twice says too little.
    """
    seconds, fraction = instant
    micro = int(fraction[:6].ljust(6, "0"))
    if "%z" in pattern or zone is None:
        return _written(_within(seconds, micro).replace(tzinfo=UTC), pattern)
    wall = wall_clock(seconds, zone)
    if is_asked and unambiguous_wall(wall, zone) != wall:
        return _written(_within(unambiguous_wall(wall, zone), 999_999), pattern)
    # At the beginning of an hour that comes twice a fraction could lie above what it stands for.
    return _written(_within(wall, micro if _from_wall(wall, zone) == seconds else 0), pattern)


def _written(moment: datetime, pattern: str) -> str:
    """Write a time by a pattern; years before 1000 with all four digits, which not every C library does by itself."""
    if moment.year < 1000:
        pattern = re.sub(r"%([-_0^#]?)([A-Za-z%])", lambda match: _early(match, moment.year), pattern)
    return moment.strftime(pattern)


def _early(match: re.Match[str], year: int) -> str:
    full = {"Y": f"{year:04}", "F": f"{year:04}-%m-%d"}
    return match[0] if match[1] else full.get(match[2], match[0])


def _within(wall: int, microsecond: int) -> datetime:
    longest = (datetime.max - _EPOCH) // timedelta(seconds=1)
    shortest = (datetime.min - _EPOCH) // timedelta(seconds=1)
    return (_EPOCH + timedelta(seconds=min(max(wall, shortest), longest))).replace(microsecond=microsecond)


# RFC 2822: Wed, 21 Oct 2026 07:28:00 GMT


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NAMED = {"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5}
_NAMED |= {"MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_RFC2822 = re.compile(
    rf"(?P<weekday>(?:{'|'.join(_DAYS)}), ?)?(?P<day>\d\d?) (?P<month>{'|'.join(_MONTHS)}) (?P<year>\d{{4}}) "
    rf"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))? (?P<zone>[+-]\d{{4}}|{'|'.join(_NAMED)})",
    re.ASCII | re.IGNORECASE,
)


def rfc2822_instant(text: object) -> Instant:
    """Read a date of e-mail and HTTP; `NoInstantError` when it is something else."""
    moment, _ = _by_rfc2822(text)
    return _whole(moment.replace(tzinfo=None)) - _seconds(moment.utcoffset()), ""


def _by_rfc2822(text: object) -> tuple[datetime, re.Match[str]]:
    match = _RFC2822.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise NoInstantError("Expected a date like `Wed, 21 Oct 2026 07:28:00 GMT`, got something else")
    zone, month = match["zone"].upper(), _MONTHS.index(match["month"].lower()) + 1
    if zone in _NAMED:
        offset = timedelta(hours=_NAMED[zone])
    else:
        offset = timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
    clock = (int(match["hour"]), int(match["minute"]), min(int(match["second"] or 0), 59))
    try:
        return datetime(int(match["year"]), month, int(match["day"]), *clock, tzinfo=timezone(offset)), match
    except ValueError:
        raise NoInstantError("Expected a date-time, got one that no calendar has") from None


def rfc2822_less(text: str, back: int) -> str:
    """Return a date of e-mail moved back by seconds, with the zone it has."""
    if back == 0:
        return text
    moment, match = _by_rfc2822(text)
    return _rfc2822_text(
        _within(_whole(moment.replace(tzinfo=None)) - back, 0), match["zone"], match["weekday"]
    )


def rfc2822_of(instant: Instant) -> str:
    """Write a point in time as HTTP does."""
    return _rfc2822_text(_within(instant[0], 0), "GMT", "Mon, ")


def _rfc2822_text(moment: datetime, zone: str, weekday: str | None) -> str:
    day = f"{_DAYS[moment.weekday()]}, " if weekday else ""
    month = _MONTHS[moment.month - 1].capitalize()
    return f"{day}{moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} {zone}"


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; ValueError when there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"there is no time zone `{name}`") from None
