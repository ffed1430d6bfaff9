"""A committed STATE is told: first in the file, then on stdout, a line each."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from singerkit_shell.errors import CannotWriteError
from singerkit_target.publish import Publisher

STATE, NEXT = '{"bookmarks":{"a":1}}', '{"bookmarks":{"a":2}}'


def test_file_first_then_stdout(tmp_path: Path) -> None:
    file = tmp_path / "state.json"

    class Watching(io.StringIO):
        def write(self, text: str) -> int:
            assert file.read_text().strip() == text.strip()
            return super().write(text)

    stdout = Watching()
    publisher = Publisher(str(file), stdout)
    publisher.publish(STATE)
    publisher.publish(NEXT)
    assert stdout.getvalue() == f"{STATE}\n{NEXT}\n"
    assert file.read_text().strip() == NEXT


def test_each_line_leaves_at_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", buffering=1 << 16) as stdout:
        Publisher(None, stdout).publish(STATE)
        assert (tmp_path / "out").read_text() == STATE + "\n"
    assert [item.name for item in tmp_path.iterdir()] == ["out"], "no file was asked for"


def test_stdout_is_that_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    Publisher(None).publish(STATE)
    assert capsys.readouterr().out == STATE + "\n"


def test_a_full_disk_behind_stdout_is_told_and_the_file_is_written(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    stdout = open("/dev/full", "w")  # noqa: SIM115  closing it fails too
    with pytest.raises(CannotWriteError, match="No space left on device") as caught:
        Publisher(str(file), stdout).publish(STATE)
    with contextlib.suppress(OSError):
        stdout.close()
    assert caught.value.exit_code == 74
    assert file.read_text().strip() == STATE


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_printed(tmp_path: Path) -> None:
    stdout = io.StringIO()
    with pytest.raises(CannotWriteError):
        Publisher(str(tmp_path / "no folder" / "state.json"), stdout).publish(STATE)
    assert stdout.getvalue() == ""
