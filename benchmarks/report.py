"""The tables of a benchmark run, as Markdown that is readable on a terminal too."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan, nan
from pathlib import Path

__all__ = ["Goal", "Measured", "load_average", "machine", "render", "table"]


@dataclass(frozen=True)
class Goal:
    """One row of the first table: a value of ours against a limit, and whether the goal is reached.

    ``value`` and ``goal`` are in the same unit; smaller is better unless ``larger_is_better``.
    """

    letter: str
    what: str
    ours: str
    limit: str
    value: float
    goal: float
    unit: str
    larger_is_better: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.goal if self.larger_is_better else self.value <= self.goal

    @property
    def verdict(self) -> str:
        if self.is_met:
            return "met"
        off = abs(self.value - self.goal) / self.goal
        return f"missed by {off:.0%}"

    def cells(self) -> list[str]:
        bound = "at least" if self.larger_is_better else "at most"
        value, goal = _number(self.value), _number(self.goal)
        return [
            self.letter,
            self.what,
            self.ours,
            self.limit,
            f"{value} {self.unit}",
            f"{bound} {goal}",
            self.verdict,
        ]


@dataclass(frozen=True)
class Measured:
    """One row of the second table: a program, what it did, and whether the rows came out right.

    Where ``server_seconds`` are none, the program does all of the work itself, and no server a part of it.
    """

    letter: str
    name: str
    version: str
    rows: int
    seconds: float
    peak_mb: float
    check: str
    cpu_seconds: float = nan
    server_seconds: float = nan

    def cells(self) -> list[str]:
        rate = self.rows / self.seconds if self.rows else 0
        return [
            self.letter,
            self.name,
            self.version,
            f"{self.rows:,}" if self.rows else "none new",
            f"{self.seconds:.2f}",
            f"{rate:,.0f}" if self.rows else "",
            "" if isnan(self.cpu_seconds) else f"{self.cpu_seconds:.2f}",
            "" if isnan(self.server_seconds) else f"{self.server_seconds:.2f}",
            self._rows_of_cpu(),
            f"{self.peak_mb:.0f}",
            self.check,
        ]

    def _rows_of_cpu(self) -> str:
        is_alone = self.rows and not isnan(self.cpu_seconds) and isnan(self.server_seconds)
        return f"{self.rows / self.cpu_seconds:,.0f}" if is_alone else ""


def render(goals: Sequence[Goal], measured: Sequence[Measured], notes: Sequence[str], load: float) -> str:
    """Return the page: when and where, goals, programs, notes."""
    goal_table = table(
        ["row", "what", "ours", "limit", "measured", "goal", "result"], [g.cells() for g in goals]
    )
    program_table = table(
        [
            "row",
            "program",
            "version",
            "rows",
            "seconds",
            "rows/s",
            "CPU s",
            "server CPU s",
            "rows/s of CPU",
            "peak MB",
            "check",
        ],
        [m.cells() for m in measured],
    )
    lines = "\n".join(f"* {note}" for note in notes)
    return f"{machine()} The load average was {load:.1f} before it.\n\n## Goals\n\n{goal_table}\n\n## Programs\n\n{program_table}\n\n{lines}\n"


def load_average() -> float:
    """Return how many programs were running in the last minute."""
    return os.getloadavg()[0]


def machine() -> str:
    """Say when and on what kind of machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {_processor()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GB of memory, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    head, rows = _escaped(head), [_escaped(row) for row in rows]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
