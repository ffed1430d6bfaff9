"""Pipelines in their order, some at a time; what fails holds up what stands on it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial

from singerkit_run.children import run_alone
from singerkit_run.durations import shown
from singerkit_run.outcomes import Outcome, stopped_by
from singerkit_run.planfile import Pipeline, Plan
from singerkit_run.programs import Found, located
from singerkit_run.record import Record, runs_of
from singerkit_run.signalling import signal
from singerkit_run.tries import Result, Running, Telling
from singerkit_run.usual import expected_of, who, why_too_long
from singerkit_shell.signals import StopFlag

__all__ = ["run_all"]

_TURN = 0.2


def run_all(
    plan: Plan,
    names: Sequence[str],
    found: Mapping[str, Found],
    jobs: int,
    env: Mapping[str, str],
    telling_of: Callable[[str], Telling],
    stop: StopFlag,
) -> list[Result]:
    """Run pipelines, ``jobs`` of them at a time, each behind those of them that it names in `after`; return what became of each, in the order of ``names``."""
    results: dict[str, Result] = {}
    running: dict[Future[Result], str] = {}
    run = partial(_run_one, plan, found, env, telling_of, stop)
    with ThreadPoolExecutor(jobs) as pool:
        while len(results) < len(names):
            for name in names:
                if name in results or name in running.values():
                    continue
                hindrance = _hindrance(plan.pipelines[name], results)
                if stop:
                    results[name] = Result(name, stopped_by(stop, "it was not begun"))
                elif hindrance:
                    nothing = Outcome(0, is_busy=results[hindrance].outcome.is_busy)
                    results[name] = Result(name, nothing, skipped_for=hindrance)
                    _record_of(plan, found, name).end(nothing, 0, committed=False, skipped_for=hindrance)
                elif len(running) < jobs and _is_ready(plan.pipelines[name], names, results):
                    running[pool.submit(run, name)] = name
            done, _ = wait(running, timeout=_TURN, return_when=FIRST_COMPLETED)
            for future in done:
                results[running.pop(future)] = future.result()
    return [results[name] for name in names]


def _is_ready(pipeline: Pipeline, names: Sequence[str], results: Mapping[str, Result]) -> bool:
    return all(other in results for other in pipeline.after if other in names)


def _hindrance(pipeline: Pipeline, results: Mapping[str, Result]) -> str:
    """Return the pipeline that one stands on and that has not ended well."""
    for other in pipeline.after:
        result = results.get(other)
        if result is not None and (result.outcome.code or result.skipped_for):
            return other
    return ""


def _run_one(
    plan: Plan,
    found: Mapping[str, Found],
    env: Mapping[str, str],
    telling_of: Callable[[str], Telling],
    stop: StopFlag,
    name: str,
) -> Result:
    telling = telling_of(name)
    telling.news("begins.")
    record = _record_of(plan, found, name)

    def tell_signals() -> None:
        for problem in signal(plan, name, record.run, found, env, stop):
            telling.news(problem)

    running = Running(plan.pipelines[name], found, plan.folder, env, telling, stop, record, tell_signals)
    result = running.result()
    telling.ended(result)
    if record.failure:
        telling.news(f"is not noted in the history of runs ({record.failure}); it is as it was else.")
    tell_signals()
    why = _why_failed(plan, result)
    if why and plan.on_failure is not None:
        _tell_of_failure(plan, result, why, env, telling, stop)
    return result


def _why_failed(plan: Plan, result: Result) -> str:
    """Return why somebody is told, "" where nobody is: another run that is at work is no failure, unless it is at work for too long."""
    outcome = result.outcome
    if not outcome.code or outcome.is_stop:
        return ""
    if not outcome.is_busy:
        return outcome.why
    return _why_hanging(plan.pipelines[result.name])


def _why_hanging(pipeline: Pipeline) -> str:
    """Return why the run that is at work is so for too long, "" where it is not, or none has noted itself here."""
    try:
        runs = [run for run in reversed(runs_of(pipeline)) if not run.did_nothing]
    except OSError:
        return ""
    if not runs or runs[0].result != "running":
        return ""
    run, now = runs[0], datetime.now(UTC)
    why = why_too_long(run, runs[1:], now, expected_of(pipeline))
    if not why:
        return ""
    since = shown((now - run.started).total_seconds())
    return f"A run that began {since} ago ({who(run)}) is still at work: {why}. Nothing else of `{pipeline.name}` is run until it ends."


def _record_of(plan: Plan, found: Mapping[str, Found], name: str) -> Record:
    pipeline = plan.pipelines[name]
    ends = found[pipeline.tap.exec], found[pipeline.target.exec]
    return Record(pipeline.called or name, pipeline.state_file, plan.run_history_days, ends)


def _tell_of_failure(
    plan: Plan, result: Result, why: str, env: Mapping[str, str], telling: Telling, stop: StopFlag
) -> None:
    """Run what the file names for a pipeline that has failed; that it fails, too, changes nothing."""
    assert plan.on_failure is not None  # noqa: S101  the caller has looked
    (called, *args), timeout = plan.on_failure
    said = {
        "pipeline": result.name,
        "exit_code": result.outcome.code,
        "reason": why,
        "tries": result.tries,
        "seconds": round(result.seconds, 1),
        "committed": result.committed,
    }
    code = run_alone(
        [located(called, plan.folder) or called, *args],
        folder=plan.folder,
        env={**env, "SINGERKIT_PIPELINE": result.name, "SINGERKIT_EXIT_CODE": str(result.outcome.code)},
        on_line=lambda line: telling.line("on_failure", line),
        timeout=timeout,
        stop=stop,
        words=json.dumps(said).encode() + b"\n",
    )
    if code != 0:
        telling.news(f"`on_failure` ({called}) {'was stopped' if code is None else f'ended with {code}'}.")
