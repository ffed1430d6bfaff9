"""What a run holds in memory: lines of many megabytes stand there two or three times, and not once for each step of their way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, command, query
from msgspec import Raw

from target_postgres.rows import as_csv

MEGABYTES = 16
TEXT = json.dumps("é" * 4_000_000 + "z" * 8_000_000, ensure_ascii=False)
NESTED = json.dumps({"a": ["abcdefgh"] * (MEGABYTES * 1_000_000 // 13)})
START = 60
"""Megabytes of Python with singer-sdk."""
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=sys.stdin, stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_lines_of_many_megabytes_are_held_in_few_places(database: str, tmp_path: Path) -> None:
    fields = {"id": {"type": "integer"}, "t": {"type": ["string", "null"]}, "d": {"type": ["object", "null"]}}
    messages = tmp_path / "big.singer"
    with messages.open("w", encoding="utf-8") as file:
        print(json.dumps(SCHEMA("big", fields, ["id"])), file=file)
        for number, (field, value) in enumerate([("t", TEXT), ("d", NESTED), ("t", TEXT)]):
            print(json.dumps(RECORD("big", {"id": number, "t": None, "d": None} | {field: 0})).replace(f'"{field}": 0', f'"{field}": {value}'), file=file)  # fmt: skip
    with messages.open("rb") as lines:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *command(tmp_path, database, {})],
            stdin=lines,
            capture_output=True,
        )
    code, kilobytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    assert kilobytes * 1024 / 1e6 < START + 5 * MEGABYTES
    stored = query(database, "SELECT id, length(t), length(d::text) FROM big ORDER BY id")
    text, nested = len(json.loads(TEXT)), len(NESTED)
    assert stored == [(0, text, None), (1, None, nested), (2, text, None)]


ROWS: list[tuple[Any, ...]] = [
    (1, Raw(b'"a"'), None),
    (2, Raw(b"null"), 'say "hi"\n\\n \\" \x01 \\'),
    (3, Raw('"é\\n\\"],["'.encode()), "]\n["),
    (4, Raw(b"-1.50"), "[]"),
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[1:2], ROWS[::-1]], ids=["all", "one", "backwards"])
def test_rows_that_are_encoded_one_by_one_are_what_they_are_together(rows: list[tuple[Any, ...]]) -> None:
    assert as_csv(rows, 1 << 30) == as_csv(rows)
