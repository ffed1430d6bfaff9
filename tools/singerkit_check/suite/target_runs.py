"""A target under test, and the loads that its tests share."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from singerkit_check.suite.drivers import Destination, Executable, Row, Services, TargetDriver
from singerkit_check.suite.pieces import PIECES
from singerkit_check.suite.processes import Outcome, Running, run
from singerkit_check.suite.singer import lines, parse

__all__ = ["Load", "TargetRuns", "expect_one_sentence"]


@dataclass(frozen=True)
class Load:
    """One run of a target: its outcome, and its destination to look into."""

    outcome: Outcome
    destination: Destination
    keeps_last_of_key: bool
    tag: str

    def stream(self, name: str) -> str:
        return f"{name}{self.tag}"

    def rows(self, name: str, key: Sequence[str] = ()) -> list[Row]:
        """Return the rows of a stream, without metadata columns, in the order of ``key``.

        A target that appends keeps every version of a key in file order: its users take the last.
        """
        rows = [_data(row) for row in self.destination.read(self.stream(name))]
        if key and not self.keeps_last_of_key:
            rows = list({tuple(row.get(part) for part in key): row for row in rows}.values())
        return sorted(rows, key=lambda row: [str(row.get(part)) for part in key])

    def metadata(self, name: str) -> list[Row]:
        """Return the metadata columns of the rows of a stream."""
        rows = self.destination.read(self.stream(name))
        return [{key: value for key, value in row.items() if key.startswith("_sdc_")} for row in rows]

    @property
    def states(self) -> list[Any]:
        """Return the values on stdout, one a line."""
        return [parse(line) for line in self.outcome.stdout.splitlines()]

    @property
    def last_state(self) -> Any:
        """Return the value that the next run would begin with."""
        assert self.outcome.stdout.strip(), f"no STATE was printed\n{self.outcome}"
        return self.states[-1]


def _data(row: Row) -> Row:
    return {key: value for key, value in row.items() if not key.startswith("_sdc_")}


class TargetRuns:
    def __init__(self, executable: Executable, folder: Path, services: Services) -> None:
        self.executable, self.folder, self._services = executable, folder, services
        self.driver: TargetDriver = executable.driver
        self.tag = f"_{uuid.uuid4().hex[:6]}"  # a target that is always the same place sees streams only once
        self._numbers = itertools.count()
        self._apart: dict[str, Load] = {}

    def stream(self, name: str) -> str:
        """Return the name that a stream of a test has in this session."""
        return f"{name}{self.tag}"

    def stream_of_marked_runs(self, name: str) -> str:
        """Return `stream`, or waive where the target cannot know the mark with which our taps end a run."""
        if not self.driver.is_ours:
            self.driver.cannot("a run whose end is marked")
        return self.stream(name)

    def destination(self, **settings: Any) -> Destination:
        return self.driver.destination(self.folder, self._services, **settings)

    def command(self, destination: Destination, *more: str) -> list[str]:
        """Return the command line with the destination's config in a file."""
        path = self.folder / f"config-{next(self._numbers)}.json"
        path.write_text(json.dumps(destination.config), encoding="utf-8")
        return [*self.executable.command, "--config", str(path), *more]

    def load(
        self,
        *messages: Any,
        destination: Destination | None = None,
        options: Sequence[str] = (),
        **settings: Any,
    ) -> Load:
        """Run the target on these messages to its end, into a fresh place unless one is given."""
        place = destination or self.destination(**settings)
        command = self.command(place, *options)
        outcome = run(command, stdin=lines(*messages), environment=place.environment, cwd=self.folder)
        return self.look(outcome, place)

    def look(self, outcome: Outcome, destination: Destination) -> Load:
        return Load(outcome, destination, self.driver.keeps_last_of_key, self.tag)

    def running(self, destination: Destination, *options: str) -> Running:
        """Start the target with its stdin left open."""
        command = self.command(destination, *options)
        return Running(command, environment=destination.environment, cwd=self.folder)

    @cached_property
    def _together(self) -> Load:
        pieces = [piece for name, piece in PIECES.items() if name not in self.driver.refuses]
        messages = [message for piece in pieces for message in piece(self.stream)]
        return self.load(*messages)

    def loaded(self, piece: str) -> Load:
        """Return a successful run that loaded this piece, if possible the one that loaded all pieces."""
        if self._together.outcome.code == 0:
            return self._together
        if piece not in self._apart:
            # other names than together: where every run has the same place, rows would be there twice
            tag = f"{self.tag}_apart"
            load = self.load(*PIECES[piece](lambda name: f"{name}{tag}"))
            self._apart[piece] = replace(load, tag=tag)
        self._apart[piece].outcome.expect(0)
        return self._apart[piece]

    def is_refused(self, piece: str) -> bool:
        """Whether the store cannot hold a piece; then see that it is refused, and nothing of it is there."""
        place = self.driver.refuses.get(piece)
        if place is None:
            return False
        self.refused(*PIECES[piece](self.stream), place=place)
        return True

    def refused(self, *messages: Any, place: str = "", **settings: Any) -> Load:
        """Load what must be refused; for ours that is exit 65 and one sentence that names ``place``."""
        load = self.load(*messages, **settings)
        assert load.outcome.code != 0, f"exit 0 for an input that must be refused\n{load.outcome}"
        if self.driver.is_ours:
            load.outcome.expect(65)
            expect_one_sentence(load.outcome, place)
        return load


def expect_one_sentence(outcome: Outcome, place: str = "") -> None:
    """Check that the last words are one CRITICAL line about ``place``, and that there is no stack trace."""
    assert outcome.last_words.startswith("CRITICAL "), f"the last line is not CRITICAL\n{outcome}"
    assert "Traceback" not in outcome.stderr, f"a stack trace for a fault of the input\n{outcome}"
    assert place in outcome.last_words, f"the last line does not name {place!r}\n{outcome}"
