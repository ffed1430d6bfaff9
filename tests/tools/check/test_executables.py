"""Our own tap in the pipe is silent; the shipped suite tests executables by their command line."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import parse
from taps.rest.driver import TapRest

from singerkit_check.progress import goes_back

BIN = Path(sys.executable).parent
CHECK, TAP, TARGET = (str(BIN / name) for name in ("singerkit-check", "tap-rest", "target-jsonl"))


def run(*command: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=stdin, capture_output=True, timeout=300, check=False, cwd=cwd)


def test_our_tap_breaks_no_rule_and_its_rows_arrive(tmp_path: Path) -> None:
    """First run and second, with every kind of stream the tap has; not even a warning."""
    state, rows = tmp_path / "state.json", tmp_path / "rows"
    tap_config, target_config = tmp_path / "tap.json", tmp_path / "target.json"
    target_config.write_text(json.dumps({"destination_path": str(rows)}))
    with TapRest().source() as source:
        tap_config.write_text(json.dumps(source.config))
        for _ in range(2):
            sent = run(TAP, "--config", str(tap_config), "--state", str(state))
            checked = run(CHECK, "--strict", "--state", str(state), stdin=sent.stdout)
            assert checked.stdout == sent.stdout
            assert checked.returncode == 0, checked.stderr.decode()
            assert len(checked.stderr.splitlines()) == 1, checked.stderr.decode()
            loaded = run(
                TARGET, "--config", str(target_config), "--state-file", str(state), stdin=checked.stdout
            )
            assert loaded.returncode == 0, loaded.stderr.decode()
        orders = [parse(line) for line in (rows / "orders.jsonl").read_bytes().splitlines()]
        assert [row["id"] for row in orders] == [row["id"] for row in source.rows("orders")]


def suite(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    done = run(CHECK, *arguments, cwd=cwd)
    return done.returncode, done.stdout.decode(), done.stderr.decode().strip()


@pytest.fixture
def jsonl(tmp_path: Path) -> str:
    """The command line of a target that everybody has here."""
    config = tmp_path / "target.json"
    config.write_text(json.dumps({"destination_path": str(tmp_path / "rows")}))
    return shlex.join([TARGET, "--config", config.name])


def test_a_target_that_keeps_the_rules_is_a_table_and_exit_0(tmp_path: Path, jsonl: str) -> None:
    reading = f"cat {shlex.quote(str(tmp_path / 'rows'))}/{{stream}}.jsonl"
    code, table, said = suite(
        *("--target", jsonl, "--read-rows", reading, "--appends"),
        *("--rule", "G12", "--rule", "g04", "--rule", "ST03"),
        cwd=tmp_path,
    )
    assert (code, said) == (0, "")
    assert table.splitlines() == [
        "",
        f"target-jsonl ({TARGET})",
        "  ST03   waived  the state file holds the value of STATE",
        "                 PlainTarget does not say how to make a state file",
        "  G04    pass    states are never reordered; the last line is the one to keep",
        "  G12    pass    no key = append",
        "  2 pass, 0 FAIL, 1 waived",
    ]


def test_a_target_that_breaks_a_rule_is_told_and_exit_65(tmp_path: Path) -> None:
    forgetful = tmp_path / "target-forgetful"
    forgetful.write_text("#!/bin/sh\ncat > /dev/null\n")
    forgetful.chmod(0o755)
    code, table, said = suite(
        "--target",
        str(forgetful),
        "--read-rows",
        "true {stream}",
        "--rule",
        "G12",
        "--rule",
        "G07",
        cwd=tmp_path,
    )
    assert code == 65
    assert "  G12    FAIL    no key = append" in table
    assert said.startswith(
        "CRITICAL singerkit-check: Expected an executable that keeps the rules of Singer, got 1 "
    )
    assert "(G12)" in said


def test_a_tap_is_tested_by_its_command_line(tmp_path: Path) -> None:
    with TapRest().source() as source:
        (tmp_path / "tap.json").write_text(json.dumps(source.config))
        code, table, said = suite(
            *(
                "--tap",
                shlex.join([TAP, "--config", "tap.json"]),
                "--rule",
                "C03",
                "--rule",
                "R06",
                "--rule",
                "L05",
            ),
            cwd=tmp_path,
        )
    assert (code, said) == (0, "")
    assert "  2 pass, 0 FAIL, 1 waived" in table
    assert "needs a driver with a stream that has" in table


INTEGER, TEXT = {"type": "integer"}, {"type": ["string", "null"]}


@pytest.mark.parametrize(
    ("schema", "before", "after"),
    [
        (INTEGER, 999, 1_700_000_000),
        ({"type": "number"}, 9.5, 10.25),
        (TEXT, "2026-01-01T02:00:00+02:00", "2026-01-01T00:30:00Z"),
        ({**TEXT, "format": "date"}, "2026-01-01", "2026-01-02"),
        (TEXT, "01HZ5", "01HZ6"),
        ({}, 999, 1000),
        (None, "2026-01-01T02:00:00+02:00", "2026-01-01T00:30:00Z"),
    ],
    ids=["epoch", "number", "point in time", "date", "text", "untyped", "unknown"],
)
def test_a_bookmark_of_any_kind_is_seen_to_go_back(schema: Any, before: Any, after: Any) -> None:
    assert not goes_back(before, after, schema)
    assert not goes_back(before, before, schema)
    assert goes_back(after, before, schema)


@pytest.mark.parametrize(("later", "code"), [(1700, 0), (999, 65)], ids=["stays", "goes back"])
def test_a_tap_whose_key_is_an_epoch_is_judged(tmp_path: Path, later: int, code: int) -> None:
    """It was a TypeError of the checker."""
    stream: dict[str, Any] = {"stream": "a", "schema": {"properties": {"at": INTEGER}}, "key_properties": []}
    catalog = {"streams": [{"tap_stream_id": "a", "metadata": [], **stream}]}

    def state(at: int) -> Any:
        return {"bookmarks": {"a": {"replication_key": "at", "replication_key_value": at}}}

    row = {"type": "RECORD", "stream": "a", "record": {"at": 1700}}
    (tmp_path / "catalog").write_text(json.dumps(catalog))
    for name, at in (("first", 1700), ("second", later)):
        messages = [{"type": "SCHEMA", **stream}, row, {"type": "STATE", "value": state(at)}]
        (tmp_path / name).write_text("".join(json.dumps(message) + "\n" for message in messages))
    (tmp_path / "tap").write_text(
        'case "$*" in *--discover*) cat catalog;; *--state*) cat second;; *) cat first;; esac'
    )
    found, table, _said = suite("--tap", "sh tap", "--rule", "ST15", cwd=tmp_path)
    assert (found, "TypeError" in table) == (code, False), table


def test_a_driver_of_ones_own_may_bring_fixtures_and_waivers(tmp_path: Path) -> None:
    """The one that docs/conformance.md shows."""
    page = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text("utf-8")
    (tmp_path / "mine.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    code, table, said = suite(
        *("--target", TARGET, "--driver", "mine.py:MyTarget", "--rule", "G12", "--rule", "X01"), cwd=tmp_path
    )
    assert (code, said) == (0, "")
    assert "  G12    pass    no key = append" in table
    assert "it has no versions: rows are never removed" in table


def test_the_place_where_it_is_run_has_no_say(tmp_path: Path, jsonl: str) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not ours')\n")
    code, table, said = suite("--target", jsonl, "--rule", "G07", cwd=tmp_path)
    assert (code, said) == (0, "")
    assert "1 pass" in table


def test_without_pytest_it_is_one_sentence(tmp_path: Path) -> None:
    """Blocked here, as in an environment without the extra."""
    blocked = (
        "import sys; sys.modules['pytest'] = None; sys.argv = ['singerkit-check', '--tap', 'sh'];"
        "from singerkit_check.command import main; main()"
    )
    done = run(sys.executable, "-c", blocked, cwd=tmp_path)
    assert done.returncode == 78
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith("pip install 'singerkit[check]'.")


def test_help_and_streams_need_neither_pytest_nor_the_suite() -> None:
    probe = (
        "import sys; sys.argv = ['singerkit-check', '--help']\n"
        "from singerkit_check.command import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name == 'pytest' or name.startswith('singerkit_check.suite')))"
    )
    assert run(sys.executable, "-c", probe).stdout.splitlines()[-1] == b"[]"
