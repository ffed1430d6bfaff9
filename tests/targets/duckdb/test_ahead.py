"""Blocks that another process decodes ahead: the same rows, states, letters, errors and sentences as of blocks that are decoded in their turn."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import mmap
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import duckdb
import pytest
from sampling import tries
from targets.duckdb.test_beside import EACH, Message, Pieces, content, piece, record, schema, state

from singerkit_quality.judge import Judge
from singerkit_quality.rules import rules_of
from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target import ahead, aheadprocess
from singerkit_sql_target import stage as stages
from singerkit_sql_target.ahead import Ahead
from singerkit_sql_target.loader import SqlLoader
from singerkit_sql_target.settings import Settings
from singerkit_state.lineage import WaysOut
from singerkit_target import lookahead
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from singerkit_wire.conflicts import Conflicts, OnConflict
from target_duckdb.connect import DuckDialect

LOG = logging.getLogger("ahead")
OURS = ("_sdc_received_at", "_sdc_batched_at", "_sdc_sync_started_at", "_sdc_sequence")
"""Columns that say when a run was."""


class Run:
    """One run; ``looks`` is called with the loader before each piece is read."""

    def __init__(
        self,
        file: Path,
        pieces: Sequence[bytes] = (),
        *,
        is_ahead: bool = True,
        settings: Settings | None = None,
        judgement: Judgement | None = None,
        limits: Limits = EACH,
        source: IO[bytes] | None = None,
        stdout: io.StringIO | None = None,
        rules: Sequence[dict[str, Any]] = (),
        looks: Callable[[Ahead, int], None] = lambda _ahead, _number: None,
    ) -> None:
        dialect = DuckDialect(file)
        if not is_ahead:
            dialect.encode_ahead = None
        stdout, stop = stdout or io.StringIO(), StopFlag()
        ways = lambda _pipeline: WaysOut(("target-duckdb",))  # noqa: E731
        loader = SqlLoader(dialect, settings or Settings(schema="main"), LOG, ways=ways, stop=stop)
        load = Load(
            loader,
            judgement or Judgement(),
            limits,
            Publisher(None, stdout),
            stop,
            LOG,
            missing_fields="keep",
            ways=ways,
            judge=Judge(rules_of({"s": rules})) if rules else None,
        )
        self.ahead = loader._ahead
        self.error: BaseException | None = None
        try:
            load.run(source or Pieces(pieces, lambda number: looks(self.ahead, number)))
        except SingerkitError as error:
            self.error = error
        self.printed = [json.loads(line) for line in stdout.getvalue().splitlines()]
        self.judged, self.broken = load.summary.done.judged, load.summary.done.broken
        self.moved = load.summary.moved.copy()

    def blocks(self) -> tuple[int, int]:
        """How many blocks came ready, and how many did not."""
        recipes = self.ahead._recipes.values()
        return sum(one.made for one in recipes), sum(one.refused for one in recipes)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_FIRST_BLOCKS", 0)
    monkeypatch.setattr(ahead, "_cores", lambda: 2)
    monkeypatch.setattr(lookahead, "_LEAST_BYTES", 1)


class Thread:
    """What the process does, in a thread: it is there at once, and costs nothing."""

    def __init__(self, connection: int, memory: int) -> None:
        theirs, shared = Connection(os.dup(connection)), mmap.mmap(memory, 0)

        def serve() -> None:
            with contextlib.suppress(EOFError, OSError), theirs:
                aheadprocess.serve(theirs, shared, ahead._ROOM)

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def wait(self, _seconds: float | None = None) -> int:
        self._thread.join()
        return 0


@dataclass
class Gate:
    """``is_shut``: no block is decoded until somebody waits for it."""

    is_shut: bool = False

    def __post_init__(self) -> None:
        self.waited_for = threading.Event()


@pytest.fixture
def in_thread(small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    begin, answer, close, made_of = Ahead._start, Ahead.answer, Ahead.close, aheadprocess.made_of

    def started(one: Ahead) -> None:
        begin(one)
        assert one._take_one(60)  # it is ready

    def answered(one: Ahead, asked: Any) -> Any:
        gate.waited_for.set()
        found = answer(one, asked)
        gate.waited_for.clear()
        return found

    def closed(one: Ahead) -> None:
        gate.waited_for.set()
        close(one)
        gate.waited_for.clear()

    def made(*arguments: Any) -> Any:
        if gate.is_shut:
            gate.waited_for.wait(60)
        return made_of(*arguments)

    monkeypatch.setattr(ahead, "begin_process", Thread)
    monkeypatch.setattr(Ahead, "_start", started)
    monkeypatch.setattr(Ahead, "answer", answered)
    monkeypatch.setattr(Ahead, "close", closed)
    monkeypatch.setattr(aheadprocess, "made_of", made)
    return gate


# --- a random model --------------------------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "t": {"type": ["string", "null"]},
    "n": {"type": ["number", "null"]},
    "i": {"type": ["integer", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "d": {"type": ["object", "null"]},
    "short": {"type": ["string", "null"], "maxLength": 3},
}
VALUES: dict[str, Sequence[str]] = {
    "t": ['"a"', '""', '"\\u00fc\\n\\"/\\\\"', '"\\u0000"', '"null"', "null", '"\\ud83d\\ude00"', '"東京"'],
    "n": ["1", "1.5", "-0.0", "1e3", "123456789012345678901234567.123456789", "0.1234567890", "null", "1E-9"],
    "i": ["0", "-9223372036854775808", "7", "null"],
    "at": ['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00:00.123456+02:00"', '"2026-01-01T00:00:00"', "null"],
    "d": ['{"a": [1, {"b": null}]}', "{}", "null"],
    "short": ['"abc"', '""', "null"],
}
ODD: dict[str, Sequence[str]] = {
    "t": ["1", '"\\ud800"', '{"a": 1}'],
    "n": ['"1"', "1e99", "0.12345678901", "true", "NaN"],
    "i": ["9223372036854775808", "1.5", "7.0", "99999999999999999999999"],
    "at": [
        '"2026-01-01T00:00:00.1234567Z"',
        '"2026-01-01 00:00:00"',
        '"yesterday"',
        '"9999-12-31T23:59:59.9999999Z"',
    ],
    "d": ['"text"', '{"a": 1, "a": 2}'],
    "short": ['"abcd"'],
}


def line(roll: random.Random, odd: float) -> bytes:
    """A RECORD line, one in some with something that the fast path does not take, or leaves out a field."""
    values = {
        name: roll.choice(ODD[name] if roll.random() < odd / 6 else VALUES[name])
        for name in FIELDS
        if roll.random() >= odd / 12
    }
    if roll.random() < odd / 10:
        values["more"] = "1"
    beside = roll.choice(
        ["", "", ', "version": 1', ', "version": 2', ', "time_extracted": "2026-01-01T00:00:00Z"']
    )
    fields = "".join(f', "{name}": {value}' for name, value in values.items())
    return f'{{"type": "RECORD", "stream": "s", "record": {{"id": {roll.randrange(9)}{fields}}}{beside}}}'.encode()


def story(roll: random.Random, odd: float) -> list[bytes]:
    """Pieces of input: mostly rows and STATEs, and now and then a SCHEMA, a version, or a line that is none."""
    declared: Message = {
        "type": "SCHEMA",
        "stream": "s",
        "schema": {"properties": {"id": {"type": "integer"}, **FIELDS}},
        "key_properties": roll.choice([["id"], []]),
    }
    pieces = [piece(declared)]
    for number in range(roll.randrange(6, 16)):
        lines = [line(roll, odd) for _ in range(roll.randrange(1, 6))]
        if roll.random() < 0.3:
            lines.append(json.dumps(state(number)).encode())
            lines += [line(roll, odd) for _ in range(roll.randrange(2))]
        if roll.random() < odd / 16:
            lines.append(roll.choice([b"nonsense", b'{"type": "RECORD"}', lines[0] + b" x", lines[0] * 2]))
        if roll.random() < 0.1:
            more: Message = declared["schema"]["properties"] | {f"c{number}": {"type": ["integer", "null"]}}
            lines.append(json.dumps(declared | {"schema": {"properties": more}}).encode())
        if roll.random() < 0.1:
            lines.append(b'{"type": "ACTIVATE_VERSION", "stream": "s", "version": 2}')
        pieces.append(b"".join(one + b"\n" for one in lines))
        if roll.random() < 0.15:
            pieces.append(b"\n")  # all that has come for a while
    return [*pieces, piece(state(99))]


def told(file: Path) -> dict[str, Any]:
    """What stands in all tables, but for when the run was; of rows without a key also their order."""
    found = content(file)
    with duckdb.connect(str(file)) as connection:
        names = [name for (name, *_) in connection.execute("DESCRIBE s").fetchall()]
        [(key,)] = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 's'").fetchall()
        order = "id" if '"id"' in str(key) else "_sdc_sequence" if "_sdc_sequence" in names else "rowid"
        kept = ", ".join(f'"{name}"' for name in names if name not in OURS)
        found["s"] = connection.execute(f"SELECT {kept} FROM s ORDER BY {order}").fetchall()
    return found


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, but for seconds: other tests may have singer-sdk's metrics logged as well."""
    return [one for one in caplog.messages if not one.startswith("METRIC: ")]


BESIDE = Conflicts(lambda _stream, _field: OnConflict.VARIANT, takes_unstorable=True)
KEPT = {"rule": "range", "field": "i", "max": 7}
BROKEN = [
    {"rule": "accepted", "field": "t", "values": ["a", "", "null", "\U0001f600"], "on": "quarantine"},
    {"rule": "not_null", "field": "d", "on": "warn"},
]
"""Rules of quality: one that hardly a row breaks, and some that many do."""


def test_blocks_come_to_the_same_in_whatever_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, in_thread: Gate
) -> None:
    came_ready = came_not = judged_there = 0
    for seed in range(tries(8)):
        roll = random.Random(seed)
        pieces = story(roll, (0.1, 1, 0.3, 0)[seed % 4])
        settings = Settings(
            schema="main",
            with_metadata=roll.random() < 0.5,
            deletes_marked=roll.random() < 0.3,
            conflicts=roll.choice([BESIDE, Conflicts()]),
        )
        judgement = Judgement(
            quarantine=roll.random() < 0.8, with_metadata=settings.with_metadata, conflicts=settings.conflicts
        )
        monkeypatch.setattr(stages, "_ENCODED_ROWS", roll.choice([1, 1000]))
        commit_rows = roll.choice([1, 4, 1000])
        in_thread.is_shut = roll.random() < 0.5
        rules = roll.choice([[], [KEPT], [KEPT], [KEPT, *BROKEN]])
        found: list[Any] = []
        for is_ahead in (False, True):
            file = tmp_path / f"{seed}-{is_ahead}.duckdb"
            caplog.clear()
            run = Run(
                file,
                pieces,
                is_ahead=is_ahead,
                settings=settings,
                judgement=judgement,
                limits=replace(EACH, commit_rows=commit_rows),
                rules=rules,
            )
            error = str(run.error).replace(str(file), "FILE")
            messages = [one.replace(str(file), "FILE") for one in said(caplog)]
            found.append(
                (
                    run.printed,
                    told(file),
                    type(run.error),
                    error,
                    messages,
                    (run.judged, run.broken, run.moved),
                )
            )
        assert found[0] == found[1], seed
        ready, not_ready = run.blocks()
        came_ready, came_not = came_ready + ready, came_not + not_ready
        judged_there += sum(one.made for one in run.ahead._recipes.values() if one.look is not None)
    assert came_ready > 8
    assert judged_there > 3
    assert came_not > 2


@pytest.mark.parametrize("with_metadata", [True, False])
def test_of_rows_with_one_key_the_last_one_counts_in_whichever_blocks_they_are(
    tmp_path: Path, in_thread: Gate, *, with_metadata: bool
) -> None:
    pieces = [piece(*(record(m % 3, t=f"{n}-{m}") for m in range(5))) for n in range(6)]
    run = Run(
        tmp_path / "w.duckdb",
        [piece(schema()), *pieces, piece(state(1))],
        settings=Settings(schema="main", with_metadata=with_metadata),
        judgement=Judgement(with_metadata=with_metadata),
    )
    assert run.blocks() == (6, 0)
    assert [row[:2] for row in sorted(told(tmp_path / "w.duckdb")["s"])] == [
        (0, "5-3"),
        (1, "5-4"),
        (2, "5-2"),
    ]


@pytest.mark.parametrize("versions", [[1, 1, 3], [1, None, 2], [1, 1, 2]])
def test_what_is_said_of_versions_is_known_of_blocks_that_nobody_has_looked_at(
    tmp_path: Path, in_thread: Gate, caplog: pytest.LogCaptureFixture, versions: list[int | None]
) -> None:
    pieces = [
        piece(
            *(record(10 * n + m, t="a") | ({} if of is None else {"version": of}) for m in range(2)), state(n)
        )
        for n, of in enumerate(versions)
    ]
    activate: Message = {"type": "ACTIVATE_VERSION", "stream": "s", "version": 2}
    found: list[Any] = []
    for is_ahead in (False, True):
        caplog.clear()
        file = tmp_path / f"{is_ahead}.duckdb"
        run = Run(
            file,
            [piece(schema()), *pieces, piece(activate, state(9))],
            is_ahead=is_ahead,
            settings=Settings(schema="main", with_metadata=True),
            judgement=Judgement(with_metadata=True),
        )
        found.append((told(file), said(caplog)))
        assert run.blocks() == ((3, 0) if is_ahead else (0, 0))
    assert found[0] == found[1]


def test_a_value_beside_its_column_is_counted_once_however_the_blocks_behind_it_are_decoded(
    tmp_path: Path, in_thread: Gate
) -> None:
    fields = {"id": {"type": "integer"}, "b": {"type": ["boolean", "null"]}}
    declared: Message = {
        "type": "SCHEMA",
        "stream": "s",
        "schema": {"properties": fields},
        "key_properties": ["id"],
    }
    odd, plain = [12.0, True], [True, False]
    blocks = [odd, *[plain] * 14, odd, *[plain] * 4]
    pieces = [
        piece(*(record(10 * n + m, b=value) for m, value in enumerate(block)))
        for n, block in enumerate(blocks)
    ]
    run = Run(
        tmp_path / "w.duckdb",
        [piece(declared), *pieces, piece(state(1))],
        settings=Settings(schema="main", conflicts=BESIDE),
        judgement=Judgement(conflicts=BESIDE),
    )
    assert run.blocks()[0] > 2
    assert sum(run.moved.values()) == 2


# --- the process itself ----------------------------------------------------------------------------------------

BLOCKS = 12


def pieces_of_rows() -> list[bytes]:
    rows = [piece(*(record(10 * n + m, t=f"row {m}") for m in range(10)), state(n)) for n in range(BLOCKS)]
    return [piece(schema(key=())), *rows]


ROWS = [(10 * n + m, f"row {m}") for n in range(BLOCKS) for m in range(10)]


def wait_until_ready(one: Ahead, number: int) -> None:
    if number == 3:
        assert one._take_one(60)


def test_a_process_decodes_blocks_and_ends_with_the_run(tmp_path: Path, small_blocks: None) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def looks(one: Ahead, number: int) -> None:
        wait_until_ready(one, number)
        if number == 3:
            assert one._process is not None
            begun.append(one._process)

    run = Run(tmp_path / "w.duckdb", pieces_of_rows(), looks=looks)
    assert run.error is None
    assert content(tmp_path / "w.duckdb")["s"] == ROWS
    assert run.printed == [{"at": n} for n in range(BLOCKS)]
    ready, not_ready = run.blocks()
    assert (ready > BLOCKS // 2, not_ready) == (True, 0)
    assert begun[0].returncode == 0


@pytest.mark.parametrize("trouble", ["killed", "stopped", "none to be had", "no such module"])
def test_without_the_process_rows_are_decoded_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    small_blocks: None,
    trouble: str,
) -> None:
    monkeypatch.setattr(ahead, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(ahead, "_END_SECONDS", 60)

    def looks(one: Ahead, number: int) -> None:
        if trouble in ("killed", "stopped"):
            wait_until_ready(one, number)
        if number == 5 and trouble in ("killed", "stopped"):
            assert one._process is not None
            one._process.send_signal(signal.SIGKILL if trouble == "killed" else signal.SIGSTOP)
        elif number == 5 and trouble == "no such module":
            assert one._process is not None
            one._process.wait(60)

    if trouble == "none to be had":

        def refused(_connection: int, _memory: int) -> None:
            raise BlockingIOError("no more processes")

        monkeypatch.setattr(ahead, "begin_process", refused)
    if trouble == "no such module":
        monkeypatch.setattr(ahead, "_MODULE", "singerkit_sql_target.no_such")
    caplog.set_level(logging.INFO)
    run = Run(tmp_path / "w.duckdb", pieces_of_rows(), looks=looks)
    assert run.error is None
    assert content(tmp_path / "w.duckdb")["s"] == ROWS
    assert run.printed == [{"at": n} for n in range(BLOCKS)]
    assert [one for one in caplog.messages if "decodes rows ahead has ended, or gives no answer" in one] != []


def test_a_signal_is_not_kept_waiting_by_a_process_that_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    monkeypatch.setattr(ahead, "_ANSWER_SECONDS", 600)

    def looks(one: Ahead, number: int) -> None:
        wait_until_ready(one, number)
        if number == 5:
            assert one._process is not None
            one._process.send_signal(signal.SIGSTOP)
            one._stop = StopFlag()
            one._stop._on_signal(signal.SIGTERM, None)

    run = Run(tmp_path / "w.duckdb", pieces_of_rows(), looks=looks)
    assert run.error is None
    assert content(tmp_path / "w.duckdb")["s"] == ROWS


def test_a_folder_with_modules_of_our_names_is_not_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    (tmp_path / "msgspec.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path / "w.duckdb", pieces_of_rows(), looks=wait_until_ready)
    assert run.blocks()[0] > 0
    assert not (tmp_path / "imported").exists()


def test_a_stream_whose_blocks_do_not_come_ready_is_asked_for_no_more(
    tmp_path: Path, in_thread: Gate
) -> None:
    """Each holds a record that is to be set aside, so that the process works for nothing."""
    short = {"type": ["string", "null"], "maxLength": 3}
    pieces = [piece(record(n, t="a", short="abcd"), record(n, t="a", short="a"), state(n)) for n in range(30)]
    run = Run(
        tmp_path / "w.duckdb",
        [piece(schema(short=short)), *pieces],
        judgement=Judgement(quarantine=True),
    )
    ready, not_ready = run.blocks()
    assert (ready, 3 <= not_ready <= 12) == (0, True)
    assert len(content(tmp_path / "w.duckdb")["s"]) == 30


def test_digits_of_a_second_that_are_rounded_are_so_in_the_process_too(
    tmp_path: Path, in_thread: Gate
) -> None:
    at = {"type": "string", "format": "date-time"}
    pieces = [piece(record(n, t="a", at=f"2026-01-01T00:00:00.12345{n % 10}7Z"), state(n)) for n in range(30)]
    run = Run(tmp_path / "w.duckdb", [piece(schema(at=at)), *pieces])
    assert run.blocks()[0] > 5


def test_what_has_come_by_itself_does_not_wait_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_thread: Gate
) -> None:
    """A tap that pauses behind a STATE sees it told, though its rows could wait for their turn."""
    in_thread.is_shut = True
    read_end, write_end = os.pipe()
    is_declared = threading.Event()
    declare = SqlLoader.declare

    def declared(loader: SqlLoader, stream: Any) -> Any:
        is_declared.set()
        return declare(loader, stream)

    def tap() -> None:
        os.write(write_end, piece(schema()))
        assert is_declared.wait(60)
        os.write(write_end, piece(record(1, t="a"), state(1)))

    class Told(io.StringIO):
        def write(self, text: str) -> int:
            os.close(write_end)
            return super().write(text)

    monkeypatch.setattr(SqlLoader, "declare", declared)
    sends, ends = threading.Thread(target=tap), threading.Timer(60, os.close, [write_end])
    sends.start()
    ends.start()
    with open(read_end, "rb") as source:
        run = Run(
            tmp_path / "w.duckdb", source=source, stdout=Told(), limits=replace(EACH, wait_seconds=0.02)
        )
    assert ends.is_alive()
    ends.cancel()
    sends.join()
    assert (run.error, run.blocks()[0]) == (None, 1)
