"""The row of ``make bench`` about streams that are not plain: what a row of each costs, as a ratio to one of the plain stream.

Each load runs in a fork of this process, which has imported the target: no start is measured, and the processor time is that
of the client and of its server session. A stream and the plain one run one after the other, and a ratio is taken within a round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from database import Database
from report import Goal
from rounds import FOLDER, Bench, say
from streams import PLAIN, STREAMS, WIDE, OddStream, write

__all__ = ["row_l"]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Cost:
    """Seconds of processor time, of the client and of the server's session."""

    client: float
    server: float

    @property
    def both(self) -> float:
        return self.client + self.server


def row_l(bench: Bench) -> None:
    """Each stream of `streams.STREAMS` into PostgreSQL and into DuckDB."""
    count = bench.rival_rows
    for name, load in (("target-postgres", _Postgres(bench.database)), ("target-duckdb", _DuckDB())):
        for stream in STREAMS:
            ratios, shown = [], ""
            for turn in range(bench.repeat):
                pair = [stream, _plain_of(stream)]
                costs = {one.name: load(one, count) for one in (pair if turn % 2 == 0 else pair[::-1])}
                odd, plain = costs[stream.name], costs[PLAIN.name]
                bytes_of_wide = _path(PLAIN, count).stat().st_size / _path(stream, count).stat().st_size
                ratios.append(odd.both / plain.both * (bytes_of_wide if stream is WIDE else 1))
                shown = f"{odd.client:.2f} + {odd.server:.2f} s", f"{plain.client:.2f} + {plain.server:.2f} s"
            goal = Goal("l", f"{name}: {stream.name}", *shown, median(ratios), stream.goal, "x plain")
            say(f"l: {' | '.join(goal.cells())}")
            bench.goals.append(goal)


def _plain_of(stream: OddStream) -> OddStream:
    return OddStream(PLAIN.name, 1, PLAIN.lines, again=stream.again)


def _path(stream: OddStream, count: int) -> Path:
    letters = "".join(letter if letter.isalnum() else "-" for letter in stream.name.removesuffix(", again"))
    return FOLDER / f"stream-{letters}-{count}.singer"


class _Postgres:
    """Loads into a schema of its own, which is made anew."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postmaster = int(database.query("select pg_read_file('postmaster.pid')")[0][0].split()[0])

    def __call__(self, stream: OddStream, count: int) -> _Cost:
        from target_postgres.target import TargetPostgres

        self._database.fresh_schema("streams")
        config = {"dsn": self._database.url, "default_target_schema": "streams", **stream.config}
        cost = _Cost(0, 0)
        for _ in range(1 + stream.again):
            before = _children_of(self._postmaster)
            client = _forked(TargetPostgres, config, stream, count)
            self._wait_for_its_end()
            cost = _Cost(client, _children_of(self._postmaster) - before)
        return cost

    def _wait_for_its_end(self) -> None:
        """The session ends behind its client, since it drops its stages first, and counts when it has ended."""
        others = (
            "select 1 from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        while self._database.query(others):
            time.sleep(0.1)
        time.sleep(0.1)  # the process itself


class _DuckDB:
    """Loads into a file that is made anew."""

    def __call__(self, stream: OddStream, count: int) -> _Cost:
        from target_duckdb.target import TargetDuckDB

        for left in FOLDER.glob("streams.duckdb*"):
            left.unlink()
        config = {"database": str(FOLDER / "streams.duckdb"), **stream.config}
        cost = 0.0
        for _ in range(1 + stream.again):
            cost = _forked(TargetDuckDB, config, stream, count)
        return _Cost(cost, 0)


def _children_of(pid: int) -> float:
    """The processor time of the sessions that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS


def _forked(target: type, config: Mapping[str, Any], stream: OddStream, count: int) -> float:
    path = _path(stream, count)
    write(stream, count, path)
    log = FOLDER / "streams.log"
    child = os.fork()
    if child == 0:
        with _ending(), path.open("rb") as lines, log.open("wb") as said:
            os.dup2(said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            target(config=config)._load(lines)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"The load of `{stream.name}` failed: {log.read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime


@contextmanager
def _ending() -> Iterator[None]:
    """End this process, which is a fork, whatever happens in it."""
    try:
        yield
    except BaseException:  # nothing of it may go on in the copy of the bench
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)
