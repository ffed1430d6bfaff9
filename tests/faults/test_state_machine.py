"""Anything in any order: the source goes on, runs, kills, two runs at once, copies put back, state edited.

After every step the checker holds the tables against the source (I1-I8) as far as they apply. What has to hold where
somebody puts an old copy back or edits the state is DESIGN 5: what the target has committed wins where the lineage is
the same, everything else is refused before anything is written, and rows of the stream without a key come a second
time only where somebody has set the state back on purpose (`singerkit-state set`, `reset`).

`make property` runs more sequences, and takes other ones each time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from faults.torture.checker import Checker, Position, Violation
from faults.torture.exhaustive import await_quiet
from faults.torture.inject import rule
from faults.torture.pipeline import PIPELINE, Bench, Outcome, Pipeline
from faults.torture.source import Source
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, run_state_machine_as_test
from hypothesis.stateful import rule as step
from psycopg2.sql import SQL, Identifier
from sampling import IS_SAMPLE, tries

TRIES = 6


def test_whatever_happens_in_whatever_order(bench: Bench) -> None:
    run_state_machine_as_test(
        lambda: Machine(bench),
        settings=settings(
            max_examples=tries(2),
            stateful_step_count=12,
            derandomize=IS_SAMPLE,
            database=None,
            deadline=None,
            print_blob=True,
            phases=[
                Phase.generate
            ],  # the moments of a kill are not to the instruction: shrinking finds other things
            suppress_health_check=list(HealthCheck),
        ),
    )


class SetBackChecker(Checker):
    """A checker that knows what somebody has set back on purpose."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self.extra: Counter[int] = Counter()
        """How often each event is there beside those that the position covers, because it was asked for again."""
        self.is_behind = False
        """Whether the position was set back, so that tables hold rows beyond it, until a run has finished."""

    def forget(self) -> None:
        """Begin to compare with what is there from now on: somebody has put another database in place."""
        self._before = type(self._before)()

    def set_back(self, events: Counter[int]) -> None:
        """Expect these events beside those that the position covers, and a position that goes back."""
        self.extra = events
        self.is_behind = True
        self._before.positions = {}
        self._before.epoch = self._before.sequence = 0

    def beyond(self, stored: Counter[int], value: Any) -> Counter[int]:
        """Return those of the events that are there which a state does not cover."""
        state = self._state_of(json.dumps(value), "a state of the history") if value else None
        position = state.positions.get("events", Position()) if state else Position()
        covered = Counter(
            version.seq for version in self._journal.versions["events"] if version.at < position.value
        ) + self._rows_at("events", position)
        return stored - covered

    def _check_events(self, stored: Counter[int], at: Position) -> None:
        super()._check_events(stored - self.extra, at)

    def _check_complete(self, rows: Any) -> None:
        self.is_behind = False
        super()._check_complete({**rows, "events": rows["events"] - self.extra})

    def _find(self, kind: str, text: str) -> None:
        if not (self.is_behind and "beyond the bookmark" in text):
            super()._find(kind, text)


class Machine(RuleBasedStateMachine):
    """One pipeline into one database, and copies of both that are put back."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.stack = contextlib.ExitStack()
        self.story: list[str] = []

    @initialize(resume=st.sampled_from(["url", "file"]), seed=st.integers(0, 10**6), is_sorted=st.booleans())
    def begin(self, resume: str, seed: int, is_sorted: bool) -> None:
        self.source = Source(seed, is_sorted=is_sorted)
        self.pipeline: Pipeline = self.stack.enter_context(
            self.bench.pipeline(self.source, resume=resume, chunk_bytes=2048)
        )
        self.checker = SetBackChecker(self.pipeline)
        self.files: list[bytes] = []
        """Old copies of the state file."""
        self.states: list[Any] = []
        """STATE values that were committed."""
        self.copies: list[tuple[str, Counter[int], list[Any]]] = []
        """Copies of the database, with the checker's `extra` and the `states` of the moment."""
        self.story.append(f"{resume}, sorted {is_sorted}, seed {seed}")
        self.source.emit(6, 6, 2)
        self._run()
        self.copy_the_database()
        self.source.emit(6, 6, 2)

    # --- runs ------------------------------------------------------------------------------------------------

    def _note(self, what: str, outcome: Outcome | None = None) -> None:
        self.story.append(what if outcome is None else f"{what} -> {outcome}")

    def _check(self, *outcomes: Outcome, **allowed: Any) -> None:
        try:
            self.checker.check(*outcomes, **allowed)
        except Violation as error:
            raise AssertionError("\n  ".join([*self.story, str(error)])) from error

    def _expect(self, condition: bool, what: str) -> None:
        assert condition, "\n  ".join([*self.story, what])

    def _run(self) -> Outcome:
        """Run without a fault: it succeeds, or says why it has to be run again."""
        await_quiet(self.pipeline)
        outcome = self.pipeline.run()
        self._note("run", outcome)
        self._check(outcome, tap_codes={0, 69}, target_codes={0, 69})
        words = outcome.target_words
        self._expect(outcome.codes == "0|0" or (outcome.target == 69 and "run again" in words), "no success")
        if outcome.codes == "0|0":
            self._remember()
        return outcome

    def _remember(self) -> None:
        """Keep what a later step may put back."""
        value = self._committed()
        if value not in self.states:
            self.states.append(value)
        if self.pipeline.state_file.exists():
            self.files.append(self.pipeline.state_file.read_bytes())

    def _committed(self) -> Any:
        found = self.bench.server.sql(
            "SELECT state::text FROM _singerkit_state WHERE pipeline = %s", [PIPELINE], self.pipeline.database
        )
        return json.loads(found[0][0]) if found and found[0][0] else None

    @step(how=st.sampled_from(["once", "until it succeeds", "two at once"]))
    def run(self, how: str) -> None:
        if how == "once":
            self._run()
        elif how == "two at once":
            self._run_two()
        else:
            self._recover()

    def _recover(self) -> None:
        """Run until it succeeds, as an operator does."""
        for _ in range(TRIES):
            if self._run().codes == "0|0":
                self._check(complete=True)
                return
        self._expect(False, f"no success in {TRIES} runs")

    @step(
        side=st.sampled_from(["tap", "target"]),
        at=st.integers(1, 130),
        action=st.sampled_from(["kill", "kill", "short-kill", "term"]),
    )
    def end_one_side(self, side: str, at: int, action: str) -> None:
        if side == "tap":
            at = at % 40 + 1
        await_quiet(self.pipeline)
        outcome = self.pipeline.run(**{f"{side}_rules": [rule("any", at, action)]})
        self._note(f"{side} {action} at {at}", outcome)
        codes = {0, 65, 69, 74, 143 if action == "term" else -9}
        self._check(outcome, tap_codes=codes, target_codes=codes)

    def _run_two(self) -> None:
        await_quiet(self.pipeline)
        self.source.arm()
        self.bench.proxy.arm()
        pairs = [self.pipeline.start(), self.pipeline.start()]
        outcomes = [self.pipeline.finish(pair) for pair in pairs]
        for outcome in outcomes:
            self._note("one of two", outcome)
        self._check(*outcomes, tap_codes={0, 69}, target_codes={0, 69, 75})

    # --- the source ------------------------------------------------------------------------------------------

    @step(what=st.sampled_from(["more rows", "more rows", "new schema", "flip"]), rows=st.integers(1, 12))
    def source_goes_on(self, what: str, rows: int) -> None:
        self.story.append(f"{what}, {rows} rows")
        if what == "new schema":
            self.story.append(self.source.change_schema())
        elif what == "flip":
            self.source.flip()
        self.source.emit(rows, 13 - rows, rows // 4)

    # --- copies ----------------------------------------------------------------------------------------------

    @step()
    def copy_the_database(self) -> None:
        if self._committed() is None or len(self.copies) > 2:
            return  # a database without a state would be another target: the tap's state says nothing about it
        await_quiet(self.pipeline)
        name = f"{self.pipeline.database}_{len(self.copies)}"
        self._create(name, self.pipeline.database)
        drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name))
        self.stack.callback(self.bench.server.sql, drop)
        self.copies.append((name, Counter(self.checker.extra), list(self.states)))
        self.story.append(f"copy {len(self.copies)} of the database is made")

    def _create(self, name: str, template: str) -> None:
        statement = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
        self.bench.server.sql(statement)

    @precondition(lambda self: self.copies)
    @step(number=st.integers(0, 2))
    def put_an_old_database_back(self, number: int) -> None:
        """A state file is then ahead of the database: somebody says that the database counts, and what it lacks comes."""
        name, extra, states = self.copies[number % len(self.copies)]
        await_quiet(self.pipeline)
        drop = SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(self.pipeline.database))
        self.bench.server.sql(drop)
        self._create(self.pipeline.database, name)
        self.story.append(f"the database is put back from {name}")
        self.checker.forget()
        self.checker.extra = Counter(extra)
        self.states = list(states)  # a later one would skip rows
        before = self._committed()
        ahead = self._file_differs_from(before)
        self.checker.is_behind = True  # a copy may be of a moment at which the state had been set back
        outcome = self.pipeline.run()
        self._note("the run after it", outcome)
        if ahead:
            self._expect_refusal(outcome, before)
            # The file was ahead of what is there now; that is put right, and is no success yet.
            self._check(complete=False)
        else:
            self._expect(outcome.codes == "0|0", "it did not succeed")
            self._check(outcome)
            self._remember()

    def _expect_refusal(self, outcome: Outcome, committed: Any) -> None:
        """The run has changed nothing, and the state file holds what is committed, or the way to it is told."""
        if "--last-state`" in outcome.target_words:
            # The target has never had the state in the file; somebody says that what is committed counts.
            self._singerkit_state("get", into=self.pipeline.state_file)
        else:
            self._expect(outcome.target == 69 and "run again" in outcome.target_words, "it was not refused")
        self._expect(self._committed() == committed, "a refused run has committed")
        in_file = json.loads(self.pipeline.state_file.read_bytes())
        self._expect(in_file == committed, "the file is not put right")

    def _file_differs_from(self, committed: Any) -> bool:
        if self.pipeline.resume != "file" or not self.pipeline.state_file.exists():
            return False
        in_file = json.loads(self.pipeline.state_file.read_bytes())
        return bool(in_file["bookmarks"] != committed["bookmarks"])

    # --- the state file --------------------------------------------------------------------------------------

    @precondition(lambda self: self.pipeline.resume == "file" and self.files)
    @step(number=st.integers(0, 50))
    def put_an_old_state_file_back(self, number: int) -> None:
        """The database wins: the run is refused, the file is put right, and nothing is doubled."""
        committed = self._committed()
        if committed is None:
            return  # the state was reset: the file then says where to begin, as after a move to a new target
        await_quiet(self.pipeline)
        self.pipeline.state_file.write_bytes(self.files[number % len(self.files)])
        self.story.append("an old state file is put back")
        differs = self._file_differs_from(committed)
        outcome = self.pipeline.run()
        self._note("the run after it", outcome)
        if differs:
            self._expect_refusal(outcome, committed)
        self._check(outcome, tap_codes={0, 69}, target_codes={69, 78} if differs else {0})

    @precondition(lambda self: self.pipeline.resume == "file" and self.pipeline.state_file.exists())
    @step(how=st.sampled_from(["empty", "torn", "another pipeline's", "not JSON", "an older bookmark"]))
    def edit_the_state_file(self, how: str) -> None:
        """Refused with the way out, which then helps: the state that the target has committed, put into the file."""
        path, committed = self.pipeline.state_file, self._committed()
        if committed is None:
            return
        value = json.loads(json.dumps(committed))
        if how == "an older bookmark":
            mark = value["bookmarks"].get("orders", {})
            if "replication_key_value" not in mark:
                return
            mark["replication_key_value"] = mark["_singerkit_seen"]["at"] = "2024-03-01T00:00:00.000000Z"
            mark["_singerkit_seen"]["rows"] = []
        whole = json.dumps(value).encode()
        value["_singerkit"] = {**value["_singerkit"], "pipeline": "another"}
        path.write_bytes(
            {
                "empty": b"",
                "torn": whole[: len(whole) * 2 // 3],
                "another pipeline's": json.dumps(value).encode(),
                "not JSON": b"orders=2024",
                "an older bookmark": whole,
            }[how]
        )
        self.story.append(f"the state file is edited: {how}")
        await_quiet(self.pipeline)
        outcome = self.pipeline.run()
        self._note("run", outcome)
        expected = {69} if how == "an older bookmark" else {78}
        self._expect(outcome.target in expected or outcome.tap in expected, "it was not refused")
        self._expect(outcome.codes != "0|0", "it succeeded")
        self._expect(self._committed() == committed, "a refused run has committed")
        self._singerkit_state("get", into=path)
        self._check(outcome, tap_codes={0, 69, 78}, target_codes={65, 69, 78})

    # --- singerkit-state -------------------------------------------------------------------------------------

    def _singerkit_state(self, *words: str, into: Path | None = None, stdin: bytes | None = None) -> None:
        location = self.bench.server.uri(self.pipeline.database, pipeline=PIPELINE)
        command = [str(Path(sys.executable).parent / "singerkit-state"), words[0], location, *words[1:]]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        self.story.append(f"singerkit-state {' '.join(words)} -> {done.returncode}")
        self._expect(done.returncode == 0, done.stderr.decode())
        if into is not None:
            into.write_bytes(done.stdout)

    def _stored_events(self) -> Counter[int]:
        rows = self.bench.server.sql("SELECT seq FROM events", None, self.pipeline.database)
        return Counter(int(seq) for (seq,) in rows)

    @precondition(lambda self: self.states)
    @step(number=st.integers(0, 50), everything=st.booleans())
    def set_the_state_back(self, number: int, everything: bool) -> None:
        """Somebody wants the rows from there on once more, or all of them, and gets them."""
        await_quiet(self.pipeline)
        value = None if everything else self.states[number % len(self.states)]
        self.checker.set_back(self.checker.beyond(self._stored_events(), value))
        if everything:
            self._singerkit_state("reset", "--yes")
            self.pipeline.state_file.unlink(missing_ok=True)
        else:
            self._singerkit_state("set", "-", stdin=json.dumps(value).encode())
            if self.pipeline.resume == "file":
                self._singerkit_state("get", into=self.pipeline.state_file)
        self._check()

    def teardown(self) -> None:
        try:
            if hasattr(self, "checker"):
                self._recover()
                self.checker.check_end()
        finally:
            self.stack.close()
