"""The rows of ``make bench`` about tap-postgres: full reads, tables into tables, the log, and discovery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import nan
from statistics import median

from database import Database, server
from loaders import OURS
from measure import ProcessFailed, Run, run
from orders import COLUMNS
from postgres_readers import (
    MOVERS,
    READERS,
    Mover,
    PostgresReader,
    copy_lines,
    copy_rows,
    discoveries,
    our_log_tap,
    our_mover,
    wrong_records,
)
from readers import last_state
from report import Goal, Measured
from rounds import FOLDER, Bench, in_seconds, medians, ratio, say, truth, truth_name

__all__ = ["row_o", "row_p", "row_q", "row_r"]

MB_GOAL = 120
TABLES = 1_000


def row_o(bench: Bench) -> None:
    """All rows of a table as messages in a file, against the server's own JSON of them."""
    full, fewer = bench.files(bench.rows), bench.files(bench.rival_rows)
    for files in (full, fewer):
        truth(bench, files)
    ours, *rivals = READERS
    output = FOLDER / "postgres.out"
    runs: dict[str, list[Run]] = {reader.name: [] for reader in READERS}
    limit: list[Run] = []
    checks: dict[str, str] = {}
    copy = partial(copy_lines, bench.database, truth_name(full), output)
    for turn in range(bench.repeat):
        say(f"o: round {turn + 1} of {bench.repeat}")
        for step in ["limit", "ours"] if turn % 2 == 0 else ["ours", "limit"]:
            if step == "limit":
                limit.append(_with_server(bench.database, copy))
            else:
                runs[ours.name].append(_read(bench, ours, bench.rows))
                checks[ours.name] = wrong_records(output, full)
        for rival in rivals if turn == 0 else []:
            try:
                runs[rival.name].append(_read(bench, rival, bench.rival_rows))
                checks[rival.name] = wrong_records(output, fewer)
            except ProcessFailed as error:
                runs[rival.name], checks[rival.name] = [Run(nan, nan)], _first_line(error)
        say(f"   {in_seconds(runs[ours.name])}, limit {in_seconds(limit)}, {checks}")
    output.unlink()
    for reader in READERS:
        count = bench.rows if reader is ours else bench.rival_rows
        _keep(bench, "o", reader.name, reader.version(), count, runs[reader.name], checks[reader.name])
    _keep(bench, "o", "COPY of row_to_json by psql", bench.database.version(), bench.rows, limit, "")
    shown = f"COPY of row_to_json {in_seconds(limit)}"
    reached = 1 / ratio(runs[ours.name], limit)
    what = f"{bench.rows:,} rows from PostgreSQL"
    bench.goals.append(Goal("o", what, in_seconds(runs[ours.name]), shown, reached, 0.9, "of its rate", True))
    _memory(bench, "o", runs[ours.name])


def row_p(bench: Bench) -> None:
    """A table into a table of the same server, against two psql and a pipe."""
    full, fewer = bench.files(bench.rows), bench.files(bench.rival_rows)
    for files in (full, fewer):
        truth(bench, files)
    by_psql = Mover("psql copy out | psql copy in", "moved_psql", Database.version, copy_rows)
    runs: dict[str, list[Run]] = {mover.name: [] for mover in [our_mover, by_psql, *MOVERS]}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        say(f"p: round {turn + 1} of {bench.repeat}")
        pair = [our_mover, by_psql] if turn % 2 == 0 else [by_psql, our_mover]
        for mover in [*pair, *(MOVERS if turn == 0 else [])]:
            files = fewer if mover in MOVERS else full
            bench.database.fresh_schema(mover.schema)
            if mover is by_psql:
                bench.database.create_orders(mover.schema, files.columns)
            try:
                move = partial(mover.move, bench.database, truth_name(files), mover.schema, FOLDER)
                found = _with_server(bench.database, move)
                checks[mover.name] = bench.database.differences(
                    mover.schema, truth_name(files), files.columns, exact=mover not in MOVERS
                )
            except ProcessFailed as error:
                if mover not in MOVERS:
                    raise
                found, checks[mover.name] = Run(nan, nan), _first_line(error)
            runs[mover.name].append(found)
            say(f"   {mover.name}: {files.count:,} rows, {found.seconds:.2f} s, {checks[mover.name]}")
    for mover in [our_mover, by_psql, *MOVERS]:
        count = bench.rival_rows if mover in MOVERS else bench.rows
        version = mover.version(bench.database)
        _keep(bench, "p", mover.name, version, count, runs[mover.name], checks[mover.name])
    ours, limit = runs[our_mover.name], runs[by_psql.name]
    what = f"{bench.rows:,} rows from table to table"
    bench.goals.append(
        Goal("p", what, in_seconds(ours), f"psql | psql {in_seconds(limit)}", ratio(ours, limit), 2.0, "x")
    )


def row_q(bench: Bench) -> None:
    """Inserted rows from the log, against pg_recvlogical, which writes the same messages down."""
    files = bench.files(bench.rows)
    with server(wal_level="logical") as database:
        database.create_orders("public", files.columns)
        state, output = FOLDER / "log.state", FOLDER / "log.out"
        state.unlink(missing_ok=True)
        tap = our_log_tap(database, "public", FOLDER, state)
        run(tap, stdout=output)
        state.write_text(json.dumps(last_state(output)))
        database.query("select pg_create_logical_replication_slot('bench_raw', 'pgoutput')")
        [(publication,)] = database.query("select pubname from pg_publication")
        with files.csv.open("rb") as rows, database.cursor() as cursor:
            while part := rows.readlines(1 << 20):  # a transaction each
                cursor.copy_expert("copy public.orders from stdin with (format csv)", _Lines(part))
        [(end,)] = database.query("select pg_current_wal_lsn()")
        ours: list[Run] = []
        limit: list[Run] = []
        check = ""
        for turn in range(bench.repeat):
            say(f"q: round {turn + 1} of {bench.repeat}")
            slot = f"bench_raw_{turn}"  # pg_recvlogical confirms what it has read
            database.query("select pg_copy_logical_replication_slot('bench_raw', %s)", [slot])
            for step in ["limit", "ours"] if turn % 2 == 0 else ["ours", "limit"]:
                if step == "limit":
                    command = _receive(database, slot, publication, str(end))
                    limit.append(_with_server(database, partial(run, command, stdout=FOLDER / "raw.out")))
                else:
                    ours.append(_with_server(database, partial(run, tap, stdout=output)))
                    check = wrong_records(output, files)
            say(f"   {in_seconds(ours)}, raw {in_seconds(limit)}, {check}")
        version, raw = OURS.version(database), database.version()
    _keep(bench, "q", "singerkit tap-postgres, from the log", version, bench.rows, ours, check)
    _keep(bench, "q", "pg_recvlogical, pgoutput", raw, bench.rows, limit, "")
    what = f"{bench.rows:,} inserted rows from the log"
    shown = f"pg_recvlogical {in_seconds(limit)}"
    bench.goals.append(
        Goal("q", what, in_seconds(ours), shown, 1 / ratio(ours, limit), 0.9, "of its rate", True)
    )
    _memory(bench, "q", ours)


def row_r(bench: Bench) -> None:
    """A catalog of a thousand tables."""
    bench.database.fresh_schema("many")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for number in range(TABLES):
        bench.database.query(f"create table many.t{number} ({columns}, primary key (id))")
    runs: dict[str, list[Run]] = {}
    checks: dict[str, str] = {}
    output = FOLDER / "catalog.json"
    for name, command in discoveries(bench.database, "many", FOLDER).items():
        for _ in range(bench.repeat if name == READERS[0].name else 1):
            try:
                runs.setdefault(name, []).append(
                    _with_server(bench.database, partial(run, command, stdout=output))
                )
                streams = json.loads(output.read_text("utf-8"))["streams"]
                checks[name] = "same rows" if len(streams) == TABLES else f"{len(streams)} tables"
            except ProcessFailed as error:
                runs[name], checks[name] = [Run(nan, nan)], _first_line(error)
        say(f"r: {name}: {in_seconds(runs[name])}, {checks[name]}")
    for reader in READERS:
        name = f"{reader.name} --discover"
        _keep(bench, "r", name, reader.version(), TABLES, runs[reader.name], checks[reader.name])
    ours, rival = (runs[reader.name] for reader in READERS[:2])
    seconds = median(one.seconds for one in ours)
    shown = f"MeltanoLabs {in_seconds(rival)}"
    bench.goals.append(Goal("r", f"discovery of {TABLES:,} tables", in_seconds(ours), shown, seconds, 3, "s"))
    bench.database.fresh_schema("many")


class _Lines:
    """Some lines of a file, as COPY reads them."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._rest = b"".join(lines)

    def read(self, size: int) -> bytes:
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


def _receive(database: Database, slot: str, publication: str, end: str) -> list[str]:
    options = ["proto_version=1", f"publication_names={publication}"]
    return [
        database.pg_recvlogical,
        *("--dbname", database.url, "--slot", slot, "--start", "--endpos", end, "--file", "-"),
        *("--no-loop", "--status-interval", "0", "--fsync-interval", "0"),
        *(part for option in options for part in ("--option", option)),
    ]


def _read(bench: Bench, reader: PostgresReader, rows: int) -> Run:
    files = bench.files(rows)
    read = partial(reader.read, bench.database, truth_name(files), FOLDER, FOLDER / "postgres.out")
    return _with_server(bench.database, read)


def _with_server(database: Database, work: partial[Run]) -> Run:
    before = database.cpu_seconds()
    found = work()
    return replace(found, server_seconds=database.cpu_seconds() - before)


def _keep(
    bench: Bench, letter: str, name: str, version: str, rows: int, runs: Sequence[Run], check: str
) -> None:
    cpu, on_server = (
        median(getattr(one, what) for one in runs) for what in ("cpu_seconds", "server_seconds")
    )
    bench.measured.append(Measured(letter, name, version, rows, *medians(runs), check, cpu, on_server))


def _memory(bench: Bench, letter: str, runs: Sequence[Run]) -> None:
    peak = max(one.peak_mb for one in runs)
    bench.goals.append(Goal(letter, "peak memory", f"{peak:.0f} MB", "", peak, MB_GOAL, "MB"))


def _first_line(error: ProcessFailed) -> str:
    return str(error).splitlines()[0].rstrip(":")
