"""What a row costs on its way through the tap: work is done for pages, not for rows (docs/performance.md)."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, dated, json_reply, page_of, serving
from work import lines_per_row

from singerkit_wire.encode import RecordEncoder
from tap_rest.tap import TapRest

PAGE = 500
FEW, MANY = 4 * PAGE, 10 * PAGE
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "note": {"type": ["null", "string"]},
        "price": {"type": ["null", "number"]},
        "left_out": {"type": ["null", "string"]},
    },
}
ROWS = [
    {
        "id": n,
        "parent": n // PAGE,
        "at": f"2026-01-01T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}.{n:06d}Z",
        "note": f"note {n}",
        "price": n / 4,
    }
    for n in range(MANY)
]
PAGED = {"type": "page", "size": PAGE}
BY_KEY = dated(pagination=PAGED, is_sorted=True, schema=SCHEMA)
BY_NUMBER = dated(pagination=PAGED, schema=SCHEMA, bookmark={"memory": 50})  # those in it are hashed
WHOLE: dict[str, Any] = {"name": "rows", "path": "/rows", "pagination": PAGED, "schema": SCHEMA}
PARENTS = {
    "name": "parents",
    "path": "/parents",
    "primary_keys": ["id"],
    "schema": SCHEMA,
    "pagination": {"type": "single"},
}
CHILDREN = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
    "params": {"parent": "{parent.id}"},
    "parent": {"stream": "parents", "copy": {"mother": "id"}},
    "schema": {"type": "object", "properties": SCHEMA["properties"] | {"mother": {"type": "integer"}}},
}

MOST = {
    "sorted, by its key": ([BY_KEY], 5.5),
    "sorted, without a primary key": ([BY_KEY | {"primary_keys": []}], 5.5),
    "unsorted": ([BY_NUMBER], 2.8),
    "unsorted, without a primary key": ([BY_NUMBER | {"primary_keys": []}], 6.5),
    "whole": ([WHOLE | {"primary_keys": ["id"]}], 2.3),
    "whole, without a primary key": ([WHOLE], 2.3),
    "inferred schema": ([{name: value for name, value in BY_KEY.items() if name != "schema"}], 5.5),
    "children": ([PARENTS, CHILDREN], 5.2),
}
"""Lines of our code for a row, a little above what there are; pages are small, and their part counts."""


def answers(rows: int) -> Mapping[str, Any]:
    def of_rows(asked: Asked) -> Reply:
        since, parent = asked.param("since") or "", asked.param("parent")
        if parent is not None:
            return json_reply(ROWS[int(parent) * PAGE : (int(parent) + 1) * PAGE])
        return json_reply(page_of([row for row in ROWS[:rows] if row["at"] >= since], asked, PAGE))

    return {"/rows": of_rows, "/parents": lambda _: json_reply([{"id": n} for n in range(rows // PAGE)])}


def read(kind: str, rows: int, folder: Path) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with serving(answers(rows)) as api, redirect_stdout(written):
        config: dict[str, Any] = {"base_url": api.url, "streams": MOST[kind][0], "infer": {"pages": 1}}
        config["schema_cache"] = str(folder / "schemas")
        TapRest(config=json.loads(json.dumps(config)), setup_mapper=False).sync()
    assert written.buffer.getvalue().count(b'"stream":"rows","record"') == rows


@pytest.mark.parametrize("kind", MOST)
def test_a_row_is_decoded_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks into a page first decodes it for the others; rows that are told apart one by one are few."""
    often = Counter[int]()
    held: list[Any] = []  # so that no two lists of records are at one place
    decode = RecordEncoder._decoded

    def counting(encoder: RecordEncoder, records: Any) -> Any:
        held.append(records)
        often.update(map(id, records))
        return decode(encoder, records)

    monkeypatch.setattr(RecordEncoder, "_decoded", counting)
    monkeypatch.setenv("NO_PROXY", "*")
    read(kind, FEW, tmp_path)
    again = sum(1 for times in often.values() if times > 1)
    assert len(often) >= FEW
    # Those at the ends of a page of a stream that goes on by its key are told by their text; of a child the page is
    # looked at for fields of its own.
    assert again <= (FEW if kind == "children" else 60), again


@pytest.mark.parametrize("kind", MOST)
def test_a_row_costs_few_lines(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    cost = lines_per_row(lambda rows: read(kind, rows, tmp_path), FEW, MANY)
    assert cost < MOST[kind][1], f"{cost:.2f} lines a row"
