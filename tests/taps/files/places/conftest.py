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


@pytest.fixture(params=["local", "s3", "asyncssh", "sshd", "nginx"])
def ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> grounds.Ground:
    """A place with nothing in it, which is read in small pieces."""
    for module, name in (("objects", "_RANGE"), ("sftp", "_PIECE"), ("http", "_PIECE")):
        monkeypatch.setattr(f"tap_files.places.{module}.{name}", 1 << 16)
    return grounds.of_kind(request.param, request)
