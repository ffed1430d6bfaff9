"""deploy/Containerfile, built and run: as nobody in particular, over a root that cannot be written, as the first process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.servers import open_folder
from waiting import wait_until

from .containers import COMPOSE_CONF, ROOT, RUN, base, build, podman, postgres

HANGING = """\
pipelines:
  a:
    tap: {exec: ./tap.sh}
    target: {exec: target-jsonl, config: target.json}
"""


@pytest.fixture(scope="session")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> str:
    return base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def image(foundation: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("image"), foundation, "singerkit-test")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the user of the image may enter, as those of pytest are not."""
    with open_folder() as place:
        yield place


def inside(image: str, *words: str) -> subprocess.CompletedProcess[str]:
    return podman(*RUN, "--rm", image, *words)


def test_it_is_small_and_holds_what_is_installed_and_no_more(image):
    size = int(podman("image", "inspect", "--format", "{{.Size}}", image).stdout)
    assert size < 200_000_000
    said = inside(
        image,
        "sh",
        "-c",
        "id -u; id -g; ls -A /src /work/.env /opt/singerkit/bin/pip 2>/dev/null; ls -A /work",
    )
    assert said.stdout.split() == ["10001", "10001", "state"]
    assert "/.env" not in inside(image, "find", "/opt", "/work", "-name", ".env").stdout


def test_nothing_but_the_state_and_tmp_can_be_written(image):
    for place, code in (
        ("/work/x", 1),
        ("/opt/singerkit/x", 1),
        ("/etc/x", 1),
        ("/work/state/x", 0),
        ("/tmp/x", 0),
    ):
        assert inside(image, "touch", place).returncode == code, place


def test_what_is_compiled_counts(image):
    """Where it did not, each start would compile 157 files."""
    said = inside(image, "sh", "-c", "python3 -v /opt/singerkit/bin/tap-rest --version 2>&1")
    compiled_now = [
        line
        for line in said.stdout.splitlines()
        if line.startswith("# code object from /opt") and ".pyc" not in line
    ]
    assert "import 'tap_rest'" in said.stdout
    assert compiled_now == []


def test_a_project_runs_and_goes_on_where_it_was(image, folder):
    subprocess.run(
        [Path(sys.executable).with_name("singerkit"), "init", folder / "shop", "--target", "jsonl"],
        check=True,
    )
    shop = folder / "shop"
    config = shop / "config/warehouse.yaml"
    config.write_text(config.read_text().replace("rows/$", "state/rows/$"))
    volume = f"singerkit-test-{uuid.uuid4().hex[:8]}"
    try:
        mounts = ("-v", f"{shop}:/work:ro", "-v", f"{volume}:/work/state")
        first = podman(*RUN, "--rm", *mounts, image)
        assert first.returncode == 0, first.stderr
        second = podman(*RUN, "--rm", *mounts, image)
        assert second.returncode == 0, second.stderr
        assert "`orders`: 4 rows loaded" in first.stderr
        assert "`orders`: 4 rows loaded" not in second.stderr
        rows = podman(
            *RUN, "--rm", *mounts, image, "cat", "state/rows/orders/orders.jsonl"
        ).stdout.splitlines()
        assert [json.loads(row)["id"] for row in rows] == [1, 2, 3, 4]
    finally:
        podman("volume", "rm", "-f", volume)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (78, ["singerkit", "run"]),
        (64, ["tap-rest", "--no-such-option"]),
        (78, ["target-postgres", "--config", "/gone.json"]),
        (65, ["sh", "-c", "echo nothing | singerkit check"]),
        (0, ["singerkit", "--help"]),
    ],
)
def test_exit_codes_come_through(image, code, words):
    done = inside(image, *words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("begun", [False, True])
def test_the_first_process_ends_by_sigterm(image, folder, begun):
    """Whether it has begun or is still importing: 143, and no 137, with which podman kills what does not listen.

    What comes before Python runs our code the kernel keeps from a first process, whatever that is going to be.
    """
    (folder / "singerkit.yaml").write_text(HANGING)
    (folder / "target.json").write_text('{"destination_path": "state/rows"}')
    (folder / "tap.sh").write_text("#!/bin/sh\necho hangs >&2\nsleep 1000\n")
    (folder / "tap.sh").chmod(0o755)
    (folder / "state").mkdir()
    name = f"singerkit-test-{uuid.uuid4().hex[:8]}"
    try:
        started = podman(*RUN, "-d", "--name", name, "-v", f"{folder}:/work:ro", image)
        assert started.returncode == 0, started.stderr
        is_there = (
            (lambda: "hangs" in podman("logs", name).stderr) if begun else (lambda: hears_sigterm(name))
        )
        wait_until(is_there, "the run", seconds=60)
        podman("stop", "-t", "15", name)
        code = podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
        assert code == "143", podman("logs", name).stderr
    finally:
        podman("rm", "-f", "-v", name)


def test_an_extra_is_a_build_argument(foundation, tmp_path):
    image = build(tmp_path, foundation, "singerkit-test-duckdb", "duckdb")
    done = inside(image, "python3", "-c", "import duckdb; print(duckdb.sql('SELECT 42').fetchone())")
    assert done.stdout.strip() == "(42,)", done.stderr


def hears_sigterm(name: str) -> bool:
    pid = podman("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_compose_runs_a_project_into_its_postgresql(image, foundation, folder, tmp_path):
    """Word by word, twice: the second run finds nothing new, since rows and state are in its volumes."""
    shop = folder / "shop"
    subprocess.run(
        [Path(sys.executable).with_name("singerkit"), "init", shop, "--target", "postgres"], check=True
    )
    config = shop / "config/warehouse.yaml"
    config.write_text(config.read_text().replace("\nembedded_folder:", "\n#").replace("\n# dsn:", "\ndsn:"))
    conf = tmp_path / "containers.conf"
    conf.write_text(COMPOSE_CONF)
    env = os.environ | {
        "CONTAINERS_CONF": str(conf),
        "PROJECT": str(shop),
        "POSTGRES_PASSWORD": "hunter2-of-compose",
        "POSTGRES_IMAGE": postgres(foundation),
        "SINGERKIT_IMAGE": image,
    }
    name = f"singerkit-test-{uuid.uuid4().hex[:8]}"

    def compose(*words: str) -> str:
        done = subprocess.run(
            [str(ROOT / ".envs/compose/bin/podman-compose"), "-p", name, "-f", "deploy/compose.yaml", *words],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    try:
        first, second = (compose("run", "--rm", "-T", "pipelines") for _ in range(2))
        assert "`orders`: 4 rows loaded (4 new)" in first
        assert "orders ended well" in second
        assert "4 rows loaded" not in second
        assert first.count("3 pipelines done.") == second.count("3 pipelines done.") == 1
        assert "hunter2" not in first + second
    finally:
        compose("down", "-v")
