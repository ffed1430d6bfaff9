"""A tap on a log into target-postgres, killed again and again while others write: a sample of ``make log-torture``."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.loads import query
from faults.torture.log import LogTorture


def test_changes_of_a_log_arrive_once_whatever_is_killed(tmp_path: Path, database: str) -> None:
    torture = LogTorture(tmp_path, database, "sample")
    with torture.writers(2):
        for _ in range(4):
            torture.kill()
    torture.finish()
    assert torture.moved, "no run has come to a commit: kill later"


def test_the_check_finds_rows_that_are_lost_doubled_and_changed(tmp_path: Path, database: str) -> None:
    torture = LogTorture(tmp_path, database, "check")
    torture.finish()
    for harm, repair in (
        ("DELETE FROM a WHERE id = 7", "INSERT INTO a VALUES (7, 'v7', 'w7')"),
        (
            "INSERT INTO k SELECT * FROM k WHERE id = 7",
            "DELETE FROM k WHERE ctid = (SELECT max(ctid) FROM k WHERE id = 7)",
        ),
        ("UPDATE b SET w = 'other' WHERE id = 7", "UPDATE b SET w = 'w7' WHERE id = 7"),
    ):
        query(database, harm)
        with pytest.raises(AssertionError):
            torture.check()
        query(database, repair)
        torture.check()
