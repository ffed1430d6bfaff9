"""A tap under test, its source, and the runs that its tests share."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from singerkit_check.suite.drivers import Executable, TapDriver
from singerkit_check.suite.known import Row
from singerkit_check.suite.processes import Outcome, Running, run
from singerkit_check.suite.singer import instant
from singerkit_check.suite.sources import Read, Source

__all__ = ["TapRuns", "bookmarks", "records", "schemas", "states"]


def records(outcome: Outcome, stream: str) -> list[Row]:
    """Return the records of one stream in the order in which they were sent."""
    return [
        message["record"] for message in outcome.messages
        if message["type"] == "RECORD" and message["stream"] == stream
    ]  # fmt: skip


def schemas(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return the last SCHEMA message of each stream."""
    return {message["stream"]: message for message in outcome.messages if message["type"] == "SCHEMA"}


def states(outcome: Outcome) -> list[Any]:
    return [message["value"] for message in outcome.messages if message["type"] == "STATE"]


def bookmarks(state: Mapping[str, Any], stream: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield (context, replication key value) of a stream; the context is {} where there are no partitions."""
    bookmark = state.get("bookmarks", {}).get(stream, {})
    for part in [bookmark, *bookmark.get("partitions", [])]:
        if part.get("replication_key_value") is not None:
            yield part.get("context", {}), part["replication_key_value"]


class TapRuns:
    def __init__(
        self, executable: Executable, source: Source, folder: Path, discovered: Outcome | None = None
    ) -> None:
        self.executable, self.source, self.folder = executable, source, folder
        self._discovered = discovered
        self.driver: TapDriver = executable.driver
        self._numbers = itertools.count()
        self.outcomes: list[Outcome] = []

    def file(self, content: Any, name: str = "file") -> str:
        """Write JSON (or text as it is) to a new file, return its path."""
        path = self.folder / f"{name}-{next(self._numbers)}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    def command(self, *options: str, config: Any = None) -> list[str]:
        path = self.file(self.source.config if config is None else config, "config")
        return [*self.executable.command, "--config", path, *options]

    def run(self, *options: str, config: Any = None) -> Outcome:
        outcome = run(self.command(*options, config=config))
        self.outcomes.append(outcome)
        return outcome

    def running(self, *options: str, config: Any = None) -> Running:
        return Running(self.command(*options, config=config))

    def run_watched(self, *options: str, config: Any = None) -> tuple[Outcome, list[Read]]:
        """Run, and tell what the source was asked for meanwhile; waived where it cannot tell."""
        before = len(self.source.reads)
        return self.run(*options, config=config), self.source.reads[before:]

    @cached_property
    def discovered(self) -> Outcome:
        return self._discovered or self.run("--discover").expect(0)

    @property
    def catalog(self) -> dict[str, Any]:
        """Return a copy of the catalog that --discover printed."""
        return dict(json.loads(self.discovered.stdout))

    @cached_property
    def full(self) -> Outcome:
        """The first run: no state, no catalog."""
        return self.run().expect(0)

    @cached_property
    def last_state(self) -> dict[str, Any]:
        """Return the value of the last STATE of the first run, as a user would save it."""
        for line in reversed(self.full.stdout.splitlines()):
            message = json.loads(line)
            if message["type"] == "STATE":
                return dict(message["value"])
        raise AssertionError("the first run printed no STATE")

    def selecting(self, wanted: Mapping[str, bool]) -> dict[str, Any]:
        """Return the catalog with the streams (un)selected; streams not named are not selected."""
        catalog = self.catalog
        for stream in catalog["streams"]:
            stream.pop("selected", None)
            self.metadata(stream)["selected"] = wanted.get(stream["tap_stream_id"], False)
        return catalog

    @staticmethod
    def metadata(stream: dict[str, Any], *breadcrumb: str) -> dict[str, Any]:
        """Return the metadata of a stream, or of a field of it, to look at or to change."""
        for entry in stream["metadata"]:
            if tuple(entry["breadcrumb"]) == breadcrumb:
                found: dict[str, Any] = entry["metadata"]
                return found
        made: dict[str, Any] = {}
        stream["metadata"].append({"breadcrumb": list(breadcrumb), "metadata": made})
        return made

    @staticmethod
    def stream_of(catalog: Mapping[str, Any], name: str) -> dict[str, Any]:
        return next(stream for stream in catalog["streams"] if stream["stream"] == name)

    def changed_config(self, **changes: Any) -> dict[str, Any]:
        return copy.deepcopy(self.source.config) | changes


def ascending(rows: Sequence[Row], field: str) -> bool:
    times = [instant(row[field]) for row in rows]
    return times == sorted(times)
