"""ACTIVATE_VERSION, BATCH and REPLACE, as far as they go today: done, or refused in a sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from singerkit_check.suite.pieces import ORDER
from singerkit_check.suite.singer import MARK, RECORD, SCHEMA, STATE
from singerkit_check.suite.target_runs import Load, TargetRuns, expect_one_sentence


def versions(stream: str) -> list[Any]:
    """Return two rows of version 1, one of which is of version 2 as well, and the switch to version 2."""
    old = [RECORD(stream, {"id": n, "name": "old"}, version=1) for n in (1, 2)]
    new = RECORD(stream, {"id": 1, "name": "new"}, version=2)
    activate = {"type": "ACTIVATE_VERSION", "stream": stream, "version": 2}
    return [SCHEMA(stream, ORDER, ["id"]), *old, new, activate]


def test_x01_activate_version_is_done_or_passed_over_with_a_warning(target: TargetRuns) -> None:
    load = target.load(*versions(target.stream("x01")), STATE({"a": 1}))
    load.outcome.expect(0)
    rows = load.rows("x01", ["id"])
    assert {"id": 1, "name": "new"} in rows
    if {"id": 2, "name": "old"} in rows:  # not deleted: marked as deleted, or the message was not followed
        deleted = [row.get("_sdc_deleted_at") for row in load.metadata("x01")]
        assert any(deleted) or "ACTIVATE_VERSION" in load.outcome.stderr, str(load.outcome)


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_x01_rows_of_other_versions_go_hard_or_soft(target: TargetRuns, hard: bool) -> None:
    if not target.driver.deletes:
        target.driver.cannot("a target that deletes rows")
    name = f"x01_{hard}"
    settings: dict[str, Any] = {"add_record_metadata": True, "hard_delete": hard}
    load = target.load(*versions(target.stream(name)), STATE({"a": 1}), **settings)
    load.outcome.expect(0)
    deleted = {row["id"] for row in load.destination.read(target.stream(name)) if row["_sdc_deleted_at"]}
    assert load.rows(name, ["id"]) == [{"id": 1, "name": "new"}, {"id": 2, "name": "old"}][: 1 if hard else 2]
    assert deleted == (set() if hard else {2})


def test_x03_activate_version_deletes_nothing_on_a_cut_stream(target: TargetRuns) -> None:
    stream = target.stream_of_marked_runs("x03")
    begun = STATE({MARK: {"run": "1", "pipeline": "conformance", "complete": False}})
    covered = STATE({"n": 1, MARK: {"run": "1", "pipeline": "conformance", "complete": False}})
    settings: dict[str, Any] = {"add_record_metadata": True} if target.driver.deletes else {}
    *loaded, activate = versions(stream)
    load = target.refused(begun, *loaded, covered, activate, **settings)
    rows = {row["id"] for row in load.rows("x03")}
    assert rows == {1, 2}
    assert not any(row.get("_sdc_deleted_at") for row in load.metadata("x03"))


def batch(stream: str, files: list[Path], **encoding: str) -> dict[str, Any]:
    return {
        "type": "BATCH", "stream": stream, "encoding": {"format": "jsonl"} | encoding,
        "manifest": [file.as_uri() for file in files],
    }  # fmt: skip


def batch_file(folder: Path, name: str, first: int = 1) -> Path:
    """Write two raw records, compressed where the name says so."""
    data = "".join(json.dumps({"id": n, "name": "a"}) + "\n" for n in (first, first + 1)).encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder / name


def load_batch(target: TargetRuns, stream: str, *messages: Any) -> Load:
    """Load a batch, or waive: that a target refuses every batch is the matter of X04 alone."""
    load = target.load(SCHEMA(target.stream(stream), ORDER, ["id"]), *messages)
    if load.outcome.code != 0:
        pytest.skip("waived: this target refuses every BATCH (see X04)")
    return load


def test_x04_x10_a_batch_is_loaded_or_refused_and_never_dropped(target: TargetRuns, tmp_path: Path) -> None:
    """A batch that is passed over silently would lose its rows while the STATE after it says they are there."""
    stream, file = target.stream("x04"), batch_file(tmp_path, "batch.jsonl")
    load = target.load(SCHEMA(stream, ORDER, ["id"]), batch(stream, [file]), STATE({"a": 2}))
    assert file.exists(), "the reader has deleted the file"
    if load.outcome.code == 0:
        assert [row["id"] for row in load.rows("x04", ["id"])] == [1, 2], str(load.outcome)
    else:
        assert load.states == []
        assert load.rows("x04") == []
        if target.driver.is_ours:
            load.outcome.expect(65)
            expect_one_sentence(load.outcome, "BATCH")


def test_x05_a_batch_format_that_is_not_known_is_refused(target: TargetRuns, tmp_path: Path) -> None:
    stream, file = target.stream("x05"), batch_file(tmp_path, "batch.jsonl")
    load_batch(target, "x05_known", batch(target.stream("x05_known"), [file]))
    target.refused(SCHEMA(stream, ORDER, ["id"]), batch(stream, [file], format="punched-cards"))


def test_x06_x07_raw_records_in_compressed_files(target: TargetRuns, tmp_path: Path) -> None:
    files = [batch_file(tmp_path, f"batch-{first}.jsonl.gz", first) for first in (1, 3)]
    load = load_batch(target, "x06", batch(target.stream("x06"), files, compression="gzip"))
    assert load.rows("x06", ["id"]) == [{"id": n, "name": "a"} for n in (1, 2, 3, 4)]


def test_x08_a_batch_before_its_schema_is_refused(target: TargetRuns, tmp_path: Path) -> None:
    file = batch_file(tmp_path, "batch.jsonl")
    target.refused(batch(target.stream("x08"), [file]), SCHEMA(target.stream("x08"), ORDER, ["id"]))


def test_x09_a_state_after_a_batch_covers_its_files(target: TargetRuns, tmp_path: Path) -> None:
    file = batch_file(tmp_path, "batch.jsonl")
    load = load_batch(target, "x09", batch(target.stream("x09"), [file]), STATE({"a": 2}))
    assert load.last_state == {"a": 2}
    assert [row["id"] for row in load.rows("x09", ["id"])] == [1, 2]


def test_x12_replace_takes_rows_away_or_is_refused(target: TargetRuns) -> None:
    """Passed over it would leave rows that are gone, beside those that took their place."""
    stream = target.stream("x12")
    old = [RECORD(stream, {"id": n, "name": "old"}) for n in (1, 2)]
    replace = {"type": "REPLACE", "stream": stream, "where": {"name": "old"}}
    new = RECORD(stream, {"id": 1, "name": "new"})
    load = target.load(SCHEMA(stream, ORDER, ["id"]), *old, STATE({"a": 1}), replace, new, STATE({"a": 2}))
    if load.outcome.code == 0:
        assert load.rows("x12", ["id"]) == [{"id": 1, "name": "new"}], str(load.outcome)
        return
    assert {"a": 2} not in load.states
    if target.driver.is_ours:
        load.outcome.expect(78)
        expect_one_sentence(load.outcome, "REPLACE")
