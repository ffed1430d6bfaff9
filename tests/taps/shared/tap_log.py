"""A tap on a log in a file (`log_file`): several streams, read from the log, or as a whole."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from singer_sdk.streams.core import Stream

sys.path.insert(0, str(Path(__file__).parents[2]))

from taps.shared.log_file import LogFile

from singerkit_shell.errors import BadDataError, RetryableError
from singerkit_state.delivery import Delivery
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.delivery import log_delivery
from singerkit_tap.log_contract import (
    Change,
    Chunk,
    LogGone,
    LogPage,
    ReadyChanges,
    ReadyPart,
    SnapshotPage,
    TableGone,
)
from singerkit_tap.log_settings import LOG_SETTINGS
from singerkit_tap.shell import SingerkitTap
from singerkit_tap.stream import BlockStream
from singerkit_wire.readyrows import ReadyRows
from singerkit_wire.stream import DELETED_AT

TEXT, INTEGER = {"type": ["string", "null"]}, {"type": "integer"}
KEYS: dict[str, list[str]] = {"a": ["id"], "b": ["id"], "k": [], "big": []}
ROW = {"type": "object", "properties": {"id": INTEGER, "v": TEXT, "w": TEXT}, "required": ["id", "v"]}
EITHER = ["LOG_BASED", "FULL_TABLE"]
NOT_DELETED = b',"_sdc_deleted_at":null}\n'


def encoded(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode()


def ready(changes: Sequence[Change]) -> Sequence[Change]:
    """Return changes with the rows that have all of their fields as lines."""
    others = dict(enumerate(changes))
    parts = []
    for stream in {change.stream for change in changes}:
        places = [
            place
            for place, change in enumerate(changes)
            if change.stream == stream
            and change.deleted_at is None
            and change.record is not None
            and [*json.loads(bytes(change.record))] == [*ROW["properties"]]
        ]
        lines = [bytes(others.pop(place).record or b"")[:-1] + NOT_DELETED for place in places]
        names = (*ROW["properties"], DELETED_AT)
        parts.append(ReadyPart(stream, ReadyRows(b"".join(lines), names), places))
    return ReadyChanges(parts, others, [change.transaction for change in changes])


class FileReader:
    """A `LogReader`. A position is the number of an entry, a cursor a key, a snapshot the number of a transaction."""

    starts_anew = True
    meanwhile: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    """What others do while a run goes on, for tests in one process."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._log = LogFile(config["path"])
        self._config = config
        self._answered = time.monotonic()

    @property
    def source(self) -> str:
        return self._log.id

    def anew(self, known: Mapping[str, Any]) -> dict[str, str]:
        now = self._config["tables"]
        other = [name for name, was in known.items() if was is not None and was != now.get(name)]
        if other and self._config["refuses_truncate"]:
            raise TableGone(other[0], "its table was made anew")
        return dict.fromkeys(other, "its table was made anew")

    def identity(self, stream: str, position: Any) -> Any:
        return self._config["tables"].get(stream)

    def begin(self, position: Any) -> Any:
        if position is None:
            return self._log.begins if self._config["begin"] == "early" else self._log.end
        return self._checked(position)

    def _checked(self, position: int) -> int:
        if position < self._log.begins:
            raise LogGone(f"it begins at {self._log.begins}", is_told=True)
        return position

    def end(self) -> Any:
        return self._log.end

    def read(self, position: Any, until: Any) -> Iterator[LogPage]:
        at, size, seen = self._checked(position), self._config["page_changes"], 0
        while until is None or at < until:
            self._look_at_the_clock()
            entries = self._log.entries(at, until, size)
            if not entries:
                time.sleep(0.02)
                yield LogPage((), at)
                continue
            while not entries[-1].is_last and len(entries) > 1 and not self._config["tears"]:
                entries.pop()  # a page may as well end inside a transaction: both are tried
            changes = [change for entry in entries if (change := self._change(entry)) is not None]
            at = entries[-1].seq
            seen += 1
            FileReader.meanwhile()
            self._fail_after(seen)
            if entries[0].op == "swell":
                yield from self._swollen(entries[0].row, at)
            else:
                found = changes if at % 2 else ready(changes)  # both ways are tried
                yield LogPage(found, at if entries[-1].is_last else None)

    def _swollen(self, row: dict[str, Any], at: int) -> Iterator[LogPage]:
        for begin in range(0, row["rows"], 1000):
            rows = [encoded({"id": begin + n, "v": "x" * row["bytes"]}) for n in range(1000)]
            yield LogPage([Change("big", each) for each in rows], None)
        yield LogPage((), at)

    def _change(self, entry: Any) -> Change | None:
        if entry.op == "truncate":
            if self._config["refuses_truncate"]:
                raise BadDataError(f"Table `{entry.stream}` was emptied, which this tap does not pass on.")
            return Change(entry.stream, None, transaction=entry.tx)
        if entry.stream not in KEYS:
            return None
        deleted_at = entry.at if entry.op == "delete" else None
        return Change(entry.stream, encoded(entry.row), deleted_at, entry.tx)

    def _fail_after(self, pages: int) -> None:
        if self._config.get("fail_after_pages") == pages:
            raise RetryableError("The source stayed away; run again later.")

    def read_chunk(self, stream: str, after: Any, position: Any) -> Chunk:
        FileReader.meanwhile()
        end = self._log.end
        if self._config["hides"] and position is not None:
            end = max(position, end - self._config["hides"])  # what was committed last is not visible yet
            end = max((entry.seq for entry in self._log.entries(0, end) if entry.is_last), default=0)
        keys = KEYS[stream]
        rows = self._log.rows(stream, keys, end)
        if keys:
            rows = sorted(
                (row for row in rows if after is None or row["id"] > after[0]), key=lambda row: row["id"]
            )
        size = self._config["chunk_rows"] if keys else len(rows)
        chunk, is_last = rows[:size], len(rows) <= size
        entries = self._log.entries(0, end)
        FileReader.meanwhile()
        return Chunk(
            iter([SnapshotPage([*map(encoded, chunk)], None if is_last else [chunk[-1]["id"]])]),
            entries[-1].tx if entries else 0,
            self._log.end,
        )

    def is_behind(self, change: Change, cursor: Any) -> bool:
        return bool(json.loads(bytes(change.record or b"null"))["id"] <= cursor[0])

    def sees(self, snapshot: Any, change: Change) -> bool:
        return bool(change.transaction <= snapshot)

    def acknowledge(self, position: Any) -> None:
        self._log.note("acknowledge", position)
        self._log.forget(max(position, self._log.begins))

    def keep_alive(self) -> None:
        self._log.note("keep alive")
        self._answered = time.monotonic()

    def _look_at_the_clock(self) -> None:
        if time.monotonic() - self._answered > self._config.get("timeout", 3600):
            raise RetryableError("The source has ended the connection, since nobody answered it.")
        self._answered = time.monotonic()

    def close(self) -> None:
        self._log.note("close")
        self._log.close()


class FileStream(BlockStream):
    """A table of the log, read as a whole."""

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        log = LogFile(self.tap.config["path"])
        yield Page([*map(encoded, log.rows(self.name, KEYS[self.name]))])
        log.close()


class TapLog(SingerkitTap):
    """Reads a log from a file."""

    name = "tap-log"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "methods": {"type": "object", "default": {}},
            "begin": {"enum": ["early", "late"], "default": "early"},
            "tears": {"type": "boolean", "default": True},
            "hides": {"type": "integer", "default": 0},
            "refuses_truncate": {"type": "boolean", "default": False},
            "page_changes": {"type": "integer", "default": 100},
            "chunk_rows": {"type": "integer", "default": 1000},
            "fail_after_pages": {"type": "integer"},
            "timeout": {"type": "number"},
            "fields": {"type": "object", "default": {}},
            "tables": {"type": "object", "default": {}},
            **LOG_SETTINGS,
        },
        "required": ["path"],
    }

    @classmethod
    def deliveries(cls, config: dict[str, Any]) -> list[Delivery]:
        return [log_delivery()]

    def discover_streams(self) -> Sequence[Stream]:
        properties = {**ROW["properties"], **self.config["fields"]}
        return [
            FileStream(
                self,
                name,
                {**ROW, "properties": properties},
                key_properties=keys,
                replication_methods=self.config["methods"].get(name, EITHER),
                selected_by_default=name != "big",
            )
            for name, keys in KEYS.items()
        ]

    def log_reader(self, streams: Sequence[BlockStream]) -> FileReader:
        self.logger.info(
            "reads the log for %s in process %s", [stream.name for stream in streams], os.getpid()
        )
        return FileReader(dict(self.config))


main = TapLog.cli_main

if __name__ == "__main__":
    main()
