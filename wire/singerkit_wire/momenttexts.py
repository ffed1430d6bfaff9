"""Days, times of day, moments and lengths of time as text, of the numbers that stand for them: of any year, in the Gregorian calendar."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["SECONDS_OF_DAY", "UNITS", "clock_text", "day_text", "duration_text", "moment_text"]

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""How many of a unit are a second."""
SECONDS_OF_DAY = 86_400


@lru_cache(4096)
def day_text(days: int) -> str:
    """Write a day, counted from 1970; years are counted from March on the way."""
    cycle, day = divmod(days + 719_468, 146_097)
    of_cycle = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * of_cycle + of_cycle // 4 - of_cycle // 100
    month = (5 * day + 2) // 153
    year = of_cycle + 400 * cycle + (month >= 10)
    sign = "-" if year < 0 else ""
    return f"{sign}{abs(year):04}-{month + 3 if month < 10 else month - 9:02}-{day - (153 * month + 2) // 5 + 1:02}"


def clock_text(number: int, unit: str) -> str:
    """Write a time of day, counted from midnight; what is no less than a day has more than 23 hours."""
    seconds, fraction = divmod(number, UNITS[unit])
    shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{shown}.{fraction:0{_digits(unit)}}" if fraction else shown


def moment_text(number: int, unit: str) -> str:
    """Write a moment, counted from 1970, without an offset."""
    days, rest = divmod(number, SECONDS_OF_DAY * UNITS[unit])
    return f"{day_text(days)}T{clock_text(rest, unit)}"


def duration_text(number: int, unit: str) -> str:
    """Write a length of time as ISO 8601, in days and what is less; all of it has one sign."""
    sign, number = ("-", -number) if number < 0 else ("", number)
    seconds, fraction = divmod(number, UNITS[unit])
    days, seconds = divmod(seconds, SECONDS_OF_DAY)
    digits = f".{fraction:0{_digits(unit)}}".rstrip("0") if fraction else ""
    parts = "".join(
        f"{amount}{letter}"
        for amount, letter in ((seconds // 3600, "H"), (seconds // 60 % 60, "M"))
        if amount
    )
    if seconds % 60 or fraction:
        parts += f"{seconds % 60}{digits}S"
    shown = (f"{days}D" if days else "") + (f"T{parts}" if parts else "")
    return f"{sign}P{shown or 'T0S'}"


def _digits(unit: str) -> int:
    return len(str(UNITS[unit])) - 1
