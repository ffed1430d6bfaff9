"""docs/singerkit-state.md shows what really happens: its examples run here, and its reference page is generated."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from faults.loads import MARKED, SCHEMA, load
from state.state_tool import TOOL, state_url

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "singerkit-state.md").read_text()
ORDERS = {"replication_key": "updated_at", "replication_key_value": "2026-11-21T23:59:58Z"}
FILE = (
    '{"bookmarks":{"orders":{"replication_key":"updated_at","replication_key_value":"2026-11-21T23:59:58Z"},"items":'
    '{"partitions":[{"context":{"order":1}},{"context":{"order":2}}]}},'
    '"_singerkit":{"run":"9f2c","pipeline":"orders","complete":true}}'
)


def same_everywhere(text: str) -> str:
    """Take out of a text what differs from machine to machine and from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", "<time>", text)
    text = re.sub(r"\S+@\S+, pid \d+ *", "<who> ", text)
    text = re.sub(r"by +epoch", "by epoch", text)
    text = re.sub(r"(?m)^run +\S+$", "run", text)
    return re.sub(r"the database \S+ at [^,]+", "<database>", text).rstrip()


def examples() -> list[tuple[str, str]]:
    """Return the commands of the page's console blocks in their order, each with what it prints."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def test_the_examples_print_what_the_page_says(database: str, tmp_path: Path) -> None:
    (tmp_path / "orders.json").write_text(FILE)
    loaded = MARKED({"bookmarks": {"orders": ORDERS}}, complete=True, pipeline="orders")
    schema = SCHEMA("orders", {"id": {"type": "integer"}})
    load(database, MARKED({}, pipeline="orders"), schema, loaded).expect(0)
    environment = os.environ | {
        "PATH": f"{Path(TOOL).parent}:{os.environ['PATH']}",
        "WAREHOUSE": state_url(database, "orders"),
        "ALL": state_url(database, None),
    }
    commands = examples()
    assert len(commands) >= 10
    for command, expected in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=60,
            check=False,
        )
        assert same_everywhere(done.stdout) == same_everywhere(expected), command


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("singerkit_docs_tools", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_reference_page_holds_every_command_and_the_guide_names_it() -> None:
    generate = load_generator()
    assert "singerkit-state" in generate.tools()
    assert "singerkit-state" not in generate.executables()
    text = generate.tool_page("singerkit-state")
    assert text == (DOCS / "reference" / "singerkit-state.md").read_text()
    commands = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert commands == ["show", "get", "set", "reset", "history", "diff", "unlock", "divide"]
    assert [name for name in commands if f"| `{name}` |" not in PAGE] == []


@pytest.mark.parametrize("text", ["Usage: x\n", "Usage: x\n\nCommands:\n  a  One.\n  b  Two\n     lines.\n"])
def test_commands_are_found_in_help(text: str) -> None:
    assert load_generator().commands_in(text) == (["a", "b"] if "Commands" in text else [])
