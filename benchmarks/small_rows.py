"""The row of ``make bench`` about a few rows into a large table: they cost what they cost in a small one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import median

from loaders import OURS
from measure import Run
from orders import Files, json_schema, orders
from psycopg2 import sql
from report import Goal, Measured
from rounds import FOLDER, Bench, in_seconds, into_cache, medians, ratio, say

__all__ = ["row_m"]

ROWS = 1_000
TIMES = 10


def row_m(bench: Bench) -> None:
    """Rows of which half are new, spread over the keys, into a table and into one that is ten times as large."""
    small, large = "few_into_small", "few_into_large"
    _fill(bench, small, bench.rows)
    _fill(bench, large, bench.rows * TIMES)
    runs: dict[str, list[Run]] = {small: [], large: []}
    read: dict[str, int] = {small: 0, large: 0}
    for turn in range(max(bench.repeat, 3)):
        for schema, rows in ((small, bench.rows), (large, bench.rows * TIMES))[:: 1 if turn % 2 == 0 else -1]:
            files = _few(bench, rows, turn)
            before, scanned = bench.database.cpu_seconds(), _read_in_sequence(bench, schema)
            run = OURS.load(files, bench.database, schema, FOLDER)
            runs[schema].append(replace(run, server_seconds=bench.database.cpu_seconds() - before))
            read[schema] = max(read[schema], _read_in_sequence(bench, schema) - scanned)
            say(f"m: {ROWS:,} rows into {rows:,}: {run.seconds:.2f} s, {read[schema]} read in sequence")
    for schema, rows in ((small, bench.rows), (large, bench.rows * TIMES)):
        cpu, server = (
            median(getattr(run, name) for run in runs[schema]) for name in ("cpu_seconds", "server_seconds")
        )
        name = f"{OURS.name}, into {rows:,} rows"
        version = OURS.version(bench.database)
        bench.measured.append(
            Measured(
                "m",
                name,
                version,
                ROWS,
                *medians(runs[schema]),
                _check(bench, schema, rows, len(runs[schema])),
                cpu,
                server,
            )
        )
        bench.database.query(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))
    what = f"{ROWS:,} rows into {bench.rows * TIMES:,}"
    limit = f"into {bench.rows:,}: {in_seconds(runs[small])}"
    bench.goals.append(
        Goal("m", what, in_seconds(runs[large]), limit, ratio(runs[large], runs[small]), 1.2, "x")
    )
    shown = f"{read[large]} of {bench.rows * TIMES:,}"
    bench.goals.append(
        Goal("m", "the same: rows read in sequence", shown, f"{read[small]}", read[large], ROWS, "rows")
    )


def _fill(bench: Bench, schema: str, rows: int) -> None:
    """Load, then copy each row under more keys: a load of all would take as long as all other rows of the bench."""
    database, base = bench.database, bench.files(bench.rows)
    database.fresh_schema(schema)
    OURS.load(base, database, schema, FOLDER)
    others = [sql.Identifier(name) for name in base.columns if name != "id"]
    for number in range(1, rows // bench.rows):
        database.query(
            sql.SQL("insert into {0} (id, {1}) select id + {2}, {1} from {0} where id <= {3}").format(
                sql.Identifier(schema, "orders"),
                sql.SQL(", ").join(others),
                sql.Literal(number * bench.rows),
                sql.Literal(bench.rows),
            )
        )
    database.settle(schema)


def _few(bench: Bench, rows: int, turn: int) -> Files:
    """Every other row has a key of those that are there, in all of the table; the rest come behind them."""
    path = Path(FOLDER) / f"few-{rows}-{turn}.singer"
    step = rows // ROWS
    with path.open("w", encoding="utf-8", newline="") as file:
        schema = {
            "type": "SCHEMA",
            "stream": "orders",
            "schema": json_schema(nested=False),
            "key_properties": ["id"],
        }
        file.write(json.dumps(schema) + "\n")
        for number, (record, _, _) in enumerate(orders(ROWS, nested=False, changed=1), 1):
            key = rows + turn * ROWS + number if number % 2 else number * step - turn
            record = record.replace(f'{{"id":{number},', f'{{"id":{key},', 1)
            file.write(f'{{"type":"RECORD","stream":"orders","record":{record}}}\n')
        file.write(json.dumps({"type": "STATE", "value": {"turn": turn}}) + "\n")
    into_cache(path)
    return replace(bench.files(bench.rows), count=ROWS, singer=path)


def _check(bench: Bench, schema: str, rows: int, turns: int) -> str:
    """Whether each row that was sent is there, and no other."""
    [found] = bench.database.query(
        sql.SQL("select count(*), count(*) filter (where order_no like 'SX-%') from {}").format(
            sql.Identifier(schema, "orders")
        )
    )
    wanted = rows + turns * ROWS // 2, turns * ROWS
    return "same rows" if found == wanted else f"{found} rows, and of them changed, instead of {wanted}"


def _read_in_sequence(bench: Bench, schema: str) -> int:
    [(read,)] = bench.database.query(
        "select seq_tup_read from pg_stat_user_tables where schemaname = %s and relname = 'orders'", [schema]
    )
    return int(read)
