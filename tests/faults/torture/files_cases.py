"""Random cases from folders that are written to while they are read: what strikes processes, the server, and the reading of files."""

from __future__ import annotations

import errno
import random
from typing import Any, ClassVar

from faults.torture.cases import (
    STOPPED,
    TWICE,
    Case,
    Plan,
    Planner,
    Sizes,
    moment,
    planners_without_http,
    sites_without_http,
)
from faults.torture.checker import Checker
from faults.torture.duckdb_cases import DuckCase
from faults.torture.duckdb_checker import DuckPipeline
from faults.torture.files_checker import FilesIntoDuck, FilesIntoPostgres
from faults.torture.files_source import FilesSource
from faults.torture.inject import rule
from faults.torture.pipeline import PIPELINE, Outcome, Pair, Pipeline

__all__ = ["FromFilesCase", "FromFilesIntoDuckCase"]

READING = "a read of a file fails, or is the last"
IN_MOTION = (
    "while it was read",
    "as often as it is read",
    "before it was read to its end",
    "up to its end",
    "fields, got",
)
"""Words of a run that has met a file which somebody was writing."""
_READS = 70
"""About so many reads a run makes."""


def reading(case: Case, _sizes: Sizes, roll: random.Random) -> Plan:
    plan = Plan()
    if (
        not case.has_sessions
    ):  # what cannot be read may be the file of the database, where the tap reads its state
        plan.codes["tap"].add(78)
    action = roll.choice(["kill", "kill", "kill-after", "term", f"errno={errno.EIO}"])
    plan.codes["tap"] |= {"kill": {-9}, "kill-after": {-9}, "term": {143}}.get(action, set())
    plan.tap.append(
        rule(
            "pread", moment(roll, _READS), action, persists=action.startswith("errno") and roll.random() < 0.3
        )
    )
    return plan


class _Sizes(Sizes):
    @property
    def tap(self) -> int:
        return 45


class _Pipeline(Pipeline):
    """From a `FilesSource`."""

    tap = "tap-files"
    source: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.source.settle(self.folder / "in")

    def tap_config(self) -> dict[str, Any]:
        return {"pipeline": PIPELINE, "state_every": 10, "streams": self.source.config()}

    def deletes(self) -> dict[str, Any]:
        """Return the target's settings of rows that go."""
        return {"add_record_metadata": not self.source.hard_delete, "hard_delete": self.source.hard_delete}

    def start(self, **options: Any) -> Pair:
        self.source.open_runs += 1
        return super().start(**options)

    def finish(self, pair: Pair, *arguments: Any) -> Outcome:
        self.source.open_runs -= 1
        return super().finish(pair, *arguments)

    def run(self, **options: Any) -> Outcome:
        with self.source.stirred():
            return super().run(**options)


class IntoPostgresPipeline(_Pipeline):
    """From a `FilesSource` into a database."""

    def target_settings(self) -> dict[str, Any]:
        return self.deletes()


class IntoDuckPipeline(_Pipeline, DuckPipeline):
    """From a `FilesSource` into a file of DuckDB."""

    def place(self) -> dict[str, Any]:
        self.lake.mkdir(exist_ok=True)
        return {"database": str(self.file), **self.deletes()}


class _Case(Case):
    """A case that reads folders."""

    may_refuse_both = True
    source: Any

    @staticmethod
    def new_source(name: str, roll: random.Random, *, is_installed: bool) -> Any:
        """Return the source of a case; an installed executable reads a MiB at a time, so that texts are longer."""
        return FilesSource(random.Random(f"files {name} {roll.random()}"), 100 if is_installed else 1)

    def emit(self) -> None:
        """Let others write; no run that goes on is under way."""
        self.emitted += 10
        self.source.emit(self.roll.randrange(5, 40))

    def met_its_source(self, outcome: Outcome) -> bool:
        """Tell whether a run met a file that is half there, or that somebody wrote to while it was read."""
        is_in_motion = self.source.was_stirred and any(part in outcome.tap_words for part in IN_MOTION)
        return (outcome.tap == 65 and self.source.is_broken) or (outcome.tap in (65, 69) and is_in_motion)

    def expect_success(self, outcome: Outcome) -> bool:
        """See that a run without a fault succeeded, or that nothing but its source is why it has not."""
        return not self.met_its_source(outcome) and super().expect_success(outcome)

    def recover(self) -> None:
        """Have all that is half there written to its end, and run until one succeeds."""
        self.source.complete()
        super().recover()

    def sizes(self) -> Sizes:
        """Return about how much a run does: of DuckDB a process makes fewer calls."""
        return _Sizes(35 if self.has_sessions else 15, self.pipeline.resume == "url")


class FromFilesCase(_Case):
    """A case into PostgreSQL."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = IntoPostgresPipeline
    checker_kind: ClassVar[type[Checker]] = FilesIntoPostgres
    planners: ClassVar[dict[str, Planner]] = planners_without_http(Case) | {READING: reading}
    kinds: ClassVar[tuple[str, ...]] = (*planners, STOPPED, TWICE)
    sites: ClassVar[dict[str, tuple[str, ...]]] = sites_without_http(Case)
    arguments: ClassVar[tuple[str, ...]] = ("--from files",)


class FromFilesIntoDuckCase(_Case, DuckCase):
    """A case into a file of DuckDB."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = IntoDuckPipeline
    checker_kind: ClassVar[type[Checker]] = FilesIntoDuck
    planners: ClassVar[dict[str, Planner]] = planners_without_http(DuckCase) | {READING: reading}
    kinds: ClassVar[tuple[str, ...]] = (*planners, STOPPED, TWICE)
    sites: ClassVar[dict[str, tuple[str, ...]]] = sites_without_http(DuckCase)
    arguments: ClassVar[tuple[str, ...]] = ("--from files", "--into duckdb")
