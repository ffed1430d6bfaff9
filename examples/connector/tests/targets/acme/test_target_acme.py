"""What is peculiar to target-acme; the rules of Singer are tests/conformance's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from targets.acme.driver import read

TARGET = [sys.executable, "-m", "target_acme.target"]
ORDERS = SCHEMA("orders", {"id": {"type": "integer"}, "note": {"type": ["string", "null"]}}, ["id"])


def load(path: Path, *messages: Any, **settings: Any) -> Outcome:
    config = path.with_suffix(".json")
    config.write_text(json.dumps({"path": str(path), **settings}))
    return run([*TARGET, "--config", str(config)], stdin=lines(*messages))


def row(number: int, **fields: Any) -> Any:
    return RECORD("orders", {"id": number, **fields})


def test_rows_and_state_are_there_together(tmp_path: Path) -> None:
    """What comes after the last STATE of a run that ended badly is not."""
    path = tmp_path / "acme.db"
    bad = RECORD("orders", {"id": "x"})
    load(path, ORDERS, row(1), STATE({"n": 1}), row(2), bad, STATE({"n": 2}), commit_rows=1).expect(65)
    assert read(path, "orders") == [{"id": 1, "note": None}]
    load(path, STATE({"n": 1}), ORDERS, row(1, note="a"), row(2), STATE({"n": 2})).expect(0)
    assert read(path, "orders") == [{"id": 1, "note": "a"}, {"id": 2, "note": None}]


# TODO(acme): what your store refuses, loses or takes otherwise than it was given.
@pytest.mark.parametrize("path", ["nowhere/acme.db", "no-store.db"])
def test_what_is_no_store_is_one_sentence(tmp_path: Path, path: str) -> None:
    (tmp_path / "no-store.db").write_text("this is a text, and quite a long one at that" * 20)
    refused = run([*TARGET, "--config", str(config(tmp_path, path))], stdin=lines(ORDERS, row(1))).expect(78)
    assert refused.last_words.startswith("CRITICAL target-acme: The ")


def config(folder: Path, path: str) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps({"path": str(folder / path)}))
    return file
