"""What is peculiar to SFTP: whose key a server has, logins, links, and connections that are lost."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import Any

import pytest
from canaries import canary
from taps.files.places import grounds
from taps.files.places.grounds import QUICK, SftpServer
from taps.files.places.test_places import listed, whole

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from tap_files.places.choosing import place_of
from tap_files.places.contract import FileChanged
from tap_files.settings.storage import storage_problems


@pytest.fixture
def ground(asyncssh: SftpServer, monkeypatch: pytest.MonkeyPatch) -> grounds.Ground:
    monkeypatch.setattr("tap_files.places.sftp._PIECE", 1 << 16)
    return grounds.on_sftp(asyncssh)


def refusal(ground: grounds.Ground, address: str = "", **changes: Any) -> Exception:
    said = {key: value for key, value in {**ground.storage["sftp"], **changes}.items() if value is not None}
    with pytest.raises((ConfigurationError, RetryableError)) as refused:
        list(place_of(address or ground.address, QUICK | {"sftp": said}).files(""))
    return refused.value


def test_only_a_server_whose_key_is_known_is_told_anything(
    ground: grounds.Ground, asyncssh: SftpServer, tmp_path: Any
):
    known = tmp_path / "known_hosts"
    unknown = refusal(ground, host_key=None, known_hosts=str(known))
    assert (type(unknown), unknown.exit_code) == (ConfigurationError, 78)
    assert f"`{asyncssh.host_key}` at `storage.sftp.host_key`" in str(unknown)
    kind, key = asyncssh.host_key.split()[:2]
    known.write_text(f"[127.0.0.1]:{asyncssh.port} {kind} {key}\n")
    said = ground.storage["sftp"] | {"known_hosts": str(known)}
    del said["host_key"]
    ground.put("a.csv", b"id\n")
    assert len(listed(place_of(ground.address, QUICK | {"sftp": said}), ground.below)) == 1
    another = refusal(
        ground, host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    )
    assert "another one than is known" in str(another)
    assert [*storage_problems({"sftp": {"host_key": "no key"}})]


def test_each_refusal_is_a_sentence_and_an_exit_code(ground: grounds.Ground):
    wrong = refusal(ground, password=canary("wrong sftp password"))
    assert (type(wrong), wrong.exit_code) == (NotAuthorisedError, 77)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = refusal(ground, f"sftp://127.0.0.1:{nobody.getsockname()[1]}")
    assert (type(away), away.exit_code) == (RetryableError, 69)
    for address in ("sftp://", "sftp://127.0.0.1:x", "sftp://127.0.0.1:99999"):
        assert refusal(ground, address).exit_code == 78
    assert "`sftp://user@host" in str(refusal(ground, username=None))


def test_a_connection_that_is_lost_in_the_middle_of_a_file_is_made_again(
    ground: grounds.Ground, asyncssh: SftpServer
):
    content = os.urandom(1 << 20)
    ground.put("in/a.bin", content)
    place = ground.place()
    (found,) = place.files(f"{ground.below}in/")
    reading = place.open(found)
    begun = reading.read(1000)
    asyncssh.drop()
    assert begun + whole(reading) == content
    reading = place.open(found)
    reading.read(1000)
    asyncssh.drop()
    ground.put("in/a.bin", content[::-1])
    with pytest.raises(FileChanged):
        whole(reading)
    asyncssh.drop()
    assert place.look(found.name) is not None
    place.close()


def test_links_are_followed_and_circles_once(ground: grounds.Ground, asyncssh: SftpServer):
    ground.put("in/deep/a.csv", b"id\n")
    ground.put("other/b.csv", b"id\n1\n")
    folder = asyncssh.folder / ground.below
    (folder / "in/file.csv").symlink_to("../other/b.csv")
    (folder / "in/folder").symlink_to("../other")
    (folder / "in/deep/up").symlink_to("..")
    (folder / "in/itself").symlink_to("itself")
    (folder / "in/nowhere").symlink_to("none")
    os.mkfifo(folder / "in/pipe")
    place = ground.place()
    below = f"{ground.below}in/"
    found = listed(place, below)
    assert set(found) == {f"{below}{name}" for name in ("deep/a.csv", "file.csv", "folder/b.csv")}
    assert whole(place.open(found[f"{below}file.csv"])) == b"id\n1\n"
    assert set(listed(place, f"{below}folder/")) == {f"{below}folder/b.csv"}
    unlinked = place_of(ground.address, QUICK | {"sftp": {**ground.storage["sftp"], "follow_links": False}})
    assert set(listed(unlinked, below)) == {f"{below}deep/a.csv"}
    place.close()
    unlinked.close()


def test_a_name_that_is_no_utf_8_is_told(ground: grounds.Ground, asyncssh: SftpServer):
    ground.put("in/a.csv", b"id\n")
    (asyncssh.folder / ground.below / "in" / os.fsdecode(b"b\xff.csv")).write_bytes(b"id\n")
    place = ground.place()
    with pytest.raises(BadDataError, match="UTF-8"):
        list(place.files(f"{ground.below}in/"))
    place.close()


def test_what_is_appended_meanwhile_is_left_for_the_next_run(ground: grounds.Ground, asyncssh: SftpServer):
    ground.put("in/a.csv", b"id\n1\n")
    place = ground.place()
    (found,) = place.files(f"{ground.below}in/")
    path = asyncssh.folder / found.name
    path.write_bytes(b"id\n1\n2\n")
    os.utime(path, (1, path.stat().st_mtime + 9))
    assert whole(place.open(found)) == b"id\n1\n"
    place.close()


def test_a_login_that_takes_long_holds_nobody_up(ground: grounds.Ground):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = {"password": "x", "host_key": ground.storage["sftp"]["host_key"]}
        place = place_of(
            f"sftp://reader@127.0.0.1:{silent.getsockname()[1]}",
            {"sftp": said, "timeout": {"connect": 60}, "retries": {"tries": 1}},
        )

        def look() -> None:
            with contextlib.suppress(RetryableError):
                place.look("a.csv")

        asking = threading.Thread(target=look, daemon=True)
        asking.start()
        silent.settimeout(30)
        greeted, _ = silent.accept()
        closing = threading.Thread(target=place.close, daemon=True)
        closing.start()
        closing.join(10)
        assert (asking.is_alive(), closing.is_alive()) == (True, False)
        greeted.close()
        asking.join(30)
        assert not asking.is_alive()


def test_a_server_that_is_away_for_a_moment_is_asked_again(
    ground: grounds.Ground, monkeypatch: pytest.MonkeyPatch
):
    ground.put("a.csv", b"id\n")
    connect, away = socket.socket.connect, [1, 2]

    def refusing(self: socket.socket, address: Any) -> None:
        if away:
            away.pop()
            raise ConnectionRefusedError(111, "Connection refused")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refusing)
    place = ground.place()
    assert place.look(f"{ground.below}a.csv") is not None
    assert not away
    place.close()
