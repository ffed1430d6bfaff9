"""``python -m faults.torture``: random faults until enough of them have struck, and a table of what became of it."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from faults.torture.cases import BROKEN, INSTALLED, Case, CaseFailedError, Report, run_case
from faults.torture.duckdb_cases import DuckCase
from faults.torture.files_cases import FromFilesCase, FromFilesIntoDuckCase
from faults.torture.inject import NoCompilerError, library
from faults.torture.messages import MessagesFailedError, run_messages
from faults.torture.modes import METHOD_HELP, UPSERT, Mode, named
from faults.torture.pipeline import Bench
from faults.torture.postgres_cases import FromPostgresCase, FromPostgresIntoDuckCase
from faults.torture.sqlite_cases import SqliteCase
from faults.torture.workers import run_workers, table

PIPES: dict[tuple[str, str], type[Case]] = {
    ("rest", "postgres"): Case,
    ("rest", "duckdb"): DuckCase,
    ("sqlite", "duckdb"): SqliteCase,
    ("postgres", "postgres"): FromPostgresCase,
    ("postgres", "duckdb"): FromPostgresIntoDuckCase,
    ("files", "postgres"): FromFilesCase,
    ("files", "duckdb"): FromFilesIntoDuckCase,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seed", default="", help="what everything follows from; default: a new one")
    parser.add_argument("--count", type=int, default=300, help="faults that must really strike (default 300)")
    parser.add_argument("--case", default="", help="run this one case of the seed and tell its story")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 2, help="processes (default: one per core)"
    )
    parser.add_argument(
        "--installed", type=float, default=INSTALLED, help="share of cases with the installed executables"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument(
        "--from",
        dest="tap",
        choices=("rest", "sqlite", "postgres", "files", "messages"),
        default="rest",
        help="the tap (default rest); or messages, without one, for what no source shows: newest_by, key_properties, column_types, partition_by",
    )
    parser.add_argument(
        "--into", choices=("postgres", "duckdb"), default="postgres", help="the target (default postgres)"
    )
    parser.add_argument(
        "--method",
        type=named,
        default=UPSERT,
        help=METHOD_HELP,
    )
    given = parser.parse_args()
    if given.tap == "messages":
        return torture_messages(given)
    if (given.tap, given.into) not in PIPES:
        parser.error("sqlite goes into duckdb")
    case_kind = PIPES[given.tap, given.into]
    mode: Mode = given.method
    if mode != UPSERT and given.tap != "rest":
        parser.error("methods are for what comes from rest")
    seed = given.seed or str(random.SystemRandom().randrange(10**9))
    try:
        library()
    except NoCompilerError as error:
        print(f"make torture: {error}", file=sys.stderr)
        return 78
    print(f"seed {seed}", flush=True)
    if given.case:
        return tell(seed, int(given.case), given.installed, case_kind, mode)
    began = time.monotonic()
    report = run_workers(seed, given.count, given.workers, given.installed, given.first, case_kind, mode)
    kinds = (*case_kind.kinds, BROKEN) if mode.breaks else case_kind.kinds
    print(table(report, seed, time.monotonic() - began, kinds))
    return 1 if report.failures else 0


def torture_messages(given: argparse.Namespace) -> int:
    """Run cases of messages alone, in this process, until enough of their runs were struck; tell the story of one, if one is asked for."""
    seed = given.seed or str(random.SystemRandom().randrange(10**9))
    print(f"seed {seed}", flush=True)
    began, number, struck, runs, failures = time.monotonic(), int(given.case or given.first), 0, 0, 0
    with Bench() as bench:
        while True:
            try:
                case = run_messages(bench, seed, number, into=given.into)
                struck, runs = struck + case.struck, runs + case.runs
                if given.case:
                    print("\n".join(case.story))
            except MessagesFailedError as error:
                failures += 1
                print(f"FAILED {error}", flush=True)
            number += 1
            if given.case or struck >= given.count:
                break
    cases = number - int(given.case or given.first)
    print(
        f"{cases} cases, {runs} runs, {struck} of them struck, {failures} failures, {time.monotonic() - began:.0f} s"
    )
    return 1 if failures else 0


def tell(seed: str, number: int, installed: float, case_kind: type[Case], mode: Mode) -> int:
    """Run one case and print what happened."""
    with Bench() as bench:
        try:
            story = run_case(
                bench, seed, number, Report(), installed_share=installed, case_kind=case_kind, mode=mode
            )
            print("\n".join(story))
        except CaseFailedError as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
