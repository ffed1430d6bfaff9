"""Commits beside the rows behind them: the same rows, states and errors as one after the other, in the worst order of the two threads.

A commit under way stands still until somebody waits for it, so that all that can be done meanwhile is done.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import duckdb
import pytest

from singerkit_shell.errors import BadDataError, CannotWriteError, SingerkitError, Stopped
from singerkit_shell.signals import StopFlag
from singerkit_sql_target import loader as loaders
from singerkit_sql_target import stage as stages
from singerkit_sql_target.beside import Beside
from singerkit_sql_target.loader import SqlLoader
from singerkit_sql_target.settings import Settings
from singerkit_state.lineage import WaysOut
from singerkit_target import load as loads
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_duckdb.connect import DuckDialect

LOG = logging.getLogger("beside")
PIECE = 64
EACH = Limits(commit_rows=1, chunk_bytes=PIECE, commit_seconds=10**9)

Message = dict[str, Any]


def schema(stream: str = "s", key: Sequence[str] = ("id",), **more: Any) -> Message:
    properties = {"id": {"type": "integer"}, "t": {"type": ["string", "null"]}, **more}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"properties": properties},
        "key_properties": list(key),
    }


def record(id_: Any, stream: str = "s", **more: Any) -> Message:
    return {"type": "RECORD", "stream": stream, "record": {"id": id_, **more}}


def state(at: int) -> Message:
    return {"type": "STATE", "value": {"at": at}}


@dataclass
class Gate:
    """Holds each commit in the other thread until somebody waits for it; ``trouble`` is raised there in its place."""

    trouble: BaseException | None = None

    def __post_init__(self) -> None:
        self.open = threading.Event()
        self.reached = 0

    def pass_through(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.reached += 1
            assert self.open.wait(60)
            if self.trouble is not None:
                raise self.trouble


class Pieces(io.BytesIO):
    """Input of which each piece is read by itself; ``before`` is called with the number of the next one."""

    def __init__(self, pieces: Sequence[bytes], before: Callable[[int], None]) -> None:
        super().__init__()
        self._pieces, self._before, self._at = pieces, before, 0

    def read(self, _size: int | None = -1, /) -> bytes:
        self._before(self._at)
        self._at += 1
        return self._pieces[self._at - 1] if self._at <= len(self._pieces) else b""


def piece(*messages: Message) -> bytes:
    """A piece of input that fills a chunk, so that the target has more to read."""
    text = "".join(json.dumps(one) + "\n" for one in messages)
    return (text + "\n" * (PIECE - len(text))).encode()


class Run:
    """One run; ``beside`` is whether commits go on beside the rows."""

    def __init__(
        self,
        file: Path,
        *pieces: bytes,
        gate: Gate | None = None,
        beside: bool = True,
        limits: Limits = EACH,
        judgement: Judgement | None = None,
        before: Callable[[Run, int], None] = lambda _run, _number: None,
        source: IO[bytes] | None = None,
        stdout: io.StringIO | None = None,
    ) -> None:
        dialect = DuckDialect(file)
        dialect.works_beside = beside
        self.stdout, self.stop = stdout or io.StringIO(), StopFlag()
        self.gate = gate or Gate()
        ways = lambda _pipeline: WaysOut(("target-duckdb",))  # noqa: E731
        self.loader = SqlLoader(dialect, Settings(schema="main"), LOG, ways=ways, stop=self.stop)
        load = Load(
            self.loader,
            judgement or Judgement(),
            limits,
            Publisher(None, self.stdout),
            self.stop,
            LOG,
            missing_fields="keep",
            ways=ways,
        )
        self.error: BaseException | None = None
        self.load = load
        with self._patched():
            try:
                load.run(source or Pieces(pieces, lambda number: before(self, number)))
            except (SingerkitError, MemoryError) as error:
                self.error = error
        assert [thread.name for thread in threading.enumerate() if thread.name == "committing"] == []

    def _patched(self) -> Any:
        gate, patch = self.gate, pytest.MonkeyPatch()
        committed, wait = SqlLoader._committed, Beside.wait

        def held(loader: SqlLoader, *arguments: Any) -> Any:
            gate.pass_through()
            return committed(loader, *arguments)

        def waited_for(beside: Beside) -> None:
            gate.open.set()
            wait(beside)
            gate.open.clear()

        patch.setattr(SqlLoader, "_committed", held)
        patch.setattr(Beside, "wait", waited_for)
        return _undone(patch)

    @property
    def printed(self) -> list[int]:
        return [json.loads(line)["at"] for line in self.stdout.getvalue().splitlines()]


class _undone:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def content(file: Path) -> dict[str, Any]:
    """All tables, in their order, and what the state row says."""
    with duckdb.connect(str(file)) as connection:
        names = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        found: dict[str, Any] = {}
        for (name,) in names:
            if not name.startswith("_singerkit"):
                found[name] = connection.execute(f'SELECT * FROM "{name}"').fetchall()
        if ("_singerkit_rejects",) in names:
            found["letters"] = connection.execute(
                "SELECT line, path FROM _singerkit_rejects ORDER BY 1"
            ).fetchall()
        found["state"] = connection.execute("SELECT sequence, state FROM _singerkit_state").fetchall()
        return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_rows_are_taken_while_a_commit_is_under_way_and_its_state_is_told_behind_it(file: Path) -> None:
    seen: list[Any] = []

    def before(run: Run, number: int) -> None:
        seen.append((number, run.loader.is_committing(), run.printed, run.loader._stage.held > 0))

    run = Run(
        file,
        piece(schema(), record(1), state(1)),
        piece(record(2)),
        piece(record(3)),
        piece(state(3)),
        before=before,
    )
    assert run.error is None
    assert seen == [
        (0, False, [], False),
        (1, True, [], False),
        (2, True, [], True),
        (3, True, [], True),
        (4, True, [1], False),
    ]
    assert run.printed == [1, 3]
    assert content(file) == {"s": [(1, None), (2, None), (3, None)], "state": [(2, '{"at": 3}')]}


def test_who_sends_no_more_waits_for_no_state(file: Path) -> None:
    """A piece that fills no chunk is all that there is: the commit is waited for at once."""
    read_end, write_end = os.pipe()
    told: list[str] = []

    class Told(io.StringIO):
        def write(self, text: str) -> int:
            if not told:
                os.close(write_end)
            told.append(text)
            return len(text)

    os.write(write_end, piece(schema(), record(1), state(1))[:-1] + b"\n")
    ends = threading.Timer(60, os.close, [write_end])
    ends.start()
    with open(read_end, "rb") as source:
        Run(file, source=source, stdout=Told(), limits=replace(EACH, chunk_bytes=1 << 20, wait_seconds=0.02))
    assert ends.is_alive()
    ends.cancel()
    assert told == ['{"at": 1}\n']


@pytest.mark.parametrize(
    ("trouble", "raised"),
    [
        (duckdb.IOException("No space left on device"), CannotWriteError),
        (duckdb.ConstraintException("CHECK constraint failed: s"), BadDataError),
        (MemoryError(), MemoryError),
        (None, BadDataError),
    ],
    ids=["disk", "constraint", "memory", "CHECK of a table"],
)
@pytest.mark.parametrize(
    "behind",
    [
        [piece(record(2)), piece(state(2))],
        [piece(record(2), state(2), record("bad"))],
        [piece(record(2)), piece(schema(more={"type": "string"}), record(3), state(3))],
        [piece(record(2), state(2)), piece({"type": "NONSENSE"}), piece(record(4), state(4))],
    ],
    ids=["a STATE", "a bad record", "a new column", "another commit"],
)
def test_nothing_behind_a_commit_that_fails_is_ever_committed(
    file: Path,
    caplog: pytest.LogCaptureFixture,
    trouble: BaseException | None,
    raised: type[BaseException],
    behind: list[bytes],
) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE s (id BIGINT CHECK (id < 100), t VARCHAR)")
    first = 100 if trouble is None else 1
    gate = Gate(None if trouble is None else _of_driver(trouble))
    run = Run(file, piece(schema(), record(first), state(1)), *behind, gate=gate)
    assert gate.reached == 1
    assert isinstance(run.error, raised)
    assert (run.printed, caplog.messages) == ([], [])
    found = content(file)
    assert (found["s"], found["state"]) == ([], [(0, None)])


def _of_driver(trouble: BaseException) -> BaseException:
    """An error of the driver comes out of a commit as ours."""
    if isinstance(trouble, duckdb.Error):
        return DuckDialect(Path("w.duckdb")).error(trouble, "committing")
    return trouble


@pytest.mark.parametrize("was_committed", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_for_and_rows_behind_it_go_on(
    file: Path, monkeypatch: pytest.MonkeyPatch, *, was_committed: bool
) -> None:
    executed = duckdb_session().execute
    lost: list[str] = []

    def execute(session: Any, statement: str, parameters: Sequence[Any] = ()) -> Any:
        in_thread = threading.current_thread() is not threading.main_thread()
        if statement == "COMMIT" and in_thread and not lost:
            lost.append(statement)
            if was_committed:
                executed(session, statement, parameters)
            raise duckdb.IOException("no answer")
        return executed(session, statement, parameters)

    monkeypatch.setattr(duckdb_session(), "execute", execute)
    run = Run(file, piece(schema(), record(1), state(1)), piece(record(2)), piece(record(3), state(3)))
    assert lost == ["COMMIT"]
    if was_committed:
        assert (run.error, run.printed) == (None, [1, 3])
        assert content(file)["s"] == [(1, None), (2, None), (3, None)]
    else:
        assert isinstance(run.error, CannotWriteError)
        assert (run.printed, content(file)["s"]) == ([], [])


def duckdb_session() -> Any:
    from target_duckdb import connect

    return connect._DuckSession


@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_while_a_commit_is_under_way_keeps_it(file: Path, times: int) -> None:
    """The first one keeps what is behind it up to the last STATE, too; a second gives that up."""

    def before(run: Run, number: int) -> None:
        if number == 3:
            assert run.loader.is_committing()
            for _ in range(times):
                run.stop._on_signal(signal.SIGTERM, None)

    pieces = [
        piece(schema(), record(1), record(2), state(2)),
        piece(record(3)),
        piece(state(3)),
        piece(record(4)),
    ]
    run = Run(file, *pieces, before=before, limits=replace(EACH, commit_rows=2))
    assert isinstance(run.error, Stopped)
    kept = 3 if times == 1 else 2
    assert run.printed == [2, 3][: kept - 1]
    assert [id_ for id_, _ in content(file)["s"]] == [*range(1, kept + 1)]


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> Limits:
    monkeypatch.setattr(loaders, "_ENOUGH_ROWS", 2)
    return replace(EACH, commit_rows=10**6, commits_early=True)


@pytest.mark.parametrize(
    ("key", "stored", "units"),
    [
        ((), 100, [1, 2, 3, 4, 5]),
        (("id",), 6, [1, 2, 3, 4, 5]),
        (("id",), 16, [1, 3, 5]),
        (("id",), 17, [2, 4, 5]),
        (("id",), 1000, [5]),
    ],
)
def test_a_unit_is_committed_early_where_it_is_no_small_part_of_what_is_stored(
    file: Path, early: Limits, key: Sequence[str], stored: int, units: list[int]
) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE s (id BIGINT, t VARCHAR)")
        connection.execute(f"INSERT INTO s SELECT range, 'x' FROM range(1000, {1000 + stored})")
    pieces = [piece(schema(key=key))]
    pieces += [piece(record(2 * n), record(2 * n + 1), state(n + 1)) for n in range(5)]
    # One that ends at once leaves the next unit no reason to wait.
    run = Run(file, *pieces, limits=early, before=lambda run, _number: run.loader._beside.wait())
    assert run.error is None
    assert run.printed == units
    assert len(content(file)["s"]) == stored + 10
    assert content(file)["state"] == [(len(units), '{"at": 5}')]


def test_a_unit_does_not_grow_on_and_on_behind_a_commit_that_takes_long(file: Path, early: Limits) -> None:
    """Each takes until it is waited for: the last one would have nothing beside it."""
    pieces = [piece(schema(key=())), *(piece(record(n), record(-n), state(n)) for n in range(1, 8))]
    assert Run(file, *pieces, limits=early).printed == [1, 3, 5, 7]


def test_units_are_not_committed_early_where_somebody_has_said_when(file: Path, early: Limits) -> None:
    pieces = [piece(schema()), *(piece(record(n), record(-n), state(n)) for n in range(1, 6))]
    said = replace(early, commits_early=False)
    assert Run(file, *pieces, limits=said).printed == [5]


# --- a random model --------------------------------------------------------------------------------------------


def story(roll: random.Random) -> tuple[list[bytes], int | None]:
    """Pieces of input, and before which of them a signal comes."""
    pieces, at = [], 0
    columns: dict[str, Any] = {}
    declared: set[str] = set()
    for _ in range(roll.randrange(3, 14)):
        messages: list[Message] = []
        for _ in range(roll.randrange(1, 6)):
            stream = roll.choice(["s", "s", "k"])
            what = roll.random()
            if stream not in declared or what < 0.12:
                columns |= (
                    {f"c{roll.randrange(3)}": {"type": ["integer", "null"]}} if roll.random() < 0.5 else {}
                )
                messages.append(schema(stream, ["id"] if stream == "s" else [], **columns))
                declared.add(stream)
            elif what < 0.17:
                messages.append(record(roll.choice(["no", None, 1.5]), stream))
            elif what < 0.2:
                messages.append(record(roll.randrange(10**19, 10**20), stream))
            elif what < 0.6:
                more = {name: roll.randrange(9) for name in columns if roll.random() < 0.7}
                messages.append(record(roll.randrange(12), stream, t=roll.choice("abc"), **more))
            else:
                at += 1
                messages.append(state(at))
        pieces.append(piece(*messages))
    return pieces, roll.randrange(len(pieces)) if roll.random() < 0.15 else None


@pytest.mark.parametrize("seed", range(8))
def test_what_is_stored_told_and_raised_is_the_same_as_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    roll = random.Random(seed)
    pieces, stopped = story(roll)
    monkeypatch.setattr(stages, "_HELD_BYTES", roll.choice([1, 300, 1 << 20]))
    monkeypatch.setattr(stages, "_ENCODED_ROWS", roll.choice([1, 1000]))
    limits = replace(EACH, commit_rows=roll.choice([1, 1, 4]))
    judgement = Judgement(quarantine=roll.random() < 0.5)

    def stop(run: Run, number: int) -> None:
        if number == stopped:
            run.stop._on_signal(signal.SIGTERM, None)

    came: list[Any] = []
    for beside in (False, True):
        file = tmp_path / f"{beside}.duckdb"
        run = Run(file, *pieces, beside=beside, limits=limits, judgement=judgement, before=stop)
        came.append((run.printed, content(file), type(run.error), str(run.error).replace(str(file), "FILE")))
    assert came[0] == came[1]


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "awaited"])
def test_the_file_is_opened_once_where_the_input_is_there(
    tmp_path: Path, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open and close it takes as long as a short run else does; who waits for input leaves the file to others."""
    opened: list[DuckDialect] = []
    connect = DuckDialect.connect

    def counted(dialect: DuckDialect) -> Any:
        opened.append(dialect)
        return connect(dialect)

    monkeypatch.setattr(DuckDialect, "connect", counted)
    monkeypatch.setattr(loads, "has_come", lambda _source: is_there)
    run = Run(tmp_path / "w.duckdb", piece(schema(), record(1), state(1)))
    assert (run.error, len(opened)) == (None, 1 if is_there else 2)
