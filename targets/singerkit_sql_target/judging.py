"""Rules of quality asked of tables, in SQL that PostgreSQL and DuckDB read alike."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from singerkit_quality.rules import Rules
from singerkit_quality.sets import AskedSet, Found, Standing
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.words import counted, visible
from singerkit_sql_target.dialect import Existing, InTheWay, Runs, Words
from singerkit_sql_target.fitting import VALID_TO
from singerkit_sql_target.letters import literal
from singerkit_sql_target.names import place_of
from singerkit_sql_target.rowsql import NotHere, family_of, row_condition
from singerkit_sql_target.runtable import QUALITY, RUNS, RunTable, runs_in
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.variants import variant_in
from singerkit_target.pastruns import AskedRuns
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import DELETED_AT

__all__ = ["SetJudge", "Sets"]

_SHOWN = 3
"""Keys of rows that break a rule."""
_LONGEST_KEY = 80
_FEWEST_RUNS = 5
_MOST_RUNS = 20
_MOST_LABELS = 1_000
_AHEAD = 24 * 3600
"""Seconds by which a date may be in the future, for the sake of zones and of clocks."""


@dataclass(frozen=True)
class _Table:
    """A table as a query has it: quoted names, and the condition of rows that are there."""

    quoted: str
    there: Existing
    ends: Sequence[str]
    """Columns that are null in rows that are there; quoted."""

    def live(self, of: str = "t") -> str:
        return " AND ".join(f"{of}.{one} IS NULL" for one in self.ends) or "TRUE"


class Sets:
    """The rules that a loader is asked to judge with its next commit."""

    def __init__(self, words: Words, settings: Settings) -> None:
        self._words, self._settings = words, settings
        self._asked: Sequence[AskedSet] = ()
        self._take: Callable[[Sequence[Found]], None] = lambda _found: None

    def ask(self, asked: Sequence[AskedSet], take: Callable[[Sequence[Found]], None]) -> None:
        self._asked, self._take = asked, take

    def judge(self, runs: Runs, pipeline: str) -> None:
        """Judge what was asked, if anything was, in the transaction that is open. Raises what ``take`` does."""
        if self._asked:
            judge = SetJudge(runs, self._words, self._settings, pipeline)
            self._take([judge.judge(one) for one in self._asked])


class SetJudge:
    """Judges in whatever transaction ``runs`` is in; ``pipeline`` is that of the run."""

    def __init__(self, runs: Runs, words: Words, settings: Settings, pipeline: str | None) -> None:
        self._runs, self._words, self._settings, self._pipeline = runs, words, settings, pipeline
        self._tables: dict[str, _Table | None] = {}

    def judge(self, asked: AskedSet) -> Found:
        """Return what came of a rule.

        Raises:
            ConfigurationError: it cannot be asked of the columns that there are.
        """
        table = self._table(asked.stream)
        if table is None:
            return _not_judged(asked, "the stream has no table yet")
        found = (
            self._of_rows(asked, table)
            if asked.rule.is_of_rows
            else _JUDGES[asked.rule.kind](self, asked, table)
        )
        beside = self._beside(asked, table) if found.standing is Standing.KEPT else ""
        return replace(found, standing=Standing.NOT_JUDGED, why=beside) if beside else found

    def _beside(self, asked: AskedSet, table: _Table) -> str:
        """Say that values of the fields of a rule stand beside their columns, which are null there; "": none do, or they do not count."""
        for field in () if asked.rule.kind == "not_null" else asked.rule.fields:
            variant = variant_in(table.there.columns, field)
            if variant is None:
                continue
            (count,) = self._one(
                f"SELECT count(t.{self._words.quote(variant)}) FROM {table.quoted} AS t WHERE {table.live()}"
            )
            if count:
                return f"{counted(int(count), 'value')} of `{field}` {'stands' if count == 1 else 'stand'} in `{variant}` beside it"
        return ""

    def _of_rows(self, asked: AskedSet, table: _Table) -> Found:
        """Judge a rule of records on the rows that are stored."""
        column = self._column(asked, asked.stream, table, str(asked.rule.field))
        type_ = table.there.columns[self._name(asked.stream, str(asked.rule.field))].type
        try:
            broken = row_condition(asked.rule, column, type_, self._words)
        except NotHere as error:
            return _not_judged(asked, str(error))
        is_of_null = asked.rule.kind == "not_null"
        variant = variant_in(table.there.columns, str(asked.rule.field)) if is_of_null else None
        if variant is not None:
            broken = f"({broken} AND t.{self._words.quote(variant)} IS NULL)"
        return self.rows(asked, table, "TRUE" if is_of_null else f"{column} IS NOT NULL", broken)

    def streams_of(self, rules: Rules) -> list[str]:
        """Return the streams that rules are of: those that runs have had, and those that rules name."""
        known = {name for run in self._past_runs() for name in run.streams}
        named = {pattern for pattern in rules.by_pattern if not set("*?[") & set(pattern)}
        return sorted(name for name in known | named if rules.of(name))

    def keys_of(self, stream: str) -> Sequence[str]:
        """Return the columns of the table of a stream by which rows replace each other, as far as the store knows."""
        table = self._table(stream)
        there = None if table is None else table.there
        keys: Sequence[str] = getattr(there, "key", None) or getattr(there, "primary_key", None) or ()
        return keys

    def _name(self, stream: str, field: str) -> str:
        return self._words.column_name(self._settings.naming.column(stream, field))

    # --- tables ------------------------------------------------------------------------------------------------

    def _table(self, stream: str) -> _Table | None:
        if stream not in self._tables:
            self._tables[stream] = self._found(stream)
        return self._tables[stream]

    def _found(self, stream: str) -> _Table | None:
        schema, name = place_of(stream, self._settings, self._words)
        try:
            there = self._runs.inspect(schema, name)
        except InTheWay:
            return None
        if there is None:
            return None
        ends = [self._words.quote(one) for one in (DELETED_AT, VALID_TO) if one in there.columns]
        return _Table(self._words.quote(schema, name), there, ends)

    def _column(self, asked: AskedSet, stream: str, table: _Table, name: str, of: str = "t") -> str:
        column = self._name(stream, name)
        if column not in table.there.columns:
            raise ConfigurationError(
                f"Rule `{asked.rule.kind}` at `{asked.rule.place}` is on `{name}` of stream `{stream}`, whose table has no column `{column}`; name one that it "
                "has, then run again."
            )
        return f"{of}.{self._words.quote(column)}"

    def _one(self, query: str) -> tuple[Any, ...]:
        [row] = self._runs.execute(query)
        return row

    def rows(self, asked: AskedSet, table: _Table, judged: str, broken: str) -> Found:
        """Return what came of a rule that ``broken`` tells of each of the ``judged`` rows; both are conditions on ``t``."""
        count, bad = self._one(
            f"SELECT count(*), count(CASE WHEN {broken} THEN 1 END) FROM {table.quoted} AS t WHERE {table.live()} AND {judged}"
        )
        if not count:
            return _not_judged(asked, "there are no rows")
        if not bad:
            return Found(asked.stream, asked.rule, Standing.KEPT, int(count))
        where = f"{table.live()} AND {judged} AND {broken}"
        return Found(
            asked.stream,
            asked.rule,
            Standing.BROKEN,
            int(count),
            int(bad),
            keys=self._keys(asked, table, where),
        )

    def _keys(self, asked: AskedSet, table: _Table, where: str) -> list[str]:
        if not asked.keys:
            return []
        text = self._words.types[Kind.STRING]
        columns = [self._column(asked, asked.stream, table, name) for name in asked.keys]
        shown = ", ".join(f"CAST({one} AS {text})" for one in columns)
        rows = self._runs.execute(
            f"SELECT {shown} FROM {table.quoted} AS t WHERE {where} ORDER BY {', '.join(columns)} LIMIT {_SHOWN}"
        )
        return [
            _shown(", ".join(f"{name} = {value}" for name, value in zip(asked.keys, row, strict=True)))
            for row in rows
        ]

    # --- rules -------------------------------------------------------------------------------------------------

    def unique(self, asked: AskedSet, table: _Table) -> Found:
        columns = [self._column(asked, asked.stream, table, name) for name in asked.rule.fields]
        there = " AND ".join(f"{one} IS NOT NULL" for one in columns)
        several = f"SELECT {', '.join(columns)} FROM {table.quoted} AS t WHERE {table.live()} AND {there} GROUP BY {', '.join(columns)} HAVING count(*) > 1"
        return self.rows(asked, table, there, f"({', '.join(columns)}) IN ({several})")

    def references(self, asked: AskedSet, table: _Table) -> Found:
        to = asked.rule.said["to"]
        column = self._column(asked, asked.stream, table, str(asked.rule.field))
        other = self._table(to["stream"])
        if other is None:
            return self.rows(asked, table, f"{column} IS NOT NULL", "TRUE")
        referred = self._column(asked, to["stream"], other, to["field"], of="p")
        self._check_alike(asked, table, column, other, referred)
        there = (
            f"EXISTS (SELECT 1 FROM {other.quoted} AS p WHERE {other.live('p')} AND {referred} = {column})"
        )
        return self.rows(asked, table, f"{column} IS NOT NULL", f"NOT {there}")

    def _check_alike(self, asked: AskedSet, table: _Table, one: str, other_table: _Table, other: str) -> None:
        families = {
            family_of(where.there.columns[name.partition(".")[2][1:-1].replace('""', '"')].type)
            for where, name in ((table, one), (other_table, other))
        }
        if len(families) > 1:
            to = asked.rule.said["to"]
            raise ConfigurationError(
                f"Rule `{asked.rule.kind}` at `{asked.rule.place}` compares `{asked.rule.field}` of stream `{asked.stream}` with `{to['field']}` of stream "
                f"`{to['stream']}`, whose columns are of types that have no values in common; nothing of the last unit was committed: have one of them as the "
                "other (`column_types`), then run again."
            )

    def fresh(self, asked: AskedSet, table: _Table) -> Found:
        column = self._column(asked, asked.stream, table, str(asked.rule.field))
        moment = "CAST(EXTRACT(epoch FROM {}) AS double precision)"
        latest = time.time() + _AHEAD
        count, newest = self._one(
            f"SELECT count({column}), {moment.format(f'max({column})')} FROM {table.quoted} AS t WHERE {table.live()}"
        )
        if count and newest > latest:  # one wrong date would hide for ever that nothing comes
            own = moment.format(column)
            count, newest = self._one(
                f"SELECT count(*), max({own}) FROM {table.quoted} AS t WHERE {table.live()} AND {own} <= {latest:f}"
            )
        if not count:
            return _not_judged(asked, "no row has a value there that is not in the future")
        hours = (time.time() - float(newest)) / 3600
        at_most = asked.rule.said["hours"]
        standing = Standing.BROKEN if hours > at_most else Standing.KEPT
        why = f"the newest is {hours:,.1f} hours old, and may be {at_most:g}"
        return Found(asked.stream, asked.rule, standing, int(count), why=why)

    def number_of_rows(self, asked: AskedSet, _table: _Table) -> Found:
        if asked.received is None:
            return _not_judged(asked, "it is of the rows of a run, and this is none")
        before = [
            run.streams[asked.stream].rows or 0 for run in self._past_runs() if asked.stream in run.streams
        ]
        if len(before) < _FEWEST_RUNS:
            return _not_judged(
                asked,
                f"{counted(len(before), 'complete run')} had the stream so far, of {_FEWEST_RUNS} that it takes",
            )
        mean = sum(before) / len(before)
        if asked.received and not mean:
            return _not_judged(asked, f"the last {len(before)} complete runs had no row of the stream")
        is_usual = abs(asked.received - mean) <= asked.rule.said["change"] * mean
        shown = f"{mean:,.1f}".removesuffix(".0")
        why = (
            f"the run has {counted(asked.received, 'row')}, and {shown} is the mean of the last {len(before)}"
        )
        return Found(
            asked.stream, asked.rule, Standing.KEPT if is_usual else Standing.BROKEN, asked.received, why=why
        )

    def _past_runs(self) -> Iterable[Any]:
        if self._runs.inspect(self._settings.schema, RUNS) is None:
            return []
        table = RunTable(self._words, self._settings.schema)
        found = runs_in(self._runs.execute(table.reading(AskedRuns(self._pipeline, None, _MOST_RUNS * 2))))
        return [run for run in found if run.is_well][-_MOST_RUNS:]

    def equal_sum(self, asked: AskedSet, table: _Table) -> Found:
        to = asked.rule.said["to"]
        other = self._table(to["stream"])
        if other is None:
            return _not_judged(asked, f"the stream `{to['stream']}` has no table yet")
        count, one = self._sum(asked, asked.stream, table, str(asked.rule.field))
        others, sum_of_other = self._sum(asked, to["stream"], other, to["field"])
        if not count and not others:
            return _not_judged(asked, "there are no rows")
        are_finite = one.is_finite() and sum_of_other.is_finite()  # a NaN is none of a load
        differs = not are_finite or abs(one - sum_of_other) > Decimal(str(asked.rule.said.get("within", 0)))
        why = f"its sum is not that of `{to['field']}` of stream `{to['stream']}`" if differs else ""
        return Found(asked.stream, asked.rule, Standing.BROKEN if differs else Standing.KEPT, count, why=why)

    def _sum(self, asked: AskedSet, stream: str, table: _Table, name: str) -> tuple[int, Decimal]:
        column = self._column(asked, stream, table, name)
        text = self._words.types[Kind.STRING]
        count, total = self._one(
            f"SELECT count({column}), CAST(sum({column}) AS {text}) FROM {table.quoted} AS t WHERE {table.live()}"
        )
        return int(count), Decimal(total or 0)

    def labels(self, asked: AskedSet, table: _Table) -> Found:
        column = self._column(asked, asked.stream, table, str(asked.rule.field))
        text = self._words.types[Kind.STRING]
        found = self._runs.execute(
            f"SELECT CAST({column} AS {text}), count(*) FROM {table.quoted} AS t WHERE {table.live()} GROUP BY 1 LIMIT {_MOST_LABELS + 1}"
        )
        if len(found) > _MOST_LABELS:
            return _not_judged(asked, f"the field has more than {_MOST_LABELS:,} values")
        rows = sum(count for _, count in found)
        if not rows:
            return _not_judged(asked, "there are no rows")
        shares = {_digest(label): count / rows for label, count in found}
        before = self._shares_before(asked)
        if before is None:
            return Found(
                asked.stream,
                asked.rule,
                Standing.NOT_JUDGED,
                rows,
                why="there is no run before it to compare with",
                measured=shares,
            )
        drift = {
            label: abs(shares.get(label, 0) - before.get(label, 0)) for label in shares.keys() | before.keys()
        }
        moved = sum(one > asked.rule.said["drift"] for one in drift.values())
        why = (
            f"the share of {counted(moved, 'value')} has changed by up to {max(drift.values()):.3f} since the last run"
            if moved
            else ""
        )
        return Found(
            asked.stream,
            asked.rule,
            Standing.BROKEN if moved else Standing.KEPT,
            rows,
            why=why,
            measured=shares,
        )

    def _shares_before(self, asked: AskedSet) -> Mapping[str, float] | None:
        if self._runs.inspect(self._settings.schema, QUALITY) is None:
            return None
        quoted = self._words.quote(self._settings.schema, QUALITY)
        text = self._words.types[Kind.STRING]
        pipeline = {} if self._pipeline is None else {"pipeline": self._pipeline}
        same = {
            **pipeline,
            "stream": asked.stream,
            "rule": asked.rule.kind,
            "fields": str(asked.rule.field),
        }
        where = " AND ".join(f"{self._words.quote(name)} = {literal(value)}" for name, value in same.items())
        rows = self._runs.execute(
            f"SELECT CAST(measured AS {text}) FROM {quoted} WHERE {where} AND measured IS NOT NULL AND (verdict <> 'broken' OR on_broken = 'warn') "
            "ORDER BY judged_at DESC LIMIT 1"
        )
        return json.loads(rows[0][0]) if rows else None


_Judge = Callable[[SetJudge, AskedSet, _Table], Found]
_JUDGES: Mapping[str, _Judge] = {
    "unique": SetJudge.unique,
    "references": SetJudge.references,
    "fresh": SetJudge.fresh,
    "rows": SetJudge.number_of_rows,
    "equal_sum": SetJudge.equal_sum,
    "labels": SetJudge.labels,
}


def _not_judged(asked: AskedSet, why: str) -> Found:
    return Found(asked.stream, asked.rule, Standing.NOT_JUDGED, why=why)


def _digest(label: str | None) -> str:
    """A name for a value that does not show it."""
    return "null" if label is None else hashlib.blake2b(label.encode(), digest_size=8).hexdigest()


def _shown(key: str) -> str:
    said = visible(key).replace("\n", " ")
    return said if len(said) <= _LONGEST_KEY else f"{said[: _LONGEST_KEY - 3]}..."
