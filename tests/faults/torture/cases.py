"""Random cases: several runs in a row against one database, a fault in each, a recovery after some of them.

Everything about a case follows from its seed and number: what the source emits, which faults come, and at which call,
query or response. (How far the other process is at that moment is up to the machine.)
"""

from __future__ import annotations

import errno
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from faults.torture.checker import Checker, Finding, Violation
from faults.torture.inject import rule
from faults.torture.modes import UPSERT, Mode
from faults.torture.pipeline import Bench, Outcome, Pipeline
from faults.torture.proxy import SqlFault
from faults.torture.source import HttpFault, Source

__all__ = [
    "BROKEN",
    "INSTALLED",
    "KINDS",
    "STEPS",
    "STOPPED",
    "TWICE",
    "Case",
    "CaseFailedError",
    "Plan",
    "Planner",
    "Report",
    "Sizes",
    "http",
    "kill",
    "moment",
    "planners_without_http",
    "run_case",
    "sites_without_http",
    "term",
]

STEPS = 7
"""Runs with a fault in each case."""
INSTALLED = 0.02
"""Share of cases that run the installed executables instead of forks, which takes ten times as long."""
TRIES = 8
"""Runs after which a pipeline without faults must have succeeded."""

BEHIND = ("has committed last", "has changed since the tap read it")
"""Words of a refusal: the tap starts from a state that is no longer the committed one."""


@dataclass
class Plan:
    """The faults of one run."""

    tap: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    http: list[HttpFault] = field(default_factory=list)
    sql: list[SqlFault] = field(default_factory=list)
    codes: dict[str, set[int]] = field(default_factory=lambda: {"tap": set(), "target": set()})
    """Exit codes that the faults allow besides those of any failure. Fenced (76) is only who has met another run."""

    def __str__(self) -> str:
        parts = [f"tap {text}" for text in self.tap] + [f"target {text}" for text in self.target]
        parts += [f"http {fault.kind}@{fault.at}{'+' * fault.persists}" for fault in self.http]
        parts += [f"sql {fault.event}@{fault.at} {fault.action}{'+' * fault.persists}" for fault in self.sql]
        return ", ".join(parts)


@dataclass(frozen=True)
class Sizes:
    """About how many calls, queries and responses the next run makes: moments are spread over so many."""

    pages: int
    is_url: bool

    @property
    def tap(self) -> int:
        return (20 if self.is_url else 14) + 2 * self.pages

    @property
    def target(self) -> int:
        return 45 + 5 * self.pages + (0 if self.is_url else 10)

    @property
    def queries(self) -> int:
        return 40 + 4 * self.pages

    @property
    def commits(self) -> int:
        return 5 + self.pages // 3


Planner = Callable[["Case", Sizes, random.Random], Plan]


class Case:
    """One case on its way: the pipeline, its checker, and what has been counted."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = None
    checker_kind: ClassVar[type[Checker]] = Checker
    kinds: ClassVar[tuple[str, ...]]
    """The faults of its steps."""
    planners: ClassVar[dict[str, Planner]]
    """Those that are one run each."""
    sites: ClassVar[dict[str, tuple[str, ...]]]
    """Those that go with another one on the other side of the pipe."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """What `make torture` is given besides to run such a case."""
    has_sessions = True
    """Whether the server can end the session of a process that goes on."""
    may_refuse_both = False
    """Whether of two runs at once each may find the other in its way (75)."""

    def __init__(self, pipeline: Pipeline, roll: random.Random, report: Report) -> None:
        self.pipeline = pipeline
        self.source = pipeline.source
        self.checker = self.checker_kind(pipeline)
        self.roll = roll
        self.report = report
        self.story: list[str] = []
        self.emitted = 0

    @staticmethod
    def new_source(name: str, roll: random.Random, *, is_installed: bool) -> Source:
        """Return the source of a case."""
        return Source(
            name,
            page_size=roll.choice([5, 10, 10, 25]),
            ties=roll.choice([1, 3, 6]),
            is_sorted=roll.random() < 0.7,
            padding=1 << 20 if is_installed else 0,
        )

    # --- the source ----------------------------------------------------------------------------------------

    def emit(self) -> None:
        """Let the source go on; no run is under way."""
        roll = self.roll
        if roll.random() < 0.25:
            self.story.append(self.source.change_schema())
        if roll.random() < 0.2:
            self.story.append("flip")
            self.source.flip()
        if roll.random() < 0.15:
            self.story.append(self.source.drop_field())
            self.emitted += len(self.source.journal.newest["orders"])
        if self.source.removes and roll.random() < 0.4:
            self.story.append(self.source.remove_customers())
        if roll.random() < 0.2:
            self.story.append("the schema cache is thrown away")
            self.pipeline.forget_schemas()
        counts = roll.randrange(5, 30), roll.randrange(5, 30), roll.randrange(1, 6)
        self.emitted += sum(counts)
        self.source.emit(*counts)

    def sizes(self) -> Sizes:
        customers = len(self.source.journal.newest["customers"])
        return Sizes((self.emitted + customers) // self.source.page_size + 2, self.pipeline.resume == "url")

    # --- runs ----------------------------------------------------------------------------------------------

    def run(self, plan: Plan) -> Outcome:
        """Run once with the faults of a plan, and check."""
        proxied = bool(plan.sql) or self.roll.random() < 0.5
        if self.pipeline.mode.is_piped and self.roll.random() < 0.5:
            size = self.sizes().pages
            self.pipeline.mapper_rules = [
                rule("any", moment(self.roll, size), self.roll.choice(["kill", "kill-after", "short-kill"]))
            ]
        stirs = self.source.stirring = self.roll.choice([0, 0, 5, 20])
        outcome = self.pipeline.run(
            tap_rules=plan.tap, target_rules=plan.target, http=plan.http, sql=plan.sql, proxied=proxied
        )
        stirred, self.source.stirring = stirs - self.source.stirring, 0
        self.emitted += stirred
        self.note(f"{plan}{f', {stirred} changes between answers' * bool(stirred)}", outcome)
        # What changed meanwhile may come with this run or the next one; the last run of a case finds it quiet.
        self.check(plan, outcome, complete=False if stirred else None)
        if not outcome.struck:
            self.expect_success(outcome)
        self.emitted = 0 if outcome.codes == "0|0" else self.emitted // 2
        return outcome

    def check(
        self, plan: Plan, *outcomes: Outcome, complete: bool | None = None, overtaken: bool = False
    ) -> None:
        self.checker.check(
            *outcomes,
            complete=complete,
            overtaken=overtaken,
            tap_codes={0, 65, 69, 74} | plan.codes["tap"],
            target_codes={0, 65, 69, 74, 75} | plan.codes["target"],
        )

    def note(self, what: str, outcome: Outcome) -> None:
        self.story.append(f"{what or 'no fault'} -> {outcome}")
        self.report.runs += 1
        self.report.codes[outcome.codes] += 1

    def expect_success(self, outcome: Outcome) -> bool:
        """See that a run without a fault succeeded, or was refused for a documented reason; True for success."""
        if outcome.codes == "0|0":
            return True
        words = outcome.target_words
        # It died between COMMIT and state file, or its last commit came after the tap of this one had read the state.
        is_behind = outcome.target == 69 and any(part in words for part in BEHIND)
        is_locked = outcome.target == 75  # a session of the run before has not noticed its end yet
        if not (is_behind or is_locked):
            raise Violation([Finding("exit", f"a run without a fault ended with {outcome}")])
        return False

    def met_its_source(self, outcome: Outcome) -> bool:
        """Tell whether a run has failed since the source was as it was, which is no fault of anybody."""
        return False

    def recover(self) -> None:
        """Run again until it succeeds, as an operator does."""
        self.report.recoveries += 1
        for _ in range(TRIES):
            outcome = self.pipeline.run(proxied=self.roll.random() < 0.5)
            self.note("", outcome)
            self.check(Plan(), outcome)
            if self.expect_success(outcome) and not outcome.holds_back:
                self.emitted = 0
                return
            self.await_quiet()
        raise Violation([Finding("exit", f"no success after {TRIES} runs without a fault")])

    def alter(self, *statements: str) -> None:
        """Change the database of the pipeline as its owner."""
        with self.pipeline.bench.server.connect(self.pipeline.database) as connection:
            for statement in statements:
                connection.cursor().execute(statement)
        connection.close()

    def end_sessions(self) -> None:
        """Let the server end every session of the pipeline."""
        self.pipeline.bench.server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name <> 'torture'",
            [self.pipeline.database],
        )

    def await_quiet(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until the server has noticed the end of every session of runs that are over."""
        end = time.monotonic() + 5
        while doing := self.pipeline.bench.server.sessions(self.pipeline.database):
            meanwhile()
            if time.monotonic() > end:
                raise Violation([Finding("bounds", f"a session outlives its run: {doing}")])
            time.sleep(0.01)


# --- the kinds of faults ------------------------------------------------------------------------------------


def moment(roll: random.Random, size: int) -> int:
    return roll.randrange(1, size + 1)


def kill(who: str, _case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    plan = Plan()
    plan.codes[who].add(-9)
    action = roll.choice(["kill", "kill", "kill-after", "short-kill"])
    kind, size = "any", sizes.tap if who == "tap" else sizes.target
    if roll.random() < 0.3:
        kind, size = "stdout", sizes.pages
    getattr(plan, who).append(rule(kind, moment(roll, size), action))
    return plan


def term(who: str, _case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    plan = Plan()
    name, code = roll.choice([("term", 143), ("term", 143), ("int", 130)])
    plan.codes[who].add(code)
    at = moment(roll, sizes.tap if who == "tap" else sizes.target)
    rules = getattr(plan, who)
    rules.append(rule("any", at, name))
    if roll.random() < 0.3:  # and again, for those who are impatient
        rules.append(rule("any", at + roll.randrange(1, 6), name))
    return plan


def restart(case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    server = case.pipeline.bench.server
    return Plan(
        sql=[
            SqlFault(
                "query", moment(roll, sizes.queries), "call", hook=lambda _: server.restart_immediately()
            )
        ]
    )


def terminate(case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    server = case.pipeline.bench.server
    hook = lambda pid: server.sql("SELECT pg_terminate_backend(%s)", [pid])  # noqa: E731
    return Plan(sql=[SqlFault("query", moment(roll, sizes.queries), "call", hook=hook)])


def cut(_case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    event = roll.choice(["message", "query", "connect"] if roll.random() < 0.2 else ["message", "query"])
    at = 1 if event == "connect" else moment(roll, sizes.queries)
    action = roll.choice(["cut", "cut", "swallow"])
    return Plan(sql=[SqlFault(event, at, action, persists=roll.random() < 0.3)])


def stall(_case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    action, seconds = roll.choice(["stall", "slow"]), roll.choice([0.05, 0.2, 0.4])
    event = roll.choice(["message", "query"])
    return Plan(
        sql=[
            SqlFault(
                event,
                moment(roll, sizes.queries),
                action,
                seconds,
                persists=action == "stall" and roll.random() < 0.2,
            )
        ]
    )


def swallow_commit(_case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    return Plan(
        sql=[
            SqlFault(
                "commit",
                moment(roll, sizes.commits),
                roll.choice(["swallow", "swallow", "cut"]),
                persists=roll.random() < 0.4,
            )
        ]
    )


def disk_full(case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    where = roll.choice(
        ["target stdout", "target disk", "target disk", "target disk", "tap stdout", "tap disk"]
    )
    who, kind = where.split()
    if where == "target disk" and case.pipeline.resume == "url":
        kind = "stdout"
    at = 1 if where == "tap disk" else moment(roll, sizes.pages // 4 + 1)
    plan = Plan()
    getattr(plan, who).append(rule(kind, at, f"errno={errno.ENOSPC}", persists=roll.random() < 0.7))
    return plan


def http(_case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    kind = roll.choice(["status", "status", "cut", "reset", "bad_json", "html", "stall", "slow"])
    status = roll.choice([500, 502, 503, 504, 429, 408])
    headers = {"Retry-After": roll.choice(["0", "1000000"])} if status == 429 else {}
    at, persists = moment(roll, sizes.pages), roll.random() < 0.25
    seconds = roll.choice([0.05, 0.4, 1.2])
    return Plan(http=[HttpFault(kind, at, persists, status, headers, seconds)])


def system_call(case: Case, sizes: Sizes, roll: random.Random) -> Plan:
    is_url = case.pipeline.resume == "url"
    who = roll.choice(["tap", "target", "target"])
    kinds = (
        ["send", "send", "stdout"]
        if is_url or who == "tap"
        else ["send", "disk", "fsync", "rename", "truncate", "unlink"]
    )
    kind = roll.choice(kinds)
    number = {
        "send": roll.choice([errno.ECONNRESET, errno.EPIPE]),
        "stdout": roll.choice([errno.EIO, errno.EPIPE]),
    }.get(kind, errno.EIO)
    sizes_of = {"send": sizes.pages if who == "tap" else sizes.target - 10, "fsync": sizes.pages}
    at = 1 if kind in ("truncate", "unlink") else moment(roll, sizes_of.get(kind, sizes.pages // 2 + 1))
    plan = Plan()
    getattr(plan, who).append(rule(kind, at, f"errno={number}", persists=roll.random() < 0.3))
    return plan


SIMPLE: dict[str, Planner] = {
    "kill -9 of the tap": partial(kill, "tap"),
    "kill -9 of the target": partial(kill, "target"),
    "TERM or INT to the tap": partial(term, "tap"),
    "TERM or INT to the target": partial(term, "target"),
    "immediate restart of PostgreSQL": restart,
    "pg_terminate_backend": terminate,
    "connection cut": cut,
    "connection stalled": stall,
    "COMMIT or its reply lost": swallow_commit,
    "disk full": disk_full,
    "HTTP response": http,
    "system call fails": system_call,
}
STOPPED, TWICE = "stopped, wakes after its successor", "two runs at once"
REFUSED = "a row that PostgreSQL refuses"
BROKEN = "a row for which a rule of quality ends runs"
KINDS = (*SIMPLE, STOPPED, TWICE, REFUSED)
_SITES = {
    "tap": ("kill -9 of the tap", "TERM or INT to the tap", "HTTP response"),
    "target": (
        "kill -9 of the target",
        "TERM or INT to the target",
        "connection cut",
        "COMMIT or its reply lost",
    ),
}
Case.kinds, Case.planners, Case.sites = KINDS, SIMPLE, _SITES
_HTTP = "HTTP response"


def planners_without_http(kind: type[Case]) -> dict[str, Planner]:
    """Return the faults that are one run each, for a source that speaks no HTTP."""
    return {name: planner for name, planner in kind.planners.items() if name != _HTTP}


def sites_without_http(kind: type[Case]) -> dict[str, tuple[str, ...]]:
    """Return those that go with another one on the other side of the pipe, for such a source."""
    return {side: tuple(name for name in names if name != _HTTP) for side, names in kind.sites.items()}


def simple_fault(case: Case, kind: str) -> None:
    """One run with a fault, now and then with a second one on the other side of the pipe."""
    roll, sizes = case.roll, case.sizes()
    plan = case.planners[kind](case, sizes, roll)
    kinds = [(kind, plan)]
    if roll.random() < 0.1:
        other = roll.choice(case.sites["target" if plan.tap or plan.http else "tap"])
        kinds.append((other, case.planners[other](case, sizes, roll)))
    both = Plan(
        *(
            [fault for _, each in kinds for fault in getattr(each, name)]
            for name in ("tap", "target", "http", "sql")
        ),
        codes={who: set().union(*(each.codes[who] for _, each in kinds)) for who in ("tap", "target")},
    )
    outcome = case.run(both)
    for name, each in kinds:
        sites = [site for site in ("tap", "target", "http", "sql") if getattr(each, site)]
        case.report.count(name, outcome, struck=any(outcome.strikes[site] for site in sites))


def stopped(case: Case) -> None:
    """One process stops; a successor runs, perhaps over the dead body of its session; then it goes on."""
    roll, sizes, pipeline = case.roll, case.sizes(), case.pipeline
    who = roll.choice(["tap", "target", "target"])
    at = moment(roll, sizes.tap if who == "tap" else sizes.target)
    plan = Plan()
    plan.codes["target"].add(76)
    getattr(plan, who).append(rule("any", at, "stop"))
    ends_session, ends_other = roll.random() < 0.7 and case.has_sessions, roll.random() < 0.3
    emits = who == "target" and ends_session and roll.random() < 0.5
    pipeline.source.arm()
    pipeline.bench.proxy.arm()
    old = pipeline.start(tap_rules=plan.tap, target_rules=plan.target)
    process, other = (old.tap, old.target) if who == "tap" else (old.target, old.tap)
    has_stopped = process.wait_for_stop(20)
    outcomes: list[Outcome] = []
    if has_stopped:
        if ends_other:
            other.signal(signal.SIGKILL)
            other.wait(5)
            plan.codes["target" if who == "tap" else "tap"].add(-9)
        if ends_session:
            case.end_sessions()
            if who == "target":
                # A process that was stopped while it connected has a session only after this.
                case.await_quiet(meanwhile=case.end_sessions)
        if emits:
            case.emit()
        successor = pipeline.finish(pipeline.start())
        case.note(f"successor of a stopped {who}", successor)
        outcomes.append(successor)
        if who == "target" and ends_session:  # else the old run may hold locks on what the checker reads
            case.check(plan, *outcomes)
            outcomes.clear()
        process.signal(signal.SIGCONT)
    outcome = pipeline.finish(old)
    case.note(f"{plan}, woken{', other end killed' * ends_other}{', session ended' * ends_session}", outcome)
    case.check(plan, *outcomes, outcome, complete=False if emits else None, overtaken=has_stopped)
    if not has_stopped:
        case.expect_success(outcome)
    case.report.count(STOPPED, outcome, struck=has_stopped)


def two_at_once(case: Case) -> None:
    """A second run starts while the first is under way."""
    roll, pipeline = case.roll, case.pipeline
    pipeline.source.arm()
    pipeline.bench.proxy.arm()
    first = pipeline.start(proxied=roll.random() < 0.5)
    time.sleep(roll.choice([0, 0, 0.01, 0.03, 0.06, 0.1]))
    second = pipeline.start(proxied=roll.random() < 0.5)
    outcomes = [pipeline.finish(first), pipeline.finish(second)]
    for number, outcome in enumerate(outcomes, 1):
        case.note(f"two at once, {number}", outcome)
    plan = Plan()
    plan.codes["target"].add(76)
    case.check(plan, *outcomes)
    is_behind = any(part in outcome.target_words for outcome in outcomes for part in BEHIND)
    is_behind = is_behind or any(case.met_its_source(outcome) for outcome in outcomes)
    is_refused = case.may_refuse_both and any(
        outcome.target == 75 or outcome.tap == 78 for outcome in outcomes
    )
    if not (is_behind or is_refused) and all(outcome.codes != "0|0" for outcome in outcomes):
        raise Violation([Finding("exit", "of two runs at once none succeeded")])
    case.report.count(TWICE, outcomes[1], struck=outcomes[1].began < outcomes[0].ended)


OBSTACLES: dict[str, tuple[str, str]] = {
    "check": (
        "ALTER TABLE {table} ADD CONSTRAINT obstacle CHECK (seq <> {seq}) NOT VALID",
        "ALTER TABLE {table} DROP CONSTRAINT obstacle",
    ),
    "trigger": (
        "CREATE TRIGGER obstacle BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN (NEW.seq = {seq})"
        " EXECUTE FUNCTION refuse_row()",
        "DROP TRIGGER obstacle ON {table}",
    ),
    "index": (
        "CREATE UNIQUE INDEX obstacle ON {table} ((seq / (seq - {seq}))) WHERE seq = {seq}",
        "DROP INDEX obstacle",
    ),
    "deferred": (
        "CREATE CONSTRAINT TRIGGER obstacle AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.seq = {seq}) EXECUTE FUNCTION refuse_row()",
        "DROP TRIGGER obstacle ON {table}",
    ),
}
"""What makes a table refuse one version, and how it goes again."""
_REFUSE = """
    CREATE OR REPLACE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'refused: %', NEW; END $$"""


def refused(case: Case) -> None:
    """PostgreSQL refuses a row that is new, at any place of the run, in this run and perhaps in others with a fault."""
    roll, pipeline = case.roll, case.pipeline
    case.recover()
    case.await_quiet()
    last = max(case.source.journal.by_seq)
    case.emit()
    new = {
        stream: [version.seq for version in case.source.journal.current(stream) if version.seq > last]
        for stream in case.source.journal.versions
    }
    stream = roll.choice([stream for stream, seqs in new.items() if seqs])
    seq, name = roll.choice(new[stream]), roll.choice(sorted(OBSTACLES))
    pipeline.on_invalid = roll.choice(["fail", "quarantine"])
    commit_rows = pipeline.commit_rows
    if pipeline.on_invalid == "quarantine":
        case.source.refused_by_store.add(seq)
    if roll.random() < 0.7:  # a unit with several STATEs
        pipeline.commit_rows = 500_000
    setup, removal = (text.format(table=f"public.{stream}", seq=seq) for text in OBSTACLES[name])
    case.alter(_REFUSE, setup)
    what = f"{stream} refuses seq {seq} ({name}, {pipeline.on_invalid})"
    for _ in range(roll.choice([1, 2, 3])):
        kind = roll.choice(["", *_SITES["target"]])
        plan = SIMPLE[kind](case, case.sizes(), roll) if kind else Plan()
        outcome = pipeline.run(tap_rules=plan.tap, target_rules=plan.target, http=plan.http, sql=plan.sql)
        case.note(f"{what}; {plan}", outcome)
        case.check(plan, outcome)
        if pipeline.on_invalid == "fail" and outcome.target == 0:
            raise Violation([Finding("exit", "a run ended with 0 before the refused row was stored")])
        if not outcome.struck and not (pipeline.on_invalid == "fail" and outcome.target == 65):
            case.expect_success(outcome)
        case.report.count(REFUSED, outcome, struck=True)
        case.await_quiet()
    case.alter(removal)
    pipeline.on_invalid = "fail"
    pipeline.commit_rows = commit_rows


def broken(case: Case) -> None:
    """The source has a row for which a rule ends runs, at any place of them, perhaps with a fault beside; then it is mended."""
    roll, pipeline, source = case.roll, case.pipeline, case.source
    case.recover()
    case.await_quiet()
    last = max(source.journal.by_seq)
    case.emit()
    new = {
        stream: [version.seq for version in source.journal.current(stream) if version.seq > last]
        for stream in source.journal.versions
    }
    stream = roll.choice([stream for stream, seqs in new.items() if seqs])
    seq = roll.choice(new[stream])
    source.spoil(seq)
    commit_rows = pipeline.commit_rows
    if roll.random() < 0.5:  # a unit with several STATEs
        pipeline.commit_rows = 500_000
    for _ in range(roll.choice([1, 2, 3])):
        kind = roll.choice(["", *case.sites["target"]])
        plan = case.planners[kind](case, case.sizes(), roll) if kind else Plan()
        outcome = pipeline.run(tap_rules=plan.tap, target_rules=plan.target, http=plan.http, sql=plan.sql)
        case.note(f"seq {seq} of {stream} breaks a rule; {plan}", outcome)
        case.check(plan, outcome)
        if outcome.target == 0:
            raise Violation([Finding("exit", "a run ended with 0 over a row for which a rule ends it")])
        if not outcome.struck and outcome.target == 65:
            _check_end_by_rule(case, outcome, new["events"] if stream == "orders" else [])
        elif not outcome.struck:
            case.expect_success(outcome)
        case.report.count(BROKEN, outcome, struck=True)
        case.await_quiet()
    source.mend()
    pipeline.commit_rows = commit_rows


def _check_end_by_rule(case: Case, outcome: Outcome, came_before: Sequence[int]) -> None:
    """See that a run that a rule has ended says so, and has kept the events that came before; a tap reads its streams by name."""
    if "rule `matches`" not in outcome.target_words:
        raise Violation(
            [Finding("exit", f"a rule was broken, and the last words are: {outcome.target_words}")]
        )
    due = set(came_before) - case.source.flawed
    lost = sorted(due - case.checker.stored("events").keys())
    if lost and not (case.pipeline.mode.commits_once or case.pipeline.mode.method == "overwrite"):
        raise Violation([Finding("lost", f"events before a broken rule are not committed: seq {lost[:5]}")])


# --- cases --------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was counted, of any number of cases."""

    injected: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Exit codes of all runs, as ``tap|target``."""
    codes_of: dict[str, Counter[str]] = field(default_factory=dict)
    """Those of the runs that a kind of fault struck."""
    findings: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    runs: int = 0
    recoveries: int = 0
    installed: int = 0
    """Cases that ran the installed executables instead of forks."""
    failures: list[str] = field(default_factory=list)

    def count(self, kind: str, outcome: Outcome, *, struck: bool) -> None:
        """Count a fault, and how the run that it was meant for has ended."""
        self.injected[kind] += 1
        self.struck[kind] += struck
        if struck:
            self.codes_of.setdefault(kind, Counter())[outcome.codes] += 1

    def add(self, other: Report) -> None:
        """Take over what another worker has counted."""
        for name in ("injected", "struck", "codes", "findings"):
            getattr(self, name).update(getattr(other, name))
        for kind, codes in other.codes_of.items():
            self.codes_of.setdefault(kind, Counter()).update(codes)
        self.cases += other.cases
        self.runs += other.runs
        self.recoveries += other.recoveries
        self.installed += other.installed
        self.failures += other.failures


class CaseFailedError(AssertionError):
    """A case has broken an invariant; the message tells how to repeat it, and what happened."""


def kinds_from(seed: str, kinds: Sequence[str]) -> Iterator[str]:
    """Yield kinds for ever, each as often as the others."""
    roll = random.Random(f"kinds {seed}")
    while True:
        yield from roll.sample(kinds, len(kinds))


def kinds_of(seed: str, number: int, kinds: Sequence[str] = KINDS) -> list[str]:
    """Return the kinds of the steps of one case."""
    stream = kinds_from(seed, kinds)
    for _ in range(number * STEPS):
        next(stream)
    return [next(stream) for _ in range(STEPS)]


def run_case(
    bench: Bench,
    seed: str,
    number: int,
    report: Report,
    *,
    installed_share: float = INSTALLED,
    case_kind: type[Case] = Case,
    mode: Mode = UPSERT,
    steps: int = STEPS,
) -> list[str]:
    """Run one case to its end and return its story, a line per event; ``case_kind``: into which target, ``mode``: how; ``steps``: so many faults.

    Raises:
        CaseFailedError: an invariant was broken.
    """
    roll = random.Random(f"case {seed} {number}")
    is_installed = random.Random(f"installed {seed} {number}").random() < installed_share
    source = case_kind.new_source(f"{seed} {number}", roll, is_installed=is_installed)
    if mode != UPSERT:
        mode.prepare(source)
    options: dict[str, Any] = {
        "resume": roll.choice(["url", "file"]),
        "chunk_bytes": roll.choice([1024, 2048, 2048, 8192, None]),
        "commit_rows": roll.choice([1, 1, 1, 15, 500_000]),
        "forked": not is_installed,
        "mode": mode,
    }
    report.cases += 1
    report.installed += is_installed
    with bench.pipeline(source, case_kind.pipeline_kind, **options) as pipeline:
        case = case_kind(pipeline, roll, report)
        case.story.append(f"page_size {source.page_size}, sorted {source.is_sorted}, {options}")
        try:
            case.emit()
            kinds = kinds_of(seed, number, case.kinds)
            if mode.breaks:
                kinds.insert(0, BROKEN)
            for kind in kinds[:steps]:
                if kind == BROKEN:
                    broken(case)
                elif kind in case.planners:
                    simple_fault(case, kind)
                elif kind == STOPPED:
                    stopped(case)
                elif kind == REFUSED:
                    refused(case)
                else:
                    two_at_once(case)
                if roll.random() < 0.15:
                    case.recover()
                if roll.random() < 0.8:
                    case.emit()
            case.recover()
            case.check(Plan(), complete=True)
            case.checker.check_end()
        except Violation as error:
            report.findings.update(finding.kind for finding in error.findings)
            story = "\n  ".join(case.story)
            arguments = " ".join(filter(None, [*case.arguments, mode.argument]))
            arguments = f" ARGS='{arguments}'" if arguments else ""
            raise CaseFailedError(
                f"seed {seed} case {number} failed; repeat it with: make torture SEED={seed} CASE={number}{arguments}\n"
                f"  {story}\n{error}"
            ) from error
    return case.story
