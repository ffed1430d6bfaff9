"""``make exhaustive``: fail or kill the k-th call of each kind for k = 1, 2, ... until a run ends with no fault struck.

A *setting* is a pipeline at a certain point: ``url``, ``file`` (how target-postgres resumes), ``jsonl`` or ``duckdb``
(target-jsonl, target-duckdb), and ``first`` (nothing is there yet) or ``later`` (a run has been; rows were updated, `orders` has got
a field in mid-stream, every row of `customers` has another shape). A *loop* is a setting, a side (``tap``,
``target``, ``sql``, ``http``), what is counted there, and what is done at the k-th; a ``+`` means: from the k-th on.
After each fault the checker reads everything (I1-I8), runs without a fault follow until one succeeds, and the tables
must equal the source; after every second fault the source has gone on.

    python -m faults.torture.exhaustive                                             all loops
    python -m faults.torture.exhaustive --only 'url.later.sql.*'                    some
    python -m faults.torture.exhaustive --only url.later.target.send.kill.k=17      one case, told in full
    python -m faults.torture.exhaustive --method history,variants --every 20        another way to load, every 20th case
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fnmatch
import json
import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import util
from pathlib import Path
from typing import Any

import psycopg2
from faults.torture.checker import Checker, Finding, Violation
from faults.torture.duckdb_checker import DuckChecker, DuckPipeline, TornFile
from faults.torture.inject import NoCompilerError, library, rule
from faults.torture.jsonl_checker import JsonlChecker, JsonlPipeline
from faults.torture.modes import METHOD_HELP, UPSERT, Mode, named
from faults.torture.pipeline import Bench, Outcome, Pipeline
from faults.torture.proxy import SqlFault
from faults.torture.source import HttpFault, Source, serving
from psycopg2.sql import SQL, Identifier

__all__ = ["SETTINGS", "Case", "Loop", "Result", "Stage", "loops", "run_case", "run_loop", "sample"]

SEED = "exhaustive"
CHUNK_BYTES = 2048
"""The target reads so much at a time: several units of commit in each run."""
TRIES = 5
"""Runs after which a pipeline without faults must have succeeded."""
LONGEST = 1000
"""No loop has so many cases: it would not end."""

_TAP = """
tap     write     kill kill-after short-kill eio epipe enospc+
tap     send      kill kill-after econnreset econnreset+
tap     fsync     kill eio
tap     rename    kill kill-after eio eio+
tap     unlink    kill eio
tap     truncate  kill eio
tap     any       term
http    response  status status+ cut cut+ reset reset+ stall stall+ bad_json html
"""
_FILES = """
target  write     kill kill-after short-kill eio epipe enospc enospc+
target  fsync     kill kill-after eio eio+
target  rename    kill kill-after eio eio+
target  unlink    kill kill-after eio eio+
target  truncate  kill kill-after eio eio+
"""
_DATABASE = """
target  write     kill kill-after short-kill eio enospc enospc+
target  fsync     kill kill-after eio eio+
target  truncate  kill kill-after
"""
"""Its library writes and truncates the file and its log; a rename and a lock are the state file's."""
_TERM = """
target  any       term
"""
_KILLED_SENDS = """
target  send      kill
"""
_COMMITS = """
sql     commit    cut swallow stall terminate restart cut+ swallow+
"""
_STATEMENTS = """
target  send      short-kill econnreset econnreset+
sql     query     cut swallow terminate cut+
sql     connect   cut swallow cut+
"""
_LOOPS = {
    # A state file adds moments between COMMIT and rename; what happens before COMMIT is that of `url`.
    "file.first": (_FILES, _COMMITS),
    "file.later": (_TAP, _FILES, _TERM, _KILLED_SENDS, _COMMITS),
    "duckdb.first": (_DATABASE,),
    "duckdb.later": (_DATABASE, _TERM),
    "jsonl.first": (_FILES,),
    "jsonl.later": (_TAP, _FILES, _TERM),
    "url.first": (_TAP, _FILES, _KILLED_SENDS, _COMMITS, _STATEMENTS),
    "url.later": (_TAP, _FILES, _TERM, _KILLED_SENDS, _COMMITS, _STATEMENTS),
}
_FOLDERS = {"jsonl": JsonlPipeline, "duckdb": DuckPipeline}
"""Pipelines that load into a folder."""
SETTINGS = tuple(_LOOPS)
_ERRORS = {
    "eio": errno.EIO,
    "epipe": errno.EPIPE,
    "enospc": errno.ENOSPC,
    "econnreset": errno.ECONNRESET,
}


@dataclass(frozen=True)
class Loop:
    """``side`` is tap, target, sql or http; ``kind`` is a class of `inject`, an event of the proxy, or response."""

    setting: str
    side: str
    kind: str
    action: str
    persists: bool = False

    def __str__(self) -> str:
        return f"{self.setting}.{self.side}.{self.kind}.{self.action}{'+' * self.persists}"

    def faults(self, at: int, bench: Bench) -> dict[str, Any]:
        """Return the arguments of `Pipeline.run` that bring the fault at the ``at``-th."""
        if self.side == "http":
            return {"http": [HttpFault(self.action, at, self.persists, seconds=0.35)]}
        if self.side == "sql":
            return {"sql": [self._sql_fault(at, bench)]}
        action = f"errno={_ERRORS[self.action]}" if self.action in _ERRORS else self.action
        return {f"{self.side}_rules": [rule(self.kind, at, action, persists=self.persists)]}

    def _sql_fault(self, at: int, bench: Bench) -> SqlFault:
        server = bench.server
        if self.action == "terminate":
            hook = lambda pid: server.sql("SELECT pg_terminate_backend(%s)", [pid])  # noqa: E731
            return SqlFault(self.kind, at, "call", hook=hook)
        if self.action == "restart":
            return SqlFault(self.kind, at, "call", hook=lambda _: server.restart_immediately())
        return SqlFault(self.kind, at, self.action, 0.2, persists=self.persists)

    def codes(self) -> dict[str, set[int]]:
        """Return the exit codes that this fault may lead to, of the tap and of the target."""
        allowed = {"tap_codes": {0, 65, 69, 74}, "target_codes": {0, 65, 69, 74}}
        if own := self.own_code():
            allowed[f"{self.side}_codes"].add(own)
        return allowed

    def own_code(self) -> int | None:
        """Return the exit code of a process that was ended by a signal, and by nothing else."""
        return {"term": 143, "int": 130}.get(self.action, -9 if "kill" in self.action else None)

    def calls(self, outcome: Outcome) -> int:
        """Return how many moments a run had for this fault."""
        return outcome.requests if self.side == "http" else outcome.calls[self.side][self.kind]


@dataclass(frozen=True)
class Case:
    """One pass of a loop."""

    loop: Loop
    at: int

    def __str__(self) -> str:
        return f"{self.loop}.k={self.at}"

    def command(self, mode: Mode = UPSERT) -> str:
        """Return what repeats it."""
        return f"make exhaustive ARGS='{' '.join(filter(None, [mode.argument, f'--only {self}']))}'"


@dataclass
class Result:
    """What has become of the cases of a loop."""

    loop: Loop
    cases: int = 0
    struck: int = 0
    runs: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    """Exit codes ``tap|target`` of the runs in which the fault struck."""
    recoveries: Counter[str] = field(default_factory=Counter)
    """Exit codes of the runs after them."""
    torn: int = 0
    """Files of DuckDB that half of one write has made unreadable: see docs/guarantees.md."""
    findings: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def loops(settings: Sequence[str] = SETTINGS) -> list[Loop]:
    """Return every loop of these settings, in a fixed order."""
    found = []
    for setting in settings:
        for line in "".join(_LOOPS[setting]).split("\n"):
            side, kind, *actions = line.split() or ("", "")
            found += [Loop(setting, side, kind, action.rstrip("+"), "+" in action) for action in actions]
    return found


# --- pipelines ----------------------------------------------------------------------------------------------


def emit_first(source: Source) -> None:
    """What the source holds before the first run; `orders` gets a field in the middle of it."""
    source.emit(8, 8, 3)
    source.change_schema()
    source.emit(6, 6, 2)


def emit_later(source: Source) -> None:
    """What happens at the source before the second run."""
    if source.removes:
        source.remove_customers()
    source.emit(6, 6, 2)
    source.change_schema()
    source.emit(4, 4, 1)
    source.flip()


class Stage:
    """What one worker needs: a bench, and copies of each setting to begin a case from. Use as a context manager.

    ``mode``: how the targets are told to load; ``bench``: one that stands already, and goes on to.
    """

    def __init__(self, mode: Mode = UPSERT, bench: Bench | None = None) -> None:
        self.mode = mode
        self._stack = contextlib.ExitStack()
        self._bases: dict[str, tuple[str, Path]] = {}
        self._source: Source | None = None
        try:
            self.bench = bench or self._stack.enter_context(Bench())
            # One address for all cases: the tap's schema cache is kept by address.
            self._url = self._stack.enter_context(serving(self._answer))
        except BaseException:
            self._stack.close()
            raise

    def _answer(self, connection: socket.socket) -> None:
        assert self._source is not None
        self._source.serve_connection(connection)

    @contextlib.contextmanager
    def pipeline(self, setting: str) -> Iterator[tuple[Pipeline, Checker | JsonlChecker]]:
        """A pipeline that is at the point of ``setting``, and its checker, which knows what is there."""
        way, point = setting.split(".")
        if point == "first":
            source = self._source_at_first()
            with self._fresh(way, source) as pipeline:
                yield pipeline, _checker_of(pipeline)
            return
        if way not in self._bases:
            self._make_base(way)
        source = self._source_at_first()
        with self._fresh(way, source, *self._bases[way]) as pipeline:
            checker = _checker_of(pipeline)
            checker.check(complete=True)
            emit_later(source)
            yield pipeline, checker

    def _source_at_first(self) -> Source:
        source = self.mode.prepare(Source(SEED))
        emit_first(source)
        return source

    def _make_base(self, way: str) -> None:
        """Run once, and keep database and folder to copy them from."""
        manager = self._fresh(way, self._source_at_first())
        pipeline = self._stack.enter_context(manager)
        outcome = pipeline.run()
        _checker_of(pipeline).check(outcome, complete=True)
        if outcome.codes != "0|0":
            raise Violation([Finding("exit", f"the first run of all ended with {outcome}")])
        await_quiet(pipeline)
        self._bases[way] = pipeline.database, pipeline.folder

    @contextlib.contextmanager
    def _fresh(
        self, way: str, source: Source, template: str = "template0", base: Path | None = None
    ) -> Iterator[Pipeline]:
        server = self.bench.server
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=self.bench.folder))
        name = folder.name.replace("-", "_")
        create = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
        self._source = source
        try:
            if way not in _FOLDERS:
                server.sql(create)
            kind, resume = (_FOLDERS[way], "file") if way in _FOLDERS else (Pipeline, way)
            pipeline = kind(
                self.bench,
                source,
                self._url,
                name,
                folder,
                resume=resume,
                chunk_bytes=CHUNK_BYTES,
                mode=self.mode,
            )
            for part in ("state", "schemas", "lake") if base else ():
                if base and (base / part).exists():
                    shutil.copytree(base / part, folder / part, dirs_exist_ok=True)
            yield pipeline
        finally:
            source.close()
            self.bench.proxy.arm()
            server.sql(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checker_of(pipeline: Pipeline) -> Checker | JsonlChecker:
    if isinstance(pipeline, DuckPipeline):
        return DuckChecker(pipeline)
    return JsonlChecker(pipeline) if isinstance(pipeline, JsonlPipeline) else Checker(pipeline)


def await_quiet(pipeline: Pipeline) -> None:
    """Wait until the server has noticed the end of every session of runs that are over."""
    end = time.monotonic() + 5
    while doing := pipeline.bench.server.sessions(pipeline.database):
        if time.monotonic() > end:
            raise Violation([Finding("bounds", f"a session outlives its run: {doing}")])
        time.sleep(0.01)


# --- cases --------------------------------------------------------------------------------------------------


def run_case(stage: Stage, case: Case, result: Result, story: list[str] | None = None) -> bool:
    """Run one case to its end and add it to ``result``; tell whether its fault struck.

    Raises:
        Violation: an invariant was broken.
    """
    loop = case.loop
    told = [] if story is None else story
    with stage.pipeline(loop.setting) as (pipeline, checker):
        result.cases += 1
        result.runs += 1
        outcome = pipeline.run(**loop.faults(case.at, stage.bench))
        told.append(f"{case} -> {outcome}")
        if outcome.struck:
            result.struck += 1
            result.codes[outcome.codes] += 1
        try:
            checker.check(outcome, **loop.codes())
        except TornFile:
            _expect(loop.action == "short-kill", "a file was torn by what is no half of a write")
            expect_told(pipeline, result)
            return True
        if not outcome.struck:
            _expect(outcome.codes == "0|0", f"a run without a fault ended with {outcome}")
            checker.check_end()
            return False
        ended = {"tap": outcome.tap, "target": outcome.target}.get(loop.side)
        if "kill" in loop.action:
            _expect(ended == -9, f"kill -9 was sent and the process ended with {ended}")
        if case.at % 2 == 0:
            told.append("the source goes on")
            pipeline.source.emit(3, 3, 1)
        recover(pipeline, checker, result, told)
    return True


def expect_told(pipeline: Pipeline, result: Result) -> None:
    """See that a run over a file which DuckDB cannot open any more ends with one sentence that says so, each time."""
    for _ in range(2):
        outcome = pipeline.run()
        result.runs += 1
        result.recoveries[outcome.codes] += 1
        is_told = outcome.target == 78 and "put the file back from a copy" in outcome.target_words
        _expect(is_told, f"a run over a torn file ended with {outcome}")
    result.torn += 1


def recover(pipeline: Pipeline, checker: Checker | JsonlChecker, result: Result, told: list[str]) -> None:
    """Run again until it succeeds, as an operator does, and see that all is there, once.

    A run may be refused because it has to start elsewhere (69, it says: run again) or because a session of the run
    before has not ended yet (75).
    """
    for _ in range(TRIES):
        await_quiet(pipeline)
        outcome = pipeline.run()
        result.runs += 1
        result.recoveries[outcome.codes] += 1
        told.append(f"no fault -> {outcome}")
        checker.check(outcome, tap_codes={0, 69}, target_codes={0, 69, 75})
        if outcome.codes == "0|0" and outcome.holds_back:
            continue
        if outcome.codes == "0|0":
            checker.check(complete=True)
            checker.check_end()
            return
        is_told = outcome.target == 75 or (outcome.target == 69 and "again" in outcome.target_words)
        _expect(is_told, f"a run without a fault ended with {outcome}")
    raise Violation([Finding("exit", f"no success after {TRIES} runs without a fault")])


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise Violation([Finding("exit", text)])


def run_one(stage: Stage, case: Case, result: Result) -> bool:
    """Run one case; what it breaks is noted in ``result``."""
    story: list[str] = []
    try:
        return run_case(stage, case, result, story)
    except Violation as error:
        result.findings.update(finding.kind for finding in error.findings)
        said = str(error)
    except (OSError, RuntimeError, psycopg2.Error) as error:
        result.findings["harness"] += 1
        said = f"the harness: {type(error).__name__}: {error}"
    lines = "\n  ".join(story)
    result.failures.append(f"{case} failed; repeat it with: {case.command(stage.mode)}\n  {lines}\n{said}")
    return True


def run_loop(stage: Stage, loop: Loop, every: int = 1) -> Result:
    """Run a loop for k = 1, 2, ... until a run ends with no fault struck; of ``every`` so many one, and not the same in each loop."""
    began = time.monotonic()
    result = Result(loop)
    at = 1 + zlib.crc32(str(loop).encode()) % every
    while run_one(stage, Case(loop, at), result):
        at += every
        if at > LONGEST or len(result.failures) > 20:
            result.failures.append(f"{loop} does not end")
            break
    result.seconds = time.monotonic() - began
    return result


def sample(stage: Stage, chosen: Sequence[Loop], step: int, offset: int) -> list[Case]:
    """Return every ``step``-th case of these loops of one setting, evenly, beginning with the one at ``offset``.

    How many cases a loop has is taken from a run without a fault: give or take one. ``step`` offsets cover all.
    """
    with stage.pipeline(chosen[0].setting) as (pipeline, checker):
        outcome = pipeline.run()
        checker.check(outcome, complete=True)
        checker.check_end()
    every = [Case(loop, at) for loop in chosen for at in range(1, loop.calls(outcome) + 1)]
    step = min(step, len(every))  # of a loop that has fewer, one is taken
    return every[offset % step :: step]


# --- all of them --------------------------------------------------------------------------------------------

_stage: Stage | None = None


def end_with_parent() -> None:
    """End this worker when the process that gives it work has gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)  # the bench is cleaned up by its keeper

    threading.Thread(target=watch, daemon=True).start()


def _begin_worker(mode: Mode) -> None:
    global _stage
    end_with_parent()
    _stage = Stage(mode)
    util.Finalize(None, _stage.close, exitpriority=100)


def _work(loop: Loop, every: int) -> Result:
    assert _stage is not None
    return run_loop(_stage, loop, every)


def run_all(chosen: Sequence[Loop], workers: int, mode: Mode = UPSERT, every: int = 1) -> list[Result]:
    """Run loops in several processes, each with a bench of its own; tell of each when it ends."""
    results: dict[Loop, Result] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(mode,)) as pool:
        under_way = [pool.submit(_work, loop, every) for loop in chosen]
        for done in as_completed(under_way):
            result = done.result()
            results[result.loop] = result
            for failure in result.failures:
                print(f"FAILED {failure}", flush=True)
            print(f"{len(results)}/{len(chosen)} {_row(result)}", flush=True)
    return [results[loop] for loop in chosen]


def _row(result: Result) -> str:
    codes = ", ".join(f"{code} {count}" for code, count in result.codes.most_common())
    return (
        f"{result.loop!s:42} {result.cases:5} {result.struck:5} {len(result.failures):5}  "
        f"{result.seconds:6.1f} s  {codes}"
    )


KINDS = ("lost", "doubled", "wrong", "regressed", "state", "exit", "secret", "bounds", "harness")


def as_json(results: Sequence[Result], seconds: float) -> dict[str, Any]:
    """Return the report: totals, and a line for each loop."""
    total = Result(Loop("", "", "", ""))
    for result in results:
        for name in ("cases", "struck", "runs", "torn"):
            setattr(total, name, getattr(total, name) + getattr(result, name))
        for name in ("codes", "recoveries", "findings"):
            getattr(total, name).update(getattr(result, name))
        total.failures += result.failures

    def counted(result: Result) -> dict[str, Any]:
        return {
            "cases": result.cases,
            "struck": result.struck,
            "runs": result.runs,
            "torn": result.torn,
            "exit_codes": dict(result.codes.most_common()),
            "exit_codes_of_recoveries": dict(result.recoveries.most_common()),
            **{kind: result.findings[kind] for kind in KINDS},
            "failures": result.failures,
        }

    return {
        "what": "exhaustive loops, exit codes as tap|target",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": round(seconds),
        "total": {"loops": len(results), **counted(total)},
        "loops": [
            {
                "loop": str(result.loop),
                "setting": result.loop.setting,
                "side": result.loop.side,
                "class": result.loop.kind,
                "action": result.loop.action,
                "persists": result.loop.persists,
                "seconds": round(result.seconds, 1),
                **counted(result),
            }
            for result in results
        ],
    }


def table(report: dict[str, Any]) -> str:
    """Return the report for people."""
    lines = [f"{'loop':42} cases struck  runs  lost doubled wrong other  exit codes of the struck runs"]
    for row in [*report["loops"], {"loop": "all", **report["total"]}]:
        other = sum(row[kind] for kind in KINDS if kind not in ("lost", "doubled", "wrong"))
        codes = ", ".join(f"{code} {count}" for code, count in row["exit_codes"].items())
        if row["torn"]:
            codes += f"; {row['torn']} torn by half of a write, as docs/guarantees.md says"
        lines.append(
            f"{row['loop']:42} {row['cases']:5} {row['struck']:6} {row['runs']:5} {row['lost']:5}"
            f" {row['doubled']:7} {row['wrong']:5} {other:5}  {codes}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make exhaustive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="*", help="loops whose name matches this pattern, or one case")
    parser.add_argument("--report", type=Path, help="write the table to this file, as JSON")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="default: one per core")
    parser.add_argument("--method", type=named, default=UPSERT, help=METHOD_HELP)
    parser.add_argument(
        "--every", type=int, default=1, help="run every so-manieth case of a loop (default 1)"
    )
    given = parser.parse_args()
    try:
        library()
    except NoCompilerError as error:
        print(f"make exhaustive: {error}", file=sys.stderr)
        return 78
    name, _, at = given.only.partition(".k=")
    settings = [setting for setting in SETTINGS if given.method.is_for(setting.partition(".")[0])]
    chosen = [loop for loop in loops(settings) if fnmatch.fnmatchcase(str(loop), name)]
    if not chosen:
        print(f"make exhaustive: no loop matches `{name}`; they are:", *loops(), sep="\n", file=sys.stderr)
        return 64
    if at:
        return tell(Case(chosen[0], int(at)), given.method)
    began = time.monotonic()
    results = run_all(chosen, given.workers, given.method, given.every)
    report = as_json(results, time.monotonic() - began)
    print(table(report))
    if given.report:
        given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if report["total"]["failures"] else 0


def tell(case: Case, mode: Mode) -> int:
    """Run one case and print what happened."""
    story: list[str] = []
    with Stage(mode) as stage:
        try:
            struck = run_case(stage, case, Result(case.loop), story)
        except Violation as error:
            print(*story, error, sep="\n")
            return 1
    print(*story, sep="\n")
    if not struck:
        print("the fault did not strike: the loop ends before it")
    return 0


if __name__ == "__main__":
    # Workers import this module by its name: what they send back must be of its classes.
    from faults.torture import exhaustive

    sys.exit(exhaustive.main())
