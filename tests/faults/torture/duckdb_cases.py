"""Random cases into target-duckdb: what strikes processes, files and HTTP; there is no server between them to be struck."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from faults.torture.cases import STOPPED, TWICE, Case, Plan, Planner, Sizes, http, kill, moment, term
from faults.torture.checker import Checker
from faults.torture.duckdb_checker import DuckChecker, DuckPipeline
from faults.torture.inject import rule
from faults.torture.pipeline import Outcome, Pipeline

__all__ = ["DuckCase"]


def disk_full(_case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    """Fill the disk of the database and of the state file, or of the tap's pipe."""
    who, kind = roll.choice([("target", "disk"), ("target", "disk"), ("target", "stdout"), ("tap", "stdout")])
    size = sizes.target if kind == "disk" else sizes.pages // 4 + 1
    plan = Plan()
    getattr(plan, who).append(
        rule(kind, moment(roll, size), f"errno={errno.ENOSPC}", persists=roll.random() < 0.7)
    )
    return plan


def system_call(_case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    """Let a call of the library of the database fail, or one of a state file."""
    who, kind = roll.choice(
        [
            ("target", "disk"),
            ("target", "fsync"),
            ("target", "rename"),
            ("target", "truncate"),
            ("tap", "send"),
        ]
    )
    size = {"disk": sizes.target, "fsync": sizes.pages * 2, "send": sizes.pages, "truncate": 2}.get(
        kind, sizes.pages // 2 + 1
    )
    number = errno.ECONNRESET if kind == "send" else errno.EIO
    plan = Plan()
    getattr(plan, who).append(rule(kind, moment(roll, size), f"errno={number}", persists=roll.random() < 0.3))
    return plan


_PLANNERS: dict[str, Planner] = {
    "kill -9 of the tap": partial(kill, "tap"),
    "kill -9 of the target": partial(kill, "target"),
    "TERM or INT to the tap": partial(term, "tap"),
    "TERM or INT to the target": partial(term, "target"),
    "disk full": disk_full,
    "HTTP response": http,
    "system call fails": system_call,
}


class DuckCase(Case):
    """A case into a file of DuckDB, which one process at a time may hold."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = DuckPipeline
    checker_kind: ClassVar[type[Checker]] = DuckChecker
    kinds: ClassVar[tuple[str, ...]] = (*_PLANNERS, STOPPED, TWICE)
    planners: ClassVar[dict[str, Planner]] = _PLANNERS
    sites: ClassVar[dict[str, tuple[str, ...]]] = {
        "tap": ("kill -9 of the tap", "TERM or INT to the tap", "HTTP response"),
        "target": ("kill -9 of the target", "TERM or INT to the target", "disk full"),
    }
    has_sessions = False
    may_refuse_both = (
        True  # a tap that reads its state has the file, on a slow machine for longer than targets wait
    )
    arguments: ClassVar[tuple[str, ...]] = ("--into duckdb",)

    def check(
        self, plan: Plan, *outcomes: Outcome, complete: bool | None = None, overtaken: bool = False
    ) -> None:
        """Check as in each case; with ``duckdb://`` a tap, too, may find the file in the hands of another run."""
        if len(outcomes) > 1:
            plan.codes["tap"].add(75)
        super().check(plan, *outcomes, complete=complete, overtaken=overtaken)

    def await_quiet(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait for nothing: who is dead holds no file."""
