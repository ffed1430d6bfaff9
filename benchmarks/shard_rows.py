"""The row of ``make bench`` about shards: the same table of SQLite into PostgreSQL by one run, two, and four at a time."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from statistics import median

from files import to_sqlite
from loaders import OURS, our_target
from measure import Run, run
from others import our_executable
from psycopg2 import sql
from report import Goal, Measured
from rounds import FOLDER, Bench, in_cpu, in_seconds, medians, ratio, say

__all__ = ["row_n"]

SHARDS = (1, 2, 4)
SCHEMA = "by_shards"


def row_n(bench: Bench) -> None:
    """Each run looks at the rows of the others, too: processor time says what that costs, seconds what is gained on so many cores."""
    source = to_sqlite(bench.files(bench.rows))
    runs: dict[int, list[Run]] = {of: [] for of in SHARDS}
    checks: dict[int, str] = {}
    for turn in range(bench.repeat):
        for of in SHARDS[:: 1 if turn % 2 == 0 else -1]:
            bench.database.fresh_schema(SCHEMA)
            before = bench.database.cpu_seconds()
            found = run(["sh", "-c", _script(bench, source, of)])
            runs[of].append(replace(found, server_seconds=bench.database.cpu_seconds() - before))
            checks[of] = _check(bench)
            say(f"n: {of} at a time: {found.seconds:.2f} s, {found.cpu_seconds:.2f} s of CPU, {checks[of]}")
    for of in SHARDS:
        cpu, server = (
            median(getattr(one, name) for one in runs[of]) for name in ("cpu_seconds", "server_seconds")
        )
        name = f"singerkit tap-sqlite into target-postgres, {of} shard{'' if of == 1 else 's'}"
        version = OURS.version(bench.database)
        bench.measured.append(
            Measured("n", name, version, bench.rows, *medians(runs[of]), checks[of], cpu, server)
        )
    what = f"{bench.rows:,} rows by 2 shards at a time"
    bench.goals.append(
        Goal(
            "n",
            what,
            in_seconds(runs[2]),
            f"by one run {in_seconds(runs[1])}",
            ratio(runs[2], runs[1]),
            0.75,
            "x",
        )
    )
    for of in SHARDS:
        bench.goals.append(_against_the_machine(of, runs[of]))
    used = median(four.cpu_seconds / one.cpu_seconds for four, one in zip(runs[4], runs[1], strict=True))
    bench.goals.append(
        Goal("n", "4 shards: CPU", in_cpu(runs[4]), f"one run {in_cpu(runs[1])}", used, 1.5, "x")
    )


def _against_the_machine(of: int, runs: list[Run]) -> Goal:
    """Hold the seconds against what no arrangement can go below: the processor time of both ends and of the server, on all cores at once."""
    cores = len(os.sched_getaffinity(0))
    least = [(one.cpu_seconds + (one.server_seconds or 0.0)) / cores for one in runs]
    return Goal(
        "n",
        f"{of} at a time against the machine",
        in_seconds(runs),
        f"all processor time on {cores} cores {median(least):.2f} s",
        median(one.seconds / limit for one, limit in zip(runs, least, strict=True)),
        1.25,
        "x",
    )


def _script(bench: Bench, source: Path, of: int) -> str:
    """Return a script that runs all shards at a time, and ends badly where one of them does."""
    config = FOLDER / "tap-shards.json"
    config.write_text(json.dumps({"path": str(source), "activate_version": False}))
    tap = shlex.join([str(our_executable("tap-sqlite")), "--config", str(config)])
    target = shlex.join(map(str, our_target(bench.database, SCHEMA, FOLDER)))
    lines = [
        f'({tap} --shard {number}/{of} | {target} > /dev/null) & pids="$pids $!"' for number in range(of)
    ]
    return "\n".join([*lines, "for pid in $pids; do wait $pid || exit 1; done"])


def _check(bench: Bench) -> str:
    """Whether each row is there once; the rows of (a) are compared value by value."""
    table = sql.Identifier(SCHEMA, "orders")
    [found] = bench.database.query(sql.SQL("select count(*), count(distinct id) from {}").format(table))
    return "same rows" if found == (bench.rows, bench.rows) else f"{found} rows, and of them different ones"
