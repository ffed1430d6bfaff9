"""``make rivals-torture``: the same faults against target-postgres by MeltanoLabs, by PipelineWise, and ours.

One source, one tap (ours, which re-reads nothing that its bookmark covers), real executables. Each case begins after a
first run; the source goes on, a run meets one fault, and then runs without a fault follow until one ends with 0, as an
operator would have it. What is in the tables then is held against the source. Others resume the way that their users
have: ``tap --state state.json | target >> state.json``, then its last line. Ours is run that way too, and with a state
URL.

Only what everybody can store is sent in these cases: no integer beyond 64 bits, no decimals of more than 15 digits, no
empty strings and no control characters, no column whose type changes. What each target makes of all other values is
told by one run without a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from multiprocessing import util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from faults.torture.exhaustive import end_with_parent
from faults.torture.inject import Counts, NoCompilerError, library, rule
from faults.torture.pipeline import PIPELINE, Bench, Outcome, Pair, Pipeline
from faults.torture.proxy import SqlFault
from faults.torture.server import PASSWORD
from faults.torture.source import Source, Version, serving
from psycopg2.sql import SQL, Identifier

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))  # environments are those of `make bench` and `make interop`

from others import environment, version_of  # noqa: E402  needs the path above

__all__ = ["RIVALS", "Rival", "RivalPipeline", "main"]

SEED = "rivals"
STREAMS = ("orders", "events", "customers")
TRIES = 5
"""Runs without a fault after which a pipeline counts as never recovering."""
SECONDS = 60.0
PAGE = ROOT / "docs" / "rivals-torture.md"


@dataclass(frozen=True)
class Rival:
    """A target under test. ``config(database)`` takes the address of the database that it is to load."""

    name: str
    requirement: str | None
    """None for ours."""
    resume: str
    """``tail`` (the last line that it printed) or ``url`` (the state row in the database)."""
    promise: str
    config: Callable[[Mapping[str, Any]], dict[str, Any]]

    @property
    def executable(self) -> str:
        return (
            "target-postgres" if self.requirement is None else str(_bin(self.requirement) / "target-postgres")
        )

    @property
    def version(self) -> str:
        if self.requirement is None:
            return version_of(Path(sys.executable).parent, "singerkit")
        return version_of(_bin(self.requirement), self.requirement.partition("==")[0])


def _bin(requirement: str) -> Path:
    return environment(requirement)


def _ours(database: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **database,
        "pipeline": PIPELINE,
        "commit_rows": 1,
        "reconnect_seconds": 1,
        "lock_timeout_seconds": 5,
    }


def _meltanolabs(database: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **database,
        "default_target_schema": "public",
        "add_record_metadata": False,
        "activate_version": False,
        "use_copy": True,
        "batch_size_rows": 10,
    }


def _pipelinewise(database: Mapping[str, Any]) -> dict[str, Any]:
    named = {("dbname" if name == "database" else name): value for name, value in database.items()}
    return {
        **named,
        "default_target_schema": "public",
        "batch_size_rows": 10,
        "primary_key_required": False,
    }


_OUR_PROMISE = "exactly once, streams without a key included"
RIVALS = (
    Rival("singerkit, `--state URL`", None, "url", _OUR_PROMISE, _ours),
    Rival("singerkit, `tail -1`", None, "tail", _OUR_PROMISE, _ours),
    Rival(
        "MeltanoLabs target-postgres",
        "meltanolabs-target-postgres==0.8.1",
        "tail",
        "its README says nothing of delivery; the Meltano SDK, which it is built on, documents at least once",
        _meltanolabs,
    ),
    Rival(
        "pipelinewise-target-postgres",
        "pipelinewise-target-postgres==2.1.2",
        "tail",
        "its README says nothing of delivery; it warns of duplicates in tables without a key and refuses them unless "
        "`primary_key_required` is false, as here",
        _pipelinewise,
    ),
)


class SmallIntegers(Source):
    """The source of the harness without the integers that are beyond 64 bits."""

    def _order(self, key: int) -> dict[str, str]:
        return {**super()._order(key), "big": str(self._random.randrange(2**53))}


class PlainSource(SmallIntegers):
    """The source of the harness with values that every target here can store as they are."""

    _TEXTS = tuple(json.dumps(text) for text in ("plain", "two words", "a,b;c", "12", "true", "Jena 07743"))

    def _decimal(self) -> str:
        return f"{self._random.randrange(10**9)}.{self._random.randrange(1, 100):02}"


class RivalPipeline(Pipeline):
    """A pipeline of our tap and a target under test, both as installed executables."""

    def __init__(self, rival: Rival, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rival = rival

    def start(
        self, *, tap_rules: Sequence[str] = (), target_rules: Sequence[str] = (), proxied: bool = True
    ) -> Pair:
        """Start a run; everything goes by way of the proxy."""
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        proxy = urlsplit(self.bench.proxy.uri(self.database, PASSWORD))
        address = {
            "host": proxy.hostname,
            "port": proxy.port,
            "user": "postgres",
            "password": PASSWORD,
            "database": self.database,
        }
        config = self.source.config(self._url, pipeline=PIPELINE, schema_cache=str(self.folder / "schemas"))
        (folder / "tap.json").write_text(json.dumps(config | {"timeout": {"read": 5}}))
        (folder / "target.json").write_text(json.dumps(self.rival.config(address)))
        if self.rival.resume == "url":
            resume = ["--state", self.bench.server.uri(self.database, pipeline=PIPELINE)]
        else:
            resume = ["--state", str(self.state_file)] if self.state_file.exists() else []
        read_end, write_end = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            target = self._process(
                folder, "target", self.rival.executable, [], read_end, printed, target_rules
            )
            tap = self._process(folder, "tap", "tap-rest", resume, nothing, write_end, tap_rules)
        finally:
            for descriptor in (read_end, write_end, nothing, printed):
                os.close(descriptor)
        return Pair(tap, target, folder)

    def _process(
        self,
        folder: Path,
        name: str,
        program: str,
        arguments: Sequence[str],
        stdin: int,
        stdout: int,
        rules: Sequence[str],
    ) -> Any:
        # sslmode and gssencmode: the proxy is plain. No PYTHONPATH of ours gets into an environment of others.
        quiet = {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
        others = {} if "/" not in program else {"PYTHONPATH": ""}
        return self.bench.zygote.start(
            program,
            ["--config", str(folder / f"{name}.json"), *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=folder / f"{name}.err",
            counts=Counts(folder),
            rules=rules,
            environment=quiet | others,
            forked=False,
        )

    def finish(self, pair: Pair, seconds: float = SECONDS) -> Outcome:
        """Wait for both, then keep the last line that was printed, as ``tail -1`` does."""
        outcome = super().finish(pair, seconds)
        lines = outcome.printed.splitlines()
        if lines:
            self.state_file.write_bytes(lines[-1] + b"\n")
        return outcome


# --- what is in the tables ----------------------------------------------------------------------------------


@dataclass
class Found:
    """The tables held against the source: rows by what is wrong with them."""

    lost: int = 0
    doubled: int = 0
    """Rows too many of the stream without a key."""
    stale: int = 0
    """Keys that do not hold their newest version, or are there twice."""
    changed: Counter[str] = field(default_factory=Counter)
    """Values that are not those sent, by column."""


def look(pipeline: Pipeline) -> Found:
    """Read all tables and compare them with what the source shows now."""
    found = Found()
    connection = pipeline.bench.server.connect(pipeline.database)
    try:
        with connection.cursor() as cursor:
            for stream in STREAMS:
                _look_at(cursor, stream, pipeline.source, found)
    finally:
        connection.close()
    return found


def _look_at(cursor: Any, stream: str, source: Source, found: Found) -> None:
    cursor.execute("SELECT to_regclass(%s)", [f"public.{stream}"])
    rows: list[dict[str, Any]] = []
    if cursor.fetchone()[0] is not None:
        cursor.execute(SQL("SELECT to_jsonb(t)::text FROM public.{} t").format(Identifier(stream)))
        rows = [json.loads(text, parse_float=Decimal) for (text,) in cursor.fetchall()]
    stored = Counter(int(row["seq"]) for row in rows)
    wanted = Counter(version.seq for version in source.journal.current(stream))
    if stream == "events":
        found.lost += (wanted - stored).total()
        found.doubled += (stored - wanted).total()
    else:
        there = Counter(int(row["id"]) for row in rows)
        newest = source.journal.newest[stream]
        found.lost += sum(1 for key in newest if key not in there)
        found.stale += sum(1 for key, count in there.items() if count > 1)
        found.stale += sum(1 for key in newest if key in there and newest[key].seq not in stored)
    for row in rows:
        version = source.journal.by_seq[int(row["seq"])]
        found.changed.update(f"{stream}.{name}" for name in _changed(version, row))


def _changed(version: Version, row: Mapping[str, Any]) -> Iterator[str]:
    for name, text in version.fields.items():
        if not _is_same(json.loads(text, parse_float=Decimal), row.get(name)):
            yield name


def _is_same(sent: Any, stored: Any) -> bool:
    """Tell whether two values are equal as values: 12.50 is 12.5, an instant is an instant, whatever its notation."""
    if isinstance(sent, bool) or sent is None or isinstance(stored, bool) or stored is None:
        return sent is stored
    if isinstance(sent, dict):
        return (
            isinstance(stored, dict)
            and sent.keys() == stored.keys()
            and all(_is_same(sent[name], stored[name]) for name in sent)
        )
    if isinstance(sent, list):
        return isinstance(stored, list) and len(sent) == len(stored) and all(map(_is_same, sent, stored))
    if isinstance(sent, int | Decimal):
        return isinstance(stored, int | Decimal) and Decimal(sent) == Decimal(stored)
    if sent == stored:
        return True
    with contextlib.suppress(ValueError, TypeError):
        return _instant(sent) == _instant(stored)
    return False


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else datetime.fromisoformat(text + "+00:00")


# --- faults -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A kind of fault: how many cases, which count of a run its moments are spread over, and how it is made."""

    name: str
    cases: int
    size: Callable[[Outcome], int]
    arguments: Callable[[int, Bench], dict[str, Any]]


def _calls(side: str, kind: str) -> Callable[[Outcome], int]:
    return lambda outcome: outcome.calls[side][kind]


def _rule(side: str, kind: str, action: str) -> Callable[[int, Bench], dict[str, Any]]:
    return lambda at, _: {f"{side}_rules": [rule(kind, at, action)]}


def _sql(event: str, action: str) -> Callable[[int, Bench], dict[str, Any]]:
    return lambda at, _: {"sql": [SqlFault(event, at, action)]}


def _terminate(at: int, bench: Bench) -> dict[str, Any]:
    hook = partial(_terminate_backend, bench)
    return {"sql": [SqlFault("message", at, "call", hook=hook)]}


def _terminate_backend(bench: Bench, pid: int) -> None:
    bench.server.sql("SELECT pg_terminate_backend(%s)", [pid])


FAULTS = (
    Fault("kill -9 of the target", 20, _calls("target", "send"), _rule("target", "send", "kill")),
    Fault("TERM to the target", 6, _calls("target", "send"), _rule("target", "send", "term")),
    Fault("kill -9 of the tap", 10, _calls("tap", "any"), _rule("tap", "any", "kill")),
    Fault("TERM to the tap", 4, _calls("tap", "any"), _rule("tap", "any", "term")),
    Fault("pg_terminate_backend", 8, _calls("sql", "message"), _terminate),
    Fault("connection cut", 8, _calls("sql", "message"), _sql("message", "cut")),
    Fault("reply to COMMIT lost", 6, _calls("sql", "commit"), _sql("commit", "swallow")),
    Fault("COMMIT lost", 3, _calls("sql", "commit"), _sql("commit", "cut")),
)


@dataclass
class Score:
    """What has become of the cases of one target."""

    rival: str
    version: str
    cases: int = 0
    struck: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    changed: int = 0
    cases_lost: int = 0
    cases_doubled: int = 0
    cases_stale: int = 0
    false_success: int = 0
    """Runs in which both sides ended with 0 though something of the source was missing."""
    unrecovered: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    by_fault: dict[str, Counter[str]] = field(default_factory=dict)
    stories: list[str] = field(default_factory=list)
    values: str = ""
    """What a run without a fault made of all kinds of values."""


class Stage:
    """One worker: a bench, and for each rival a database after a first run to copy."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.bench = self._stack.enter_context(Bench())
        self._source: Source | None = None
        self._url = self._stack.enter_context(serving(lambda peer: self._answer(peer)))
        self._bases: dict[str, tuple[str, Path, Outcome]] = {}

    def _answer(self, peer: Any) -> None:
        assert self._source is not None
        self._source.serve_connection(peer)

    def close(self) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def fresh(
        self, rival: Rival, source: Source, template: str = "template0", base: Path | None = None
    ) -> Iterator[RivalPipeline]:
        """A pipeline into a database of its own, which may be a copy of another's."""
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=self.bench.folder))
        name = folder.name.replace("-", "_")
        create = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
        self.bench.server.sql(create)
        self._source = source
        try:
            pipeline = RivalPipeline(rival, self.bench, source, self._url, name, folder)
            if base is not None and (base / "state" / "state.json").exists():
                pipeline.state_file.write_bytes((base / "state" / "state.json").read_bytes())
            yield pipeline
        finally:
            source.close()
            self.bench.proxy.arm()
            drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name))
            self.bench.server.sql(drop)
            shutil.rmtree(folder, ignore_errors=True)

    def base(self, rival: Rival) -> tuple[str, Path, Outcome]:
        """A database after a clean first run, and the outcome of a clean second one, which says how much it calls."""
        if rival.name not in self._bases:
            source = first_source()
            pipeline = self._stack.enter_context(self.fresh(rival, source))
            _must_be_clean(pipeline, pipeline.run(seconds=SECONDS))
            _await_quiet(pipeline)
            later = first_source()
            emit_later(later)
            with self.fresh(rival, later, pipeline.database, pipeline.folder) as second:
                outcome = second.run(seconds=SECONDS)
                _must_be_clean(second, outcome)
            self._bases[rival.name] = pipeline.database, pipeline.folder, outcome
        return self._bases[rival.name]


def first_source() -> Source:
    # A MiB now and then: our target reads so much at a time, and its units of commit stay apart.
    source = PlainSource(SEED, padding=1 << 20, pad_every=7)
    source.emit(15, 15, 6)
    return source


def emit_later(source: Source) -> None:
    """The source goes on; `orders` gets a field."""
    source.emit(8, 8, 2)
    source.change_schema()
    source.emit(8, 8, 2)


def _must_be_clean(pipeline: RivalPipeline, outcome: Outcome) -> None:
    found = look(pipeline)
    if outcome.codes != "0|0" or found != Found():
        raise AssertionError(
            f"{pipeline.rival.name}: without a fault {outcome}, {found}\n{outcome.stderr[-3000:]}"
        )


def _await_quiet(pipeline: Pipeline) -> None:
    """Wait until the sessions of a killed target have ended; one that lingers for 5 s is ended."""
    end = time.monotonic() + 5
    while pipeline.bench.server.sessions(pipeline.database):
        if time.monotonic() > end:
            pipeline.bench.server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name <> 'torture'",
                [pipeline.database],
            )
        time.sleep(0.01)


def moments(fault: Fault, size: int) -> list[int]:
    """Spread the cases of a fault evenly over the moments of a run; ``size`` may be fewer than the cases."""
    count = min(fault.cases, size)
    return [1 + number * size // count for number in range(count)]


def run_case(stage: Stage, rival: Rival, fault: Fault, at: int, score: Score) -> None:
    """Run one case, recover, look, and add to ``score``."""
    database, folder, _ = stage.base(rival)
    source = first_source()
    story: list[str] = [f"{fault.name} at {at}"]
    with stage.fresh(rival, source, database, folder) as pipeline:
        emit_later(source)
        outcome = pipeline.run(seconds=SECONDS, **fault.arguments(at, stage.bench))
        score.cases += 1
        score.struck += bool(outcome.struck)
        score.codes[outcome.codes] += 1
        counts = score.by_fault.setdefault(fault.name, Counter())
        counts["cases"] += 1
        story.append(str(outcome))
        score.false_success += _is_false_success(pipeline, outcome)
        if at % 2 == 0:
            source.emit(3, 3, 1)
        for _ in range(TRIES):
            _await_quiet(pipeline)
            again = pipeline.run(seconds=SECONDS)
            story.append(f"no fault: {again}")
            score.false_success += _is_false_success(pipeline, again)
            if again.codes == "0|0":
                break
        else:
            score.unrecovered += 1
            counts["unrecovered"] += 1
        found = look(pipeline)
        for name in ("lost", "doubled", "stale"):
            number = getattr(found, name)
            setattr(score, name, getattr(score, name) + number)
            if number:
                setattr(score, f"cases_{name}", getattr(score, f"cases_{name}") + 1)
                counts[name] += 1
        score.changed += found.changed.total()
        if found != Found():
            story.append(str(found))
            score.stories.append("\n  ".join(story))


def _is_false_success(pipeline: Pipeline, outcome: Outcome) -> bool:
    if outcome.codes != "0|0":
        return False
    found = look(pipeline)
    return bool(found.lost or found.stale)


def run_values(stage: Stage, rival: Rival) -> str:
    """Load all kinds of values once, without a fault, and say what became of them."""
    told = []
    for kind, others in ((Source, ""), (SmallIntegers, "; without those: ")):
        source = kind(f"{SEED} values")
        source.emit(40, 40, 10)
        with stage.fresh(rival, source) as pipeline:
            outcome = pipeline.run(seconds=SECONDS)
            found = look(pipeline)
        if outcome.codes == "0|0":
            changed = ", ".join(f"{name} {count}" for name, count in sorted(found.changed.items()))
            return "".join(told) + others * bool(told) + (changed or "none")
        if not told:
            told.append("the integers beyond 64 bits end the run")
    return f"the run ended with {outcome.codes}"


# --- all of them --------------------------------------------------------------------------------------------

_stage: Stage | None = None


def _begin_worker() -> None:
    global _stage
    end_with_parent()
    _stage = Stage()
    util.Finalize(None, _stage.close, exitpriority=100)


def _work(number: int, share: float) -> Score:
    assert _stage is not None
    rival = RIVALS[number]
    score = Score(rival.name, rival.version)
    score.values = run_values(_stage, rival)
    _, _, clean = _stage.base(rival)
    for fault in FAULTS:
        if not fault.size(clean):
            continue
        for at in moments(fault, fault.size(clean))[:: max(1, round(1 / share))]:
            run_case(_stage, rival, fault, at, score)
        print(f"{rival.name}: {fault.name}: {_cell(score.by_fault[fault.name])}", flush=True)
    return score


def run_all(numbers: Sequence[int], workers: int, share: float) -> list[Score]:
    """Run the cases of each target, a process for each of them."""
    context = multiprocessing.get_context("spawn")
    for rival in (RIVALS[number] for number in numbers):
        if rival.requirement:
            environment(rival.requirement)  # made once, before the workers look for it
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool:
        return list(pool.map(_work, numbers, [share] * len(numbers)))


INTRODUCTION = """\
# The same faults against others

Written by `make rivals-torture`. {machine}

One source (two keyed streams, one without a key, nested rows, one read as a whole, one that gets a column), one tap
(tap-rest of singerkit, which sends every row once and sends nothing again that its bookmark covers), real executables
in environments of their own, one PostgreSQL. Each case begins after a first complete run; the source goes on; a run
meets one fault at a moment spread evenly over the calls, messages or COMMITs of that target's own run; then runs
without a fault follow until both sides end with 0, at most {tries}. Then the tables are held against the source.
`tail -1` is the usual way of Singer: what the target printed last is the tap's next `--state`. Batches of the others
are 10 rows, so that a small run has several of them; every other setting is as documented, with keys not required
where a stream has none. Values in these cases are such that every target here stores them as they are (no integers
beyond 64 bits, 11 digits, no empty strings); the last table is about the others.

"""
NOTES = """
*lost*: rows of the source that are missing after the recovery; *doubled*: rows too many of the stream without a key;
*keyed wrong*: keys that are not at their newest version, or there twice; *0 though missing*: runs in which both sides
ended with 0 while a row of the source was missing; *not recovered*: no success in {tries} runs without a fault.
Numbers in brackets are cases.

A doubled row is no bug of a target that promises at-least-once: rows and state are kept in two places there, and what
was committed before a state could be saved comes again. Who loads only streams with keys into them loses nothing by
it: an upsert makes the repetition invisible.

| target                          | what its documentation promises |
| ------------------------------- | ------------------------------- |
"""


def page(scores: Sequence[Score], machine: str) -> str:
    """Return the report as Markdown."""
    heads = [
        "target",
        "version",
        "cases",
        "lost",
        "doubled",
        "keyed wrong",
        "values changed",
        "0 though missing",
        "not recovered",
    ]
    rows = [
        [
            score.rival,
            score.version,
            f"{score.struck} of {score.cases} struck",
            f"{score.lost} ({score.cases_lost})",
            f"{score.doubled} ({score.cases_doubled})",
            f"{score.stale} ({score.cases_stale})",
            str(score.changed),
            str(score.false_success),
            str(score.unrecovered),
        ]
        for score in scores
    ]
    faults = [fault.name for fault in FAULTS]
    by_fault = [[name, *(_cell(score.by_fault.get(name, Counter())) for score in scores)] for name in faults]
    promises = {rival.name: rival.promise for rival in RIVALS}
    parts = [
        INTRODUCTION.format(machine=machine, tries=TRIES),
        _markdown(heads, rows),
        NOTES.format(tries=TRIES),
        *(f"| {score.rival} {score.version} | {promises[score.rival]} |\n" for score in scores),
        "\n## By fault\n\nCases with rows lost / doubled / keyed wrong / not recovered, of how many.\n\n",
        _markdown(["fault", *(score.rival for score in scores)], by_fault),
        "\n## All kinds of values, one run without a fault\n\nColumns whose values are not those sent, and how many: "
        "decimals of up to 65 digits, integers beyond 64 bits, empty strings, line ends, control characters.\n\n",
        _markdown(["target", "values that differ"], [[score.rival, score.values] for score in scores]),
    ]
    return "".join(parts)


def _cell(counts: Counter[str]) -> str:
    if not counts["cases"]:
        return "-"
    shown = " / ".join(str(counts[name]) for name in ("lost", "doubled", "stale", "unrecovered"))
    return f"{shown} of {counts['cases']}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in cells)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make rivals-torture", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--share", type=float, default=1.0, help="share of the cases, such as 0.25")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="default: one per core")
    parser.add_argument("--write", type=Path, default=None, help="write the page here (default: print it)")
    parser.add_argument("--report", type=Path, help="write the counts to this file, as JSON")
    given = parser.parse_args()
    try:
        library()
    except NoCompilerError as error:
        print(f"make rivals-torture: {error}", file=sys.stderr)
        return 78
    began = time.monotonic()
    numbers = [number for number, rival in enumerate(RIVALS) if given.only in rival.name]
    scores = run_all(numbers, given.workers, given.share)
    from report import machine

    text = page(scores, machine())
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    for score in scores:
        print(f"== {score.rival}", *score.stories, sep="\n")
    print(text)
    print(f"{time.monotonic() - began:.0f} s")
    if given.report:
        told = [{name: value for name, value in vars(score).items() if name != "stories"} for score in scores]
        given.report.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    # Workers import this module by its name: what they send back must be of its classes.
    from faults.torture import rivals

    sys.exit(rivals.main())
