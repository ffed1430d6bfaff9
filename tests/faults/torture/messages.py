"""Random messages into a target alone, with a random fault in each run, another config for each, and a model that says what the table has to hold.

What `make torture` does through a tap it does for settings that no source shows: which version of a row is the newer, keys from the config, types
that are chosen for columns that are there, partitions; and with them histories, deletions, versions, and records that are set aside.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
from faults.torture.inject import Counts, rule
from faults.torture.messages_model import (
    DELETED_AT,
    FIELDS,
    Message,
    Table,
    Told,
    Unit,
    Way,
    canon,
    possible,
    refused,
)
from faults.torture.pipeline import PIPELINE, Bench
from faults.torture.proxy import SqlFault
from faults.torture.server import PASSWORD

__all__ = ["MessagesFailedError", "run_messages"]

UNITS = 12
TURNS = 14
"""Runs that may be struck; behind them some that are not."""
KINDS = ("integer", "number", "date", "date-time")
METHODS = ("upsert", "upsert", "history", "append", "whole")


class MessagesFailedError(AssertionError):
    """A table does not hold what its messages say; the message tells how to repeat it, and what happened."""


# --- what is sent ---------------------------------------------------------------------------------------------


class Messages:
    """The units of one case."""

    def __init__(self, roll: random.Random, way: Way, division: str | None, *, has_chosen: bool) -> None:
        self.roll, self.way, self.division, self.has_chosen = roll, way, division, has_chosen
        self.version, self.last = 1, 0
        self.is_bad = roll.random() < 0.4
        self.deletes = roll.random() < 0.6
        self.leaves_out = roll.random() < 0.6
        self.replaces = way.method == "upsert" and roll.random() < 0.4
        self.units = [self._unit(number) for number in range(UNITS)]

    def _unit(self, number: int) -> Unit:
        roll, lines, messages = self.roll, [], []
        loads = self.way.has_versions and number > 0 and roll.random() < 0.3
        self.version += loads
        for _ in range(roll.choice([1, 1, 1, 2])):
            named = self._named()
            lines.append(self._schema(named))
            for _ in range(roll.randrange(1, 9)):
                message = self._record(named, whole=loads and roll.random() < 0.8)
                messages.append(message)
                lines.append(self._line(message))
                if self.replaces and roll.random() < 0.2:
                    place = self._place()
                    messages.append(Message(frozenset(), None, replaces=place))
                    lines.append(f'{{"type": "REPLACE", "stream": "s", "where": {{"place": {place}}}}}')
        if loads:
            messages.append(Message(frozenset(), None, self.version))
            lines.append(json.dumps({"type": "ACTIVATE_VERSION", "stream": "s", "version": self.version}))
        return Unit(tuple(lines), tuple(messages))

    def _named(self) -> frozenset[str]:
        named = {name for name, often in (("w", 0.7), ("n", 0.85), ("p", 0.7)) if self.roll.random() < often}
        if self.deletes and self.roll.random() < 0.6:
            named.add(DELETED_AT)
        return frozenset({"id", "place", "v", "seen"} | named)

    def _schema(self, named: frozenset[str]) -> str:
        numbers = ["integer", "number"] if self.way.hashes else ["integer", "number", "string"]
        seen: dict[str, Any] = {"type": [self.way.order_kind, "null"]}
        if self.way.order_kind.startswith("date"):
            seen = {"type": ["string", "null"], "format": self.way.order_kind}
        place: dict[str, Any] = {"type": ["string", "null"]}
        if self.division in ("month", "day"):
            place["format"] = "date"
        properties = {
            "id": {"type": "integer"},
            "place": place,
            "v": {"type": ["string", "null"]},
            "w": {"type": ["string", "null"]},
            "n": {"type": [self.roll.choice(numbers), "null"]},
            "p": {"type": ["integer", "null"], "minimum": 0},
            "seen": seen,
            DELETED_AT: {"type": ["string", "null"], "format": "date-time"},
        }
        return json.dumps(
            {
                "type": "SCHEMA",
                "stream": "s",
                "schema": {"properties": {name: one for name, one in properties.items() if name in named}},
                "key_properties": [*self.way.keys] if self.own_key else [],
            }
        )

    @property
    def own_key(self) -> bool:
        """Whether the tap says the key, or the config does."""
        return bool(self.way.keys) and not self.division

    def _record(self, named: frozenset[str], *, whole: bool) -> Message:
        roll = self.roll
        self.last += 1
        fields = {
            "id": str(self.last if self.way.method == "append" else roll.randrange(6)),
            "place": self._place(),
        }
        wires = {name: self._value(name) for name in FIELDS if name in named}
        is_refused = wires.get("p") == "-1"
        if self.deletes and roll.random() < 0.25 and not whole:
            if not self.way.hashes:
                some = roll.choice([(), ("v",), ("seen",), ("v", "w", "seen")])
                wires = {name: wire for name, wire in wires.items() if name in some and wire != "null"}
                is_refused = False
            wires[DELETED_AT] = '"2026-01-01T00:00:00Z"'
        elif self.leaves_out and not whole:
            wires = {name: wire for name, wire in wires.items() if roll.random() < 0.85}
            is_refused = wires.get("p") == "-1"
        if DELETED_AT in named and DELETED_AT not in wires and roll.random() < 0.7:
            wires[DELETED_AT] = "null"
        fields |= wires
        return Message(named, fields, self.version if self.way.has_versions else None, is_refused)

    def _place(self) -> str:
        if self.division in ("month", "day"):
            day = f"2026-0{self.roll.randrange(1, 4)}-{self.roll.choice(['01', '02', '28'])}"
            return json.dumps(day)
        return json.dumps(self.roll.choice(["de", "fr", "", "DE", "x y"]))

    def _value(self, name: str) -> str:
        roll = self.roll
        if name == "p":
            return "-1" if self.is_bad and roll.random() < 0.07 else json.dumps(roll.choice([0, 1, None]))
        if name == "n":
            if self.has_chosen:  # what a chosen type does not take is refused by PostgreSQL
                return json.dumps(roll.choice([1, 5, "7", 70_000_000_000, None]))
            numbers = [1, 5, 1.5, 12345678901234567890, None]
            words = [] if self.way.hashes else ["N/A", "soon"]
            more = [] if self.way.hashes or self.way.method == "history" else ["7", True, "1.5", "007"]
            return json.dumps(roll.choice([*numbers, *words, *more]))
        if name == "seen":
            return self._seen()
        return json.dumps(roll.choice(["a", "b", "", None]))

    def _seen(self) -> str:
        roll, number = self.roll, self.roll.randrange(8)
        if roll.random() < 0.1:
            return "null"
        if self.is_bad and roll.random() < 0.05 and not self.way.hashes:
            return '"soon"'
        match self.way.order_kind:
            case "integer":
                return str(number)
            case "number":
                return f"{number}.{roll.choice(['5', '25', '75'])}"
            case "date":
                return f'"2026-01-0{number + 1}"'
        hour = roll.choice([(10, "Z"), (10, "+00:00"), (12, "+02:00"), (9, "-01:00")])
        return f'"2026-01-0{number + 1}T{hour[0]:02}:00:00{hour[1]}"'

    def _line(self, message: Message) -> str:
        assert message.fields is not None
        fields = list(message.fields.items())
        self.roll.shuffle(fields)
        told = ", ".join(f'"{name}": {wire}' for name, wire in fields)
        version = f', "version": {message.version}' if message.version else ""
        return f'{{"type": "RECORD", "stream": "s", "record": {{{told}}}{version}}}'


# --- where it goes --------------------------------------------------------------------------------------------


@dataclass
class Ended:
    """How a run has ended; ``at`` is how many units are committed."""

    code: int | None
    words: str
    struck: int
    at: int
    stderr: str


class Place:
    """A target and its table."""

    def __init__(self, bench: Bench, database: str, folder: Path, *, is_duckdb: bool) -> None:
        self.bench, self.database, self.folder, self.is_duckdb = bench, database, folder, is_duckdb
        self.runs = 0

    @property
    def file(self) -> Path:
        return self.folder / "a.duckdb"

    def run(
        self,
        lines: Sequence[str],
        config: dict[str, Any],
        *,
        chunk_bytes: int | None,
        rules: Sequence[str] = (),
        sql: Sequence[SqlFault] = (),
    ) -> Ended:
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        folder.mkdir()
        proxy = self.bench.proxy
        if self.is_duckdb:
            where = {"database": str(self.file)}
        else:
            where = {"dsn": proxy.uri(self.database, PASSWORD), "connect_timeout": 5, "reconnect_seconds": 1}
        (folder / "target.json").write_text(json.dumps({**where, "pipeline": PIPELINE, **config}))
        (folder / "messages").write_text("".join(f"{line}\n" for line in lines))
        proxy.arm(*sql)
        given = os.open(folder / "messages", os.O_RDONLY)
        printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT)
        try:
            process = self.bench.zygote.start(
                "target-duckdb" if self.is_duckdb else "target-postgres",
                ["--config", str(folder / "target.json")],
                stdin=given,
                stdout=printed,
                stderr=folder / "target.err",
                counts=Counts(folder),
                rules=rules,
                chunk_bytes=chunk_bytes,
            )
        finally:
            os.close(given)
            os.close(printed)
        code = process.wait(60)
        if code is None:
            process.signal(9)  # type: ignore[arg-type]
            process.wait(10)
        struck = process.counts.struck() + proxy.struck
        process.counts.close()
        proxy.arm()
        self.await_quiet()
        return Ended(code, process.last_words, struck, self.at(), process.stderr)

    def await_quiet(self) -> None:
        """Until what is left of a killed run has ended."""
        if not self.is_duckdb:
            self.bench.server.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND application_name <> 'torture'",
                [self.database],
            )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a query; none where there is no such table yet."""
        if self.is_duckdb:
            if not self.file.exists():
                return []
            with duckdb.connect(str(self.file)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                try:
                    return list(connection.execute(statement).fetchall())
                except duckdb.CatalogException:
                    return []
        try:
            return list(self.bench.server.sql(statement, database=self.database))
        except psycopg2.errors.UndefinedTable:
            return []

    def at(self) -> int:
        if self.is_duckdb:
            found = self.sql("SELECT CAST(json_extract(state, '$.at') AS INTEGER) FROM _singerkit_state")
        else:
            found = self.sql("SELECT (state->>'at')::int FROM public._singerkit_state")
        return int(found[0][0] or 0) if found else 0

    def aside(self) -> list[tuple[Any, ...]]:
        schema = "main" if self.is_duckdb else "public"
        return self.sql(f"SELECT * FROM {schema}._singerkit_rejects")

    def rows(self, *, in_order: bool) -> list[dict[str, str | None]]:
        """Rows of the table with all columns as text; moments in UTC."""
        schema = "main" if self.is_duckdb else "public"
        types = dict(
            self.sql(
                f"SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_schema = '{schema}' AND table_name = 's'"
            )
        )
        if not types:
            return []
        columns = []
        for name, type_ in types.items():
            if type_.lower() == "timestamp with time zone":
                columns.append(
                    f"""strftime("{name}", '%Y-%m-%dT%H:%M:%S.%f+00:00')"""
                    if self.is_duckdb
                    else f"""to_char("{name}" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00')"""
                )
            else:
                columns.append(f'"{name}"::text')
        by = "_sdc_valid_from, _sdc_valid_to NULLS LAST" if in_order else "1"
        found = self.sql(f"SELECT {', '.join(columns)} FROM {schema}.s ORDER BY {by}")
        return [
            {**dict(zip(types, row, strict=True)), **{f"type {n}": t for n, t in types.items()}}
            for row in found
        ]


# --- what is held against each other ----------------------------------------------------------------------------


def is_sent(row: dict[str, str | None], name: str, wire: str | None, kind: str) -> bool:
    """Whether a stored row has in a field what was sent."""
    own, variant = row.get(name), row.get(f"{name}__text")
    value = canon(name, wire, kind)
    if value is None:
        return own is None and variant is None
    if (own is None) == (variant is None):
        return False
    sent = json.loads(wire or "null")
    text = sent if isinstance(sent, str) else wire
    if variant is not None:
        return variant == text
    type_ = (row[f"type {name}"] or "").lower()
    if name == "seen" and type_ == "timestamp with time zone":
        return canon(name, json.dumps(own), kind) == value
    if type_ in ("text", "varchar", "json", "jsonb", "date"):
        return own in (text, wire)
    try:
        return json.loads(own or "", parse_float=str) == value or float(own or "nan") == float(text or "nan")
    except ValueError:
        return False


def differences(rows: list[dict[str, str | None]], table: Table, way: Way) -> list[str]:
    """Say how what is stored differs from what a table may hold."""
    wanted: dict[Any, list[tuple[dict[str, str], bool, Any]]] = {}
    for key, entry in table.items():
        for number, fields in enumerate(entry.versions):
            is_last = number == len(entry.versions) - 1
            wanted.setdefault(key, []).append((dict(fields), entry.is_there and is_last, entry))
    stored: dict[Any, list[dict[str, str | None]]] = {}
    for row in rows:
        stored.setdefault(_key_of(row, wanted, way), []).append(row)
    found = []
    for key in {*wanted, *stored}:
        one, other = wanted.get(key, []), stored.get(key, [])
        if len(one) != len(other):
            found.append(
                f"{key}: {len(other)} rows, and not {len(one)}: {[_short(row) for row in other]}; sent {[fields for fields, _, _ in one]}"
            )
            continue
        for (fields, holds, entry), row in zip(one, other, strict=True):
            found += [f"{key}: {what}" for what in _wrong(row, fields, holds, entry, way)]
    return found


def _key_of(row: dict[str, str | None], wanted: dict[Any, Any], way: Way) -> Any:
    if way.hashes:
        for key in wanted:
            if not any(_wrong(row, wanted[key][0][0], True, None, way)):
                return key
        return ("nobody's", row["id"])
    return tuple(int(row[name] or 0) if name == "id" else row[name] for name in way.keys or ("id",))


def _wrong(
    row: dict[str, str | None], fields: dict[str, str], holds: bool, entry: Any, way: Way
) -> Iterator[str]:
    for name in (*FIELDS, "id", "place"):
        if not is_sent(row, name, fields.get(name), way.order_kind):
            yield f"{name} is {row.get(name)!r} ({row.get(f'type {name}')}), variant {row.get(f'{name}__text')!r}, sent {fields.get(name)}"
    if way.method == "history" and (row["_sdc_valid_to"] is None) != holds:
        yield f"holds until {row['_sdc_valid_to']}, and should {'hold' if holds else 'have ended'}: {_short(row)}"
    if entry is None or way.method == "history":
        return
    if (row.get(DELETED_AT) is not None) != entry.mark:
        yield f"{DELETED_AT} is {row.get(DELETED_AT)}, mark {entry.mark}"
    if way.has_versions and row.get("_sdc_table_version") != str(entry.version):
        yield f"version {row.get('_sdc_table_version')}, and not {entry.version}"


def _short(row: dict[str, str | None]) -> dict[str, str | None]:
    return {
        name: value
        for name, value in row.items()
        if value is not None and not name.startswith(("type ", "_sdc_re", "_sdc_ex", "_sdc_ba", "_sdc_se"))
    }


# --- cases ------------------------------------------------------------------------------------------------------


class MessagesCase:
    """One case: settings, units, and runs until all of them are committed."""

    def __init__(self, place: Place, roll: random.Random) -> None:
        self.place, self.roll = place, roll
        method = roll.choice(METHODS)
        hashes = method == "whole"
        self.division = None
        if not place.is_duckdb and not hashes and roll.random() < 0.4:
            self.division = roll.choice(["month", "day", "list", "hash"])
        keys: tuple[str, ...] = ()
        if method in ("upsert", "history"):
            has_two = self.division or (place.is_duckdb and roll.random() < 0.5)
            keys = ("id", "place") if has_two else ("id",)
        self.way = Way(
            "upsert" if hashes else method,
            keys,
            hashes,
            roll.choice(KINDS),
            has_versions=roll.random() < 0.3 and method != "append",
        )
        has_chosen = not place.is_duckdb and method in ("upsert", "append") and roll.random() < 0.4
        self.messages = Messages(roll, self.way, self.division, has_chosen=has_chosen)
        self.tables: list[Table] = [{}]
        self.at = 0
        replaces = ", rows are replaced" if self.messages.replaces else ""
        self.story = [f"{self.way}, division {self.division}{replaces}"]
        self.struck = self.runs = 0
        self.interrupted = False

    def told(self) -> Told:
        roll, way = self.roll, self.way
        # Rows are replaced whatever their order, and are marked where there is a column for it.
        has_order = bool(way.keys) and not way.hashes and not self.messages.replaces
        hard = (
            ["given", "default"]
            if self.messages.replaces and not way.has_versions
            else ["given", "default", "no"]
        )
        return Told(
            keeps=roll.random() < 0.5,
            hard=roll.choice(hard) if way.method != "append" else "default",
            newest=has_order and roll.random() < 0.5,
            quarantine=roll.random() < 0.6,
            n_type=roll.choice([None, "bigint", "numeric", "text"]) if self.messages.has_chosen else None,
        )

    def config(self, told: Told) -> dict[str, Any]:
        roll, way = self.roll, self.way
        config: dict[str, Any] = {
            "missing_fields": "keep" if told.keeps else "null",
            "on_invalid": "quarantine" if told.quarantine else "fail",
            "add_record_metadata": way.has_versions,
            "commit_rows": roll.choice([1, 1, 6, 10**6]),
        }
        if told.hard != "default":
            config["hard_delete"] = told.hard == "given"
        if way.method != "upsert":
            config["load_method"] = {"s": way.method}
        if told.newest:
            config["newest_by"] = {"s": "seen"}
        if told.n_type:
            config["column_types"] = {"s.n": told.n_type}
        if way.hashes:
            config["key_properties"] = {"s": "*"}
        elif way.keys and self.division:
            config["key_properties"] = {"s": list(way.keys)}
        if self.division:
            config["partition_by"] = {
                "s": {
                    "month": {"range": "place", "each": "month"},
                    "day": {"range": "place", "each": "day"},
                    "list": {"list": "place"},
                    "hash": {"hash": "id", "parts": 3},
                }[self.division]
            }
        if not self.place.is_duckdb:
            config["replay_bytes"] = roll.choice([0, 16 << 20, 16 << 20])
            config["lock_timeout_seconds"] = 5
        return config

    def fault(self) -> tuple[list[str], list[SqlFault]]:
        roll, server = self.roll, self.place.bench.server
        kinds = (
            ["kill", "kill", "term", "disk"]
            if self.place.is_duckdb
            else ["kill", "kill", "term", "cut", "end", "commit", "message"]
        )
        at = int(roll.choice([60, 200]) * roll.random() ** 1.5) + 1
        match roll.choice(kinds):
            case "kill":
                return [rule("any", at, roll.choice(["kill", "kill-after"]))], []
            case "term":
                return [rule("any", at, "term")], []
            case "disk":
                return [rule("disk", at // 4 + 1, "errno=28")], []
            case "end":
                return [], [
                    SqlFault(
                        "query",
                        at,
                        "call",
                        hook=lambda pid: server.sql("SELECT pg_terminate_backend(%s)", [pid]),
                    )
                ]
            case "commit":
                return [], [SqlFault("commit", roll.randrange(1, 8), roll.choice(["swallow", "cut"]))]
            case "message":
                return [], [SqlFault("message", at, "cut")]
        return [], [SqlFault("query", at, roll.choice(["cut", "swallow"]))]

    def lines(self, to: int) -> list[str]:
        lines = [json.dumps({"type": "STATE", "value": {"at": self.at}})] if self.at else []
        for number, unit in enumerate(self.messages.units[self.at : to], self.at + 1):
            lines += [*unit.lines, json.dumps({"type": "STATE", "value": {"at": number}})]
        return lines

    def run(self, told: Told, *, faulty: bool) -> None:
        rules, sql = self.fault() if faulty else ([], [])
        config = self.config(told)
        chunk = self.roll.choice([300, 1000, 4000, None])
        to = UNITS if self.roll.random() < 0.2 else min(UNITS, self.at + self.roll.randrange(1, 5))
        if told.newest and self.way.method == "history":
            to = min(to, self.at + 4)  # the model follows each way to cut these
        ended = self.place.run(self.lines(to), config, chunk_bytes=chunk, rules=rules, sql=sql)
        self.runs += 1
        self.struck += bool(ended.struck)
        self.story.append(
            f"{told}, {config}, chunk {chunk}, {rules or [(f.event, f.at, f.action) for f in sql]}, units {self.at} to {to} -> {ended.code} at {ended.at}, struck {ended.struck}: {ended.words}"
        )
        self.check(told, ended, to)

    def check(self, told: Told, ended: Ended, to: int) -> None:
        units = self.messages.units[self.at : ended.at]
        bad = [
            number
            for number, unit in enumerate(self.messages.units[self.at : to], self.at)
            if any(refused(message, self.way, told) for message in unit.messages)
        ]
        is_bad = bool(bad) and not told.quarantine
        if is_bad and ended.at > bad[0]:
            raise MessagesFailedError(
                f"unit {bad[0]} has a record that is to be refused, and {ended.at} are committed"
            )
        if not ended.struck:
            allowed = {65} if is_bad else {0}
            if told.n_type:
                allowed = {
                    *allowed,
                    *(
                        {65}
                        if "column_types" in ended.words
                        or "was chosen" in ended.words
                        or "chosen" in ended.words
                        else ()
                    ),
                }
            if ended.code not in allowed:
                raise MessagesFailedError(f"a run without a fault ended with {ended.code}: {ended.stderr}")
        elif ended.code not in (0, 65, 69, 74, 75, 143, -9):
            raise MessagesFailedError(f"a run ended with {ended.code}: {ended.stderr}")
        if ended.code == 0 and ended.at != to:
            raise MessagesFailedError(f"a run ended with 0, and {ended.at} of {to} are committed")
        if ended.at < self.at:
            raise MessagesFailedError("the state went back")
        tables = (
            possible(self.tables, units, self.way, told, is_struck=bool(ended.struck))
            if units
            else self.tables
        )
        rows = self.place.rows(in_order=self.way.method == "history")
        wrong = [differences(rows, table, self.way) for table in tables]
        fitting = [table for table, found in zip(tables, wrong, strict=True) if not found]
        if not fitting:
            fewest = "\n    ".join(min(wrong, key=len))
            aside = "\n    ".join(map(str, self.place.aside()))
            sent = "\n    ".join(line for unit in units for line in (*unit.lines, "-- STATE"))
            raise MessagesFailedError(
                f"units {self.at} to {ended.at}, of {len(tables)} ways to cut them none fits:\n    {fewest}\n  said:\n{ended.stderr}\n  set aside:\n    {aside}\n  units:\n    {sent}"
            )
        self.tables, self.at = fitting, ended.at

    def go(self) -> None:
        for _ in range(TURNS):
            if self.at == UNITS:
                break
            self.run(self.told(), faulty=self.roll.random() < 0.8)
        for _ in range(UNITS):
            if self.at == UNITS:
                return
            self.run(replace(self.told(), quarantine=True, n_type=None), faulty=False)
        raise MessagesFailedError("no run without a fault brought all units")


def run_messages(bench: Bench, seed: str, number: int, *, into: str) -> MessagesCase:
    """Run one case to its end.

    Raises:
        MessagesFailedError: a table does not hold what was sent, or a run ended with a wrong code.
    """
    roll = random.Random(f"messages {into} {seed} {number}")
    folder = Path(tempfile.mkdtemp(prefix="messages-", dir=bench.folder))
    is_duckdb = into == "duckdb"
    try:
        with contextlib.nullcontext("") if is_duckdb else bench.server.database() as database:
            case = MessagesCase(Place(bench, database, folder, is_duckdb=is_duckdb), roll)
            try:
                case.go()
            except MessagesFailedError as error:
                story = "\n  ".join(case.story)
                raise MessagesFailedError(
                    f"seed {seed} case {number} failed; repeat it with: make torture SEED={seed} CASE={number} ARGS='--from messages --into {into}'\n"
                    f"  {story}\n{error}"
                ) from error
            return case
    finally:
        bench.proxy.arm()
        shutil.rmtree(folder, ignore_errors=True)
