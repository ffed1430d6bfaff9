"""Processes that take cases from one list, each with a bench of its own, and the table of what they have counted."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from faults.torture.cases import Case, CaseFailedError, Report, run_case
from faults.torture.modes import UPSERT, Mode
from faults.torture.pipeline import Bench

__all__ = ["run_workers", "table"]


def run_workers(
    seed: str,
    count: int,
    workers: int,
    installed: float,
    first: int,
    case_kind: type[Case] = Case,
    mode: Mode = UPSERT,
) -> Report:
    """Let workers take cases, one after the other, until enough faults have struck."""
    total = Report()
    context = multiprocessing.get_context("spawn")
    pipes: dict[Connection, Any] = {}
    for _ in range(workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, seed, installed, case_kind, mode))
        process.start()
        theirs.close()
        pipes[ours] = process
    number, told = first, 0
    waiting = set(pipes)
    for pipe in pipes:
        pipe.send(number)
        number += 1
    while waiting:
        for pipe in wait(list(waiting)):
            assert isinstance(pipe, Connection)
            try:
                report: Report = pipe.recv()
            except (EOFError, ConnectionResetError):
                waiting.discard(pipe)
                total.failures.append("a worker has died")
                continue
            total.add(report)
            for failure in report.failures:
                print(f"FAILED {failure}", flush=True)
            if total.struck.total() // 100 > told:
                told = total.struck.total() // 100
                print(f"{total.struck.total()} faults, {len(total.failures)} failures", flush=True)
            if total.struck.total() >= count:
                pipe.send(None)
                waiting.discard(pipe)
            else:
                pipe.send(number)
                number += 1
    for process in pipes.values():
        process.join()
    return total


def work(pipe: Connection, seed: str, installed: float, case_kind: type[Case], mode: Mode) -> None:
    """Run the cases that come through a pipe, and answer each with its report."""
    with Bench() as bench:
        while (number := pipe.recv()) is not None:
            report = Report()
            try:
                run_case(
                    bench, seed, number, report, installed_share=installed, case_kind=case_kind, mode=mode
                )
            except CaseFailedError as error:
                report.failures.append(str(error))
            pipe.send(report)


# --- the table ----------------------------------------------------------------------------------------------


def table(report: Report, seed: str, seconds: float, kinds: Sequence[str]) -> str:
    """Return the result for people."""
    width = max(map(len, kinds))
    lines = [f"{'kind of fault':{width}}  injected  struck  exit codes of the runs it struck (tap|target)"]
    for kind in kinds:
        codes = shown(report.codes_of.get(kind, Counter()), 6)
        lines.append(f"{kind:{width}}  {report.injected[kind]:8}  {report.struck[kind]:6}  {codes}")
    lines.append(f"{'all':{width}}  {report.injected.total():8}  {report.struck.total():6}")
    lines.append("")
    lines.append(
        f"seed {seed}, {seconds:.0f} s, {report.cases} cases ({report.installed} with the installed executables)"
    )
    lines.append(f"{report.runs} runs, {report.recoveries} recoveries, {len(report.failures)} failures")
    lines.append(f"exit codes of all runs: {shown(report.codes, 30)}")
    found = report.findings
    lines.append(
        f"lost {found['lost']}, doubled {found['doubled']}, wrong {found['wrong']}, regressed {found['regressed']}, "
        f"state {found['state']}, exit {found['exit']}, secret {found['secret']}, bounds {found['bounds']}"
    )
    return "\n".join(lines)


def shown(codes: Counter[str], most: int) -> str:
    listed = ", ".join(f"{code} {count}" for code, count in codes.most_common(most))
    return f"{listed}, ..." if len(codes) > most else listed
