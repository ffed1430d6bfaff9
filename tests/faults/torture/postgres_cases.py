"""Random cases from a PostgreSQL that others write to while it is read: what strikes processes, both servers, and what lies between."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
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
from faults.torture.checker import Checker, Finding, Violation
from faults.torture.duckdb_cases import DuckCase
from faults.torture.duckdb_checker import DuckPipeline
from faults.torture.pipeline import PIPELINE, Outcome, Pair, Pipeline
from faults.torture.postgres_checker import IntoDuck, IntoPostgres
from faults.torture.postgres_source import PostgresSource
from faults.torture.postgres_tables import TABLES
from faults.torture.proxy import SqlFault

__all__ = ["FromPostgresCase", "FromPostgresIntoDuckCase"]


SCRIPTS = Path(sys.executable).parent
MET = ("has to start anew, since", "was not found", "run again")
"""Words of a run that has met what somebody did to its tables; the next one goes on."""
RESTORE, OVER = "restore", "start over"
REFUSALS: dict[str, tuple[str, ...]] = {
    "taken out of the publication": (RESTORE, RESTORE, OVER),
    "does not have table": (RESTORE, RESTORE, OVER),
    "publication `singerkit_torture` was dropped": (RESTORE, OVER),
    "does not tell of all changes": (RESTORE,),
    "replica identity": (RESTORE,),
    "slot `singerkit_torture` was dropped": (OVER,),
    "publication was not there at some place": (OVER,),
    "matches no table or view": (RESTORE,),  # somebody has the table away; it is back by now
    "the table is not there (any more)": (RESTORE,),
}
"""What the tap refuses (78), by its words, and the ways out that these name."""
_MESSAGES = 45
"""About so many messages a run sends to the source."""


def source_restarts(case: Case, _sizes: Sizes, roll: random.Random) -> Plan:
    server = case.pipeline.source.server  # type: ignore[attr-defined]  a PostgresSource has one
    return _at_source(
        SqlFault(_event(roll), moment(roll, _MESSAGES), "call", hook=lambda _: server.restart_immediately())
    )


def source_ends_session(case: Case, _sizes: Sizes, roll: random.Random) -> Plan:
    server = case.pipeline.source.server  # type: ignore[attr-defined]  the same
    hook = lambda pid: server.sql("SELECT pg_terminate_backend(%s)", [pid])  # noqa: E731
    return _at_source(SqlFault(_event(roll), moment(roll, _MESSAGES), "call", hook=hook))


def source_cut(_case: Case, _sizes: Sizes, roll: random.Random) -> Plan:
    event = "connect" if roll.random() < 0.1 else _event(roll)
    at = roll.choice([1, 2]) if event == "connect" else moment(roll, _MESSAGES)
    return _at_source(
        SqlFault(event, at, roll.choice(["cut", "cut", "swallow"]), persists=roll.random() < 0.3)
    )


def source_stalls(_case: Case, _sizes: Sizes, roll: random.Random) -> Plan:
    return _at_source(
        SqlFault(
            _event(roll), moment(roll, _MESSAGES), roll.choice(["stall", "slow"]), roll.choice([0.05, 0.3])
        )
    )


def _event(roll: random.Random) -> str:
    return roll.choice(["answer", "answer", "query", "message"])


def _at_source(fault: SqlFault) -> Plan:
    plan = Plan()
    plan.http.append(fault)  # type: ignore[arg-type]  what strikes a source strikes it there, whatever it speaks
    return plan


_AT_SOURCE: dict[str, Planner] = {
    "immediate restart of the source": source_restarts,
    "the source ends the session": source_ends_session,
    "connection to the source cut": source_cut,
    "connection to the source stalled": source_stalls,
}


def ways_out(words: str) -> tuple[str, ...]:
    """Return what a refusal lets an operator choose from; nothing, if it is none that is known."""
    return next((ways for part, ways in REFUSALS.items() if part in words), ())


class _Sizes(Sizes):
    """So much a run of seven tables does: half of it is looking at tables, on both sides."""

    @property
    def tap(self) -> int:
        return 80 + self.pages

    @property
    def target(self) -> int:
        return 300 + 2 * self.pages

    @property
    def queries(self) -> int:
        return 250 + 2 * self.pages

    @property
    def commits(self) -> int:
        return 20


class _Pipeline(Pipeline):
    """From a `PostgresSource`."""

    tap = "tap-postgres"
    source: Any
    is_following = False
    """Whether the next run goes on with the log until its time is over."""

    def __init__(self, bench: Any, source: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(bench, source, *arguments, **options)
        source.settle(bench.source_server, bench.source_proxy)

    @staticmethod
    def stream_of(name: str) -> str:
        """Return what the stream of a table is called in messages and states."""
        return f"public-{name}"

    @staticmethod
    def place_of(name: str) -> str:
        """Return what the table is called in the target."""
        return f"public-{name}"

    def tap_config(self) -> dict[str, Any]:
        ways = {
            "incremental": {"replication_key": "seq"},
            "log": {"replication_method": "LOG_BASED"},
            "full": {},
        }
        return {
            "dsn": self.source.uri(),
            "pipeline": PIPELINE,
            "state_every": 10,
            "tables": [f"public.{name}" for name in TABLES],
            "streams": [
                {"name": self.stream_of(name), **ways[method]} for name, method in self.source.methods.items()
            ],
            "log": {"chunk_rows": 25, **self._follows()},
        }

    def _follows(self) -> dict[str, Any]:
        if not self.is_following:
            return {}
        ends = {"end": "follow", "max_seconds": 1}
        is_read_back = self.resume == "url"
        return ends | ({"acknowledge": "while_running", "keep_alive_seconds": 0.05} if is_read_back else {})

    open_runs = 0
    """How many have been started and not finished."""

    def start(self, **options: Any) -> Pair:
        self.open_runs += 1
        return super().start(**options)

    def finish(self, pair: Pair, *arguments: Any) -> Outcome:
        self.open_runs -= 1
        return super().finish(pair, *arguments)

    def start_over(self) -> None:
        """Forget the state, by the command that a refusal names."""
        config = str(self.folder / f"run-{self._runs}" / "target.json")
        by_target = [self.target, "--config", config, "--state-file", str(self.state_file), "--start-over"]
        by_place = ["singerkit-state", "reset", self.state_url, "--yes"]
        program, *arguments = by_place if self.resume == "url" else by_target
        subprocess.run(
            [str(SCRIPTS / program), *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True
        )

    @property
    def state_url(self) -> str:
        return str(self.bench.server.uri(self.database, pipeline=PIPELINE))

    def run(self, **options: Any) -> Outcome:
        """Run once; some runs while others write go on with them for a second, and tell the source what is committed meanwhile."""
        stirs = self.source.stirring
        self.is_following = bool(stirs) and random.Random(stirs * 1009 + self._runs).random() < 0.3
        try:
            with self.source.stirred():
                return super().run(**options)
        finally:
            self.is_following = False  # a run that ends by the clock need not have read everything


class IntoPostgresPipeline(_Pipeline):
    """From a `PostgresSource` into a database of another PostgreSQL."""

    def target_settings(self) -> dict[str, Any]:
        return {"add_record_metadata": True, "hard_delete": self.source.hard_delete}


class IntoDuckPipeline(_Pipeline, DuckPipeline):
    """From a `PostgresSource` into a file of DuckDB."""

    @property
    def state_url(self) -> str:
        return f"duckdb://{self.file}?pipeline={PIPELINE}"

    def place(self) -> dict[str, Any]:
        self.lake.mkdir(exist_ok=True)
        return {
            "database": str(self.file),
            "add_record_metadata": True,
            "hard_delete": self.source.hard_delete,
        }


class _Case(Case):
    """A case that reads a PostgreSQL."""

    may_refuse_both = True
    source: Any

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._told: Counter[str] = Counter()

    @staticmethod
    def new_source(name: str, roll: random.Random, *, is_installed: bool) -> Any:
        """Return the source of a case."""
        return PostgresSource(random.Random(f"postgres {name} {roll.random()}"))

    def emit(self) -> None:
        """Let the source go on; no run is under way."""
        self.emitted += 10
        self.source.emit(self.roll.randrange(5, 40))

    def recover(self) -> None:
        """Run until one succeeds, and once more: it may have gone on with the load of a run that was cut off."""
        super().recover()
        super().recover()

    def sizes(self) -> Sizes:
        """Return about how much a run does."""
        return _Sizes(20, self.pipeline.resume == "url")

    def check(
        self, plan: Plan, *outcomes: Outcome, complete: bool | None = None, overtaken: bool = False
    ) -> None:
        """Check as in each case; of two runs at once a tap, too, may find the other in its way, and one may be refused, with what to do.

        That is done then, once no other run is under way.
        """
        if len(outcomes) > 1 or overtaken:
            plan.codes["tap"].add(75)
        refused = [outcome for outcome in outcomes if outcome.tap == 78]
        for outcome in refused:
            if not self.source.is_reshaped or not ways_out(outcome.tap_words):
                raise Violation([Finding("exit", f"nobody has done what this refuses: {outcome}")])
            plan.codes["tap"].add(78)
        super().check(plan, *outcomes, complete=complete, overtaken=overtaken)
        for outcome in refused:
            self.take_way_out(outcome)

    def note(self, what: str, outcome: Outcome) -> None:
        """Note a run, and before it what somebody has done to the tables since the last one."""
        now = Counter({kind: count for kind, count in self.source.shared.did.items() if "reshaped" in kind})
        if now - self._told:
            self.story.append(f"{dict(now - self._told)}")
        self._told = now
        super().note(what, outcome)

    def take_way_out(self, outcome: Outcome) -> None:
        """Put back what a refusal misses, or start over, where it names that; now and then nobody puts back what the tap makes by itself."""
        if self.pipeline.open_runs:
            return
        ways = ways_out(outcome.tap_words)
        if self.roll.choice(ways) == RESTORE:
            self.story.append(f"restored: {self.source.restore()}")
            return
        self.await_quiet()
        self.pipeline.start_over()
        self.checker.starts_over()
        self.story.append("started over")

    def expect_success(self, outcome: Outcome) -> bool:
        """See that a run without a fault succeeded; one may find that a column has just been dropped, or a table reshaped."""
        words = outcome.tap_words
        if outcome.tap == 78:
            return False  # `check` has found it to be right
        has_met = self.source.is_reshaped and self.source.was_reshaped_since(outcome.began)
        if "is not there any more" in words or (has_met and any(part in words for part in MET)):
            return False
        return super().expect_success(outcome)

    def end_sessions(self) -> None:
        super().end_sessions()
        self.source.end_sessions()


class FromPostgresCase(_Case):
    """A case into another PostgreSQL."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = IntoPostgresPipeline
    checker_kind: ClassVar[type[Checker]] = IntoPostgres
    planners: ClassVar[dict[str, Planner]] = planners_without_http(Case) | _AT_SOURCE
    kinds: ClassVar[tuple[str, ...]] = (*planners, STOPPED, TWICE)
    sites: ClassVar[dict[str, tuple[str, ...]]] = sites_without_http(Case)
    arguments: ClassVar[tuple[str, ...]] = ("--from postgres",)


class FromPostgresIntoDuckCase(_Case, DuckCase):
    """A case into a file of DuckDB."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = IntoDuckPipeline
    checker_kind: ClassVar[type[Checker]] = IntoDuck
    planners: ClassVar[dict[str, Planner]] = planners_without_http(DuckCase) | _AT_SOURCE
    kinds: ClassVar[tuple[str, ...]] = (*planners, STOPPED, TWICE)
    sites: ClassVar[dict[str, tuple[str, ...]]] = sites_without_http(DuckCase)
    arguments: ClassVar[tuple[str, ...]] = ("--from postgres", "--into duckdb")

    def sizes(self) -> Sizes:
        """Return about how much a run does: of DuckDB a process makes few calls."""
        return Sizes(8, self.pipeline.resume == "url")

    def end_sessions(self) -> None:
        self.source.end_sessions()
