"""Where a tap starts against what the target has committed: the target wins, and says what to do (DESIGN 5)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state import statefile
from singerkit_state.lineage import check_start
from singerkit_state.value import Mark, decode, encode, with_mark

MARK = Mark("run-8", "orders", False)
OLD = {"bookmarks": {"a": 1}}
NEW = {"bookmarks": {"a": 2}}
LOG = logging.getLogger("lineage")


def ours(value: dict[str, Any], pipeline: str = "orders") -> dict[str, Any]:
    return with_mark(value, Mark("run-7", pipeline, True))


def check(
    stored: dict[str, Any] | None, start: Any, mark: Mark | None, state_file: Path | None = None
) -> None:
    text = None if stored is None else encode(stored)
    check_start("orders", text, start, mark, None if state_file is None else str(state_file), LOG)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.mark.parametrize(
    ("stored", "start", "in_file"),
    [
        (None, {}, None),
        (None, OLD, OLD),
        ({}, OLD, OLD),
        (ours(NEW), NEW, ours(NEW)),
        (ours(NEW), {}, None),
        (ours(NEW), {}, ours(NEW)),
    ],
)
def test_a_run_goes_on_when_both_agree_or_one_says_nothing(file, caplog, stored, start, in_file):
    if in_file is not None:
        statefile.write(file, encode(in_file))
    check(stored, start, MARK, file)
    assert not caplog.records


@pytest.mark.parametrize(("stored", "start"), [(NEW, OLD), (OLD, NEW)])
def test_a_file_behind_the_target_is_brought_up_to_date(file, stored, start):
    """Killed between COMMIT and the file, or the database was restored: the committed state counts."""
    statefile.write(file, encode(ours(start)))
    with pytest.raises(RetryableError, match="run again") as caught:
        check(ours(stored), start, MARK, file)
    assert str(file) in str(caught.value)
    assert decode(file.read_text()) == ours(stored)
    check(ours(stored), stored, MARK, file)


def test_another_start_without_that_file_is_somebodys_will(file, caplog):
    statefile.write(file, encode(ours(NEW)))
    check(ours(NEW), OLD, MARK, file)
    check(ours(NEW), OLD, MARK)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert decode(file.read_text()) == ours(NEW)


def test_the_file_of_another_pipeline_stops_the_run(file):
    statefile.write(file, encode(ours(OLD, "customers")))
    with pytest.raises(ConfigurationError, match="`customers`"):
        check(ours(NEW), OLD, MARK, file)


def test_a_file_that_does_not_say_whose_it_is_must_agree(file):
    statefile.write(file, encode(OLD))
    check(OLD, None, None, file)
    with pytest.raises(ConfigurationError, match="does not say which pipeline") as caught:
        check(NEW, None, None, file)
    assert "'a': 1" in str(caught.value)
    assert "'a': 2" in str(caught.value)
    assert decode(file.read_text()) == OLD
