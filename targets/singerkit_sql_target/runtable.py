"""The history of runs, and what came of rules of quality in them, in tables beside the state table: a row a run, with columns for whoever asks in SQL, and all of it as JSON in the last one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from singerkit_shell.secrets import redactor
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.letters import literal
from singerkit_state.runs import RuleRun, Run, as_json, from_json, time_text
from singerkit_target.pastruns import AskedRuns
from singerkit_wire.kinds import Kind

__all__ = ["QUALITY", "RUNS", "RunTable", "runs_in"]

RUNS = "_singerkit_runs"
QUALITY = "_singerkit_quality"

_COLUMNS: Mapping[str, Kind] = {
    "run_id": Kind.STRING,
    "pipeline": Kind.STRING,
    "started_at": Kind.DATE_TIME,
    "ended_at": Kind.DATE_TIME,
    "result": Kind.STRING,
    "exit_code": Kind.INTEGER,
    "reason": Kind.STRING,
    "rows_loaded": Kind.INTEGER,
    "rows_new": Kind.INTEGER,
    "rows_changed": Kind.INTEGER,
    "rows_deleted": Kind.INTEGER,
    "rows_set_aside": Kind.INTEGER,
    "commits": Kind.INTEGER,
    "sequence": Kind.INTEGER,
    "warnings": Kind.INTEGER,
    "run": Kind.JSON,
}
_QUALITY_COLUMNS: Mapping[str, Kind] = {
    "pipeline": Kind.STRING,
    "run_id": Kind.STRING,
    "judged_at": Kind.DATE_TIME,
    "stream": Kind.STRING,
    "rule": Kind.STRING,
    "fields": Kind.STRING,
    "place": Kind.STRING,
    "on_broken": Kind.STRING,
    "verdict": Kind.STRING,
    "rows_judged": Kind.INTEGER,
    "rows_broken": Kind.INTEGER,
    "why": Kind.STRING,
    "measured": Kind.JSON,
}
_FORMER = 100
"""How many of the last runs of a pipeline are looked at when one begins: all but the one before it had their end noted by then."""


class RunTable:
    """The statements, by which a database keeps and gives back the runs of one schema."""

    def __init__(self, words: Words, schema: str) -> None:
        self._words, self._schema = words, schema
        self.quoted = words.quote(schema, RUNS)

    def making(self, *constraints: str) -> str:
        """Return the statement that makes the table, unless it is there."""
        types = self._words.types
        columns = [f"{self._words.quote(name)} {types[kind]}" for name, kind in _COLUMNS.items()]
        return f"CREATE TABLE IF NOT EXISTS {self.quoted} ({', '.join([*columns, *constraints])})"

    def beginning(self, run: Run, keep_days: float) -> list[str]:
        """Return what notes a run as being at work, for one transaction: whichever was and has not told its end was killed, and old ones go."""
        mine = f"pipeline = {literal(run.pipeline)}"
        last = f"SELECT run_id FROM {self.quoted} WHERE {mine} ORDER BY run_id DESC LIMIT {_FORMER}"
        killed = run.killed()
        return [
            f"UPDATE {self.quoted} SET result = {literal(killed.result)}, reason = {literal(killed.reason)} WHERE {mine} AND "
            f"result = 'running' AND run_id IN ({last})",
            f"DELETE FROM {self.quoted} WHERE {mine} AND started_at < {self._moment(run.started - timedelta(days=keep_days))}",
            self._insertion(run),
        ]

    def ending(self, run: Run) -> list[str]:
        """Return what puts a run in the place of what was noted of it, for one transaction."""
        return [
            f"DELETE FROM {self.quoted} WHERE pipeline = {literal(run.pipeline)} AND run_id = {literal(run.id)}",
            self._insertion(run),
            *(self._quality(run) if run.quality else ()),
        ]

    def _quality(self, run: Run) -> list[str]:
        """Return what notes what came of the rules, in a table that is made with the first; what is known of runs that are gone goes."""
        words, mine = self._words, f"pipeline = {literal(run.pipeline)}"
        quoted = words.quote(self._schema, QUALITY)
        columns = ", ".join(
            f"{words.quote(name)} {words.types[kind]}" for name, kind in _QUALITY_COLUMNS.items()
        )
        names = ", ".join(map(words.quote, _QUALITY_COLUMNS))
        rows = ", ".join(
            f"({', '.join(map(self._value, self._quality_row(run, one)))})" for one in run.quality
        )
        known = f"SELECT run_id FROM {self.quoted} WHERE {mine}"
        return [
            f"CREATE TABLE IF NOT EXISTS {quoted} ({columns})",
            f"DELETE FROM {quoted} WHERE {mine} AND (run_id = {literal(run.id)} OR run_id NOT IN ({known}))",
            f"INSERT INTO {quoted} ({names}) VALUES {rows}",
        ]

    def _quality_row(self, run: Run, one: RuleRun) -> Sequence[Any]:
        measured = json.dumps(one.measured) if one.measured else None
        said = (one.stream, one.rule, one.fields, one.place, one.on, one.verdict, one.judged, one.broken)
        return run.pipeline, run.id, run.ended or run.started, *said, redactor.mask(one.why), measured

    def reading(self, asked: AskedRuns) -> str:
        """Return the query of runs, for `runs_in`."""
        limits = [] if asked.pipeline is None else [f"pipeline = {literal(asked.pipeline)}"]
        since = "TRUE" if asked.since is None else f"started_at >= {self._moment(asked.since)}"
        limits += [since] if asked.at_least is None else []
        where = f" WHERE {' AND '.join(limits)}" if limits else ""
        text = f"CAST(run AS {self._words.types[Kind.STRING]}) AS said"
        place = "row_number() OVER (PARTITION BY pipeline ORDER BY started_at DESC, run_id DESC) AS place"
        good = place.replace("pipeline ORDER", "pipeline, result ORDER").replace("AS place", "AS of_result")
        found = f"SELECT {text}, result, started_at, run_id, {place}, {good} FROM {self.quoted}{where}"
        kept = "" if asked.last is None else f" WHERE place <= {asked.last}"
        if asked.at_least is not None:
            last_good = "(result = 'complete' AND of_result = 1)"
            kept = f" WHERE {since} OR place <= {asked.at_least} OR {last_good}"
        return f"SELECT said, result FROM ({found}) AS found{kept} ORDER BY started_at DESC, run_id DESC"

    def _insertion(self, run: Run) -> str:
        values: Sequence[Any] = (
            run.id,
            run.pipeline,
            run.started,
            run.ended,
            run.result,
            run.exit_code,
            run.reason,
            *map(run.total, ("rows", "new", "changed", "deleted", "set_aside")),
            run.commits,
            run.sequence,
            run.warned,
            as_json(run),
        )
        names = ", ".join(map(self._words.quote, _COLUMNS))
        return f"INSERT INTO {self.quoted} ({names}) VALUES ({', '.join(map(self._value, values))})"

    def _value(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, datetime):
            return self._moment(value)
        return str(value) if isinstance(value, int) else literal(value)

    def _moment(self, at: datetime) -> str:
        return f"CAST({literal(time_text(at))} AS {self._words.types[Kind.DATE_TIME]})"


def runs_in(rows: Sequence[tuple[Any, ...]]) -> list[Run]:
    """Return the runs that a query has found, as they began."""
    return list(_runs(rows))[::-1]


def _runs(rows: Sequence[tuple[Any, ...]]) -> Iterator[Run]:
    for text, result in rows:
        with contextlib.suppress(
            ValueError
        ):  # of another program, or of a version that writes something else
            run = from_json(text)
            yield run.killed() if result == "killed" else run
