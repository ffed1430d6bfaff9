"""What a map makes of lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from singerkit_map.jsontexts import loads
from singerkit_map.mapper import IN_PIPE, Mapper
from singerkit_map.reading import read_map
from singerkit_wire.batch import Letters
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Run, Splitter

LOG = logging.getLogger("test-map")


def schema_line(stream: str, properties: Mapping[str, Any], keys: Sequence[str] = (), **more: Any) -> bytes:
    schema = {"type": "object", "properties": properties}
    said = {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": list(keys), **more}
    return json.dumps(said).encode() + b"\n"


def record_line(stream: str, record: Any, **more: Any) -> bytes:
    return json.dumps({"type": "RECORD", "stream": stream, "record": record, **more}).encode() + b"\n"


class Mapped:
    """What became of lines: ``text`` of the wire, ``messages`` decoded, ``letters``; ``mapper``: what did it."""

    def __init__(self, config: Mapping[str, Any], data: bytes, chunk_lines: int = 1000) -> None:
        self.mapper = Mapper(read_map(config), LOG, IN_PIPE)
        self.letters: list[Any] = []
        out: list[bytes] = []
        splitter = Splitter()
        lines = data.splitlines(keepends=True)
        for start in range(0, len(lines), chunk_lines):
            some = lines[start : start + chunk_lines]
            for part in self.mapper.parts(splitter.split(Chunk(b"".join(some), len(some), start + 1, 0))):
                if isinstance(part, Letters):
                    self.letters += part.rejects
                else:
                    out.append(part.data if isinstance(part, Run) else part.line + b"\n")
        self.text = b"".join(out)
        self.messages = [loads(line) for line in self.text.splitlines()]

    @property
    def records(self) -> list[Any]:
        return [message["record"] for message in self.messages if message["type"] == "RECORD"]

    @property
    def schema(self) -> Any:
        return next(message for message in self.messages if message["type"] == "SCHEMA")


def mapped(
    operations: Sequence[Any],
    properties: Mapping[str, Any],
    records: Sequence[Any],
    keys: Sequence[str] = (),
    **more: Any,
) -> Mapped:
    """Return what operations make of the records of one stream `s`."""
    data = schema_line("s", properties, keys) + b"".join(record_line("s", record) for record in records)
    return Mapped({"streams": {"s": list(operations)}, **more}, data)
