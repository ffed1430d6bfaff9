"""Small plots as SVG: a day is a column of the same width in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

from singerkit_report.elements import element
from singerkit_report.standing import Day

__all__ = ["bars", "strip"]

_WIDTH, _HEIGHT = 300, 64
_GAP = 0.25
"""Of the width of a column."""
_LEAST = 1.5
"""A day with a value that is not zero is seen."""


def bars(
    days: Sequence[Day], value_of: Callable[[Day], float | None], shown: Callable[[float], str], kind: str
) -> Element:
    """Return a plot of a value for each day; a day whose run failed has a mark below."""
    values = [value_of(day) for day in days]
    most = max((value for value in values if value is not None), default=0) or 0
    plot = element(
        "svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT + 6}",
        role="img",
        preserveAspectRatio="none",
        class_=f"plot {kind}",
        aria_label=f"{days[0].at:%d %b} to {days[-1].at:%d %b}, at most {shown(most)}",
    )
    plot.append(element("line", x1=0, x2=_WIDTH, y1=_HEIGHT, y2=_HEIGHT, class_="ground"))
    step = _WIDTH / len(days)
    for at, (day, value) in enumerate(zip(days, values, strict=True)):
        x, width = at * step + step * _GAP / 2, step * (1 - _GAP)
        words = f"{day.at:%a %d %b}: {'nothing' if value is None else shown(value)}"
        if value:
            height = max(_LEAST, (_HEIGHT - 2) * value / most)
            plot.append(_column(x, _HEIGHT - height, width, height, "bar", words))
        if day.result in ("failed", "stopped"):
            plot.append(_column(x, _HEIGHT + 2, width, 4, day.result, f"{day.at:%a %d %b}: {day.result}"))
    return plot


def strip(days: Sequence[Day]) -> Element:
    """Return what came of each day; a failed one is higher, for who sees no difference of colours."""
    step = 5
    plot = element(
        "svg",
        viewBox=f"0 0 {step * len(days)} 16",
        width=step * len(days),
        height=16,
        role="img",
        class_="strip",
        aria_label=_in_words(days),
    )
    for at, day in enumerate(days):
        is_bad = day.result in ("failed", "stopped")
        y, height = (0, 16) if is_bad else (4, 12) if day.result else (12, 4)
        words = f"{day.at:%a %d %b}: {_runs(day)}"
        plot.append(_column(at * step, y, step - 1.5, height, day.result or "none", words))
    return plot


def _column(x: float, y: float, width: float, height: float, kind: str, words: str) -> Element:
    return element(
        "rect",
        element("title", words),
        x=round(x, 2),
        y=round(y, 2),
        width=round(width, 2),
        height=round(height, 2),
        class_=kind,
    )


def _runs(day: Day) -> str:
    if not day.runs:
        return "no run"
    results = [run.result for run in day.runs]
    return ", ".join(f"{results.count(one)} {one}" for one in dict.fromkeys(results))


def _in_words(days: Sequence[Day]) -> str:
    bad = sum(day.result in ("failed", "stopped") for day in days)
    good = sum(day.result == "complete" for day in days)
    return f"{good} good and {bad} bad days of {len(days)}"
