"""Servers of the places, each started by the first test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from taps.files.places import grounds


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    with grounds.moto() as url:
        yield url


@pytest.fixture(scope="session")
def asyncssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grounds.SftpServer]:
    with grounds.asyncssh_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grounds.SftpServer]:
    with grounds.sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with grounds.nginx(tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(params=["s3", "asyncssh", "sshd", "nginx"])
def ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> grounds.Ground:
    """A place with nothing in it, which is read in small pieces."""
    monkeypatch.setattr("tap_files.places.objects._RANGE", 1 << 16)
    if request.param == "s3":
        return grounds.on_s3(request.getfixturevalue("moto"))
    if request.param in ("asyncssh", "sshd"):
        monkeypatch.setattr("tap_files.places.sftp._PIECE", 1 << 16)
        return grounds.on_sftp(request.getfixturevalue(request.param))
    if request.param == "nginx":
        monkeypatch.setattr("tap_files.places.http._PIECE", 1 << 16)
        return grounds.on_http(*request.getfixturevalue("nginx"))
    raise AssertionError(request.param)
