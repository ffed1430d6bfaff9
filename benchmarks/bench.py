"""``make bench``: our loads and reads against the physical limit and against others, in one run.

Every comparison is made of rounds; in a round each program runs once, ours and the limit next to each other,
in an order that turns from round to round. A ratio is the median of the rounds' ratios, so that a slow minute
of the machine hits both sides. After each load the rows in the table are compared with what was sent.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from statistics import median

from database import SETTINGS, server
from file_rows import row_s, row_t, row_u
from files import (
    COPY,
    DUCK_RIVALS,
    OUR_DUCK,
    DuckLoader,
    our_sqlite_tap,
    sdk_sqlite_tap,
    sqlite_limit,
    to_sqlite,
    wrong_sqlite_records,
)
from loaders import OURS, PSQL, RIVALS, Loader
from map_rows import row_v
from measure import ProcessFailed, Run
from orders import Files
from otherloaders import MORE_RIVALS, missing
from others import ROOT
from postgres_rows import row_o, row_p, row_q, row_r
from readers import our_pipeline, page_server, rival_pipeline
from report import Goal, Measured, load_average, render
from rest_rows import row_e, row_i, row_j, row_k
from rounds import (
    FOLDER,
    Bench,
    goal_of_cpu,
    in_cpu,
    in_seconds,
    keep_of_cpu,
    medians,
    rate,
    ratio,
    say,
    truth,
    truth_name,
)
from rule_rows import row_w
from shard_rows import row_n
from small_rows import row_m
from stream_rows import row_l

PAGE_OF_DOCS = ROOT / "docs" / "benchmarks.md"
LETTERS = "abcdefghijklmnopqrstuvw"
MB_GOAL = 120


def row_a(bench: Bench) -> None:
    """A fresh load into a table with primary key."""
    _loads(bench, "a", "fresh load of 12 columns", 1.3, nested=False)


def row_b(bench: Bench) -> None:
    """The same with a nested object and an array per row."""
    _loads(bench, "b", "fresh load, 2 of 14 columns nested", 1.3, nested=True)


def row_c(bench: Bench) -> None:
    """The same keys again, as upsert: the same rows, and rows of which all or a tenth have changed."""
    _loads(bench, "c", "the same rows again, as upsert", 1.3, changes=0)
    _loads(bench, "c", "an upsert that changes all rows", 1.05, changes=1, rivals=[])
    _loads(bench, "c", "an upsert that changes a tenth", 0.75, changes=10, rivals=[])


def row_d(bench: Bench) -> None:
    """Peak memory at N and at 5 N rows."""
    peaks = []
    for loader in [OURS, PSQL, *bench.rivals]:
        few = bench.rival_rows if loader in bench.rivals else bench.rows
        for rows in (few, 5 * few):
            files = bench.files(rows)
            truth(bench, files)
            run, check = _load(bench, loader, files)
            _keep(bench, "d", loader, files, [run], check)
            if loader is OURS:
                peaks.append(run.peak_mb)
    small, large = peaks
    shown = f"{small:.0f} MB, {large:.0f} MB"
    both = f"{bench.rows:,} and {5 * bench.rows:,} rows"
    bench.goals.append(Goal("d", f"peak memory at {both}", shown, "", max(peaks), MB_GOAL, "MB"))
    bench.goals.append(Goal("d", "the same: flat", shown, "", large / small, 1.1, "x"))


def row_f(bench: Bench) -> None:
    """A run that finds nothing new, from the start of both processes to the end of both."""
    files = bench.files(min(bench.rows, 10_000))
    truth(bench, files)
    with page_server(files) as url:
        pipelines = [make_one(url, bench.database, name, FOLDER) for make_one, name in _PIPELINES]
        for pipeline in pipelines:
            bench.database.fresh_schema(pipeline.schema)
            pipeline.run(FOLDER)
        runs: list[list[Run]] = [[] for _ in pipelines]
        for turn in range(max(bench.repeat, 3)):
            say(f"f: round {turn + 1} of {max(bench.repeat, 3)}")
            for pipeline, found in zip(pipelines, runs, strict=True):
                found.append(pipeline.run(FOLDER))
    for pipeline, found in zip(pipelines, runs, strict=True):
        is_ours = pipeline is pipelines[0]
        check = bench.database.differences(pipeline.schema, truth_name(files), files.columns, exact=is_ours)
        name = f"singerkit {pipeline.name}" if is_ours else pipeline.name
        bench.measured.append(Measured("f", name, pipeline.tap.version, 0, *medians(found), check))
    seconds = median(run.seconds for run in runs[0])
    limit = f"others {in_seconds(runs[1])}"
    bench.goals.append(Goal("f", "a run with nothing new", in_seconds(runs[0]), limit, seconds, 1.5, "s"))


def row_g(bench: Bench) -> None:
    """A fresh load into a DuckDB file."""
    full, fewer = bench.files(bench.rows), bench.files(bench.rival_rows)
    truths = {files: FOLDER / f"truth-{files.count}.duckdb" for files in (full, fewer)}
    for files, file in truths.items():
        file.unlink(missing_ok=True)
        COPY.load(files, file, FOLDER)
    runs: dict[str, list[Run]] = {loader.name: [] for loader in [OUR_DUCK, COPY, *DUCK_RIVALS]}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        say(f"g: round {turn + 1} of {bench.repeat}")
        pair = [OUR_DUCK, COPY] if turn % 2 == 0 else [COPY, OUR_DUCK]
        for loader in [*pair, *DUCK_RIVALS]:
            files = fewer if loader in DUCK_RIVALS else full
            run, check = _load_file(loader, files, truths[files])
            runs[loader.name].append(run)
            if checks.get(loader.name, "same rows") == "same rows":
                checks[loader.name] = check
    for loader in [OUR_DUCK, COPY, *DUCK_RIVALS]:
        count = (fewer if loader in DUCK_RIVALS else full).count
        keep_of_cpu(bench, "g", loader.name, loader.version(), count, runs[loader.name], checks[loader.name])
    what = f"{full.count:,} rows into a DuckDB file"
    goal_of_cpu(
        bench, "g", what, full.count, runs[OUR_DUCK.name], f"COPY FROM {in_cpu(runs[COPY.name])}", 200_000
    )
    for rival in DUCK_RIVALS:
        times = [
            (full.count / ours.seconds) / (fewer.count / theirs.seconds)
            for ours, theirs in zip(runs[OUR_DUCK.name], runs[rival.name], strict=True)
        ]
        shown = f"{rival.name} {rate(fewer.count, runs[rival.name])}"
        ours = rate(full.count, runs[OUR_DUCK.name])
        bench.goals.append(
            Goal(
                "g",
                "the same, rows/s",
                ours,
                shown,
                median(times),
                10,
                f"x {rival.name}",
                larger_is_better=True,
            )
        )


def _load_file(loader: DuckLoader, files: Files, loaded: Path) -> tuple[Run, str]:
    """As `_load`, into a file that is made anew."""
    for left in FOLDER.glob("load.duckdb*"):
        left.unlink()
    database = FOLDER / "load.duckdb"
    try:
        run = loader.load(files, database, FOLDER)
    except ProcessFailed as error:
        if loader not in DUCK_RIVALS:
            raise
        say(f"   {loader.name}: {error}")
        return Run(nan, nan), str(error).splitlines()[0].rstrip(":")
    check = loader.differences(database, files, loaded)
    say(
        f"   {loader.name}: {files.count:,} rows, {run.seconds:.2f} s, {run.cpu_seconds:.2f} s of CPU, {check}"
    )
    return run, check


def row_h(bench: Bench) -> None:
    """tap-sqlite, the SDK's way to read a database, and a plain cursor read the same table."""
    path = to_sqlite(bench.files(bench.rows))
    few = to_sqlite(bench.files(bench.rival_rows))
    readers = [our_sqlite_tap(path, FOLDER, with_catalog=catalog) for catalog in (False, True)]
    rival = sdk_sqlite_tap(few, FOLDER)
    runs: dict[str, list[Run]] = {reader.name: [] for reader in [*readers, rival]}
    limit: list[Run] = []
    checks = {}
    output = FOLDER / "tap.out"
    for turn in range(bench.repeat):
        say(f"h: round {turn + 1} of {bench.repeat}")
        limit.append(sqlite_limit(path))
        for reader in [*readers, rival]:
            runs[reader.name].append(reader.read(output))
            if turn == 0:
                checks[reader.name] = wrong_sqlite_records(output, few if reader is rival else path)
            output.unlink()
    for reader in [*readers, rival]:
        count = bench.rival_rows if reader is rival else bench.rows
        found, check = runs[reader.name], checks[reader.name]
        keep_of_cpu(bench, "h", reader.name, reader.version, count, found, check)
    keep_of_cpu(bench, "h", "sqlite3 of Python, rows only", sqlite3.sqlite_version, bench.rows, limit, "")
    what = f"{bench.rows:,} rows from SQLite"
    goal_of_cpu(bench, "h", what, bench.rows, runs[readers[0].name], f"cursor {in_cpu(limit)}", 300_000)
    times = [
        (bench.rows / ours.seconds) / (bench.rival_rows / theirs.seconds)
        for ours, theirs in zip(runs[readers[0].name], runs[rival.name], strict=True)
    ]
    ours_shown, shown = (
        rate(bench.rows, runs[readers[0].name]),
        f"SDK tap {rate(bench.rival_rows, runs[rival.name])}",
    )
    bench.goals.append(
        Goal(
            "h",
            "the same, rows/s",
            ours_shown,
            shown,
            median(times),
            10,
            "x the SDK tap",
            larger_is_better=True,
        )
    )


_PIPELINES = [(our_pipeline, "pipe_ours"), (rival_pipeline, "pipe_rival")]
ROWS: dict[str, Callable[[Bench], None]] = dict(
    zip(
        LETTERS,
        [
            row_a,
            row_b,
            row_c,
            row_d,
            row_e,
            row_f,
            row_g,
            row_h,
            row_i,
            row_j,
            row_k,
            row_l,
            row_m,
            row_n,
            row_o,
            row_p,
            row_q,
            row_r,
            row_s,
            row_t,
            row_u,
            row_v,
            row_w,
        ],
        strict=True,
    )
)


def _loads(
    bench: Bench,
    letter: str,
    what: str,
    goal: float,
    *,
    nested: bool = False,
    changes: int | None = None,
    rivals: Sequence[Loader] | None = None,
) -> None:
    """Fresh loads; or, where it is told in each row of how many something ``changes`` (0: in none), those of the same keys again."""
    full = bench.files(bench.rows, nested=nested, changed=changes or 0)
    fewer = bench.files(bench.rival_rows, nested=nested, changed=changes or 0)
    again = changes is not None
    others = [one for one in (bench.rivals if rivals is None else rivals) if one.upserts or not again]
    for files in {full, fewer} if others else {full}:
        truth(bench, files)
    pair = [OURS, PSQL]
    runs: dict[str, list[Run]] = {loader.name: [] for loader in [*pair, *others]}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        say(f"{letter}: round {turn + 1} of {bench.repeat}")
        for loader in [*(pair if turn % 2 == 0 else pair[::-1]), *others]:
            run, check = _load(bench, loader, fewer if loader in others else full, again=again)
            runs[loader.name].append(run)
            if checks.get(loader.name, "same rows") == "same rows":
                checks[loader.name] = check
    for loader in [*pair, *others]:
        files = fewer if loader in others else full
        _keep(bench, letter, loader, files, runs[loader.name], checks[loader.name], again=again)
    ours, limit = runs[OURS.name], runs[PSQL.name]
    by = "COPY + INSERT by hand" if again else "psql \\copy"
    bench.goals.append(
        Goal(
            letter,
            f"{full.count:,} rows: {what}",
            _in_seconds_and_cpu(ours),
            f"{by} {_in_seconds_and_cpu(limit)}",
            ratio(ours, limit),
            goal,
            "x",
        )
    )


def _in_seconds_and_cpu(runs: Sequence[Run]) -> str:
    client, server = median(run.cpu_seconds for run in runs), median(run.server_seconds for run in runs)
    return f"{in_seconds(runs)} (CPU {client:.1f} + {server:.1f})"


def _load(bench: Bench, loader: Loader, files: Files, *, again: bool = False) -> tuple[Run, str]:
    """Load into a fresh schema (``again``: measure a second load, behind one of the rows as they were first), compare the rows.

    A failure of somebody else's program becomes its ``check``; one of ours or of psql ends the run.
    """
    database = bench.database
    database.fresh_schema(loader.schema)
    try:
        if again:
            loader.load(bench.files(files.count, nested=files.nested), database, loader.schema, FOLDER)
            database.settle(loader.schema)
        before = database.cpu_seconds()
        run = loader.load(files, database, loader.schema, FOLDER)
        run = replace(run, server_seconds=database.cpu_seconds() - before)
    except ProcessFailed as error:
        if loader in (OURS, PSQL):
            raise
        say(f"   {loader.name}: {error}")
        return Run(nan, nan), str(error).splitlines()[0].rstrip(":")
    check = database.differences(loader.schema, truth_name(files), files.columns, exact=loader.is_exact)
    say(
        f"   {loader.name}: {files.count:,} rows, {_in_seconds_and_cpu([run])}, {run.peak_mb:.0f} MB, {check}"
    )
    return run, check


def _keep(
    bench: Bench,
    letter: str,
    loader: Loader,
    files: Files,
    runs: Sequence[Run],
    check: str,
    *,
    again: bool = False,
) -> None:
    name = "COPY + INSERT ... ON CONFLICT by psql" if again and loader is PSQL else loader.name
    name += f", {1 / files.changed:.0%} changed" if files.changed else ""
    version = loader.version(bench.database)
    cpu, server = median(run.cpu_seconds for run in runs), median(run.server_seconds for run in runs)
    bench.measured.append(Measured(letter, name, version, files.count, *medians(runs), check, cpu, server))


def _notes(bench: Bench) -> list[str]:
    settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    return [
        f"Seconds, memory and ratios are medians of {bench.repeat} rounds; a ratio is taken within a round, "
        "where ours and the limit run one after the other. (d) is one run each.",
        f"One PostgreSQL {bench.database.version()} for everybody, on TCP, with {settings}; a fresh table "
        "for each load. psql is the one of the same wheel, and it reads the same rows from CSV.",
        f"The others load {bench.rival_rows:,} rows in (a) to (c), and five times that in the second line of "
        "(d); their rows/s include their start; nothing is extrapolated.",
        "The input files are read once before, so that nobody waits for the disk.",
        "Ours is this checkout, installed by pip into an environment of its own, as the others are.",
        "check: each row and column in the table against a load of the CSV by `\\copy`: as text for ours and "
        "psql, as values for the others (12.5 = 12.50, timestamps without a zone read as UTC).",
        "Peak MB is the sum of the high-water marks of the process and its children, without the server.",
        f"(g) and (h): the others load and read {bench.rival_rows:,} rows. Rows/s of CPU count the seconds of all threads of "
        "the process, its start included; all of the work is done there. The limit of (g) is COPY of the same rows from CSV, in the DuckDB "
        "that ours uses, into decimals of 18 digits (ours has 38, to which it casts text ten times as slowly), that of (h) a cursor that reads all rows and makes nothing of them. Files are read for the check by the version of "
        "DuckDB that wrote them. No tap-sqlite is on PyPI: a stream of the SDK's SQL classes, which such taps are made of, stands for it.",
        "(e), (i), (j), (k): a server of this machine that cuts answers out of a file; all of them write what they read to a file. (i): two rounds of "
        "numbered pages. (j): besides its parents each program asks once for each of them. (k): a tap by itself, with the state of a whole read.",
        "(l): streams whose schema, values, order or messages are not plain, in forks of one process of this checkout: processor time of the "
        "client + of its session, as a multiple of what the plain stream of as many rows takes.",
        "No program adds metadata columns, except dlt, which cannot leave out its two, and Sling, which adds one; dlt's table has no "
        "primary key, nor has Sling's. dlt gets declared types, lists of 10,000 records and COPY, the fastest way found for a Singer file.",
        "Sling, ingestr, pgloader and dlt by Arrow and ADBC read no Singer: they load the CSV that psql loads. Sling infers the types; pgloader has no upsert. "
        "Sling 1.4.11 and ingestr 0.15.9 are the last whose programs are in their packages; later ones download them.",
        *(
            f"{name} could not be had here: {why}."
            for name, why in (missing() if bench.rivals else {}).items()
        ),
        "CPU s are of the client with all that it has started, server CPU s of all processes of PostgreSQL meanwhile.",
        "(m): the same 1,000 rows, half of them new, into tables that were loaded by ours, one of them filled up to ten times its rows by SQL.",
        "(o), (p), (r): tables of the server that (a) to (d) load into; (q): a server of its own with wal_level logical. The limit of (o) is `row_to_json` of the same rows by COPY, "
        "into a file, that of (p) one psql that copies out and one that copies in, over a pipe, that of (q) pg_recvlogical, which writes the same messages of pgoutput to a file. "
        "Rivals read a tenth of the rows; MeltanoLabs' and pipelinewise's taps feed the target of the same house. dlt reads by its sql_database source and Arrow. Nobody else is in (q): "
        "MeltanoLabs and pipelinewise need the extension wal2json, which the wheel does not have, and the source pg_replication of dlt is no package on PyPI.",
        "(s): the orders as a CSV file with a header (12 columns, 200 bytes a row), and a file of eight columns of text (153 bytes a row), read into a file of messages; the limit reads it by csv of Python and makes nothing of the rows. Neither MeltanoLabs' tap-csv nor "
        "tap-spreadsheets-anywhere is a package on PyPI; tap-spreadsheets is the one of the kind that is. (t): the same file into a table without a key of files, beside `\\copy` and those who "
        "load that file in (a). (u): the same rows as Parquet, zstd; the limit makes Python objects of all of them by `to_pylist` of pyarrow.",
        f"(v): the others map {bench.rival_rows:,} rows, ours all. CPU of `singerkit-map` is without its start, that of `map` in a target is what the target takes more. The five operations: a field dropped, one renamed, one under HMAC (the others hash it), "
        "one cut to 40 characters, one to text; pipelinewise-transform-field has no such ones, and empties, masks, hashes, hides and zeroes five fields. Through a mapper that only passes on: tap-sqlite into target-postgres.",
        "(w): `checks` of `not_null`, `range` (of decimals), `accepted` (of 64 integers), `length` and `matches` (21 characters, of hexadecimal and decimal digits), which all rows keep; CPU is with that of PostgreSQL.",
        "(n): the shards of one machine share its cores with PostgreSQL; CPU is of all taps and targets together.",
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows for ours and the limit (1,000,000)")
    parser.add_argument("--rival-rows", type=int, help="rows for the slow others in a-d (a tenth of --rows)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the median counts (3)")
    parser.add_argument("--only", default=",".join(LETTERS), help="rows of the table, for instance a,c,f")
    parser.add_argument("--quick", action="store_true", help="one round with 50,000 rows; writes no page")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(LETTERS):
        parser.error(f"--only takes letters of {','.join(LETTERS)}, got {','.join(sorted(unknown))}")
    if given.quick:
        given.rows, given.repeat = 50_000, 1
    given.rival_rows = given.rival_rows or max(given.rows // 10, 1000)
    return given


def _rivals() -> list[Loader]:
    """Those that can be had here; what cannot is said, here and on the page."""
    for name, why in missing().items():
        say(f"{name} cannot be had here: {why}")
    return [*RIVALS, *(one for one in MORE_RIVALS if one.name not in missing())]


def main() -> int:
    """Run what was asked for, print the tables, and write docs/benchmarks.md after a complete run."""
    given = _arguments()
    FOLDER.mkdir(exist_ok=True)
    load = load_average()
    with server() as database:
        rivals = _rivals() if {*given.only} & {*"abcdt"} else []
        bench = Bench(database, given.rows, given.rival_rows, given.repeat, rivals=rivals)
        try:
            for letter in given.only:
                ROWS[letter](bench)
        except ProcessFailed as error:
            sys.exit(f"The run was stopped: {error}")
        tables = render(bench.goals, bench.measured, _notes(bench), load)
    print(tables)
    if set(given.only) == set(LETTERS) and not given.quick:
        PAGE_OF_DOCS.write_text(f"# Benchmarks\n\nWritten by `make bench`. {tables}", encoding="utf-8")
    if bench.is_wrong:
        say("Rows of ours differ from what was sent; see the column check.")
    return 1 if bench.is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
