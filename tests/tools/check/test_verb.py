"""`singerkit check` and `singerkit state` are singerkit-check and singerkit-state by another name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def said(folder: Path, *command: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        input="",
        timeout=60,
        check=False,
    )
    without_names = re.sub(r"singerkit[- ](check|state)|singerkit", "TOOL", done.stderr)
    return done.returncode, done.stdout, re.sub(r"\d", "", without_names)


@pytest.mark.parametrize(
    ("tool", "code", "arguments"),
    [
        ("check", 65, ["broken.singer", "--json"]),
        ("check", 78, ["gone.singer"]),
        ("check", 64, ["--rule", "RT99"]),
        ("state", 0, ["get", "state.json"]),
        ("state", 78, ["show", "gone.json"]),
    ],
)
def test_a_verb_does_what_the_executable_does(tmp_path, tool, code, arguments):
    (tmp_path / "broken.singer").write_text('{"type": "RECORD", "stream": "a", "record": {}}\n')
    (tmp_path / "state.json").write_text('{"bookmarks": {"a": {"replication_key_value": 1}}}\n')
    by_verb = said(tmp_path, "singerkit", tool, *arguments)
    assert by_verb[0] == code
    assert by_verb == said(tmp_path, f"singerkit-{tool}", *arguments)
