"""Lengths of time as people write them: `90s`, `15m`, `1h30m`, `2d`, a number of seconds; and `30s..10m`, from one to another."""

from __future__ import annotations

import re

__all__ = ["DURATION", "RANGE", "range_of", "seconds_of", "shown"]

_PART = r"[0-9]+(?:\.[0-9]+)?(?:ms|[smhd])"
DURATION = rf"^(?=.*[1-9])(?:{_PART})+$"
RANGE = rf"^(?:{_PART})+(?:\.\.(?:{_PART})+)?$"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")


def seconds_of(text: str | float) -> float:
    """Return the seconds of a text that fits `DURATION`, or of a number that has them already."""
    if not isinstance(text, str):
        return float(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))


def range_of(text: str | float) -> tuple[float, float]:
    """Return the seconds at both ends; of a single length it is both."""
    first, dots, last = text.partition("..") if isinstance(text, str) else (text, "", "")
    return seconds_of(first), seconds_of(last if dots else first)


def shown(seconds: float) -> str:
    """Return `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min` or `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
