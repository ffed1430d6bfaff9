"""What a row costs on its way into a target: work is done for blocks and columns, not for rows (docs/performance.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from targets.shared.test_load import MARKED, NEVER, Memory, Run
from work import lines_per_row

from singerkit_wire.batch import Batch
from singerkit_wire.stream import Stream
from target_postgres.domain import DOMAIN
from target_postgres.rows import as_csv

FEW, MANY = 3000, 9000
CHUNKS = replace(NEVER, chunk_bytes=1 << 16)  # most of which hold rows of one stream and nothing else
FLAT: Mapping[str, Any] = {
    "id": {"type": "integer"},
    "at": {"type": "string", "format": "date-time"},
    "day": {"type": ["null", "string"], "format": "date"},
    "note": {"type": ["null", "string"]},
    "price": {"type": ["null", "number"]},
    "paid": {"type": ["null", "boolean"]},
}
ITEM = {"type": "object", "properties": {"sku": {"type": "string"}}}
NESTED = FLAT | {"items": {"type": "array", "items": ITEM}}
MOST = {"flat": (FLAT, ["id"], 2.5), "nested": (NESTED, ["id"], 2.6), "without a key": (FLAT, [], 2.5)}
"""Lines of our code for a row, a third above what there are; blocks are small, and their part counts."""
MOST_BY_TURNS = 36


class Encoding(Memory):
    """A target in memory that encodes rows as target-postgres does, and holds what PostgreSQL holds."""

    domain = DOMAIN

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def write(self, stream: Stream, batch: Batch) -> None:
        self.written += as_csv(batch.wire_rows).count(b"\n")


def record(n: int, *, is_nested: bool) -> dict[str, Any]:
    row = {"id": n, "at": f"2026-01-01T00:00:00.{n:06d}Z", "day": "2026-01-01", "note": f'note "{n}"'}
    row |= {"price": n / 4, "paid": n % 2 == 0}
    return row | {"items": [{"sku": "a"}]} if is_nested else row


@pytest.mark.parametrize("kind", MOST)
def test_a_row_costs_few_lines(kind: str) -> None:
    properties, keys, most = MOST[kind]
    declared = {"type": "SCHEMA", "stream": "a", "key_properties": keys, "schema": {"properties": properties}}

    def load(rows: int) -> None:
        records = ({"record": record(n, is_nested="items" in properties)} for n in range(rows))
        lines = [json.dumps({"type": "RECORD", "stream": "a", **one}) + "\n" for one in records]
        target = Encoding()
        Run(MARKED(None), declared, *lines, MARKED(rows, complete=True), loader=target, limits=CHUNKS)
        assert target.written == rows

    cost = lines_per_row(load, FEW, MANY)
    assert cost < most, f"{cost:.2f} lines a row"


def test_a_row_of_streams_by_turns_is_looked_at_once() -> None:
    """By who cuts the input, as one of a line that begins otherwise than the one before; nobody behind that sees single rows."""
    streams = [f"orders_{number}" for number in range(20)]
    declared = [
        {"type": "SCHEMA", "stream": name, "key_properties": ["id"], "schema": {"properties": FLAT}}
        for name in streams
    ]

    def load(rows: int) -> None:
        lines = [
            json.dumps({"type": "RECORD", "stream": streams[n % 20], "record": record(n, is_nested=False)})
            + "\n"
            for n in range(rows)
        ]
        target = Encoding()
        Run(MARKED(None), *declared, *lines, MARKED(rows, complete=True), loader=target, limits=CHUNKS)
        assert target.written == rows

    cost = lines_per_row(load, FEW, MANY)
    assert cost < MOST_BY_TURNS, f"{cost:.2f} lines a row"
