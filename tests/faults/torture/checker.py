"""Reads the source's journal and the database, and says what is wrong: invariants I1 to I8.

It shares no code with the target, the tap or the state library: plain SQL, json, and the documented shape of a state
(docs/architecture.md). It remembers what it saw, so that nothing may go back from one check to the next.

I1 lost      every version at or before the committed position is in its table
I2 doubled   none is there twice; of the keyless stream exactly those are there that the position says
I3 state     the position is that of the rows; it only moves forward; file and stdout are never ahead of it
I4 regressed a key holds the newest version received
I5 wrong     every value is the one that was sent
I6 exit      0 if and only if everything was committed; the codes and last words are documented ones
I7 secret    no canary in stdout, stderr, state, files
I8 bounds    time, memory, requests and left-over files
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from faults.torture.pipeline import PIPELINE, Outcome, Pipeline
from faults.torture.server import PASSWORD
from faults.torture.source import TOKEN, Version
from psycopg2.sql import SQL, Identifier

__all__ = ["Checker", "Finding", "Violation"]

REPLICATION_KEY = {"orders": "updated_at", "events": "at"}
MEMORY = 600 * 1024
"""KiB a process may have, the imported modules included."""
_BESIDE = "__text"
"""How the column of values that are not of the type of another is called, behind the name of that."""
_BROKEN_RANGES = """
SELECT count(*) FROM (
    SELECT _sdc_valid_from AS begins, _sdc_valid_to AS ends,
        lead(_sdc_valid_from) OVER (PARTITION BY id ORDER BY _sdc_valid_from) AS next
    FROM {}
) AS one WHERE ends <= begins OR next < ends OR (next IS NOT NULL AND ends IS NULL)
"""
TAP_CODES = frozenset({0, 65, 69, 74, 143, 130, -9})
TARGET_CODES = frozenset({0, 65, 69, 74, 75, 76, 143, 130, -9})


@dataclass(frozen=True)
class Finding:
    """One broken invariant; ``kind`` is the word from the table above."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Violation(AssertionError):
    """Invariants are broken; ``findings`` says which."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(map(str, findings[:20])))
        self.findings = list(findings)


@dataclass(frozen=True)
class Position:
    """How far a stream is: the bookmark, and hashes of the rows at and above it that were sent."""

    value: str = ""
    seen: Counter[str] = field(default_factory=Counter)

    def is_before(self, other: Position) -> bool:
        """Tell whether this is a step back from ``other``."""
        return self.value < other.value or (self.value == other.value and bool(other.rows - self.rows))

    @property
    def rows(self) -> Counter[str]:
        """The rows that are remembered: of one with a key its key, whatever it says now."""
        return Counter({name if len(name) == _WHOLE else name[_SAID:]: n for name, n in self.seen.items()})


@dataclass
class State:
    """A STATE value: a position per incremental stream, and whether it ends a finished run."""

    positions: dict[str, Position]
    is_complete: bool
    value: Any


@dataclass
class _Seen:
    """What the last check saw."""

    epoch: int = 0
    sequence: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    rows: dict[str, Counter[int]] = field(default_factory=dict)
    keys: dict[str, dict[int, int]] = field(default_factory=lambda: {"orders": {}, "customers": {}})


class Checker:
    """Checks one pipeline, after every run of it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._journal = pipeline.source.journal
        self._before = _Seen()
        self._verified: set[tuple[Any, ...]] = set()
        self._findings: list[Finding] = []
        self._mode = pipeline.mode
        self._gone_may_stay = False
        self._runs = 1
        """How many runs may have written since the last check."""
        self._origins: dict[tuple[str, Any], tuple[int, Mapping[str, Version | None]]] = {}
        """Of each stored row the version that each of its values is of, where records leave fields out."""
        self._origins_now: dict[tuple[str, Any], tuple[int, Mapping[str, Version | None]]] = {}
        self._aside: Counter[int] = Counter()
        """How often each version stands among the dead letters: it has come and is not in its table."""

    def check(
        self,
        *outcomes: Outcome,
        complete: bool | None = None,
        overtaken: bool = False,
        tap_codes: Iterable[int] = TAP_CODES,
        target_codes: Iterable[int] = TARGET_CODES,
    ) -> None:
        """Check everything after the runs that ended with ``outcomes``.

        ``complete``: the tables must equal the source; by default when a run says so with exit code 0. False is for
        runs during which the source went on. ``overtaken``: a later run has ended before these did.

        Raises:
            Violation: something is wrong.
        """
        self._findings = []
        for outcome in outcomes:
            self._check_outcome(outcome, frozenset(tap_codes), frozenset(target_codes))
        said_success = any(outcome.target == 0 for outcome in outcomes)
        self._runs = max(1, len(outcomes)) + overtaken
        # A history ends what is gone where all of a load came over one connection; else the next load does.
        self._gone_may_stay = any(
            outcome.holds_back or (self._mode.method == "history" and outcome.struck) for outcome in outcomes
        )
        now = self._read_now()
        state = now[0]
        if self._mode.commits_once and state and not state.is_complete:
            self._find("state", "a run that commits once, at its end, has committed the state of a part")
        if said_success and not (state and state.is_complete):
            self._find("exit", "a run ended with 0 and the committed state does not say that it is complete")
        if complete if complete is not None else said_success:
            self._check_complete(now[1])
        self._check_files(state)
        for outcome in outcomes:
            self._check_printed(outcome, state, is_last=len(outcomes) == 1 and not overtaken)
        if self._findings:
            raise Violation(self._findings)

    def _find(self, kind: str, text: str) -> None:
        self._findings.append(Finding(kind, text))

    # --- the database --------------------------------------------------------------------------------------

    tap, target = "tap-rest", "target-postgres"

    def _read_now(self) -> tuple[State | None, dict[str, Counter[int]]]:
        connection = self._pipeline.bench.server.connect(self._pipeline.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                now = self._read(cursor)
                cursor.execute("ROLLBACK")
        finally:
            connection.close()
        return now

    def _read_committed(self) -> State | None:
        with self._pipeline.bench.server.connect(self._pipeline.database) as connection:
            committed, _, _ = self._read_state(connection.cursor())
        connection.close()
        return committed

    def _read(self, cursor: Any) -> tuple[State | None, dict[str, Counter[int]]]:
        state, epoch, sequence = self._read_state(cursor)
        self._aside = self._read_letters(cursor)
        rows = {stream: self._read_rows(cursor, stream) for stream in self._journal.versions}
        if self._mode.breaks:
            self._check_flawed(rows)
        before = self._before
        if epoch < before.epoch or sequence < before.sequence:
            self._find(
                "state",
                f"epoch, sequence go back from {before.epoch}, {before.sequence} to {epoch}, {sequence}",
            )
        if sequence == before.sequence and before.rows and rows != before.rows:
            self._find("state", f"rows have changed without a new sequence number ({sequence})")
        positions = state.positions if state else {}
        for stream, position in before.positions.items():
            if positions.get(stream, Position()).is_before(position):
                self._find(
                    "state", f"the position of {stream} goes back from {position} to {positions.get(stream)}"
                )
        self._check_events(rows["events"], positions.get("events", Position()))
        keys = {
            "orders": self._check_orders(rows["orders"], positions.get("orders", Position())),
            "customers": self._check_keys("customers", rows["customers"]),
        }
        self._before = _Seen(epoch, sequence, dict(positions), rows, keys)
        self._origins, self._origins_now = self._origins_now, {}
        return state, rows

    def _read_letters(self, cursor: Any) -> Counter[int]:
        cursor.execute("SELECT to_regclass('public._singerkit_rejects')")
        if cursor.fetchone()[0] is None:
            return Counter()
        cursor.execute("SELECT record FROM public._singerkit_rejects")
        return Counter(json.loads(bytes(record))["record"]["seq"] for (record,) in cursor.fetchall())

    def _read_state(self, cursor: Any) -> tuple[State | None, int, int]:
        cursor.execute("SELECT to_regclass('public._singerkit_state')")
        if cursor.fetchone()[0] is None:
            return None, 0, 0
        cursor.execute(
            "SELECT state::text, epoch, sequence FROM public._singerkit_state WHERE pipeline = %s", [PIPELINE]
        )
        found = cursor.fetchall()
        if not found:
            return None, 0, 0
        text, epoch, sequence = found[0]
        self._check_secrets("the committed state", text or "")
        return None if text is None else self._state_of(text, "the committed state"), epoch, sequence

    def _state_of(self, text: str | bytes, where: str) -> State | None:
        try:
            value = json.loads(text)
            bookmarks = value["bookmarks"]
            positions = {
                stream: self._position_of(stream, mark, where)
                for stream, mark in bookmarks.items()
                if stream in REPLICATION_KEY and mark.keys() - {"_singerkit_read"}
            }
            return State(positions, value["_singerkit"]["complete"] is True, value)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._find("state", f"{where} is not a whole state of ours: {type(error).__name__} {error}")
            return None

    def _position_of(self, stream: str, mark: Mapping[str, Any], where: str) -> Position:
        value = mark.get("replication_key_value")
        seen = mark.get("_singerkit_seen")
        if mark["replication_key"] != REPLICATION_KEY[stream] or seen is None or seen["at"] != value:
            self._find("state", f"{where} does not say which rows of {stream} stand at its bookmark")
            return Position(value or "")
        # While a sorted read is under way, `replication_key_value` is where it goes on.
        bookmark = seen.get("bookmark", value)
        rows = Counter(seen.get("rows", ()))
        for group in seen.get("others", ()):
            rows.update(group[1:])
        return Position(bookmark or "", rows)

    def _read_rows(self, cursor: Any, stream: str) -> Counter[int]:
        """Return how often each version is stored; every value of a new row is compared with what was sent."""
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [f"public.{stream}"],
        )
        types = dict(cursor.fetchall())
        where = self._rows_now(cursor, stream, types)
        types = {name: type_ for name, type_ in types.items() if not name.startswith("_sdc_")}
        if not types:
            return Counter()
        if "seq" not in types:
            self._find("wrong", f"the table {stream} has no column seq")
            return Counter()
        columns = [
            (SQL("md5({})") if name == "pad" else SQL("{}::text")).format(Identifier(name)) for name in types
        ]
        cursor.execute(
            SQL("SELECT {} FROM public.{} {}").format(SQL(", ").join(columns), Identifier(stream), SQL(where))
        )
        return self._versions_of(stream, types, cursor.fetchall())

    def _rows_now(self, cursor: Any, stream: str, types: Mapping[str, str]) -> str:
        """Return the clause that leaves those rows of a table that it holds now; its ranges are checked, where it has any."""
        if "_sdc_valid_to" not in types:
            return ""
        cursor.execute(_BROKEN_RANGES.format(stream))
        if cursor.fetchone() != (0,):
            self._find("wrong", f"{stream} has ranges that overlap, are empty or do not end")
        return "WHERE _sdc_valid_to IS NULL"

    def _versions_of(
        self, stream: str, types: Mapping[str, str], found: Iterable[tuple[str | None, ...]]
    ) -> Counter[int]:
        """Return how often each version is among rows, every value as text."""
        place = list(types).index("seq")
        shape = tuple(types)
        rows: Counter[int] = Counter()
        for row in found:
            if row[place] is None or int(Decimal(row[place])) not in self._journal.by_seq:
                self._find("wrong", f"{stream} holds a row that was never sent (seq {row[place]})")
                continue
            seq = int(Decimal(row[place]))
            rows[seq] += 1
            known = (shape, row)
            version, named = self._journal.by_seq[seq], dict(zip(types, row, strict=True))
            if self._mode.keeps and stream != "events":
                self._is_kept(stream, version, types, named)
            elif known not in self._verified and self._is_right(stream, version, types, named):
                self._verified.add(known)
        return rows

    # --- streams -------------------------------------------------------------------------------------------

    def _check_events(self, stored: Counter[int], at: Position) -> None:
        sent = self._journal.versions["events"]
        at_bookmark = self._rows_at("events", at)
        expected = Counter(version.seq for version in sent if version.at < at.value) + at_bookmark
        seqs = {version.seq for version in sent}
        stored = stored + Counter({seq: count for seq, count in self._aside.items() if seq in seqs})
        for seq, count in (expected - stored).items():
            self._find(
                "lost", f"events: seq {seq} is {stored[seq]} times there, not {stored[seq] + count} times"
            )
        for seq, count in (stored - expected).items():
            self._find(
                "doubled", f"events: seq {seq} is {stored[seq]} times there, not {stored[seq] - count} times"
            )

    def _rows_at(self, stream: str, at: Position) -> Counter[int]:
        """The versions that a position remembers at and above its bookmark."""
        by_hash = {
            _name_of(version, is_partial="keep" in self._mode.beside): version.seq
            for version in self._journal.versions[stream]
            if version.at >= at.value
        }
        for unknown in at.seen.keys() - by_hash.keys():
            self._find("state", f"the state remembers a row of {stream} that was never sent ({unknown})")
        found: Counter[int] = Counter()
        for digest, count in at.seen.items():
            if digest in by_hash:
                found[by_hash[digest]] += count
        if at.value and not found:
            self._find("state", f"the state remembers no row of {stream} at its bookmark {at.value}")
        return found

    def _check_keys(self, stream: str, stored: Counter[int]) -> dict[int, int]:
        """Check what holds for every keyed stream; return the stored seq of each key."""
        keys: dict[int, int] = {}
        for seq, count in stored.items():
            version = self._journal.by_seq[seq]
            if not self._mode.appends and (count > 1 or version.key in keys):
                self._find("doubled", f"{stream}: the key {version.key} is there more than once")
            keys[version.key] = max(seq, keys.get(version.key, 0))
        if self._mode.appends:
            self._check_appended(stream, stored)
        for key, seq in self._before.keys[stream].items():
            if key not in keys and self._mode.removes and self._may_go(stream, key):
                continue
            if key not in keys:
                self._find("lost", f"{stream}: the key {key} was there and has gone")
            elif keys[key] < seq:
                self._find("regressed", f"{stream}: the key {key} went back from seq {seq} to {keys[key]}")
        return keys

    def _may_go(self, stream: str, key: Any) -> bool:
        """Whether a row that was there leaves its table: it is gone, or it is set aside, and so not of the newest version."""
        newest = self._journal.newest[stream].get(key)
        return newest is None or newest.seq in self._aside

    def _check_appended(self, stream: str, stored: Counter[int]) -> None:
        """Check a table that has a row for each record: what came stays, and each run adds each record once.

        A run that goes on in the middle of an unsorted load sends again what came before; none else does of `orders`.
        """
        before = self._before.rows.get(stream, Counter())
        for seq in before - stored:
            self._find("lost", f"{stream}: seq {seq} was appended and has gone")
        most = 1 if stream == "orders" and self._pipeline.source.is_sorted else None
        for seq, count in stored.items():
            if count > (most or before[seq] + self._runs):
                self._find("doubled", f"{stream}: seq {seq} is there {count} times, before {before[seq]}")

    def _check_orders(self, stored: Counter[int], at: Position) -> dict[int, int]:
        keys = self._check_keys("orders", stored)
        at_bookmark = self._rows_at("orders", at) if at.value else Counter()
        for key, newest in self._journal.newest["orders"].items():
            has_come = newest.at < at.value or newest.seq in at_bookmark
            if has_come and keys.get(key, 0) < newest.seq and newest.seq not in self._aside:
                kind = "regressed" if key in keys else "lost"
                self._find(
                    kind, f"orders: the key {key} holds seq {keys.get(key)}, seq {newest.seq} has come"
                )
        if self._pipeline.source.is_sorted:
            # Of a key that came twice beyond it, the state remembers the newer row, which may be set aside.
            replaced = {self._journal.by_seq[seq].key for seq in at_bookmark if seq in self._aside}
            ahead = [
                seq
                for key, seq in keys.items()
                if self._journal.by_seq[seq].at > at.value and seq not in at_bookmark and key not in replaced
            ]
            if ahead:
                self._find("state", f"orders holds rows beyond the bookmark {at.value!r}: seq {ahead[:5]}")
        return keys

    def stored(self, stream: str) -> Counter[int]:
        """Return how often each version was in a table at the last check."""
        return self._before.rows.get(stream, Counter())

    def _check_flawed(self, rows: Mapping[str, Counter[int]]) -> None:
        """See that what breaks a rule is set aside once, and loaded never, and that nothing else is set aside."""
        source = self._pipeline.source
        for stream, stored in rows.items():
            if loaded := sorted(source.flawed & stored.keys()):
                self._find("wrong", f"{stream}: seq {loaded[:5]} are loaded, and break a rule")
        for seq, count in self._aside.items():
            if seq not in source.flawed | source.refused_by_store:
                self._find("lost", f"seq {seq} is set aside, and breaks no rule")
            stream = self._journal.by_seq[seq].stream
            has_key = stream == "orders" or (stream == "customers" and "keyless" not in self._mode.beside)
            if has_key and count > 1:
                self._find("doubled", f"{stream}: seq {seq} is set aside {count} times")

    def _check_complete(self, rows: Mapping[str, Counter[int]]) -> None:
        for stream in self._journal.versions:
            expected = Counter(version.seq for version in self._journal.current(stream))
            missing, extra = expected - rows[stream] - self._aside, rows[stream] - expected
            if stream != "events":  # where the newest version was set aside an older one stays
                newest = {key: version.seq for key, version in self._journal.newest[stream].items()}
                extra = Counter(
                    seq for seq in extra if newest.get(self._journal.by_seq[seq].key) not in self._aside
                )
            if stream != "events" and self._gone_may_stay:
                extra = Counter(seq for seq in extra if self._journal.by_seq[seq].key in newest)
            if stream != "events" and self._mode.appends:
                extra = Counter()  # `_check_appended` judges
            if missing:
                self._find(
                    "lost", f"{stream}: after a run that ended with 0, seq {list(missing)[:5]} is missing"
                )
            if extra:
                self._find(
                    "doubled", f"{stream}: after a run that ended with 0, seq {list(extra)[:5]} is too many"
                )

    # --- values --------------------------------------------------------------------------------------------

    def _is_right(
        self, stream: str, version: Version, types: Mapping[str, str], row: Mapping[str, str | None]
    ) -> bool:
        if version.stream != stream:
            self._find("wrong", f"{stream} holds a row of {version.stream} (seq {version.seq})")
            return False
        sent = {name: json.loads(text, parse_float=Decimal) for name, text in version.fields.items()}
        is_right = True
        for name in dict.fromkeys([*sent, *row]):
            if name.endswith(_BESIDE) and name.removesuffix(_BESIDE) in row:
                continue  # it is seen with its column
            if name == "pad":
                fits = row.get(name) == hashlib.md5(b"x" * version.padding).hexdigest()
                # A record of a stream without a key, or one that is appended, may leave it out.
                fits = fits or (row.get(name) is None and bool(self._pipeline.source.left_out))
            elif stream == "customers" and name == "badge" and name not in sent:
                # A field that no longer comes keeps what was stored: that of any earlier version.
                fits = row[name] is None or any(
                    _fits(
                        json.loads(earlier.fields.get("badge", "null"), parse_float=Decimal), name, row, types
                    )
                    for earlier in self._journal.versions["customers"]
                    if earlier.key == version.key and earlier.seq < version.seq
                )
            elif name not in row:
                fits = False
            else:
                fits = _fits(sent.get(name), name, row, types)
            if not fits:
                is_right = False
                self._find(
                    "wrong", f"{stream}.{name} of seq {version.seq}: the stored value is not the one sent"
                )
        return is_right

    def _is_kept(
        self, stream: str, version: Version, types: Mapping[str, str], row: Mapping[str, str | None]
    ) -> None:
        """Check a row of a table in which a field that a record leaves out keeps what is stored.

        That is the value of the row that was there at the last check, or of a version between that and this one.
        """
        seq, origins = self._origins.get((stream, version.key), (0, {}))
        if seq == version.seq:
            candidates_of = {name: [origins.get(name)] for name in types}
        else:
            between = [
                each
                for each in self._journal.versions[stream]
                if each.key == version.key and seq < each.seq < version.seq
            ]
            candidates_of = {
                name: [version]
                if name in version.fields
                else [*(each for each in reversed(between) if name in each.fields), origins.get(name)]
                for name in types
            }
            if self._mode.removes:  # a row that had gone begins without a value
                candidates_of = {
                    name: [*found, *([] if name in version.fields else [None])]
                    for name, found in candidates_of.items()
                }
        now: dict[str, Version | None] = {}
        for name, candidates in candidates_of.items():
            if name == "pad" or (name.endswith(_BESIDE) and name.removesuffix(_BESIDE) in row):
                continue
            for origin in candidates:
                sent = None if origin is None else json.loads(origin.fields[name], parse_float=Decimal)
                if _fits(sent, name, row, types):
                    now[name] = origin
                    break
            else:
                self._find(
                    "wrong",
                    f"{stream}.{name} of seq {version.seq}: the stored value is none that can be kept",
                )
        self._origins_now[stream, version.key] = version.seq, now

    # --- processes and files -------------------------------------------------------------------------------

    def _check_outcome(
        self, outcome: Outcome, tap_codes: frozenset[int], target_codes: frozenset[int]
    ) -> None:
        for name, code, words, allowed in (
            (self.tap, outcome.tap, outcome.tap_words, tap_codes),
            (self.target, outcome.target, outcome.target_words, target_codes),
        ):
            if code is None:
                self._find("bounds", f"{name} did not end in time")
            elif code not in allowed or (code < 0 and not outcome.struck):
                self._find("exit", f"{name} ended with {code}: {words}")
            elif code > 0 and not words.startswith(f"CRITICAL {name}: "):
                self._find("exit", f"{name} ended with {code} and its last words are: {words}")
        if "Traceback" in outcome.stderr:
            self._find("exit", f"a traceback: {outcome.stderr[outcome.stderr.index('Traceback') :][:2000]}")
        if outcome.maxrss > MEMORY:
            self._find("bounds", f"a process took {outcome.maxrss} KiB")
        pages = sum(map(len, self._journal.versions.values())) // self._pipeline.source.page_size + 3
        if outcome.requests > 10 * pages + 50:
            self._find("bounds", f"{outcome.requests} requests for {pages} pages")
        self._check_secrets("stderr", outcome.stderr)
        self._check_secrets("stdout", outcome.printed.decode("utf-8", "replace"))

    def _check_secrets(self, where: str, text: str) -> None:
        for canary in (TOKEN, PASSWORD):
            if canary in text:
                self._find("secret", f"{canary} in {where}")

    def _check_printed(self, outcome: Outcome, committed: State | None, *, is_last: bool) -> None:
        before: State | None = None
        lines = outcome.printed.split(b"\n")[:-1]
        for line in lines:
            state = self._state_of(line, "a line on stdout")
            if state is None:
                continue
            if before is not None:
                self._not_ahead("a line on stdout", before, state, "the line after it")
            self._not_ahead("a line on stdout", state, committed, "the database")
            before = state
        if (
            is_last
            and outcome.target == 0
            and committed is not None
            and before is not None
            and before.value != committed.value
        ):
            self._find("state", "the last line on stdout is not the committed state, after exit code 0")

    def _not_ahead(self, what: str, state: State, other: State | None, than: str) -> None:
        positions = other.positions if other else {}
        for stream, position in state.positions.items():
            behind = positions.get(stream, Position())
            if behind.is_before(position):
                self._find(
                    "state",
                    f"{what} is ahead of {than} in {stream}: {position.value or 'nothing'}, {behind.value or 'nothing'}",
                )

    def _check_files(self, committed: State | None) -> None:
        pipeline = self._pipeline
        path = pipeline.state_file
        if path.exists():
            state = self._state_of(path.read_bytes(), "the state file")
            if state is not None:
                self._not_ahead("the state file", state, committed, "the database")
        for folder in (path.parent, pipeline.folder / "schemas"):
            for file in folder.rglob("*"):
                if file.is_file():
                    self._check_secrets(file.name, file.read_text("utf-8", "replace"))

    def check_end(self) -> None:
        """Check what must hold after the last run, which was a success: no left-overs, the file is up to date.

        Raises:
            Violation: something is wrong.
        """
        self._findings = []
        path = self._pipeline.state_file
        left = [file.name for file in path.parent.iterdir() if file != path]
        if left:
            self._find("bounds", f"files are left over beside the state file: {left}")
        if path.exists():
            committed = self._read_committed()
            if committed is None or json.loads(path.read_bytes()) != committed.value:
                self._find("state", "the state file is not the committed state, after exit code 0")
        if self._findings:
            raise Violation(self._findings)


_SAID, _WHOLE = 8, 11


def _name_of(version: Version, *, is_partial: bool) -> str:
    """How a state remembers a row; with a key by the beginning of its hash and 32 bits of the key, if rows are whole."""
    if version.stream == "events" or is_partial:
        return _hash(version.raw, keeps_null=is_partial)
    bits = zlib.crc32(json.dumps(version.key).encode()).to_bytes(4)
    return _hash(version.raw)[:_SAID] + base64.urlsafe_b64encode(bits).rstrip(b"=").decode()


def _hash(raw: bytes, *, keeps_null: bool = False) -> str:
    """How a state remembers a row: 8 bytes of BLAKE2b over a zero byte and what the row says, in base64.

    ``keeps_null``: the rows leave out fields, and one that is null is another thing.
    """
    said = _said(json.loads(raw, parse_float=_Digits), keeps_null=keeps_null).encode()
    digest = hashlib.blake2b(b"\0" + said, digest_size=8).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class _Digits(str):
    """The text of a number with a point."""


def _said(value: Any, name: str = "", *, keeps_null: bool = False) -> str:
    """One way to write a value (decision 15): fields by name, no null, no zeros that say nothing."""
    if isinstance(value, dict):
        fields = [
            f"{json.dumps(key)}:{_said(value[key], key)}"
            for key in sorted(value)
            if keeps_null or value[key] is not None
        ]
        return "{" + ",".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_said, value)) + "]"
    if isinstance(value, _Digits):
        return value.rstrip("0").rstrip(".")
    if name in REPLICATION_KEY.values() and isinstance(value, str):
        value = value.removesuffix("Z").rstrip("0").rstrip(".") + "Z" if "." in value else value
    return json.dumps(value, ensure_ascii=False)


def _fits(sent: Any, name: str, row: Mapping[str, str | None], types: Mapping[str, str]) -> bool:
    """Tell whether a row has the value that was sent, in its column or, of another type, as text beside it."""
    beside = row.get(name + _BESIDE)
    if beside is None:
        try:
            return _equals(sent, row[name], types[name])
        except (ValueError, ArithmeticError):  # a text that is no number, say
            return False
    return row[name] is None and _is_text_of(sent, beside)


def _is_text_of(sent: Any, text: str) -> bool:
    """Tell whether text is the text that was sent, or the JSON of anything else."""
    if isinstance(sent, str):
        return text == sent
    try:
        return sent is not None and _same(sent, json.loads(text, parse_float=Decimal))
    except ValueError:
        return False


def _equals(sent: Any, stored: str | None, column_type: str) -> bool:
    """Tell whether a column's text is the value that was sent, to the last digit."""
    if sent is None or stored is None:
        return sent is None and stored is None
    if column_type == "json" and isinstance(sent, Decimal):
        return (
            Decimal(stored) == sent
        )  # of DuckDB: it was in a column of decimals before, which keeps no zeros
    if column_type in ("jsonb", "json"):
        return _same(sent, json.loads(stored, parse_float=Decimal))
    if isinstance(sent, dict | list):
        return _is_text_of(sent, stored)
    if isinstance(sent, bool):
        return stored == ("true" if sent else "false")
    if isinstance(sent, int | Decimal):
        number = Decimal(stored)
        has_own_scale = isinstance(sent, Decimal) and not column_type.startswith("decimal(")
        return number == sent and (not has_own_scale or number.as_tuple() == sent.as_tuple())
    if column_type == "timestamp with time zone":
        return datetime.fromisoformat(stored) == datetime.fromisoformat(sent)
    return bool(stored == sent)


def _same(sent: Any, stored: Any) -> bool:
    if type(sent) is not type(stored):
        return False
    if isinstance(sent, dict):
        return sent.keys() == stored.keys() and all(_same(sent[key], stored[key]) for key in sent)
    if isinstance(sent, list):
        return len(sent) == len(stored) and all(map(_same, sent, stored))
    if isinstance(sent, Decimal):
        return sent.as_tuple() == stored.as_tuple()
    return bool(sent == stored)
