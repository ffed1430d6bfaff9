"""A month of history, made up: orders fail since yesterday, stock hangs, newsletter has not run for a week, all others are well."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from singerkit_state.runs import Run, StreamRun

__all__ = ["NAMES", "month"]

NAMES = (
    "orders",
    "customers",
    "items_and_what_else_a_long_name_may_say",
    "billing",
    "events",
    "visits",
    "stock",
    "newsletter",
)
REASONS = {
    0: "",
    65: "Expected `integer`, got `...` at orders.$.qty (line 18211); what was committed is safe: mend the record, or set it aside.",
    69: "The API at api.example.com did not answer within 60 s, three times; what was committed is safe: run again.",
}


def month(now: datetime, names: Sequence[str] = NAMES, every: timedelta = timedelta(days=1)) -> list[Run]:
    """Return runs of thirty days, the newest first."""
    chance = random.Random(7)
    runs = []
    for place, name in enumerate(names):
        rows = 10 ** chance.uniform(1, 6)
        for back in range(int(timedelta(days=30) / every)):
            if name == "newsletter" and back < 7:
                continue
            code = 65 if name == "orders" and back < 2 else 69 if chance.random() < 0.02 else 0
            at = now - every * back - timedelta(minutes=40 * place + chance.uniform(150, 180))
            if name == "stock" and not back:
                at_work = Run(
                    f"{place}-0", name, at, tap="tap-rest", target="target-postgres", host="etl-2", pid=4711
                )
                runs.append(at_work)
                continue
            runs.append(_run(chance, f"{place}-{back}", name, at, code, int(rows * chance.uniform(0.5, 1.5))))
    return sorted(runs, key=lambda run: run.started, reverse=True)


def _run(chance: random.Random, id_: str, name: str, at: datetime, code: int, rows: int) -> Run:
    seconds = round(2 + rows / 20_000 * chance.uniform(0.8, 1.4), 1)
    aside = 3 if name in ("orders", "events") and chance.random() < 0.1 else 0
    stream = StreamRun(
        rows=rows,
        new=rows - rows // 3,
        changed=rows // 3,
        deleted=rows // 90,
        set_aside=aside,
        bookmark_after=f"{at - timedelta(seconds=9):%Y-%m-%dT%H:%M:%SZ}",
        lag_seconds=chance.uniform(5, 4000),
    )
    return Run(
        id=id_,
        pipeline=name,
        started=at,
        ended=at + timedelta(seconds=seconds),
        seconds=seconds,
        result="failed" if code else "complete",
        exit_code=code,
        reason=REASONS[code],
        tap="tap-rest",
        target="target-postgres",
        commits=1,
        streams={name: stream} if code != 69 else {},
        schema_changes=("Column orders.note added.",) if id_ == "0-9" else (),
        dead_letters={"orders.$.qty: expected `integer`": aside} if aside else {},
        warnings=("Field `zip` is in no SCHEMA; it is ignored.",) if name == "events" else (),
        warned=int(name == "events"),
    )
