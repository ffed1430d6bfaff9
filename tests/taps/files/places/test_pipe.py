"""A whole run of tap-files over places that are no disk: each file once, then what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from taps.files.conftest import Folder
from taps.files.places import grounds


class Elsewhere(Folder):
    """A config whose files lie on ``ground``."""

    ground: grounds.Ground

    def settings(self, **changes: Any) -> dict[str, Any]:
        path = f"{self.ground.address}/{self.ground.below}in/dt=*/*.csv"
        return super().settings(path=path, **changes) | {"storage": self.ground.storage}


@pytest.mark.parametrize("kind", ["s3", "asyncssh", "nginx"])
def test_each_file_is_read_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for module, name in (("objects", "_RANGE"), ("sftp", "_PIECE"), ("http", "_PIECE")):
        monkeypatch.setattr(f"tap_files.places.{module}.{name}", 1 << 10)
    ground = grounds.of_kind(kind, request)
    for day in ("01", "02"):
        rows = "".join(f"{day}{number:03},ü\n" for number in range(300))
        ground.put(f"in/dt=2026-01-{day}/a.csv", f"id,name\n{rows}".encode())
    ground.put("in/other.txt", b"none of it")
    monkeypatch.chdir(tmp_path)
    there = Elsewhere(tmp_path)
    there.ground = ground
    first = there.sync()
    names = [f"{ground.below}in/dt=2026-01-{day}/a.csv" for day in ("01", "02")]
    assert sorted(set(first.column("_file"))) == names
    assert len(first.rows()) == 600
    assert {row["name"] for row in first.rows()} == {"ü"}
    assert there.sync(first.state).rows() == []
    ground.put("in/dt=2026-01-03/a.csv", b"id,name\n1,b\n")
    assert there.sync(first.state).column("_file") == [f"{ground.below}in/dt=2026-01-03/a.csv"]
    assert all(secret not in there.written.buffer.getvalue().decode() for secret in ground.secrets)


@pytest.mark.fault("F19", exit=[77], main=True)
@pytest.mark.parametrize("kind", ["s3", "asyncssh", "nginx"])
def test_a_process_reads_and_says_in_one_line_why_it_cannot(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
):
    if kind == "nginx":  # requests is left out of the start of a process
        request.getfixturevalue("really_started")
    there = Elsewhere(tmp_path)
    there.ground = ground = grounds.of_kind(kind, request)
    ground.put("in/dt=2026-01-01/a.csv", b"id,name\n1,b\n")
    done = there.run()
    assert done.code == 0, done.stderr
    assert b'"name":"b"' in done.stdout
    section, changes, code = {
        "s3": ("s3", {"credentials": "profile", "profiles_file": "none"}, 77),
        "asyncssh": ("sftp", {"password": canary("wrong password of a process")}, 77),
        "nginx": ("http", {"token": canary("wrong token of a process")}, 77),
    }[kind]
    kept = {
        key: value
        for key, value in ground.storage[section].items()
        if kind != "s3" or key in ("endpoint", "region")
    }
    ground.storage[section] = kept | changes
    refused = there.run()
    assert refused.code == code, refused.stderr
    assert "Traceback" not in refused.stderr
    assert f"`storage.{section}" in refused.stderr.splitlines()[-1]
