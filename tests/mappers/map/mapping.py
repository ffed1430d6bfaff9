"""What a map makes of lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from singerkit_map.jsontexts import loads
from singerkit_map.mapper import IN_PIPE, Mapper
from singerkit_map.reading import read_map
from singerkit_shell.errors import BadDataError
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
    """What became of lines: ``text`` of the wire, ``messages`` decoded, ``letters``; ``mapper``: what did it.

    ``keeps_what_came_before``: an error is kept in ``error``, and what came out before it.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        data: bytes,
        chunk_lines: int = 1000,
        *,
        keeps_what_came_before: bool = False,
    ) -> None:
        self.mapper = Mapper(read_map(config), LOG, IN_PIPE)
        self.letters: list[Any] = []
        self.error: BadDataError | None = None
        self._out: list[bytes] = []
        try:
            self._map(data.splitlines(keepends=True), chunk_lines)
        except BadDataError as error:
            if not keeps_what_came_before:
                raise
            self.error = error
        self.text = b"".join(self._out)

    def _map(self, lines: list[bytes], chunk_lines: int) -> None:
        splitter = Splitter()
        for start in range(0, len(lines), chunk_lines):
            some = lines[start : start + chunk_lines]
            for part in self.mapper.parts(splitter.split(Chunk(b"".join(some), len(some), start + 1, 0))):
                if isinstance(part, Letters):
                    self.letters += part.rejects
                else:
                    self._out.append(part.data if isinstance(part, Run) else part.line + b"\n")

    @property
    def messages(self) -> list[Any]:
        return [loads(line) for line in self.text.splitlines()]

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
