"""Logs that rotate between runs, and while they are read: each line comes once, however its file is called by then (F12)."""

from __future__ import annotations

import gzip
import lzma
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from taps.files.conftest import Folder, cuts

from singerkit_shell.errors import ConfigurationError
from singerkit_state.shards import Shard
from tap_files import rotation
from tap_files.rotation import clues_left_by, clues_to, originals

SETTINGS = {
    "path": "in/app.log*",
    "format": "log",
    "log": {"expression": r"(?P<n>\d+) (?P<text>.*)|start(?P<more>.*)"},
}


@dataclass
class Log:
    """Writes a log in ``in/``, rotates it in each way there is, and reads it by runs of which some are killed."""

    folder: Folder
    random: random.Random = field(default_factory=random.Random)
    state: Any = None
    received: list[dict[str, Any]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Lines that nobody can read any more."""
    half: str = ""

    def __post_init__(self) -> None:
        self.path = self.folder.path / "in"
        self.live = self.path / "app.log"
        self.open()

    def open(self) -> None:
        self.file = self.live.open("a")

    def write(self, lines: int, *, half: bool = False) -> None:
        text = self.half
        for _ in range(lines):
            line = f"{len(self.written) + 1} {'x' * self.random.randrange(60)}"
            self.written.append(line)
            text += f"{line}\n"
        self.half = ""
        if half:
            text, self.half = text[:-5], text[-5:]
        self.file.write(text)
        self.file.flush()

    def run(self, kill: bool = False) -> None:
        result = self.folder.sync(self.state, state_every=1, **SETTINGS)
        messages = result.messages
        if kill:
            rows, self.state = self.random.choice([([], self.state), *cuts(messages)])
            self.received += [one["record"] for one in rows]
        else:
            self.received += result.rows()
            self.state = result.state

    @property
    def rotated(self) -> list[Path]:
        """Rotated files, the newest first."""
        return sorted(self.path.glob("app.log.*"), key=lambda path: int(path.name.split(".")[2]))

    def shift(self) -> None:
        """Make room for `app.log.1`, and remove what is older than the fifth."""
        for path in reversed(self.rotated):
            number, *ending = path.name.split(".")[2:]
            if int(number) >= 5:
                self.lose(self.lines_of(path))
                path.unlink()
            else:
                path.rename(self.path / ".".join(["app.log", str(int(number) + 1), *ending]))

    def lines_of(self, path: Path) -> list[str]:
        opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
        with opened(path, "rt") as file:
            return file.read().splitlines()

    def lose(self, lines: list[str]) -> None:
        self.gone |= {*lines} - {f"{row['n']} {row['text']}" for row in self.received}

    def rename(self) -> None:
        """Rename the log; whoever writes it may do so for a while, as it has the file open."""
        self.write(0)
        self.shift()
        self.live.rename(self.path / "app.log.1")
        self.maybe_run()
        self.write(self.random.randrange(3))
        self.maybe_run()
        self.write(self.random.randrange(3))
        self.file.close()
        self.open()

    def copy_and_truncate(self) -> None:
        self.write(0)
        self.shift()
        shutil.copyfile(self.live, self.path / "app.log.1")
        self.maybe_run()
        os.truncate(self.live, 0)

    def pack(self) -> None:
        """Pack a rotated file; a run may meet it half packed."""
        plain = [path for path in self.rotated if path.suffix.lstrip(".").isdigit()]
        if not plain:
            return
        path = self.random.choice(plain)
        ending, compress = self.random.choice([(".gz", gzip.compress), (".xz", lzma.compress)])
        packed = path.with_name(path.name + ending)
        data = compress(path.read_bytes())
        packed.write_bytes(data[: self.random.randrange(len(data))])
        self.maybe_run()
        packed.write_bytes(data)
        self.maybe_run()
        path.unlink()

    def maybe_run(self) -> None:
        if self.random.random() < 0.4:
            self.run(kill=self.random.random() < 0.4)

    def check(self) -> None:
        lines = [f"{row['n']} {row['text']}" for row in self.received]
        assert len({*lines}) == len(lines), "a line came twice"
        assert {*self.written} - {*lines} <= self.gone
        keys = [(row["_file"], row["_row"]) for row in self.received]
        assert len({*keys}) == len(keys), "two rows have one key"


@pytest.fixture
def log(folder: Folder) -> Iterator[Log]:
    made = Log(folder)
    yield made
    made.file.close()


@pytest.mark.parametrize("seed", range(14))
def test_f12_each_line_comes_once_whatever_happens_between_runs_and_in_them(log, seed):
    log.random.seed(seed)
    for _ in range(12):
        log.write(log.random.randrange(4), half=log.random.random() < 0.2 and log.random.random() < 1)
        log.maybe_run()
        log.random.choice([log.rename, log.copy_and_truncate, log.pack, log.maybe_run])()
    log.write(1)
    for _ in range(2):
        log.run()
    log.check()
    count = len(log.received)
    log.run()
    assert len(log.received) == count


def test_f12_lines_that_are_all_alike_come_as_often_as_they_were_written(log):
    """No line has a time: only where they lie tells a log from the next one."""
    for number in range(4):
        log.file.write("start\n" * 3)
        log.file.flush()
        log.run()
        log.file.write("start\n")
        log.file.close()
        log.live.rename(log.path / f"app.log.{9 - number}")
        log.open()
        log.run()
    log.run()
    assert len(log.received) == 16
    assert {row["_file"] for row in log.received} == {"in/app.log"}
    assert [row["_row"] for row in log.received] == list(range(1, 17))


def test_f12_a_new_log_gets_device_and_inode_of_one_that_went(folder, log):
    log.write(3)
    log.run()
    log.file.close()
    inode = log.live.stat().st_ino
    (log.path / "app.log.1.gz").write_bytes(gzip.compress(log.live.read_bytes()))
    log.live.unlink()
    for number in range(100):
        log.open()
        if log.live.stat().st_ino == inode:
            break
        log.file.close()
        log.live.rename(folder.path / f"kept-{number}")
    log.write(5)
    log.run()
    log.check()
    assert [row["_row"] for row in log.received] == list(range(1, 9))


def test_a_log_whose_rotated_files_are_not_in_the_path_is_warned_of(folder, log, caplog):
    log.write(3)
    log.run()
    log.live.rename(log.path / "app.log.1")
    log.file.close()
    log.open()
    log.write(2)
    result = folder.sync(log.state, **{**SETTINGS, "path": "in/app.log"})
    assert len(result.rows()) == 2
    assert "Let `path` name rotated files, too" in caplog.text


def test_a_last_line_without_its_end_comes_when_the_log_has_ended(log):
    log.write(2)
    log.run()
    log.file.write("3 no end")
    log.file.flush()
    log.run()
    log.live.rename(log.path / "app.log.1")
    log.run()
    assert len(log.received) == 2, "who writes it may go on"
    log.run()
    assert [row["text"] for row in log.received][2:] == ["no end"]
    log.pack()
    log.run()
    assert len(log.received) == 3


@pytest.mark.parametrize(
    ("names", "wait"),
    [
        (["app.log.2", "app.log.1", "app.log"], ["app.log"]),
        (["app.log-20260101", "app.log-20260102", "app.log"], ["app.log"]),
        (["app-20260101.log", "app.log"], ["app.log"]),
        (["day-2026-01-01.log", "day-2026-01-02.log"], ["day-2026-01-02.log"]),
        (["old.log.2", "old.log.1"], ["old.log.1"]),
        (["worker-1.log", "worker-2.log", "worker.log", "worker-web.log"],) * 2,
    ],
)
def test_f12_the_last_line_of_a_log_that_has_a_rotated_name_from_the_beginning_comes_once(
    folder, names: list[str], wait: list[str]
):
    """It waited for ever, as its name was never another one; of what may be written to still, it waits."""
    settings = {**SETTINGS, "path": "in/*"}
    for number, name in enumerate(names, 1):
        folder.write(f"in/{name}", f"1 {name}\n2 half {name}", modified=number)
    first = folder.sync(**settings)
    assert sorted(first.column("text")) == sorted(names)
    folder.write("in/other.log", "1 other\n")
    second = folder.sync(first.state, **settings)
    ended = [f"half {name}" for name in names if name not in wait]
    assert sorted(second.column("text")) == sorted(["other", *ended])
    assert folder.sync(second.state, **settings).rows() == []


@pytest.mark.parametrize("is_packed", [False, True])
def test_f12_a_log_of_nothing_but_a_line_without_its_end_comes_once_it_is_rotated(log, folder, is_packed):
    log.file.write("1 a\n")
    log.file.flush()
    log.run()
    log.file.close()
    log.live.rename(log.path / "app.log.2")
    log.live.write_text("2 half")
    log.run()
    log.live.rename(log.path / "app.log.1")
    log.live.write_text("2 h\n")
    log.run()
    if is_packed:
        with gzip.open(log.path / "app.log.1.gz", "wb") as file:
            file.write((log.path / "app.log.1").read_bytes())
        (log.path / "app.log.1").unlink()
    for _ in range(3):
        log.run()
    assert [f"{row['n']} {row['text']}" for row in log.received] == ["1 a", "2 h", "2 half"]
    assert {row["_file"] for row in log.received} == {"in/app.log"}
    assert sorted(row["_row"] for row in log.received) == [1, 2, 3]


def test_copies_of_a_log_and_logs_of_other_days(folder):
    folder.write("in/app.log", "1 a\n2 b\n")
    state = folder.sync(None, **SETTINGS).state
    folder.write("in/app.log.bak", "1 a\n2 b\n")
    folder.write("in/app.log.1", "1 a\n")
    run = folder.sync(state, **SETTINGS)
    assert run.rows() == []
    days = {**SETTINGS, "path": "in/day-*.log"}
    folder.write("in/day-2026-01-01.log", "1 same\n")
    folder.write("in/day-2026-01-02.log", "1 same\n")
    run = folder.sync(None, **days)
    folder.write("in/day-2026-01-03.log", "1 same\n")
    (folder.path / "in/day-2026-01-01.log").unlink()
    rows = run.rows() + folder.sync(run.state, **days).rows()
    assert sorted(row["_file"] for row in rows) == [f"in/day-2026-01-0{day}.log" for day in (1, 2, 3)]


def test_f12_a_log_that_was_rotated_before_anybody_read_it_comes_though_the_live_one_is_empty(folder):
    """Found by `make torture ARGS='--from files'`: an empty file was the beginning of every other, so that these lines waited for ever."""
    folder.write("in/app.log.1", "1 a\n2 b\n")
    folder.write("in/app.log", "")
    assert [row["text"] for row in folder.sync(**SETTINGS).rows()] == ["a", "b"]


def test_names_of_rotated_logs():
    for name, original in (
        ("a.log.1", "a.log"),
        ("in/a.log-20260131", "in/a.log"),
        ("a.log-20260131.gz", "a.log"),
        ("a-20260131.log", "a.log"),
        ("a-20260131.log.zst", "a.log"),
        ("a.log.1.xz", "a.log.1"),
    ):
        assert original in originals(name), name
        assert name not in originals(original)
    assert clues_to("a.log.2.gz") & clues_left_by("a.log.1")
    for name, other in (
        ("b.log", "a.log"),
        ("a.log2", "a.log"),
        ("ab.log", "a.log"),
        ("a-2.log", "a-1.log"),
        ("x/a.log.1", "a.log"),
    ):
        assert not clues_to(name) & clues_left_by(other), name


def test_a_position_of_files_that_do_not_rotate_is_refused(folder):
    folder.write("in/app.log", "1 a\n")
    state = folder.sync(None, **SETTINGS).state
    with pytest.raises(ConfigurationError, match="What the state says of the files"):
        folder.sync(state, **SETTINGS, rotation="none")
    state = folder.sync(None, **SETTINGS, rotation="none").state
    with pytest.raises(ConfigurationError, match="that of files that do not rotate"):
        folder.sync(state, **SETTINGS)


def test_f12_a_log_that_is_renamed_between_listing_and_reading_comes_with_the_next_run(log, monkeypatch):
    log.write(2)
    first_turn = rotation.Trails._first_turn

    def renamed(self, found):
        log.live.rename(log.path / "app.log.1")
        return first_turn(self, found)

    with monkeypatch.context() as patched:
        patched.setattr(rotation.Trails, "_first_turn", renamed)
        log.run()
    assert log.received == []
    log.run()
    log.check()
    assert len(log.received) == 2


@pytest.mark.parametrize("alike", ["begin", "end"])
def test_f12_logs_that_begin_or_end_alike_are_told_apart(log, alike):
    """Emptied and written again, longer than before: device and inode are the same, and so is a kilobyte."""
    banner = "".join(f"{number} {'-' * 60}\n" for number in range(101, 121))
    for day in (1, 2, 3):
        line = f"{day} of this day\n"
        log.file.write(banner + line if alike == "begin" else line + banner)
        log.file.flush()
        log.run()
        assert [row["n"] for row in log.received if row["text"] == "of this day"] == [*range(1, day + 1)]
        shutil.copyfile(log.live, log.path / f"app.log.{9 - day}")
        os.truncate(log.live, 0)
    assert len(log.received) == 3 * 21


def test_many_logs_that_rotate_at_once_are_not_each_held_against_all_others(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(rotation, "originals", lambda name: asked.append(name) or originals(name))
    settings = {**SETTINGS, "path": "in/*.log*"}
    for host in range(40):
        folder.write(f"in/{host}.log", f"{host} a\n")
    state = folder.sync(**settings).state
    for host in range(40):
        (folder.path / f"in/{host}.log").rename(folder.path / f"in/{host}.log.1")
        folder.write(f"in/{host}.log", f"{host} b\n")
    asked.clear()
    assert [row["text"] for row in folder.sync(state, **settings).rows()] == ["b"] * 40
    assert len(asked) < 40 * 10


def test_one_shard_reads_all_logs_of_a_stream(folder):
    folder.write("in/app.log", "1 a\n")
    folder.write("in/app.log.1", "2 b\n")
    runs = [folder.sync(shard=Shard(number, 2), **SETTINGS) for number in (1, 2)]
    assert sorted(len(run.rows()) for run in runs) == [0, 2]


LOGROTATE = shutil.which("logrotate", path=f"{os.environ.get('PATH')}:/usr/sbin")


@pytest.mark.skipif(LOGROTATE is None, reason="needs logrotate, a package of Debian")
@pytest.mark.parametrize(
    "mode",
    [
        "create",
        "copytruncate",
        "compress",
        "copytruncate compress",
        "compress delaycompress",
        "dateext dateformat -%s",
    ],
)
def test_f12_with_logrotate_itself(folder, log, mode):
    config = folder.path / "logrotate.conf"
    words = "\n".join(mode.replace("dateformat -%s", "").split()) + (
        "\ndateformat -%s" if "dateformat" in mode else ""
    )
    config.write_text(
        f"{log.live} {{\n su root root\n rotate 9\n {words}\n}}\n"
        if os.geteuid() == 0
        else f"{log.live} {{\n rotate 9\n {words}\n}}\n"
    )
    for number in range(1 if "dateext" in mode else 4):
        log.write(3)
        log.run(kill=number == 2)
        log.write(2)
        subprocess.run([LOGROTATE, "-f", "-s", str(folder.path / "rotated"), str(config)], check=True)
        if mode != "compress":  # whoever writes the old file then writes to one that is gone
            log.write(1)
        if "copytruncate" not in mode:
            log.file.close()
            log.open()
        log.write(1)
    for _ in range(2):
        log.run()
    log.check()
    assert not log.gone
