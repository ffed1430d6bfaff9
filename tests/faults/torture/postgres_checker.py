"""Holds what a target has of a PostgreSQL against what the source's log says was committed (`postgres_history`).

    lost       a row is missing that was there at the committed position (of a stream that is read from the log), or that was in the
               target before and is in the source
    doubled    a key is there twice; a row without a key, from the log at any time, else after a load that is complete
    wrong      a row that was never committed at the source; one whose values are not those of its number
    regressed  a key has an older row than before
    state      epoch, sequence or the position in the log go back; a slot has confirmed more than is committed; files and stdout as
               in `checker.py`

After a run that ended well while nobody wrote, the tables must be equal. What somebody did that the log does not tell of is found by the
next run that begins: a stream whose table was reshaped need not be what the table was at the committed position before such a run has committed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from faults.torture.checker import Checker, Position, State, _equals
from faults.torture.duckdb_checker import DuckChecker
from faults.torture.pipeline import Outcome, Pipeline
from faults.torture.postgres_history import SLOT, Key, place
from faults.torture.postgres_tables import TABLES, Table, big_of, values_of
from faults.torture.sqlite_cases import RESUMED
from faults.torture.stored import DELETED, InDuck, InPostgres, Read, Stored

__all__ = ["FromPostgres", "IntoDuck", "IntoPostgres"]

LOG = "_singerkit_log"
VERSION = "_sdc_table_version"


class FromPostgres(Checker):
    """Checks a pipeline from a `PostgresSource`, after every run of it; how the target is read is for the class below."""

    tap = "tap-postgres"
    _pipeline: Any

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._at = 0, 0, 0
        self._numbers: dict[str, dict[Key, int]] = {name: {} for name in TABLES}
        self._right: set[tuple[Any, ...]] = set()
        self._stored: dict[str, Stored] = {}
        self._outcomes: tuple[Outcome, ...] = ()
        self._sure: dict[str, float] = {}
        """By table when it was reshaped last, as far as a run that began after that has committed."""

    def check(self, *outcomes: Outcome, complete: bool | None = None, **options: Any) -> None:
        """Check as `Checker.check` does; a load that goes on where it was cut off need not equal the source."""
        self._outcomes = outcomes
        if any(RESUMED in outcome.stderr for outcome in outcomes):
            complete = False
        super().check(*outcomes, complete=complete, **options)
        if complete is not False and any(outcome.target == 0 for outcome in outcomes):
            # A load that goes on over several runs may miss a row whose key changed during any of them.
            for keys in self._pipeline.source.history.touched.values():
                keys.clear()

    def starts_over(self) -> None:
        """Expect that the state is that of a first run again; rows that are loaded stay until all have come anew."""
        self._at = *self._at[:2], 0

    def _read_now(self) -> tuple[State | None, dict[str, Counter[Any]]]:
        found = self._read_tables({name: self._pipeline.place_of(name) for name in TABLES})
        state, *at, self._stored = found
        history = self._pipeline.source.read_history()
        position = _position(state)
        now = (*at, position)
        if any(new < old for new, old in zip(now, self._at, strict=True)):
            self._find("state", f"epoch, sequence, position go back from {self._at} to {now}")
        self._note_sure(has_committed=now[1] > self._at[1])
        self._at = now  # type: ignore[assignment]  three numbers
        self._check_slots(position)
        at_position = history.at(max(position, history.is_at))
        for name, table in TABLES.items():
            stored = self._stored[name]
            self._check_values(table, stored)
            if self._is_from_the_log(state, name):
                if self._sure.get(name) == history.unsure.get(name):
                    self._check_against(table, stored, at_position.rows[name], at_position.gone[name])
                self._numbers[name] = {_key(table, row): _seq(row) for row in stored.alive}
            else:
                self._check_loaded(table, stored)
            if self._pipeline.source.methods[name] != "full":
                history.touched[name].clear()
        return state, {}

    def _note_sure(self, *, has_committed: bool) -> None:
        """Note which streams a run has looked at that has begun since their tables were reshaped, and has committed."""
        if not has_committed or len(self._outcomes) != 1 or self._pipeline.open_runs:
            return
        self._sure |= {
            name: at
            for name, at in self._pipeline.source.history.unsure.items()
            if at < self._outcomes[0].began
        }

    def _state_of(self, text: str | bytes, where: str) -> State | None:
        if self._pipeline.source.is_reshaped and not json.loads(text).get("bookmarks"):
            return None  # somebody has started over
        state = super()._state_of(text, where)
        if state is not None and _position(state):
            state.positions["the log"] = Position(f"{_position(state):020}")
        return state

    def _is_from_the_log(self, state: State | None, name: str) -> bool:
        """Whether a stream is read from the log, and its start is complete."""
        part = state.value["bookmarks"].get(self._pipeline.stream_of(name), {}) if state else {}
        return LOG in part and "start" not in part[LOG]

    def _check_slots(self, position: int) -> None:
        """See that the source has been told of nothing that is not committed.

        Of a slot that was dropped behind what is committed another one is made where all streams start anew, which confirms nothing.
        """
        source = self._pipeline.source
        if position <= source.history.slot_dropped:
            return
        found = source.server.sql(
            "SELECT slot_name, confirmed_flush_lsn::text FROM pg_replication_slots WHERE database = %s AND slot_name <> %s",
            [source.database, SLOT],
        )
        for name, confirmed in found:
            if position and place(confirmed) > position:
                self._find("state", f"slot {name} has confirmed {confirmed}, committed is {position:x}")

    # --- rows -----------------------------------------------------------------------------------------------

    def _check_values(self, table: Table, stored: Stored) -> None:
        ever = self._pipeline.source.history.ever[table.name]
        for row in stored.rows:
            known = table.name, *row.items()
            if known in self._right or row.get("seq") is None:
                continue
            seq, key = int(row["seq"] or 0), _key(table, row)
            if row.get(DELETED) is not None and table.keys:
                continue  # of a row that is deleted the log knows the key alone
            if (key, seq) not in ever:
                self._find("wrong", f"{table.name} holds a row that was never committed: {key}, seq {seq}")
            elif self._is_as_written(table, seq, row, stored.types):
                self._right.add(known)

    def _is_as_written(
        self, table: Table, seq: int, row: Mapping[str, str | None], types: Mapping[str, str]
    ) -> bool:
        sent = {name: value for name, value in values_of(seq).items() if name in table.columns}
        sent["doc"] = json.loads(sent["doc"], parse_float=Decimal)
        if not table.keys and row.get(DELETED) is None:
            sent["kind"] = values_of(seq)["kind"]
        if table.has_big:
            of = int(row.get("big_of") or 0)
            # Of a key that changes the log may not have it: it is what the row has now, or nothing once that has gone.
            if (
                table.is_whole_in_log and not self._pipeline.source.is_reshaped
            ) or self._pipeline.source.history.now.rows[table.name].get(_key(table, row)) == seq:
                sent |= {"big": big_of(of), "big_of": of}
        return self._is_same(f"{table.name} seq {seq}", sent, row, types)

    def _is_same(
        self, what: str, sent: Mapping[str, Any], row: Mapping[str, str | None], types: Mapping[str, str]
    ) -> bool:
        wrong = [
            name for name, value in sent.items() if name not in row or not _is(value, row[name], types[name])
        ]
        for name in wrong:
            self._find("wrong", f"{what}: {name} is {_short(row.get(name))}, not {_short(sent[name])}")
        return not wrong

    def _check_against(
        self, table: Table, stored: Stored, rows: Mapping[Key, int], gone: Iterable[int]
    ) -> None:
        """Hold the rows of a stream that is read from the log against what was committed up to the position in it."""
        found = Counter((_key(table, row), _seq(row)) for row in stored.alive)
        if table.keys:
            wanted = Counter(rows.items())
        else:
            ways: dict[int, list[bool]] = {}
            for row in _newest(stored.rows):
                ways.setdefault(_seq(row), []).append(row.get(DELETED) is not None)
            # A row that has gone came and went, or never came.
            whole = {seq for seq in gone if sorted(ways.get(seq, [])) in ([], [False, True], [True, True])}
            found = Counter({pair: count for pair, count in found.items() if pair[1] not in whole})
            wanted = Counter(rows.items())
        self._find_all("lost", table, wanted - found)
        self._find_all("doubled", table, found - wanted)

    def _check_loaded(self, table: Table, stored: Stored) -> None:
        """Check a stream that is read as a whole, or by a replication key."""
        history, before = self._pipeline.source.history, self._numbers[table.name]
        ever, touched = history.ever[table.name], history.touched[table.name]
        counts = Counter(_key(table, row) for row in stored.alive)
        if table.keys:
            self._find_all("doubled", table, (key for key, count in counts.items() if count > 1))
        now = {_key(table, row): _seq(row) for row in stored.alive}
        gone = before.keys() - now.keys() - touched
        if gone:
            gone &= {_key(table, row) for row in self._pipeline.source.rows(table)}
        self._find_all("lost", table, gone)
        self._find_all(
            "regressed",
            table,
            (
                (key, seq, now[key])
                for key, seq in before.items()
                if key in now and ever.get((key, now[key]), 0) < ever.get((key, seq), 0)
            ),
        )
        self._numbers[table.name] = now

    def _check_complete(self, rows: Mapping[str, Counter[Any]]) -> None:
        source = self._pipeline.source
        for name, table in TABLES.items():
            stored = self._stored[name]
            types, held = source.types(table), source.rows(table)
            wanted = {(_key(table, row), _seq(row)): row for row in held}
            found = Counter((_key(table, row), _seq(row)) for row in stored.alive)
            if not table.keys and source.methods[name] == "log":
                found = Counter({pair: 1 for pair in found if pair in wanted})  # `_check_against` has counted
            self._find_all("lost", table, Counter(wanted.keys()) - found)
            self._find_all("doubled", table, found - Counter(wanted.keys()))
            for row in stored.alive:
                of = wanted.get((_key(table, row), _seq(row)))
                if of is not None:
                    sent = {
                        column: _sent(text, types[column])
                        for column, text in of.items()
                        if not (source.methods[name] == "incremental" and _came_late(column, row))
                    }
                    self._is_same(f"{name} {_key(table, row)}, after a complete run", sent, row, stored.types)

    def _find_all(self, kind: str, table: Table, found: Iterable[Any]) -> None:
        for each in list(found)[:5]:
            self._find(kind, f"{table.name}: {each}")

    def _read_tables(self, places: Mapping[str, str]) -> Read:
        raise NotImplementedError


class IntoPostgres(InPostgres, FromPostgres):
    """Reads a PostgreSQL that is the target."""


class IntoDuck(InDuck, FromPostgres, DuckChecker):
    """Reads a file of DuckDB."""


def _position(state: State | None) -> int:
    said = state.value.get(LOG, {}).get("position") if state else None
    return place(said) if isinstance(said, str) else int(said or 0)


def _newest(rows: list[dict[str, str | None]]) -> Iterator[dict[str, str | None]]:
    """Yield rows but for those that went with the version that a new start took the place of."""
    last = max((int(row.get(VERSION) or 0) for row in rows), default=0)
    return (row for row in rows if row.get(DELETED) is None or int(row.get(VERSION) or 0) == last)


def _seq(row: Mapping[str, str | None]) -> int:
    return int(row["seq"] or 0)


def _key(table: Table, row: Mapping[str, str | None]) -> Key:
    return tuple(str(row[name]) for name in table.keys) if table.keys else (str(row["seq"]),)


def _sent(text: str | None, column_type: str) -> Any:
    """Return what a value of the source is, as a record has it."""
    if text is None or column_type in ("text", "timestamp with time zone"):
        return text
    if column_type == "boolean":
        return text == "true"
    return json.loads(text, parse_float=Decimal)


def _is(sent: Any, stored: str | None, column_type: str) -> bool:
    try:
        return _equals(sent, stored, column_type)
    except (ValueError, ArithmeticError):
        return False


def _came_late(column: str, row: Mapping[str, str | None]) -> bool:
    """Whether a row may have been read without a column that was added while a run read it; the next run tells of that."""
    return column.startswith("extra_") and row.get(column) is None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."
