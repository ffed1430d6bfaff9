"""Files for schedulers that cannot be run here, held against what these say of them themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MANIFESTS = (ROOT / "deploy/kubernetes/cronjob.yaml", ROOT / "examples/shards/job.yaml")
VALIDATE = os.environ.get("KUBERNETES_VALIDATE", str(ROOT / ".envs/schedules/bin/kubernetes-validate"))
UNITS = ROOT / "deploy/systemd"


def said(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", [["-k", "1.31"], []])
def test_kubernetes_takes_the_job(tmp_path, version, manifest):
    assert said(VALIDATE, "--strict", *version, str(manifest))[0] == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(manifest.read_text().replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    code, words = said(VALIDATE, "--strict", *version, str(wrong))
    assert code != 0
    assert "readOnlyRootFileSystem" in words


def units(folder: Path, command: str) -> list[str]:
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/singerkit/bin/singerkit", command)
        (folder / unit.name.replace("@", "@shop")).write_text(text)
        (folder / unit.name).write_text(text)
    return [str(folder / f"singerkit@shop.{kind}") for kind in ("service", "timer")]


def test_systemd_takes_the_units(tmp_path):
    code, words = said("systemd-analyze", "verify", "--man=no", *units(tmp_path, str(BIN / "singerkit")))
    ours = [line for line in words.splitlines() if "singerkit" in line]
    assert (code, ours) == (0, [])
    code, words = said("systemd-analyze", "verify", "--man=no", *units(tmp_path, "/gone/singerkit"))
    assert code != 0
    assert "/gone/singerkit" in words


def test_systemd_knows_when(tmp_path):
    [when] = [
        line
        for line in (UNITS / "singerkit@.timer").read_text().splitlines()
        if line.startswith("OnCalendar=")
    ]
    code, words = said("systemd-analyze", "calendar", when.removeprefix("OnCalendar="))
    assert code == 0
    assert "02:00:00" in words
