"""A small connector on the shared engine, run as a script: it reads JSON lines from files.

    python tap_example.py --config config.json

A stream's ``pages`` is a file with a JSON array of records on each line: one line is one page of the source.
``server_filters`` leaves rows below the start out at the source, as a good API does. A page that is the text
``"wait"`` waits until the file ``gate`` exists; ``"fail"`` raises as a source that stays unavailable. An object has the records of a page
as ``records``, beside ``replaces`` and ``is_safe``. With ``typed`` the pages hold
typed rows; with ``resumes`` a full load goes on behind the line that it had come to.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from singer_sdk.streams import Stream

from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import stop_flag
from singerkit_state.order import order_key
from singerkit_state.tracker import Signpost
from singerkit_state.value import decode
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.shell import SingerkitTap
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import RawRecord, Record, split_records
from singerkit_wire.typedrows import RowMaker, TypedRow

STREAM_SETTINGS = {
    "name": {"type": "string"},
    "pages": {"type": "string"},
    "schema": {"type": "object"},
    "key_properties": {"type": "array", "items": {"type": "string"}, "default": []},
    "replication_key": {"type": "string"},
    "is_sorted": {"type": "boolean", "default": False},
    "server_filters": {"type": "boolean", "default": True},
    "parent": {"type": "string"},
    "parent_key": {"type": "string"},
    "partition_bookmarks": {"type": "boolean", "default": True},
    "reads_all_parents": {"type": "boolean", "default": False},
    "memory_rows": {"type": "integer", "default": 10_000},
    "signpost": {"type": "string", "default": "auto"},
    "lookback": {"type": "integer", "default": 0},
    "selected_by_default": {"type": "boolean", "default": True},
    "sends_partial_records": {"type": "boolean", "default": False},
    "start_setting": {"type": ["string", "null"]},
    "clock": {"type": "number"},
    "valid_replication_keys": {"type": "array", "items": {"type": "string"}, "default": []},
    "is_key_unique": {"type": "boolean", "default": False},
    "sends_versions": {"type": "boolean", "default": False},
    "typed": {"type": "boolean", "default": False},
    "resumes": {"type": "boolean", "default": False},
}


class ExampleStream(BlockStream):
    def __init__(self, tap: SingerkitTap, settings: dict[str, Any], parent: BlockStream | None) -> None:
        super().__init__(
            tap,
            settings["name"],
            settings["schema"],
            key_properties=settings["key_properties"],
            replication_key=settings.get("replication_key"),
            is_sorted=settings["is_sorted"],
            parent=parent,
            lookback=settings["lookback"],
            memory_rows=settings["memory_rows"],
            signpost=Signpost(settings["signpost"]),
            partition_bookmarks=settings["partition_bookmarks"],
            reads_all_parents=settings["reads_all_parents"],
            selected_by_default=settings["selected_by_default"],
            sends_partial_records=settings["sends_partial_records"],
            start_setting=settings.get("start_setting"),
            valid_replication_keys=settings["valid_replication_keys"],
            is_key_unique=settings["is_key_unique"],
            sends_versions=settings["sends_versions"],
        )
        self._settings = settings
        self._gate = tap.config.get("gate")

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        self.logger.info("asked for rows from %s", start.value)
        with Path(self._settings["pages"]).open("rb") as lines:
            for number, line in enumerate(lines):
                if start.position is not None and number <= start.position:
                    continue
                if line == b'"wait"\n':
                    if not self._wait():
                        return
                elif line == b'"fail"\n':
                    raise RetryableError("The source stayed away; run again later.")
                elif line.startswith(b"{"):
                    page = json.loads(line)
                    records = split_records(json.dumps(page.pop("records")).encode(), "a page")
                    yield Page(records, position=number if self._settings["resumes"] else None, **page)
                else:
                    records = split_records(line, f"a page of stream `{self.name}`")
                    clock = self._settings.get("clock")
                    wanted = [row for row in records if self._is_wanted(row, context, start)]
                    yield Page(
                        self._typed(wanted) if self._settings["typed"] else wanted,
                        clock=None if clock is None else clock - 60,
                        margin=60,
                        position=number if self._settings["resumes"] else None,
                    )

    def can_resume(self, position: Any) -> bool:
        return self._settings["resumes"] and isinstance(position, int)

    def _typed(self, records: Sequence[RawRecord]) -> Sequence[TypedRow | bytes]:
        """The selected fields as a database would give them: tuples of values."""
        names = [name for name in self.effective_schema["properties"] if self.mask["properties", name]]
        rows = (decode(bytes(row).decode()) for row in records)
        return RowMaker(names).rows(tuple(row.get(name) for name in names) for row in rows)

    def _wait(self) -> bool:
        print("WAITING", file=sys.stderr, flush=True)
        deadline = time.monotonic() + 30
        while not Path(self._gate).exists() and not stop_flag:
            if time.monotonic() > deadline:
                raise RetryableError("The gate stayed shut.")
            time.sleep(0.01)
        return not stop_flag

    def _is_wanted(self, row: RawRecord, context: Context | None, start: Start) -> bool:
        record = decode(bytes(row).decode()) if bytes(row).strip().startswith(b"{") else {}
        if context and any(record.get(key, value) != value for key, value in context.items()):
            return False
        value = record.get(self.bookmark_key) if self.bookmark_key else None
        if start.value is None or value is None or not self._settings["server_filters"]:
            return True
        return bool(order_key(value, self.bookmark_kind) >= order_key(start.value, self.bookmark_kind))

    def child_contexts(self, records: Sequence[Record], parent_context: Context | None) -> Iterable[Context]:
        key = self._settings["parent_key"]
        for record in records:
            yield {key: json.loads(bytes(record))["id"]}


class TapExample(SingerkitTap):
    """Reads pages of JSON from files."""

    name = "tap-example"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "streams": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": STREAM_SETTINGS,
                    "required": ["name", "pages", "schema"],
                    "additionalProperties": False,
                },
            },
            "gate": {"type": "string"},
            "api_key": {"type": "string", "secret": True},
        },
        "required": ["streams"],
    }

    def config_sentences(self, config: Any) -> Sequence[str]:
        names = {stream["name"] for stream in config["streams"]}
        return [
            f"Expected the name of a stream, got `{stream['parent']}` at `streams[{index}].parent`"
            for index, stream in enumerate(config["streams"])
            if stream.get("parent", stream["name"]) not in names
        ]

    def discover_streams(self) -> list[Stream]:
        streams: dict[str, BlockStream] = {}
        for settings in self.config["streams"]:
            streams[settings["name"]] = ExampleStream(self, settings, streams.get(settings.get("parent")))
        return list(streams.values())


main = TapExample.cli_main

if __name__ == "__main__":
    main()
