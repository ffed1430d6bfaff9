"""Where a tap starts against what the target has committed: files that are missing or empty, odd states."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state.lineage import WaysOut, check_start
from singerkit_state.value import Mark, encode, read_mark
from singerkit_target.publish import Publisher

MARK = Mark("run-8", "orders", False)
OLD, NEW = {"bookmarks": {"a": 1}}, {"bookmarks": {"a": 2}}
LOG = logging.getLogger("lineage")
WAYS = WaysOut(("target-x",))


def check(stored: Any, start: Any, mark: Mark | None, file: Path | None) -> None:
    publisher = Publisher(None if file is None else str(file), io.StringIO())
    check_start("orders", encode(stored), start, mark, publisher, (OLD,).__contains__, WAYS, LOG)


@pytest.mark.parametrize("content", ["{}", '{"bookmarks":{}}'])
def test_without_a_mark_a_file_that_says_nothing_is_behind(tmp_path, content):
    """What a kill after the first COMMIT leaves; a file that was removed is somebody's will."""
    file = tmp_path / "state.json"
    check(NEW, None, None, file)
    check(NEW, None, None, None)
    file.write_text(content)
    with pytest.raises(RetryableError, match="run again"):
        check(NEW, None, None, file)
    assert json.loads(file.read_text()) == NEW


def test_a_start_that_came_from_elsewhere_is_refused_though_the_file_is_missing(tmp_path):
    file = tmp_path / "state.json"
    with pytest.raises(RetryableError, match="`orders`"):
        check(NEW, OLD, MARK, file)
    assert file.read_text() == encode(NEW) + "\n"


def test_a_state_that_is_no_object_is_compared_as_it_is(tmp_path, caplog):
    """STATE values are opaque (SINGER-RULES ST01): other taps may write a number."""
    check(5, 5, MARK, None)
    check([1], [1], MARK, None)
    assert not caplog.records
    for stored, start in ((5, 6), (NEW, 5)):
        with pytest.raises(RetryableError):
            check(stored, start, MARK, None)
    other = {"bookmarks": {"b": 1}}
    with pytest.raises(ConfigurationError):
        check(5, other, MARK, None)
    file = tmp_path / "state.json"
    file.write_text(encode(other))
    with pytest.raises(ConfigurationError, match="`5` for the target"):
        check(5, None, None, file)


@pytest.mark.parametrize(("length", "is_cut"), [(60, False), (61, True)])
def test_a_long_value_is_shown_by_its_beginning(tmp_path, length, is_cut):
    long = {"bookmarks": {"a": "x" * length}}
    file = tmp_path / "state.json"
    file.write_text(encode(long))
    with pytest.raises(ConfigurationError) as caught:
        check(NEW, None, None, file)
    shown = "x" * 57 + "..." if is_cut else "x" * 60
    assert f"(`a`: `{shown}` for the file, `2` for the target)" in str(caught.value)


@pytest.mark.parametrize("mark", [None, MARK])
def test_a_first_run_signs_a_missing_file_and_leaves_any_other_alone(tmp_path, caplog, mark):
    file = tmp_path / "state.json"
    check({}, {}, mark, file)
    assert read_mark(json.loads(file.read_text())) == mark
    file.write_text("{}")
    check({}, {}, mark, file)
    assert file.read_text() == "{}"
    assert not caplog.records


def test_a_tap_of_others_may_begin_with_any_state(caplog):
    check({}, OLD, None, None)
    assert not caplog.records


def test_where_the_committed_state_is_to_be_found_is_said(tmp_path):
    with pytest.raises(RetryableError, match="the committed state is printed now"):
        check(NEW, OLD, MARK, None)
    with pytest.raises(RetryableError, match=f"the committed state is in {tmp_path}/state.json now"):
        check(NEW, OLD, MARK, tmp_path / "state.json")
