"""What each kind of place does the same way, as `places/contract.py` says."""

from __future__ import annotations

import contextlib
import logging
import time

import pytest
from taps.files.places.grounds import Ground

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError
from tap_files.opening import PlainBytes
from tap_files.places.contract import Content, FileChanged, FileGone, Found, Place
from tap_files.turns import Turn

ODD = (
    "a b.csv",
    "ü ß.csv",
    "100%.csv",
    "a%20b.csv",
    "x#y?z.csv",
    "~t[1]*.csv",
    "p+&=.csv",
    "'q';.csv",
    "日本.csv",
)


def listed(place: Place, prefix: str) -> dict[str, Found]:
    found = list(place.files(prefix))
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def whole(content: Content, size: int = 1 << 16) -> bytes:
    pieces = []
    while piece := content.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert content.read(size) == b""
    content.close()
    return b"".join(pieces)


def read_on(content: Content, never: bytes) -> None:
    while piece := content.read(1 << 20):
        assert never not in piece


def test_a_longer_version_in_the_place_of_one_that_is_read_is_seen(ground: Ground):
    ground.put("in/a.bin", b"a" * (1 << 19))
    place = ground.place()
    (found,) = place.files(f"{ground.below}in/")
    content = PlainBytes(place, Turn(found, found.name))
    content.read(100)
    ground.put("in/a.bin", b"b" * (1 << 20))

    def read_to_its_end() -> None:
        while content.read(1 << 16):
            pass
        content.check_same()

    with pytest.raises(FileChanged):
        read_to_its_end()
    content.close()
    place.close()


def test_files_are_listed_by_the_beginning_of_their_names(ground: Ground):
    before, below = time.time() - 5, ground.below
    for name in ("in/a.csv", "in/ab.csv", "in/b.csv", "in/deep/er/a.csv", "inner/a.csv", "top.csv"):
        ground.put(name, b"id\n1\n")
    with_time = {} if "modified" in ground.unsaid else {"modified"}
    place = ground.place()
    assert set(listed(place, f"{below}in/")) == {
        f"{below}in/{name}" for name in ("a.csv", "ab.csv", "b.csv", "deep/er/a.csv")
    }
    assert set(listed(place, f"{below}in/a")) == {f"{below}in/a.csv", f"{below}in/ab.csv"}
    assert set(listed(place, f"{below}in")) == {
        f"{below}{name}" for name in ("in/a.csv", "in/ab.csv", "in/b.csv", "in/deep/er/a.csv", "inner/a.csv")
    }
    assert set(listed(place, f"{below}in/deep/er/a.csv")) == {f"{below}in/deep/er/a.csv"}
    one = listed(place, f"{below}top")[f"{below}top.csv"]
    assert one == place.look(f"{below}top.csv")
    assert "size" in ground.unsaid or one.size == 5
    assert not with_time or before <= one.modified / 1e6 <= time.time() + 5
    assert one.appeared >= one.modified
    assert place.look(f"{below}in/other.csv") is None
    assert place.look(f"{below}none/other.csv") is None
    place.close()


def test_a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_none(ground: Ground):
    ground.put("in/a.csv", b"id\n")
    if ground.has_folders:
        ground.put("empty/", b"")
    place = ground.place()
    assert not ground.has_folders or listed(place, f"{ground.below}empty/") == {}
    assert listed(place, f"{ground.below}in/b") == {}
    with pytest.raises(ConfigurationError, match=r"folder .*missing") as refused:
        list(place.files(f"{ground.below}missing/a"))
    assert refused.value.exit_code == 78
    place.close()


def test_a_file_is_read_from_any_byte_on(ground: Ground):
    content = bytes(range(256)) * 1500  # several pieces
    ground.put("in/a.bin", content)
    ground.put("in/nothing.bin", b"")
    place = ground.place()
    found = listed(place, f"{ground.below}in/")
    one = found[f"{ground.below}in/a.bin"]
    assert whole(place.open(one)) == content
    for offset in (1, 70_001, len(content) - 1):
        assert whole(place.open(one, offset), 1000) == content[offset:]
    assert whole(place.open(one, len(content))) == b""
    assert whole(place.open(found[f"{ground.below}in/nothing.bin"])) == b""
    left = place.open(one)
    left.read(10)
    left.close()
    place.close()


def test_a_file_that_changes_while_it_is_read_is_noticed(ground: Ground):
    old, new = b"old\n" * ground.window, b"new\n" * ground.window
    ground.put("in/a.csv", old)
    place = ground.place()
    one = listed(place, f"{ground.below}in/")[f"{ground.below}in/a.csv"]
    content = place.open(one)
    assert content.read(4) == b"old\n"
    ground.put("in/a.csv", new)
    with contextlib.nullcontext() if ground.keeps_old else pytest.raises(FileChanged, match=r"in/a\.csv"):
        read_on(content, b"nothing" if ground.tells_at_end else b"new")
    content.close()
    for offset in (0, 4_000):  # of what was listed before
        with pytest.raises(FileChanged, match=r"in/a\.csv"):
            whole(place.open(one, offset))
    assert place.look(one.name).version != one.version
    place.close()


def test_a_file_that_is_gone_is_told_from_one_that_changed(ground: Ground):
    ground.put("in/a.csv", b"id\n1\n")
    ground.put("in/nothing.csv", b"")
    place = ground.place()
    found = listed(place, f"{ground.below}in/")
    ground.remove("in/a.csv")
    ground.remove("in/nothing.csv")
    for one in found.values():
        with pytest.raises(FileGone, match=one.name.rpartition("/")[2]) as gone:
            whole(place.open(one))
        assert gone.value.exit_code == 65
        assert place.look(one.name) is None
    place.close()


def test_odd_names_come_back_as_they_were_given(ground: Ground):
    for name in ODD:
        ground.put(f"in/{name}", name.encode())
    place = ground.place()
    found = listed(place, f"{ground.below}in/")
    assert set(found) == {f"{ground.below}in/{name}" for name in ODD}
    for name in ODD:
        one = found[f"{ground.below}in/{name}"]
        assert whole(place.open(one)) == name.encode()
        assert place.look(one.name) == one
    for name in ("../a.csv", "in//a.csv", "in/./a.csv", "/in/a.csv"):
        with pytest.raises(BadDataError, match="empty"):
            place.look(name)
    place.close()


def test_no_credential_is_in_a_message_or_in_the_log(ground: Ground, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    ground.put("in/a.csv", b"id\n1\n")
    place = ground.place()
    (one,) = place.files(f"{ground.below}in/")
    ground.remove("in/a.csv")
    said = []
    for attempt in (lambda: whole(place.open(one)), lambda: list(place.files(f"{ground.below}none/"))):
        with pytest.raises((BadDataError, ConfigurationError, NotAuthorisedError)) as failed:
            attempt()
        said.append(str(failed.value))
    place.close()
    for secret in ground.secrets:
        assert secret not in "".join(said) + caplog.text
