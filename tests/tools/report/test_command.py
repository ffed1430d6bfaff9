"""`singerkit report`, over what `singerkit run` has left."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ..run.projects import BIN, Project, record, schema, state


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def report(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "singerkit"), "report", *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_ran_and_what_failed_is_written_into_a_file(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1))
    project.add("items", schema(), "echo 'KeyError: id' >&2", "exit 1")
    project.run()
    done = report(project)
    assert (done.returncode, done.stdout) == (
        0,
        "singerkit-report.html: 2 pipelines, 1 in need of somebody.\n",
    )
    document = (project.folder / "singerkit-report.html").read_text()
    assert "1 of 2 pipelines needs you." in document
    assert "KeyError: id" in document
    assert ">1 row loaded" in document or "1 row loaded" in document


def test_the_last_run_is_shown_though_it_was_before_the_days_that_are_shown(project: Project) -> None:
    """With the rows that its target has noted then."""
    project.add("orders", schema(), record(1), record(2), state(1))
    project.run()
    for file in ("state/orders.runs.jsonl", "out-orders/_singerkit_runs.jsonl"):
        place = project.folder / file
        place.write_text(re.sub(r'"(started|ended)":"20\d\d-', r'"\1":"2024-', place.read_text()))
    done = report(project, "--output", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 pipeline has not run within 30 days." in done.stdout
    assert re.search(r"\d{3} days ago</td>", done.stdout)
    assert '<td class="number">2</td>' in done.stdout
    project.more["late_after"] = "26h"
    project.write()
    assert "1 of 1 pipeline needs you." in report(project, "--output", "-").stdout


def test_it_is_written_to_stdout_for_pipelines_that_are_named(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1))
    project.add("items", schema(), record(1), state(1))
    project.run()
    done = report(project, "items", "--days", "7", "--output", "-")
    assert done.returncode == 0
    assert "items" in done.stdout
    assert "orders" not in done.stdout


def test_a_folder_that_is_not_there_is_told(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1))
    project.write()
    done = report(project, "--output", "nowhere/report.html")
    assert done.returncode == 74
    assert "nowhere" in done.stderr.splitlines()[-1]
    assert "state" not in done.stderr.splitlines()[-1]


def test_no_variable_of_a_tap_is_needed(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1))
    project.pipelines["orders"]["tap"]["env"] = {"TOKEN": "${API_TOKEN}"}
    assert project.run(API_TOKEN="tok-4711")[0] == 0
    done = report(project)
    assert (done.returncode, done.stderr) == (0, "")
