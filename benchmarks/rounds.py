"""What every row of ``make bench`` is made of: what was asked for, what was found, medians and ratios of rounds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from database import Database
from loaders import PSQL, Loader
from measure import Run
from orders import Files, make
from others import ROOT
from report import Goal, Measured

__all__ = [
    "FOLDER",
    "Bench",
    "goal_of_cpu",
    "in_cpu",
    "in_seconds",
    "into_cache",
    "keep_of_cpu",
    "medians",
    "rate",
    "ratio",
    "say",
    "truth",
    "truth_name",
]

FOLDER = ROOT / ".bench"


@dataclass
class Bench:
    """What a run was asked for, and what it has found so far."""

    database: Database
    rows: int
    rival_rows: int
    repeat: int
    goals: list[Goal] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    rivals: Sequence[Loader] = ()

    def files(self, rows: int, *, nested: bool = False, changed: int = 0) -> Files:
        made = make(FOLDER, rows, nested=nested, changed=changed)
        for path in (made.singer, made.csv):
            into_cache(path)
        return made

    @property
    def is_wrong(self) -> bool:
        """Whether one of our own results differs from what was sent."""
        return any(found.check != "same rows" for found in self.measured if "singerkit" in found.name)


def truth(bench: Bench, files: Files) -> None:
    """Load the CSV once into the schema `truth_name`, to compare everybody's rows with."""
    name = truth_name(files)
    if not bench.database.query("select to_regnamespace(%s) is not null", [name])[0][0]:
        bench.database.fresh_schema(name)
        PSQL.load(files, bench.database, name, FOLDER)
        bench.database.settle(name)


def truth_name(files: Files) -> str:
    return f"truth_{files.count}{'_nested' if files.nested else ''}{f'_{files.changed}' if files.changed else ''}"


def keep_of_cpu(
    bench: Bench, letter: str, name: str, version: str, rows: int, runs: Sequence[Run], check: str
) -> None:
    cpu = median(run.cpu_seconds for run in runs)
    bench.measured.append(Measured(letter, name, version, rows, *medians(runs), check, cpu))


def goal_of_cpu(
    bench: Bench, letter: str, what: str, rows: int, runs: Sequence[Run], limit: str, goal: float
) -> None:
    rate = rows / median(run.cpu_seconds for run in runs)
    bench.goals.append(
        Goal(letter, what, in_cpu(runs), limit, rate, goal, "rows/s of CPU", larger_is_better=True)
    )


def in_cpu(runs: Sequence[Run]) -> str:
    return f"{median(run.cpu_seconds for run in runs):.2f} s of CPU"


def rate(rows: int, runs: Sequence[Run]) -> str:
    return f"{rows / median(run.seconds for run in runs):,.0f}"


def ratio(runs: Sequence[Run], others: Sequence[Run]) -> float:
    return median(run.seconds / other.seconds for run, other in zip(runs, others, strict=True))


def medians(runs: Sequence[Run]) -> tuple[float, float]:
    return median(run.seconds for run in runs), median(run.peak_mb for run in runs)


def in_seconds(runs: Sequence[Run]) -> str:
    return f"{median(run.seconds for run in runs):.2f} s"


def into_cache(path: Path) -> None:
    """Read a file once: a disk would otherwise be measured with the first load of it."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
