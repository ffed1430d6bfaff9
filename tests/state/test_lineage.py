"""Where a tap starts against what the target has committed: the target wins, and says what to do (DESIGN 5)."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state import statefile
from singerkit_state.lineage import check_start
from singerkit_state.value import Mark, decode, encode, with_mark
from singerkit_target.publish import Publisher

MARK = Mark("run-8", "orders", False)
OLD = {"bookmarks": {"a": 1}}
NEW = {"bookmarks": {"a": 2}}
LOG = logging.getLogger("lineage")


def ours(value: dict[str, Any], pipeline: str = "orders") -> dict[str, Any]:
    return with_mark(value, Mark("run-7", pipeline, True))


def check(
    stored: dict[str, Any] | None,
    start: Any,
    mark: Mark | None,
    state_file: Path | None = None,
    publish: Any = None,
) -> None:
    text = None if stored is None else encode(stored)
    name = None if state_file is None else str(state_file)
    default = Publisher(name, io.StringIO()).publish
    check_start("orders", text, start, mark, name, publish or default, LOG)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.mark.parametrize(
    ("stored", "start", "in_file"),
    [
        (None, {}, None),
        ({}, {}, {}),
        (ours(NEW), NEW, ours(NEW)),
        (ours(NEW), NEW, None),
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


def published(stored: Any, start: Any, mark: Mark, file: Path | None = None) -> list[str]:
    """What is told to the world when a run is refused that running again will mend."""
    said: list[str] = []
    with pytest.raises(RetryableError, match="nothing was written") as caught:
        check(stored, start, mark, file, said.append)
    assert "run again" in str(caught.value)
    return said


@pytest.mark.parametrize("in_file", [None, ours(NEW), ours({"bookmarks": {"a": 3}})])
def test_another_start_than_the_committed_one_is_refused_and_the_committed_one_told(file, in_file):
    if in_file is not None:
        statefile.write(file, encode(in_file))
    assert published(ours(NEW), OLD, MARK, file) == [encode(ours(NEW))]


def test_a_state_saved_from_stdout_that_is_behind_is_printed_anew():
    assert published(ours(NEW), OLD, replace(MARK, resumes="file")) == [encode(ours(NEW))]


@pytest.mark.parametrize("start", [OLD, {}, {"bookmarks": {}}])
def test_a_state_that_changed_after_the_tap_read_it_from_the_database_is_read_again(start):
    assert published(ours(NEW), start, replace(MARK, resumes="url")) == []


@pytest.mark.parametrize("mark", [replace(MARK, resumes="file"), None], ids=["ours", "others"])
def test_a_first_run_that_is_killed_after_its_first_commit_leaves_a_file_that_says_so(file, mark):
    check(None, {} if mark else None, mark, file)
    assert decode(file.read_text())["bookmarks"] == {}
    # Killed between COMMIT and the file: the target holds a state, the file says nothing.
    with pytest.raises(RetryableError if mark else ConfigurationError):
        check(ours(NEW), {} if mark else None, mark, file)
    assert (decode(file.read_text()) == ours(NEW)) == (mark is not None)


def test_a_file_that_another_run_made_meanwhile_is_no_start_over(file):
    """Two first runs at once: the tap found no file, the target finds one."""
    statefile.write(file, encode(ours(NEW)))
    assert published(ours(NEW), {}, replace(MARK, resumes="file"), file) == [encode(ours(NEW))]


@pytest.mark.parametrize(("resumes", "in_file"), [(None, None), (None, NEW), ("file", None)])
def test_whoever_gives_no_state_or_removes_the_file_starts_over(file, caplog, resumes, in_file):
    if in_file is not None:
        file.write_text(encode(ours(in_file)))
    check(ours(NEW), {}, replace(MARK, resumes=resumes), file)
    assert "`orders` has a committed state" in caplog.text


@pytest.mark.parametrize("stored", [None, {}])
def test_a_target_that_holds_nothing_yet_is_told_of(file, caplog, stored):
    statefile.write(file, encode(OLD))
    check(stored, OLD, MARK, file)
    assert "holds none of the pipeline `orders`" in caplog.text


def test_the_state_of_other_streams_is_another_pipelines(file):
    start = {"bookmarks": {"customers": 9}}
    statefile.write(file, encode(ours(start)))
    with pytest.raises(ConfigurationError, match="`pipeline`") as caught:
        check(ours(NEW), start, MARK, file)
    assert "'customers': 9" in str(caught.value)
    assert "'a': 2" in str(caught.value)
    assert decode(file.read_text()) == ours(start)


def test_a_stream_without_a_bookmark_is_no_sign_of_another_pipeline():
    published(ours(NEW), {"bookmarks": {"a": 1, "new": {}}}, MARK)


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
