"""The commit loop against a target in memory: what it calls and when, what is committed, printed and given up."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    RetryableError,
    SingerkitError,
    Stopped,
)
from singerkit_shell.signals import StopFlag
from singerkit_state.value import decode, without_mark
from singerkit_target import load
from singerkit_target.abilities import Abilities, always, never
from singerkit_target.contract import Edit, RowsGone, SafePoint, UnitInTheWay, UnitLost
from singerkit_target.load import Load
from singerkit_target.outcomes import Outcomes
from singerkit_target.publish import Publisher
from singerkit_target.siblings import Siblings
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.blocks import Judgement
from singerkit_wire.domain import Domain
from singerkit_wire.fit import DoesNotFit, Misfit
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import Stream
from singerkit_wire.unstorable import Policy

LOG = logging.getLogger("load")
Limits = partial(load.Limits, replay_bytes=16 << 20)
NEVER = Limits(commit_rows=10**9, commit_bytes=10**12, commit_seconds=10**9, wait_seconds=0.05)

PLAIN = Judgement()


@pytest.fixture(autouse=True)
def _without_metrics(caplog: pytest.LogCaptureFixture) -> None:
    """They are for machines, and whether they are logged depends on what this process has tested before."""
    caplog.set_level(logging.WARNING, logger="singer_sdk.metrics")


def of_version(rows: list[Any], version: int) -> list[Any]:
    """Without the rows of other versions; a row holds its version at its end, where metadata was asked for."""
    return [row for row in rows if len(row) < 3 or row[-1] in (version, None)]


class Memory:
    """A target in memory that keeps the contract: a unit of commit is all or nothing."""

    domain = Domain()

    def __init__(self, *, appends: bool = False, stored: Any = None) -> None:
        self.abilities = Abilities(appends=always if appends else never)
        self.doubts: list[str] = []
        self.outcomes = Outcomes()
        self.calls: list[str] = []
        self.pipeline = ""
        self.committed: dict[str, list[Any]] = {}
        self.state = None if stored is None else json.dumps(stored)
        self.former: list[Any] = []
        self.history: list[tuple[int, Any]] = []
        self.versions: dict[str, int] = {}
        self.snapshots: list[dict[str, list[Any]]] = []
        self.columns: dict[str, list[str]] = {}
        self.letters: list[Reject] = []
        self.troubles: dict[str, list[BaseException | None]] = {}
        self.refused: dict[str, int] = {}
        self.meanwhile: Callable[[str], None] = lambda call: None
        self._unit: dict[str, list[Any]] = {}
        self._unit_letters: list[Reject] = []
        self._unit_versions: list[tuple[str, int]] = []
        self._unit_replaced: list[tuple[str, Callable[[Any], bool]]] = []
        self._safe: tuple[Any, ...] | None = None

    def _called(self, call: str, about: str = "") -> None:
        self.calls.append(f"{call} {about}".strip())
        self.meanwhile(call)
        waiting = self.troubles.get(call, [])
        trouble = waiting.pop(0) if waiting else None
        if trouble is not None:
            if isinstance(trouble, UnitLost) and not isinstance(trouble, UnitInTheWay):
                self._lose()
            raise trouble

    def _lose(self) -> None:
        self._unit, self._unit_letters, self._unit_versions, self._safe = {}, [], [], None
        self._unit_replaced = []

    def open(self) -> None:
        self._called("open")

    def begin(self, pipeline: str) -> str | None:
        self._called("begin", pipeline)
        return self.state

    def was_former(self, value: Any) -> bool:
        return without_mark(value) in self.former

    def expect_gone_rows(self, *, always: bool = False) -> None:
        self._called("expect_gone_rows")

    set_aside_in = "a list"

    def pipelines(self, *, with_state: bool = False) -> Sequence[str]:
        return ()

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        self._called("change_state", f"{why}{' as it is' if as_it_is else ''}")
        self.state = edit(self.state)
        return self.state

    def declare(self, stream: Stream) -> Stream:
        self._called("declare", stream.name)
        self.columns[stream.name] = [column.name for column in stream.columns]
        return stream

    def write(self, stream: Stream, batch: Batch) -> None:
        self._called("write", stream.name)
        columns = {name for name in batch.names if not name.startswith("_sdc_")}
        assert columns <= set(self.columns[stream.name]), "the table lacks a column"
        self._unit.setdefault(stream.name, []).extend(batch.wire_rows)

    def reject(self, rejects: Sequence[Reject]) -> None:
        self._called("reject")
        self._unit_letters.extend(rejects)

    def activate_version(self, stream: Stream, version: int, siblings: Siblings | None = None) -> None:
        self._called("activate_version", stream.name)
        self._unit_versions.append((stream.name, version))
        self._unit[stream.name] = of_version(self._unit.get(stream.name, []), version)

    def replace(self, stream: Stream, where: Batch | None) -> None:
        self._called("replace", stream.name)
        assert where is not None
        at, asked = [self.columns[stream.name].index(name) for name in where.names], where.wire_rows[0]
        self._unit_replaced.append((stream.name, lambda row: tuple(row[index] for index in at) != asked))
        self._unit[stream.name] = [*filter(self._unit_replaced[-1][1], self._unit.get(stream.name, []))]

    def mark_safe(self, point: SafePoint) -> None:
        self._called("mark_safe")
        unit = self._unit, self._unit_letters, self._unit_versions, self._unit_replaced
        self._safe = (point, *deepcopy(unit))

    def settle(self) -> dict[str, int]:
        return self.refused.copy()

    def commit(self, state: str | None) -> None:
        self._called("commit")
        for name, version in self._unit_versions:
            self.versions[name] = version
            self.committed[name] = of_version(self.committed.get(name, []), version)
        for name, stays in self._unit_replaced:
            self.committed[name] = [*filter(stays, self.committed.get(name, []))]
        for name, rows in self._unit.items():
            self.committed.setdefault(name, []).extend(rows)
        self.snapshots.append(deepcopy(self.committed))
        self.letters.extend(self._unit_letters)
        self.state = self.state if state is None else state
        self.history.append(
            (sum(map(len, self.committed.values())), None if state is None else decode(state))
        )
        self._lose()

    def back_to_safe(self) -> SafePoint | None:
        self._called("back_to_safe")
        if self._safe is None:
            return None
        point, *marked = self._safe
        self._unit, self._unit_letters, self._unit_versions, self._unit_replaced = deepcopy(marked)
        return point  # type: ignore[no-any-return]

    def rollback(self) -> None:
        self._called("rollback")
        self._lose()

    def recover(self) -> None:
        self._called("recover")
        self._lose()
        self.columns.clear()  # as the tables were before the unit; they have to be declared anew

    def close(self) -> None:
        self._called("close")


def SCHEMA(stream: str = "a", keys: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    schema = {"properties": {"n": {"type": "integer"}, **properties}}
    return {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": list(keys)}


def RECORD(n: Any, stream: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": {"n": n, **more}}


def STATE(n: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": {"bookmarks": {"a": {"at": n}}}}


def MARKED(n: Any, *, complete: bool = False, pipeline: str = "default") -> dict[str, Any]:
    mark = {"run": "r1", "pipeline": pipeline, "complete": complete}
    bookmarks = {"bookmarks": {} if n is None else {"a": {"at": n}}}
    return {"type": "STATE", "value": bookmarks | {"_singerkit": mark}}


class Pieces(io.BytesIO):
    """Input that comes in pieces of ``size`` bytes."""

    size = 1 << 20

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)

    read1 = read


class Run:
    """One run of the loop over ``messages``; a text is a line as it stands."""

    def __init__(
        self,
        *messages: Any,
        loader: Memory | None = None,
        limits: load.Limits = NEVER,
        judgement: Judgement = PLAIN,
        state_file: Path | None = None,
        stop: StopFlag | None = None,
        expect: type[SingerkitError] | None = None,
        **options: Any,
    ) -> None:
        self.loader = loader or Memory()
        self.stdout = io.StringIO()
        self.stop = StopFlag() if stop is None else stop
        file = None if state_file is None else str(state_file)
        self.load = Load(
            self.loader, judgement, limits, Publisher(file, self.stdout), self.stop, LOG, **options
        )
        texts = [one if isinstance(one, str) else json.dumps(one) + "\n" for one in messages]
        source = Pieces("".join(texts).encode())
        source.size = limits.chunk_bytes
        self.error: Any = None
        if expect is None:
            self.summary = self.load.run(source)
        else:
            with pytest.raises(expect) as caught:
                self.load.run(source)
            self.error = caught.value
        assert self.loader.calls[-1] == "close"

    @property
    def printed(self) -> list[Any]:
        """The positions that were printed, without the empty one with which a first run of ours starts."""
        printed = [decode(line)["bookmarks"] for line in self.stdout.getvalue().splitlines()]
        return [bookmarks["a"]["at"] for bookmarks in printed if bookmarks]

    def _fast(self) -> Any:
        return self.load._decoders["a"]._fast

    def rows(self, stream: str = "a") -> list[Any]:
        return [row[0] for row in self.loader.committed.get(stream, [])]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("singerkit_target.load.waits", lambda: iter([0.0] * 100))


# units of commit


WHOLE = Limits(
    commit_rows=1, commit_bytes=1, commit_seconds=0, wait_seconds=0.05, chunk_bytes=99, whole_run=True
)


@pytest.mark.parametrize(
    ("more", "error", "rows"),
    [
        ([], None, [1, 2, 3]),
        ([RECORD(4)], None, [1, 2, 3, 4]),
        ([RECORD("x")], BadDataError, []),
        (['{"type": "RECORD"'], BadDataError, []),
    ],
)
def test_a_run_that_is_atomic_commits_once_or_not_at_all(more, error, rows):
    messages = [message for n in (1, 2, 3) for message in (RECORD(n), STATE(n))]
    run = Run(SCHEMA(), *messages, *more, limits=WHOLE, expect=error)
    assert run.rows() == rows
    assert run.printed == ([3] if rows else [])
    assert run.loader.calls.count("commit") == (1 if rows else 0)
    assert error is None or "0 rows are committed" in str(run.error)


def test_an_atomic_run_whose_tap_has_died_or_that_a_signal_ends_leaves_nothing():
    begun = [MARKED(None), SCHEMA(), RECORD(1), MARKED(1), RECORD(2)]
    assert Run(*begun, limits=WHOLE, expect=BadDataError).rows() == []
    assert Run(*begun, MARKED(2, complete=True), limits=WHOLE).rows() == [1, 2]
    stop, loader = StopFlag(), Memory()
    loader.meanwhile = lambda call: stop._on_signal(signal.SIGTERM, None) if call == "mark_safe" else None
    run = Run(*begun, MARKED(2, complete=True), loader=loader, limits=WHOLE, stop=stop, expect=Stopped)
    assert (run.rows(), run.printed) == ([], [])


def test_a_run_makes_these_calls_in_this_order():
    run = Run(SCHEMA(), RECORD(1), RECORD(2), STATE(2))
    assert run.loader.calls == [
        "open",
        "begin default",
        "declare a",
        "write a",
        "mark_safe",
        "commit",
        "close",
    ]
    assert (run.rows(), run.printed) == ([1, 2], [2])
    assert run.summary.committed == {"a": 2}
    assert run.summary.commits == 1


def test_a_state_is_committed_with_the_rows_before_it_and_with_no_others():
    lines = [
        SCHEMA(),
        RECORD(1),
        STATE(1),
        SCHEMA("b"),
        RECORD(2),
        RECORD(3, "b"),
        STATE(3),
        SCHEMA("c"),
        RECORD(4),
    ]
    run = Run(*lines, limits=Limits(commit_rows=1))
    assert run.loader.history == [
        (1, STATE(1)["value"]),
        (3, STATE(3)["value"]),
        (4, STATE(3)["value"]),  # taps of others: what came after the last STATE is loaded too
    ]
    assert run.printed == [1, 3], "a state is printed once"


@pytest.mark.parametrize(
    ("limits", "commits"),
    [
        ({"commit_rows": 2}, [2, 4, 5]),
        ({"commit_rows": 3}, [3, 5]),
        ({"commit_rows": 5}, [5]),
        ({"commit_rows": 6}, [5]),
        ({"commit_bytes": 54}, [1, 2, 3, 4, 5]),
        ({"commit_bytes": 55}, [2, 4, 5]),
        ({"commit_bytes": 108}, [2, 4, 5]),
        ({"commit_bytes": 109}, [3, 5]),
        ({"commit_seconds": 0}, [1, 2, 3, 4, 5]),
        ({"commit_seconds": 1000}, [5]),
    ],
)
def test_a_unit_is_committed_at_a_state_once_it_is_large_or_old_enough(limits, commits):
    parts = [part for n in range(1, 6) for part in (SCHEMA("b", x={"const": n}), RECORD(n), STATE(n))]
    assert len(json.dumps(RECORD(1))) + 1 == 54
    run = Run(SCHEMA(), *parts, limits=Limits(**{"commit_rows": 10**9, "commit_bytes": 10**9} | limits))
    assert [rows for rows, _ in run.loader.history] == commits
    assert run.printed == commits


def test_no_commit_comes_between_a_row_and_its_state():
    segment = [RECORD(1), SCHEMA("b"), RECORD(2), SCHEMA("c"), RECORD(3), STATE(3)]
    run = Run(SCHEMA(), *segment, limits=Limits(commit_rows=1, commit_seconds=0))
    assert run.loader.history == [(3, STATE(3)["value"])]


@pytest.mark.parametrize("chunk_bytes", [60, 150, 400])
def test_no_commit_holds_rows_that_its_state_does_not_cover(chunk_bytes):
    """Wherever the input happens to be cut into chunks: such rows would come again after a kill."""
    lines = [SCHEMA()]
    for n in range(1, 13):
        lines += [RECORD(n), *([STATE(n)] if n % 3 == 0 else [])]
    run = Run(*lines, limits=Limits(chunk_bytes=chunk_bytes, commit_seconds=0))
    assert len(run.loader.history) > 1
    assert all(state is None or state == STATE(rows)["value"] for rows, state in run.loader.history)


def test_a_new_state_does_not_wait_for_rows():
    run = Run(
        SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), STATE(2), SCHEMA("c"), limits=Limits(commit_seconds=0)
    )
    assert (
        run.loader.calls.index("declare c")
        > [n for n, call in enumerate(run.loader.calls) if call == "commit"][1]
    )
    assert run.printed == [1, 2]


def test_a_state_without_rows_is_committed_when_it_is_new():
    late = Limits(commit_seconds=0)
    run = Run(SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), STATE(1), SCHEMA("c"), STATE(2), limits=late)
    assert run.printed == [1, 2]
    assert run.loader.history == [(1, STATE(1)["value"]), (1, STATE(2)["value"])]


def test_the_unit_after_a_commit_begins_empty():
    lines = [part for n in range(1, 5) for part in (RECORD(n), STATE(n), SCHEMA("b", x={"const": n}))]
    run = Run(SCHEMA(), *lines, limits=Limits(commit_rows=2, commit_bytes=10**9, commit_seconds=10**9))
    assert [rows for rows, _ in run.loader.history] == [2, 4, 4], "the last SCHEMA is committed too"


@pytest.mark.parametrize("nothing", [None, {}, {"bookmarks": {}}])
def test_a_state_that_says_nothing_clears_what_this_run_has_said_and_no_more(nothing, caplog):
    caplog.set_level(logging.INFO)
    cleared, kept = ({"type": "STATE", "value": value} for value in (nothing, nothing or {}))
    one_by_one = Limits(commit_rows=1)
    run = Run(SCHEMA(), RECORD(1), STATE(1), RECORD(2), cleared, limits=one_by_one)
    assert run.loader.history == [(2, kept["value"])], "no commit comes between the two"
    assert decode(run.stdout.getvalue()) == kept["value"]
    assert "The tap has cleared its state" in caplog.text
    run = Run(SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), cleared, limits=one_by_one)
    assert run.loader.history == [(1, STATE(1)["value"]), (2, kept["value"])]
    run = Run(SCHEMA(), RECORD(1), cleared)
    assert (run.rows(), run.printed, run.loader.state) == ([1], [], None)
    assert "forget that state" not in caplog.text
    run = Run(SCHEMA(), RECORD(1), cleared, loader=Memory(stored=STATE(1)["value"]))
    assert (run.rows(), run.printed, decode(run.loader.state)) == ([1], [], STATE(1)["value"])
    assert "forget that state with `TARGET --start-over`" in caplog.text


def test_a_table_without_records_is_committed():
    run = Run(SCHEMA())
    assert run.loader.history == [(0, None)]
    assert run.printed == []


def test_a_failed_commit_prints_nothing_and_is_rolled_back():
    loader = Memory()
    loader.troubles["commit"] = [RetryableError("away")]
    run = Run(SCHEMA(), RECORD(1), STATE(1), loader=loader, expect=RetryableError)
    assert loader.calls[-3:] == ["commit", "rollback", "close"]
    assert (run.rows(), run.printed) == ([], [])


def test_the_state_file_is_written_with_the_commit(tmp_path):
    file = tmp_path / "state.json"
    Run(SCHEMA(), RECORD(1), STATE(1), state_file=file)
    assert decode(file.read_text()) == STATE(1)["value"]


def test_before_anything_came_there_is_nothing_to_commit():
    run = Run({"type": "STATE", "value": {}}, SCHEMA(), RECORD(1), limits=Limits(commit_seconds=0))
    assert run.loader.history == [(1, None)]


def test_a_unit_that_waits_in_a_silent_pipe_is_committed_in_time():
    reading, writing = os.pipe()
    loader = Memory()
    committed = threading.Event()
    loader.meanwhile = lambda call: committed.set() if call == "commit" else None
    limits = Limits(commit_seconds=0.2, wait_seconds=0.05)
    load = Load(loader, PLAIN, limits, Publisher(None, io.StringIO()), StopFlag(), LOG)
    with open(reading, "rb", buffering=0) as source:
        thread = threading.Thread(target=load.run, args=[source])
        thread.start()
        os.write(writing, "".join(json.dumps(one) + "\n" for one in (SCHEMA(), RECORD(1), STATE(1))).encode())
        in_time = committed.wait(20)
        os.close(writing)
        thread.join(20)
    assert in_time
    assert loader.history == [(1, STATE(1)["value"])]


# the first message


@pytest.mark.parametrize(
    ("first", "option", "pipeline"),
    [
        (MARKED(None, pipeline="orders"), None, "orders"),
        (MARKED(None, pipeline="orders"), "mine", "mine"),
        (SCHEMA(), None, "default"),
        (SCHEMA(), "mine", "mine"),
        (STATE(1), None, "default"),
    ],
)
def test_the_pipeline_is_that_of_the_config_or_of_the_mark(first, option, pipeline):
    last = MARKED(1, complete=True, pipeline="orders") if "_singerkit" in first.get("value", {}) else STATE(1)
    run = Run(first, SCHEMA("b"), last, pipeline=option)
    assert run.loader.calls[:2] == ["open", f"begin {pipeline}"]
    assert run.loader.calls.count(f"begin {pipeline}") == 1


def test_the_state_file_of_another_pipeline_stops_the_run_before_anything_is_written(tmp_path):
    file = tmp_path / "state.json"
    file.write_text(json.dumps(MARKED(1, pipeline="customers")["value"]))
    loader = Memory(stored=STATE(1)["value"])
    run = Run(SCHEMA(), RECORD(1), loader=loader, state_file=file, expect=ConfigurationError)
    assert run.loader.calls == ["open", "begin default", "rollback", "close"]


def test_a_start_that_is_not_the_committed_state_is_refused_and_the_committed_one_told():
    loader = Memory(stored=MARKED(2)["value"])
    loader.former.append(STATE(1)["value"])
    run = Run(MARKED(1), SCHEMA(), RECORD(1), MARKED(2, complete=True), loader=loader, expect=RetryableError)
    assert loader.calls == ["open", "begin default", "rollback", "close"]
    assert run.printed == [2]
    Run(MARKED(2), SCHEMA(), MARKED(3, complete=True), loader=Memory(stored=MARKED(2)["value"]))


@pytest.mark.parametrize("committed", [None, 1])
def test_a_start_is_none_that_a_later_state_covers(committed):
    """Of a stream that the map drops nothing stands between the two."""
    loader = Memory(stored=None if committed is None else MARKED(committed)["value"])
    run = Run(
        MARKED(committed), MARKED(2), SCHEMA(), RECORD(3), MARKED(3), MARKED(3, complete=True), loader=loader
    )
    assert (run.rows(), run.printed[-1]) == ([3], 3)


def test_a_start_over_is_warned_of(caplog):
    Run(MARKED(None), SCHEMA(), MARKED(3, complete=True), loader=Memory(stored=MARKED(2)["value"]))
    assert "starts over" in caplog.text


def test_where_a_run_of_ours_starts_is_printed_before_its_first_commit():
    """A kill between COMMIT and print leaves it on stdout, and the next run is known to be behind."""
    for start in (None, 1):
        loader = Memory(stored=None if start is None else MARKED(start)["value"])
        stdout = io.StringIO()
        seen: list[Any] = []
        loader.meanwhile = lambda call, stdout=stdout, seen=seen: seen.append((call, stdout.getvalue()))
        load = Load(loader, PLAIN, NEVER, Publisher(None, stdout), StopFlag(), LOG)
        lines = [MARKED(start), SCHEMA(), RECORD(2), MARKED(2, complete=True)]
        load.run(io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode()))
        before = dict(seen)["commit"]
        assert [decode(line) for line in before.splitlines()] == [MARKED(start)["value"]]
        assert decode(stdout.getvalue().splitlines()[1]) == MARKED(2, complete=True)["value"]


def test_nothing_is_committed_when_the_start_cannot_be_printed():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    loader = Memory()
    load = Load(loader, PLAIN, NEVER, Publisher(None, Full()), StopFlag(), LOG)
    lines = [MARKED(None), SCHEMA(), RECORD(1), MARKED(1, complete=True)]
    with pytest.raises(CannotWriteError, match="nothing was written"):
        load.run(io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode()))
    assert loader.committed == {}
    assert loader.calls == ["open", "begin default", "rollback", "close"]


def test_rows_that_are_gone_end_the_run_with_the_ways_out():
    loader = Memory(stored=STATE(1)["value"])
    loader.troubles["declare"] = [RowsGone("The table a is empty.")]
    run = Run(SCHEMA(), RECORD(1), loader=loader, expect=RetryableError)
    assert "`TARGET --start-over --stream a`" in str(run.error)
    assert "`TARGET --adopt committed`" in str(run.error)
    assert run.rows() == []


def test_rows_that_go_while_a_unit_is_lost_end_the_run_with_the_ways_out():
    loader = Memory()
    loader.troubles = {
        "declare": [None, None, RowsGone("The table a is empty.")],
        "commit": [None, UnitLost("lost")],
    }
    lines = [SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), STATE(2)]
    run = Run(*lines, loader=loader, limits=Limits(commit_rows=1), expect=RetryableError)
    assert "The table a is empty. Nothing of this stream was written: put the rows back; or read" in str(
        run.error
    )
    assert run.rows() == [1]


def test_rows_that_may_be_gone_are_told_once_with_the_ways_out(caplog):
    """The state names no stream: what cannot be forgotten alone is forgotten with all."""
    loader = Memory(stored={"start_date": "2020"})
    loader.meanwhile = lambda call: (
        loader.doubts.append("The table a is empty.") if call == "declare" else None
    )
    run = Run(SCHEMA(), RECORD(1), SCHEMA(x={"type": "integer"}), RECORD(2), loader=loader)
    assert run.rows() == [1, 2]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert told[0].startswith("The table a is empty. The saved state does not tell how far")
    assert "read everything from the beginning with `TARGET --start-over`; or go on" in told[0]
    assert loader.doubts == []


# the end


def test_a_finished_run_of_ours_is_complete():
    run = Run(MARKED(None), SCHEMA(), RECORD(1), MARKED(1), RECORD(2), MARKED(2, complete=True))
    assert (run.rows(), run.printed) == ([1, 2], [2])


@pytest.mark.parametrize(
    "rest", [[], [RECORD(2)], [SCHEMA("b"), RECORD(2)], [MARKED(1, complete=True), SCHEMA("b"), RECORD(9)]]
)
def test_a_run_of_ours_that_was_cut_keeps_what_its_last_state_covers(rest):
    run = Run(MARKED(None), SCHEMA(), RECORD(1), MARKED(1), *rest, expect=BadDataError)
    assert (run.rows(), run.printed) == ([1], [1])
    assert "ended before the tap had finished" in str(run.error)
    assert "1 row is committed" in str(run.error)
    assert run.load.summary.received == {"a": 1}


def test_a_mark_that_comes_later_is_not_ours():
    run = Run(SCHEMA(), RECORD(1), MARKED(1), SCHEMA("b"), RECORD(2))
    assert run.rows() == [1, 2]


def test_an_empty_input_is_no_run():
    run = Run(expect=BadDataError)
    assert run.loader.calls == ["open", "rollback", "close"]
    assert "0 rows are committed" in str(run.error)


ODD = {"type": "ODD"}
"""Ends a segment and does nothing."""


def test_the_last_state_is_committed_though_no_row_came_with_it():
    run = Run(SCHEMA(), RECORD(1), STATE(1), ODD, STATE(2), limits=Limits(commit_rows=1))
    assert run.printed == [1, 2]


def test_the_last_rows_are_committed_though_no_state_came_with_them():
    run = Run(SCHEMA(), RECORD(1), STATE(1), ODD, RECORD(2), limits=Limits(commit_rows=1))
    assert (run.rows(), run.printed) == ([1, 2], [1])


def test_rows_are_committed_with_a_state_that_says_the_same_as_before():
    run = Run(
        SCHEMA(), RECORD(1), STATE(1), ODD, RECORD(2), STATE(1), SCHEMA("z"), limits=Limits(commit_rows=1)
    )
    assert [call for call in run.loader.calls if call in ("commit", "declare z")][:3] == [
        "commit",
        "commit",
        "declare z",
    ]
    assert run.printed == [1]


def test_on_a_cut_input_a_state_that_says_the_same_as_before_commits_nothing():
    """From that state on the tap sends the rows again."""
    lines = [
        MARKED(None),
        SCHEMA(),
        RECORD(1),
        RECORD(2),
        MARKED(1),
        ODD,
        RECORD(3),
        MARKED(1),
        ODD,
        RECORD(4),
    ]
    run = Run(*lines, limits=Limits(commit_rows=2, commit_seconds=10**9), expect=BadDataError)
    assert (run.rows(), run.printed) == ([1, 2], [1])


def test_without_a_state_a_cut_run_of_ours_keeps_nothing():
    run = Run(MARKED(None), SCHEMA(), RECORD(1), expect=BadDataError)
    assert run.rows() == []
    assert run.printed == []


def test_versions_are_activated_once_at_the_end_and_of_known_streams_only():
    activate = {"type": "ACTIVATE_VERSION", "stream": "a", "version": 7}
    other = {"type": "ACTIVATE_VERSION", "stream": "never declared", "version": 1}
    loader = Memory()
    Run(
        SCHEMA(),
        activate | {"version": 6},
        RECORD(1),
        STATE(1),
        activate,
        other,
        RECORD(2),
        loader=loader,
        limits=Limits(commit_rows=1),
    )
    assert loader.calls[-3:] == ["activate_version a", "commit", "close"]
    assert loader.versions == {"a": 7}
    cut = Memory()
    Run(MARKED(None), SCHEMA(), activate, RECORD(1), MARKED(1), SCHEMA("b"), loader=cut, expect=BadDataError)
    assert cut.versions == {}
    alone = Memory()
    Run(SCHEMA(), RECORD(1), STATE(1), activate, loader=alone, limits=Limits(commit_seconds=0))
    assert alone.versions == {"a": 7}, "though everything else had been committed"


VERSIONED = Judgement(with_metadata=True)


def ACTIVATE(version: Any, stream: str = "a") -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}


def VERSION(n: int, version: Any, stream: str = "a") -> dict[str, Any]:
    return RECORD(n, stream) | {"version": version}


FIRST = [SCHEMA(), VERSION(1, 1), VERSION(2, 1), ACTIVATE(1), STATE(1)]
SECOND = [SCHEMA(), VERSION(1, 2), ACTIVATE(2), STATE(2)]


def loaded() -> Memory:
    loader = Memory()
    Run(*FIRST, loader=loader, judgement=VERSIONED)
    assert loader.committed["a"] == [(1, None, 1), (2, None, 1)]
    return loader


@pytest.mark.parametrize("limits", [NEVER, Limits(commit_rows=1)], ids=["one", "each"])
def test_a_version_goes_with_the_state_that_covers_it(limits):
    """Who resumes from there never sends it again: whatever ends the run then, other versions are gone with the STATE."""
    cut = loaded()
    bad = [SCHEMA("b"), RECORD("bad", "b")]
    run = Run(*SECOND, *bad, loader=cut, limits=limits, judgement=VERSIONED, expect=BadDataError)
    assert (run.rows(), run.printed) == ([1], [2])
    stopped = loaded()
    lines = [*SECOND, SCHEMA("b"), VERSION(1, 1, "b"), VERSION(9, 3)]
    Run(
        *lines,
        loader=stopped,
        limits=limits,
        judgement=VERSIONED,
        stop=stopping(stopped, "write", times=2),
        expect=Stopped,
    )
    assert stopped.committed["a"] == [(1, None, 2)]
    for step in ("activate_version", "mark_safe", "commit"):
        lost = loaded()
        lost.troubles[step] = [UnitLost("lost")] * 2
        Run(*SECOND, loader=lost, limits=limits, judgement=VERSIONED)
        assert lost.committed["a"] == [(1, None, 2)]
    after = loaded()
    Run(*SECOND, VERSION(3, 2), STATE(3), loader=after, limits=limits, judgement=VERSIONED)
    assert after.committed["a"] == [(1, None, 2), (3, None, 2)], (
        "though a later STATE takes the rows in one go"
    )


def test_a_version_behind_the_last_state_is_given_up_with_what_is_behind_it():
    loader = loaded()
    lines = [SCHEMA(), VERSION(1, 2), STATE(2), ACTIVATE(2), SCHEMA("b"), RECORD("bad", "b"), STATE(3)]
    Run(*lines, loader=loader, judgement=VERSIONED, expect=BadDataError)
    assert loader.committed["a"] == [(1, None, 1), (2, None, 1), (1, None, 2)]


def test_a_version_that_is_announced_before_its_rows_waits_for_the_end():
    announced = [SCHEMA(), ACTIVATE(2), VERSION(1, 2), STATE(2)]
    for limits in (NEVER, Limits(commit_rows=1)):
        cut = loaded()
        Run(
            *announced,
            SCHEMA("b"),
            "nonsense\n",
            loader=cut,
            limits=limits,
            judgement=VERSIONED,
            expect=BadDataError,
        )
        assert cut.committed["a"] == [(1, None, 1), (2, None, 1), (1, None, 2)]
        complete = loaded()
        Run(*announced, VERSION(2, 2), STATE(3), loader=complete, limits=limits, judgement=VERSIONED)
        assert complete.committed["a"] == [(1, None, 2), (2, None, 2)]
        repeated = loaded()
        lines = [*announced, VERSION(2, 2), ACTIVATE(2), STATE(3), SCHEMA("b"), "nonsense\n"]
        Run(*lines, loader=repeated, limits=limits, judgement=VERSIONED, expect=BadDataError)
        assert repeated.committed["a"] == [(1, None, 2), (2, None, 2)]


def test_a_version_is_activated_where_nothing_else_is_new():
    loader = loaded()
    Run(SCHEMA(), ACTIVATE(2), STATE(1), loader=loader, judgement=VERSIONED)
    assert loader.committed["a"] == []
    assert loader.calls[-2:] == ["commit", "close"]
    within = Memory()
    lines = [SCHEMA(), VERSION(1, 1), STATE(1), ACTIVATE(2), STATE(1)]
    Run(*lines, loader=within, limits=Limits(commit_rows=1), judgement=VERSIONED)
    assert within.committed["a"] == []


def test_a_version_that_came_before_the_unit_that_is_lost_is_not_lost_with_it(monkeypatch):
    """As after a commit that was due for its time, when the STATE it takes and the version behind that had come."""
    now = iter([0.0, *[1e9] * 100])
    monkeypatch.setattr("singerkit_target.load.time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr("singerkit_target.load._Unit", partial(load._Unit, started=0.0))
    loader = Memory()
    loader.troubles["mark_safe"] = [None, UnitLost("lost")]
    first = "".join(json.dumps(line) + "\n" for line in (SCHEMA(), VERSION(1, 1), STATE(1), ACTIVATE(2)))
    limits = Limits(commit_rows=10**9, chunk_bytes=len(first))
    Run(
        first,
        STATE(2),
        SCHEMA("b"),
        "nonsense\n",
        loader=loader,
        limits=limits,
        judgement=VERSIONED,
        expect=BadDataError,
    )
    assert [state["bookmarks"]["a"]["at"] for _, state in loader.history] == [1, 2]
    assert loader.committed["a"] == []


def test_a_version_of_a_stream_without_schema_is_passed_over_with_a_warning(caplog):
    loader = Memory()
    Run(SCHEMA("b"), ACTIVATE(1), ACTIVATE(2), STATE(1), STATE(2), loader=loader, judgement=VERSIONED)
    assert "activate_version a" not in loader.calls
    assert caplog.messages == [
        "ACTIVATE_VERSION of stream `a` is passed over, and its rows stay as they are: no SCHEMA of it came in this run; "
        "let the tap send one, even where the stream has no records."
    ]
    late = Memory()
    Run(ACTIVATE(2), SCHEMA(), VERSION(1, 2), STATE(1), loader=late, judgement=VERSIONED)
    assert late.versions == {"a": 2}


@pytest.mark.parametrize("always_exact", [False, True])
def test_versions_are_integers_that_may_be_text(always_exact):
    loader = Memory()
    versions = [7, "7", 7.0, None, "-9223372036854775808"]
    lines = [VERSION(n, version) for n, version in enumerate(versions)]
    Run(
        SCHEMA(),
        *lines,
        STATE(1),
        ACTIVATE("7"),
        loader=loader,
        judgement=VERSIONED,
        always_exact=always_exact,
    )
    assert loader.committed["a"] == [(n, None, v) for n, v in enumerate([7, 7, 7, None])]
    for bad in ("x", "", "7.5", 7.5, True, 2**63, "9223372036854775808", " 7", [7], 1e300):
        run = Run(
            SCHEMA(), VERSION(1, bad), judgement=VERSIONED, always_exact=always_exact, expect=BadDataError
        )
        assert "Expected an integer of 64 bits in `version`, got" in str(run.error)
        run = Run(SCHEMA(), ACTIVATE(bad), judgement=VERSIONED, expect=BadDataError)
        assert "ACTIVATE_VERSION message at line 2 is not valid: Expected an integer of 64 bits" in str(
            run.error
        )


MESSAGES = st.one_of(
    st.builds(VERSION, st.just(1), st.sampled_from([1, 2]), st.sampled_from("ab")),
    st.builds(ACTIVATE, st.sampled_from([1, 2]), st.sampled_from("ab")),
    st.just("state"),
)


def expected(lines: Sequence[Any]) -> tuple[dict[str, list[Any]], dict[Any, dict[str, list[Any]]]]:
    """Return what is there after the end, and at each STATE, told by message after message."""
    rows: dict[str, list[Any]] = {"a": [], "b": []}
    waiting: dict[str, int] = {}
    fresh: set[str] = set()
    at: dict[Any, Any] = {}
    for line in lines:
        match line["type"]:
            case "RECORD":
                rows[line["stream"]].append((1, None, line["version"]))
                fresh.discard(line["stream"])
            case "ACTIVATE_VERSION":
                waiting[line["stream"]] = line["version"]
                fresh.add(line["stream"])
            case "STATE":
                for name in fresh:
                    rows[name] = of_version(rows[name], waiting.pop(name))
                fresh.clear()
                at[line["value"]["bookmarks"]["a"]["at"]] = deepcopy(rows)
    return {
        name: of_version(rows[name], waiting.get(name, 0)) if name in waiting else rows[name] for name in rows
    }, at


@settings(max_examples=tries(25), deadline=None)
@given(
    kinds=st.lists(MESSAGES, max_size=14),
    chunk_bytes=st.sampled_from([40, 200, 1 << 20]),
    commit_rows=st.sampled_from([1, 3, 10**9]),
    lost=st.lists(st.booleans(), max_size=4),
    step=st.sampled_from(["write", "mark_safe", "activate_version", "commit"]),
    is_cut=st.booleans(),
)
def test_versions_go_with_their_states_whatever_comes(kinds, chunk_bytes, commit_rows, lost, step, is_cut):
    """Each commit is the state of things at its STATE: so a kill after it leaves what a run from there builds on."""
    lines = [STATE(n) if kind == "state" else kind for n, kind in enumerate(kinds)]
    at_end, at_state = expected(lines)
    loader = Memory()
    loader.troubles[step] = [UnitLost("lost") if one else None for one in lost]
    Run(
        SCHEMA(),
        SCHEMA("b"),
        *lines,
        *(["nonsense\n"] if is_cut else []),
        loader=loader,
        judgement=VERSIONED,
        limits=Limits(commit_rows=commit_rows, commit_seconds=10**9, chunk_bytes=chunk_bytes),
        expect=BadDataError if is_cut else None,
    )
    states = [state for _, state in loader.history]
    assert len(states) == len(loader.snapshots)
    for index, (state, snapshot) in enumerate(zip(states, loader.snapshots, strict=True)):
        is_end = index == len(states) - 1 and not is_cut
        wanted = at_end if is_end or state is None else at_state[state["bookmarks"]["a"]["at"]]
        assert {name: snapshot.get(name, []) for name in "ab"} == wanted


# bad input


def test_what_stands_before_a_bad_record_up_to_the_last_state_is_kept():
    lines = [SCHEMA(), RECORD(1), STATE(1), RECORD(2), RECORD("x"), RECORD(3), STATE(3)]
    run = Run(*lines, expect=BadDataError)
    assert (run.rows(), run.printed) == ([1], [1])
    assert "at a.$.n" in str(run.error)
    assert str(run.error).endswith("1 row is committed, up to the last STATE before it.")
    assert run.loader.calls[-3:] == ["back_to_safe", "commit", "close"]


def test_a_state_right_before_a_bad_record_is_kept():
    run = Run(SCHEMA(), RECORD(1), SCHEMA("b"), STATE(1), RECORD("x"), expect=BadDataError)
    assert (run.rows(), run.printed) == ([1], [1])


def test_without_a_state_nothing_is_kept():
    run = Run(SCHEMA(), RECORD(1), SCHEMA("b"), RECORD("x"), expect=BadDataError)
    assert run.rows() == []
    assert run.loader.calls[-3:] == ["back_to_safe", "rollback", "close"]
    committed = Run(
        SCHEMA(),
        RECORD(1),
        STATE(1),
        SCHEMA("b"),
        "nonsense\n",
        limits=Limits(commit_rows=1),
        expect=BadDataError,
    )
    assert committed.loader.calls[-2:] == ["rollback", "close"], "all of it was committed before"
    assert committed.printed == [1]


def test_a_malformed_line_is_placed():
    run = Run(
        SCHEMA(),
        RECORD(1),
        STATE(1),
        '{"type": "RECORD", "stream": "a", "record": {"n": 1]}\n',
        expect=BadDataError,
    )
    assert "line 4" in str(run.error)
    assert run.rows() == [1]
    among = Run(
        SCHEMA(), RECORD(1), '{"type": "RECORD", "stream": "a", "record": }\n', RECORD(2), expect=BadDataError
    )
    assert "line 3" in str(among.error)
    assert "byte" in str(among.error)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (RECORD(1, "b"), "Expected a SCHEMA before the first RECORD of stream `b`, got the RECORD at line 4"),
        ({"type": "BATCH", "stream": "a"}, "BATCH message at line 4 is not valid"),
        ({"type": "STATE"}, "STATE message at line 4 is not valid"),
        ('{"type": "STATE", "value": NaN}\n', "STATE message at line 4 is not valid"),
        ('{"type": "STATE", "value": 1e99999999999999999999}\n', "STATE message at line 4 is not valid: it holds a number"),
        ({"type": "ACTIVATE_VERSION", "stream": "a"}, "ACTIVATE_VERSION message at line 4 is not valid"),
        ({"type": "SCHEMA", "stream": "a"}, "SCHEMA message at line 4 is not valid"),
    ],
)  # fmt: skip
def test_messages_that_cannot_be_taken(line, sentence):
    run = Run(SCHEMA(), RECORD(1), STATE(1), line, RECORD(9), expect=BadDataError)
    assert sentence in str(run.error)
    assert (run.rows(), run.printed) == ([1], [1])


def test_patterns_that_jsonschema_cannot_put_together_are_told_at_the_schema():
    """It ended with 70 at the first record."""
    odd = {"type": "object", "patternProperties": {"^x": {}, "(?i)a": {}}}
    Run(SCHEMA(v=odd), RECORD(1, v={"A": 1}), STATE(1))
    closed = {"type": "array", "items": odd | {"additionalProperties": False}}
    run = Run(SCHEMA(v=closed), RECORD(1, v=[{"A": 1}]), STATE(1), expect=BadDataError)
    assert "the names in `patternProperties` are no pattern together" in str(run.error)


def test_a_bad_state_is_found_before_the_rows_it_covers_are_written():
    loader = Memory()
    Run(SCHEMA(), RECORD(1), '{"type": "STATE", "value": NaN}\n', loader=loader, expect=BadDataError)
    assert loader.committed == {}


def test_unknown_messages_are_warned_of_once_per_type(caplog):
    odd = "X" * 50
    run = Run(SCHEMA(), {"type": "ODD"}, {"type": "ODD"}, {"type": odd}, RECORD(1), {"type": "ODD"}, STATE(1))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "Unknown message type `ODD` at line 2: skipped.",
        f"Unknown message type `{odd[:40]}` at line 4: skipped.",
    ]
    assert run.rows() == [1]


def test_a_long_run_ends_with_its_warnings_once_more(caplog, monkeypatch):
    monkeypatch.setattr("singerkit_target.warned._LONG", 0)
    monkeypatch.setattr("singerkit_target.warned._MOST", 2)
    Run(SCHEMA(), *({"type": f"ODD{n}"} for n in range(5)), RECORD(1), STATE(1))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[5:] == [
        "To be seen to: Unknown message type `ODD0` at line 2: skipped.",
        "To be seen to: Unknown message type `ODD1` at line 3: skipped.",
        "To be seen to: 3 more warnings further up.",
    ]


@pytest.mark.parametrize(
    "end", ['{"type": "RECORD", "stream": "a", "rec', "{", '{"type": "STATE", "value": 5']
)
def test_a_message_that_is_cut_in_its_middle_is_told_as_that(end):
    run = Run(SCHEMA(), RECORD(1), STATE(1), end, expect=BadDataError)
    assert "ended in the middle of a message (line 4)" in str(run.error)
    assert (run.rows(), run.printed) == ([1], [1])


@pytest.mark.parametrize("end", [json.dumps(STATE(2)), "[" * 100_000])
def test_a_last_line_without_its_newline_is_a_line(end):
    expect = None if end.startswith("{") else BadDataError
    run = Run(SCHEMA(), RECORD(1), STATE(1), RECORD(2), end, expect=expect)
    if expect is None:
        assert (run.rows(), run.printed) == ([1, 2], [2])
    else:
        assert "in the middle" not in str(run.error)


def test_a_line_may_have_a_maximum_length():
    run = Run(
        SCHEMA(),
        RECORD(1),
        STATE(1),
        RECORD(2, s="x" * 999),
        limits=Limits(max_line_bytes=500),
        expect=BadDataError,
    )
    assert "line 4" in str(run.error)
    assert run.rows() == [1]


def test_a_schema_may_have_a_maximum_of_columns():
    loader = Memory()
    loader.domain = Domain(columns=3)
    Run(SCHEMA(x={}, y={}), loader=loader)
    loader.domain = Domain(columns=2)
    run = Run(SCHEMA(x={}, y={}), loader=loader, expect=BadDataError)
    assert "at most 2 properties, got 3" in str(run.error)
    assert "line 1" in str(run.error)


# streams


def test_the_same_schema_again_is_declared_once_and_another_one_anew():
    loader = Memory()
    Run(
        SCHEMA(),
        RECORD(1),
        SCHEMA(),
        RECORD(2),
        SCHEMA(x={}),
        RECORD(3),
        SCHEMA(keys=["n"], x={}),
        loader=loader,
    )
    assert loader.calls.count("declare a") == 3
    assert [row[0] for row in loader.committed["a"]] == [1, 2, 3]


def test_a_stream_may_be_kept_as_text():
    loader = Memory()
    loader.abilities = Abilities(is_log=True)
    day = {"type": "string", "format": "date"}
    Run(SCHEMA(day=day), RECORD(1, day="2024-01-02"), loader=loader)
    assert bytes(loader.committed["a"][0][1]) == b'"2024-01-02"'
    typed = Run(SCHEMA(day=day), RECORD(1, day="2024-01-02"))
    assert typed.loader.committed["a"] == [(1, date(2024, 1, 2))]


@pytest.mark.parametrize("exact", [False, True])
def test_a_missing_field_is_kept_null_or_left_out(exact):
    records = [RECORD(1, x="a"), RECORD(1), RECORD(2, x="b")]
    schema = SCHEMA(keys=["n"], x={"type": ["string", "null"]})
    kept = Run(schema, *records, always_exact=exact, missing_fields="keep")
    assert kept.loader.committed["a"] == [(1, "a"), (2, "b")]
    upserted = Run(schema, *records, always_exact=exact)
    assert upserted.loader.committed["a"] == [(1, "a"), (1, None), (2, "b")]
    appended = Run(schema, *records, loader=Memory(appends=True), always_exact=exact)
    assert appended.loader.committed["a"] == [(1, "a"), (1, None), (2, "b")]
    log = Memory(appends=True)
    log.abilities = Abilities(is_log=True, appends=always)
    logged = Run(schema, *records, loader=log, always_exact=exact)
    assert [row[1:] for row in logged.loader.committed["a"]] == [("a",), (), ("b",)]


def test_both_paths_can_be_asked_for():
    assert Run(SCHEMA(), RECORD(1))._fast() is not None
    assert Run(SCHEMA(), RECORD(1), always_exact=True)._fast() is None


# records set aside


def test_bad_records_are_set_aside_with_the_unit_they_came_in():
    aside = Judgement(quarantine=True)
    lines = [SCHEMA(), RECORD(1), RECORD("x"), RECORD(2), STATE(2), SCHEMA("b"), RECORD("y"), RECORD(3)]
    run = Run(*lines, judgement=aside)
    assert run.rows() == [1, 2, 3]
    assert [letter.line for letter in run.loader.letters] == [3, 7]
    assert (run.summary.received, run.summary.rejected) == ({"a": 3}, {"a": 2})


class Narrow(Memory):
    """It holds no text of more than two characters in `x` and `y`, and says so."""

    def write(self, stream: Stream, batch: Batch) -> None:
        misfits = [
            Misfit(index, name, "Expected short text, got long text")
            for index, row in enumerate(batch.rows())
            for name, value in zip(batch.names, row, strict=True)
            if isinstance(value, str) and len(value) > 2
        ]
        if misfits:
            raise DoesNotFit(misfits)
        rows = dataclasses.replace(batch, wire_rows=batch.rows())
        super().write(stream, rows)


TWO_TEXTS = SCHEMA(keys=["n"], x={"type": ["string", "null"]}, y={"type": ["string", "null"]})
TOO_LONG = [
    TWO_TEXTS,
    RECORD(1, x="a", y="b"),
    RECORD(2, x="long", y="c"),
    RECORD(3, x="d", y="e"),
    RECORD(4, x="longer", y="the longest"),
    STATE(4),
]


@pytest.mark.parametrize("exact", [False, True], ids=["block", "exact"])
@pytest.mark.parametrize("policy", Policy, ids=lambda policy: policy.value)
def test_what_a_target_says_that_it_cannot_hold_goes_by_the_policy(policy: Policy, exact: bool) -> None:
    expect = BadDataError if policy is Policy.FAIL else None
    run = Run(
        *TOO_LONG, loader=Narrow(), judgement=Judgement(unstorable=policy), always_exact=exact, expect=expect
    )
    rows = run.loader.committed.get("a", [])
    letters = [(letter.line, letter.path, letter.reason) for letter in run.loader.letters]
    match policy:
        case Policy.FAIL:
            assert rows == letters == []
            assert str(run.error).startswith("Expected short text, got long text at a.$.x (line 3); ")
            assert "`on_unstorable` to `quarantine`" in str(run.error)
        case Policy.QUARANTINE:
            assert rows == [(1, "a", "b"), (3, "d", "e")]
            assert letters == [(line, "$.x", "Expected short text, got long text") for line in (3, 5)]
            assert (run.summary.received, run.summary.rejected) == ({"a": 2}, {"a": 2})
        case _:
            assert rows == [(1, "a", "b"), (2, None, "c"), (3, "d", "e"), (4, None, None)]
            assert letters == []


def test_a_key_that_a_target_cannot_hold_is_never_changed() -> None:
    text = {"type": "string"}
    keyed = [SCHEMA(keys=["x"], x=text), RECORD(1, x="ab"), RECORD(2, x="abc"), STATE(1)]
    run = Run(*keyed, loader=Narrow(), judgement=Judgement(unstorable=Policy.NULL), expect=BadDataError)
    assert "a.$.x" in str(run.error)
    aside = Judgement(unstorable=Policy.NULL, quarantine=True)
    run = Run(*keyed, loader=Narrow(), judgement=aside)
    assert (run.rows(), [letter.line for letter in run.loader.letters]) == ([1], [3])


def test_a_record_that_does_not_fit_takes_no_other_of_its_key_with_it() -> None:
    """They were folded to one row first, unless `on_invalid` was `quarantine`, too; then both were gone."""
    records = [RECORD(1, x="a"), RECORD(1, y="too long")]
    judgement = Judgement(unstorable=Policy.QUARANTINE)
    run = Run(TWO_TEXTS, *records, loader=Narrow(), judgement=judgement, missing_fields="keep")
    assert (run.loader.committed["a"], [letter.line for letter in run.loader.letters]) == ([(1, "a")], [3])


def test_too_many_that_do_not_fit_are_a_failure() -> None:
    aside = Judgement(unstorable=Policy.QUARANTINE)
    run = Run(*TOO_LONG, loader=Narrow(), judgement=aside, limits=Limits(max_rejects=1), expect=BadDataError)
    assert "at most 1 record " in str(run.error)


class Columnar(Memory):
    """It takes columns, and has said nothing of how many digits their numbers have."""

    def write(self, stream: Stream, batch: Batch) -> None:
        rows = [tuple(row.values()) for row in batch.arrow().to_pylist()]
        super().write(stream, dataclasses.replace(batch, wire_rows=rows))


@pytest.mark.parametrize("exact", [False, True], ids=["block", "exact"])
def test_a_number_that_would_be_rounded_on_its_way_into_columns_is_set_aside(exact: bool) -> None:
    numbers = [
        f'{{"type":"RECORD","stream":"a","record":{{"n":{n},"x":{x}}}}}\n'
        for n, x in enumerate(("1.50", "1e-10", "1" + "0" * 29, "null", "1e3"))
    ]
    schema = SCHEMA(x={"type": ["number", "null"]})
    aside = Judgement(unstorable=Policy.QUARANTINE)
    run = Run(schema, *numbers, loader=Columnar(), judgement=aside, always_exact=exact)
    assert run.loader.committed["a"] == [(0, Decimal("1.5")), (3, None), (4, Decimal(1000))]
    reason = "Expected a number that decimal(38,9) can hold, got one out of range"
    assert [(letter.line, letter.path, letter.reason) for letter in run.loader.letters] == [
        (3, "$.x", reason),
        (4, "$.x", reason),
    ]


@pytest.mark.parametrize(("most", "expect"), [(2, None), (1, BadDataError)])
def test_too_many_of_them_are_a_failure(most, expect):
    lines = [SCHEMA(), RECORD("x"), RECORD(1), STATE(1), SCHEMA("b"), RECORD("y"), STATE(2)]
    run = Run(*lines, judgement=Judgement(quarantine=True), limits=Limits(max_rejects=most), expect=expect)
    if expect:
        assert "at most 1 record " in str(run.error)
        assert "at a.$.n" in str(run.error)
        assert (run.rows(), run.printed, len(run.loader.letters)) == ([1], [1], 1)


# signals


def stopping(loader: Memory, at: str, count: int = 1, *, times: int = 1) -> StopFlag:
    """A flag that signals set while ``loader`` does something for the ``times``-th time."""
    stop = StopFlag()
    left = [times]

    def meanwhile(call: str) -> None:
        if call == at:
            left[0] -= 1
            if left[0] == 0:
                for _ in range(count):
                    stop._on_signal(signal.SIGTERM, None)

    loader.meanwhile = meanwhile
    return stop


def test_a_signal_keeps_what_the_last_state_covers():
    loader = Memory()
    stop = stopping(loader, "write", times=2)
    lines = [SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), STATE(2), SCHEMA("c"), RECORD(3)]
    run = Run(*lines, loader=loader, stop=stop, limits=Limits(chunk_bytes=1 << 20), expect=Stopped)
    assert run.error.exit_code == 143
    assert run.rows()[0] == 1
    assert run.printed[-1:] == [run.rows()[-1]]
    assert f"{len(run.rows())} rows are committed" in str(run.error)


def test_after_a_signal_what_has_been_read_is_still_loaded():
    loader = Memory()
    lines = [SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), STATE(2), SCHEMA("c"), RECORD(3)]
    run = Run(*lines, loader=loader, stop=stopping(loader, "write"), expect=Stopped)
    assert (run.rows(), run.printed) == ([1, 2], [2])


def test_a_second_signal_drops_the_unit():
    loader = Memory()
    stop = stopping(loader, "write", 2, times=2)
    lines = [SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), STATE(2), SCHEMA("c"), RECORD(3)]
    run = Run(*lines, loader=loader, stop=stop, expect=Stopped)
    assert (run.rows(), run.printed) == ([], [])
    assert loader.calls.count("write a") == 2, "the rest of the chunk is left"
    assert loader.calls[-2:] == ["rollback", "close"]
    assert "back_to_safe" not in loader.calls


def test_a_signal_before_anything_came():
    loader = Memory()
    run = Run(SCHEMA(), loader=loader, stop=stopping(loader, "open"), expect=Stopped)
    assert loader.calls == ["open", "rollback", "rollback", "close"]
    assert "0 rows are committed" in str(run.error)


def test_an_error_after_two_signals_is_the_stop_that_was_asked_for():
    loader = Memory()
    loader.troubles["write"] = [RetryableError("cancelled")]
    run = Run(SCHEMA(), RECORD(1), loader=loader, stop=stopping(loader, "write", 2), expect=Stopped)
    assert run.error.exit_code == 143
    assert "0 rows are committed" in str(run.error)
    once = Memory()
    once.troubles["write"] = [RetryableError("away")]
    assert isinstance(
        Run(SCHEMA(), RECORD(1), loader=once, stop=stopping(once, "write"), expect=RetryableError).error,
        RetryableError,
    )


# a unit that is lost


STEPS = ["declare", "write", "mark_safe", "commit", "reject", "activate_version"]
LONG = [
    SCHEMA(),
    RECORD(1),
    RECORD("bad"),
    STATE(1),
    SCHEMA("b"),
    RECORD(2, "b"),
    SCHEMA(x={"type": ["string", "null"]}),
    RECORD(3, x="x"),
    STATE(3),
    SCHEMA("c"),
    RECORD(4),
    RECORD("worse"),
    {"type": "ACTIVATE_VERSION", "stream": "a", "version": 5},
    STATE(4),
]  # fmt: skip


def outcome(run: Run) -> Any:
    loader = run.loader
    return (
        loader.committed,
        loader.state,
        [(letter.line, letter.record) for letter in loader.letters],
        loader.versions,
        loader.columns,
        run.printed,
        run.summary.committed,
        run.summary.rejected,
    )


def test_a_lost_unit_is_told_without_an_advice_that_the_run_follows_itself(caplog):
    loader = Memory()
    loader.troubles["commit"] = [
        UnitLost("The connection was lost (gone)", "; what was committed is safe: run again.")
    ]
    Run(SCHEMA(), RECORD(1), STATE(1), loader=loader)
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == "The connection was lost (gone); the unit in hand is written again, and the run goes on."


@pytest.mark.parametrize(
    "limits", [NEVER, Limits(commit_rows=1), Limits(commit_rows=3)], ids=["one", "each", "some"]
)
@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("step", STEPS)
def test_a_lost_unit_is_written_again_and_nothing_else_differs(step, times, limits, caplog):
    aside = Judgement(quarantine=True)
    good = Run(*LONG, judgement=aside, limits=limits)
    for skip in range(sum(call.startswith(step) for call in good.loader.calls)):
        loader = Memory()
        loader.troubles[step] = [None] * skip + [UnitLost("lost")] * times
        caplog.clear()
        run = Run(*LONG, judgement=aside, limits=limits, loader=loader)
        assert outcome(run) == outcome(good), (step, skip)
        assert run.summary.replays == times
        assert loader.calls.count("recover") == times
        assert sum("written again" in record.getMessage() for record in caplog.records) == times
        assert run.summary.commits == good.summary.commits


@pytest.mark.parametrize("limits", [NEVER, Limits(commit_rows=1)], ids=["one", "each"])
def test_columns_that_were_added_in_a_lost_unit_are_added_again(limits):
    """By a field that no schema names, and by an integer beyond 64 bits."""
    wide = [RECORD(1), STATE(1), SCHEMA("b"), RECORD(2, y="new"), RECORD(2**70), STATE(2)]
    for skip in range(2):
        loader = Memory()
        loader.troubles["commit"] = [None] * skip + [UnitLost("lost")]
        lines = [SCHEMA(), *wide, SCHEMA("c"), RECORD(3, y="more"), STATE(3)]
        run = Run(*lines, loader=loader, limits=limits, judgement=Judgement(extra="load"))
        assert loader.columns["a"] == ["n", "y"]
        assert [len(row) for row in loader.committed["a"]][1:] == [2, 2, 2]
        assert run.printed[-1] == 3


def test_between_the_tries_is_a_pause(monkeypatch):
    class Noting(StopFlag):
        waited: list[float]

        def wait(self, seconds: float) -> bool:
            self.waited.append(seconds)
            return False

    monkeypatch.setattr("singerkit_target.load.waits", lambda: iter([0.5, 1.5, 2.5]))
    stop, loader = Noting(), Memory()
    stop.waited = []
    loader.troubles["commit"] = [UnitLost("lost")] * 2
    Run(SCHEMA(), RECORD(1), STATE(1), loader=loader, stop=stop)
    assert stop.waited == [0.5, 1.5]


def test_a_unit_that_is_lost_again_and_again_ends_the_run():
    loader = Memory()
    loader.troubles["commit"] = [UnitLost("lost")] * 6
    run = Run(SCHEMA(), RECORD(1), STATE(1), loader=loader, expect=UnitLost)
    assert (run.rows(), run.printed) == ([], [])
    assert loader.calls.count("commit") == 6
    assert loader.calls[-2:] == ["rollback", "close"]


def test_a_unit_that_has_outgrown_what_is_held_ends_the_run():
    lines = [SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), STATE(2)]
    for replay_bytes, expect in ((10**6, None), (100, UnitLost), (0, UnitLost)):
        loader = Memory()
        loader.troubles["commit"] = [UnitLost("lost")]
        Run(*lines, loader=loader, limits=Limits(replay_bytes=replay_bytes), expect=expect)
        assert loader.calls.count("recover") == (0 if expect else 1)


@pytest.mark.parametrize(("replay_bytes", "again"), [(10**6, 1), (100, 0)], ids=["held", "not held"])
def test_a_unit_that_is_in_the_way_of_a_change_is_written_again_where_it_is_held(
    replay_bytes: int, again: int
) -> None:
    loader = Memory()
    loader.troubles["declare"] = [None, UnitInTheWay("in the way")]
    wider = SCHEMA(more={"type": "string"})
    lines = [SCHEMA(), RECORD(1), wider, RECORD(2, more="x"), STATE(1)]
    run = Run(*lines, loader=loader, limits=Limits(replay_bytes=replay_bytes))
    assert run.rows() == [1, 2]
    assert loader.calls.count("recover") == again
    assert loader.calls.count("declare a") == 3 + again


@pytest.mark.parametrize(("replay_bytes", "again"), [(10**6, 1), (100, 0)], ids=["held", "not held"])
def test_a_unit_that_is_in_the_way_of_rows_is_written_again_where_it_is_held(
    replay_bytes: int, again: int
) -> None:
    """Rows may need partitions: where the unit was not held the run ended, and so did each that came after it."""
    loader = Memory()
    loader.troubles["write"] = [None, UnitInTheWay("in the way")]
    lines = [SCHEMA(), RECORD(1), SCHEMA("b"), RECORD(2), STATE(1)]
    run = Run(*lines, loader=loader, limits=Limits(replay_bytes=replay_bytes))
    assert run.rows() == [1, 2]
    assert loader.calls.count("recover") == again


def test_what_is_held_is_let_go_at_each_commit():
    """The second unit alone is written again, though both together would be too large to hold."""
    lines = [SCHEMA(), RECORD(1), STATE(1), SCHEMA("b"), RECORD(2), STATE(2)]
    loader = Memory()
    loader.troubles["commit"] = [None, UnitLost("lost")]
    run = Run(*lines, loader=loader, limits=Limits(commit_rows=1, replay_bytes=330))
    assert run.rows() == [1, 2]
    assert run.printed == [1, 2]


def test_before_the_lock_is_taken_nothing_can_be_lost():
    loader = Memory()
    loader.troubles["begin"] = [UnitLost("lost")]
    Run(SCHEMA(), loader=loader, expect=UnitLost)
    assert "recover" not in loader.calls


class Altered(Memory):
    """A target whose columns others turn into text; the unit in hand is lost for it."""

    is_text = False

    def recover(self) -> None:
        super().recover()
        self.is_text = True

    def declare(self, stream: Stream) -> Stream:
        given = super().declare(stream)
        columns = tuple(replace(column, kind=Kind.ANY_TEXT) for column in given.columns)
        return replace(given, columns=columns) if self.is_text else given


@pytest.mark.parametrize("written", [0, 1, 2])
def test_rows_that_were_decoded_for_the_columns_before_are_decoded_anew(written: int) -> None:
    """What was decoded and not yet written when the unit was lost went as `12` into a column of text, with 0."""
    loader = Altered()
    loader.troubles["write"] = [None] * written + [UnitLost("altered")]
    rows = [f'{{"type":"RECORD","stream":"{stream}","record":{{"n":12.0}}}}\n' for stream in "abc"]
    run = Run(SCHEMA("a"), SCHEMA("b"), SCHEMA("c"), *rows, STATE(1), loader=loader)
    assert loader.committed == {stream: [("12.0",)] for stream in "abc"}
    assert run.printed == [1]


def test_a_signal_ends_the_tries():
    loader = Memory()
    loader.troubles["write"] = [UnitLost("lost")] * 9
    run = Run(SCHEMA(), RECORD(1), loader=loader, stop=stopping(loader, "write"), expect=Stopped)
    assert loader.calls.count("write a") == 1
    assert "0 rows are committed" in str(run.error)


def test_a_run_that_is_cut_and_loses_its_unit_keeps_the_same():
    for step in ("back_to_safe", "commit"):
        loader = Memory()
        loader.troubles[step] = [UnitLost("lost")]
        run = Run(MARKED(None), SCHEMA(), RECORD(1), MARKED(1), RECORD(2), loader=loader, expect=BadDataError)
        assert (run.rows(), run.printed) == ([1], [1])
        assert loader.calls.count("recover") == 1


def test_the_summary_is_logged_once_there_is_something_to_say(caplog):
    caplog.set_level(logging.INFO)
    Run(SCHEMA(), RECORD(1), STATE(1))
    assert [
        said for said in caplog.messages if re.fullmatch(r"Stream `a`: 1 row loaded in \d+\.\d s\.", said)
    ]
    caplog.clear()
    Run(SCHEMA(), RECORD(1), SCHEMA("b"), RECORD("x"), expect=BadDataError)
    assert [message.split(" in ")[0] for message in caplog.messages] == ["0 rows"], (
        "rows came, and are not kept"
    )
    caplog.clear()
    Run(SCHEMA())
    assert [message.split(", ")[-1] for message in caplog.messages] == ["1 commit."], "a table alone"
    caplog.clear()
    Run(SCHEMA(), RECORD("x"), expect=BadDataError)
    assert not [message for message in caplog.messages if "rows" in message]


# rows that come again, where they are appended


def OURS(seen: dict[str, Any], *, complete: bool = False) -> dict[str, Any]:
    part = {"replication_key": "n", "replication_key_value": 1, "_singerkit_seen": {"at": 1, **seen}}
    mark = {"run": "r1", "pipeline": "default", "complete": complete}
    return {"type": "STATE", "value": {"bookmarks": {"a": part}, "_singerkit": mark}}


def INCREMENTAL(keys: Sequence[str]) -> dict[str, Any]:
    return SCHEMA(keys=keys) | {"bookmark_properties": ["n"]}


@pytest.mark.parametrize("again", [7, True])
def test_rows_that_the_tap_will_send_again_are_told_where_they_are_appended(again: int, caplog):
    first = [MARKED(None), INCREMENTAL(["n"]), RECORD(1), OURS({"again": again}, complete=True)]
    Run(*first)
    assert caplog.text == "", "they replace themselves by their key"
    memory = Memory(appends=True)
    Run(*first, loader=memory)
    (warning,) = caplog.records
    told = "up to 7 rows again" if again == 7 else "a `lookback`"
    assert warning.levelname == "WARNING"
    assert told in warning.getMessage()
    caplog.clear()
    Run(OURS({"again": again}), INCREMENTAL(["n"]), RECORD(1), OURS({}, complete=True), loader=memory)
    assert ("this run sends up to 7 rows again" in caplog.text) == (again == 7), "a window is told once"
    caplog.clear()
    Run(OURS({}), INCREMENTAL(["n"]), RECORD(2), OURS({"rows": ["x"]}, complete=True), loader=memory)
    assert caplog.text == ""


def test_a_stream_that_is_sent_whole_and_appended_is_told_in_its_first_run(caplog):
    memory = Memory(appends=True)
    Run(MARKED(None), SCHEMA(keys=["n"]), RECORD(1), MARKED(1, complete=True), loader=memory)
    assert "Stream `a` is read without a bookmark" in caplog.text
    caplog.clear()
    Run(MARKED(1), SCHEMA(keys=["n"]), RECORD(1), MARKED(2, complete=True), loader=memory)
    assert caplog.text == ""


def test_of_a_stream_that_goes_on_by_its_position_it_is_not_told_that_all_rows_come_again(caplog):
    goes_on = SCHEMA(keys=["n"]) | {"goes_on": True}
    Run(MARKED(None), goes_on, RECORD(1), MARKED(1, complete=True), loader=Memory(appends=True))
    assert caplog.text == ""


@pytest.mark.parametrize("keys", [[], ["n"]])
def test_of_taps_by_others_and_of_streams_without_a_key_nothing_is_told(keys: list[str], caplog):
    mark = [] if keys else [MARKED(None)]
    end = STATE(1) if keys else OURS({"again": 7}, complete=True)
    Run(*mark, SCHEMA(keys=keys), RECORD(1), end, loader=Memory(appends=True))
    assert caplog.text == ""


# REPLACE


def REPLACE(**where: Any) -> dict[str, Any]:
    return {"type": "REPLACE", "stream": "a", "where": where}


def test_what_is_replaced_goes_in_its_place_among_the_rows_and_with_the_commit_of_those_behind():
    loader = Memory()
    first = [
        SCHEMA(),
        RECORD(1),
        RECORD(2),
        STATE(1),
        REPLACE(n=1),
        RECORD(3),
        RECORD(1),
        REPLACE(n=3),
        STATE(2),
    ]
    run = Run(*first, REPLACE(n=2), RECORD(4), STATE(3), loader=loader, limits=NEVER)
    assert (sorted(run.rows()), run.printed) == ([1, 4], [3])
    calls = [call for call in loader.calls if call.startswith(("write", "replace", "mark"))]
    assert calls == [
        "write a",
        "mark_safe",
        "replace a",
        "write a",
        "replace a",
        "mark_safe",
        "replace a",
        "write a",
        "mark_safe",
    ]
    assert sorted(Run(SCHEMA(), REPLACE(n=1), STATE(4), loader=loader).rows()) == [4], "without any row"


def test_a_unit_with_it_that_is_lost_is_written_again_as_it_was():
    loader = Memory()
    Run(SCHEMA(), RECORD(1), RECORD(2), STATE(1), loader=loader)
    loader.troubles = {"mark_safe": [None, UnitLost("lost")], "commit": [UnitLost("lost")]}
    unit = [RECORD(3), REPLACE(n=3), RECORD(4), STATE(2), REPLACE(n=1), RECORD(5), REPLACE(n=2), STATE(3)]
    run = Run(SCHEMA(), *unit, loader=loader, limits=NEVER)
    assert (sorted(run.rows()), run.printed) == ([4, 5], [3])


def test_what_stands_behind_the_last_state_is_given_up_with_it():
    loader = Memory()
    Run(SCHEMA(), RECORD(1), STATE(1), loader=loader)
    bad = Run(
        SCHEMA(),
        RECORD(2),
        STATE(2),
        REPLACE(n=1),
        RECORD("x"),
        STATE(3),
        loader=loader,
        limits=NEVER,
        expect=BadDataError,
    )
    assert (bad.rows(), bad.printed) == ([1, 2], [2])
    Run(MARKED(2), SCHEMA(), REPLACE(n=1), RECORD(3), loader=loader, limits=NEVER, expect=BadDataError)
    ended = Run(SCHEMA(), RECORD(4), STATE(4), REPLACE(n=1), loader=loader, limits=NEVER, expect=BadDataError)
    assert "ended behind a REPLACE without a STATE after it" in str(ended.error)
    assert (ended.rows(), ended.printed) == ([1, 2, 4], [4])
    refused = Memory()
    refused.troubles["replace"] = [ConfigurationError("no row goes")]
    run = Run(
        SCHEMA(),
        RECORD(1),
        STATE(1),
        REPLACE(n=1),
        RECORD(2),
        STATE(2),
        loader=refused,
        limits=NEVER,
        expect=ConfigurationError,
    )
    assert (run.rows(), run.printed) == ([], [])


def test_what_replaces_nothing_that_is_known_is_refused():
    early = Run(REPLACE(n=1), expect=BadDataError)
    assert "Expected a SCHEMA before the REPLACE of stream `a` at line 1" in str(early.error)
    nothing = Run(SCHEMA(), REPLACE(n=1) | {"where": None}, expect=BadDataError)
    assert "Expected `where` in the REPLACE message at line 2, got null" in str(nothing.error)
