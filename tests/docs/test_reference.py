"""The reference pages cannot drift: every key is described, and a stale page fails the check."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("singerkit_docs_generate", PROJECT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


generate = load_generator()
EXECUTABLES = generate.executables()


def settings_of(name: str) -> dict[str, Any]:
    return json.loads(generate.output_of(name, "--about", "--format=json"))["settings"]


def test_the_executables_are_those_of_the_distribution() -> None:
    assert {"tap-rest", "target-jsonl", "target-postgres"} <= set(EXECUTABLES)


@pytest.mark.parametrize("name", EXECUTABLES)
def test_every_config_key_is_described(name: str) -> None:
    keys = generate.config_keys(settings_of(name))
    assert keys
    assert [key.path for key in keys if len(key.description) < 8] == []
    assert [key.path for key in keys if not key.type or key.type == "any"] == []


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of reference pages for one executable, freshly written."""
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(generate, "executables", lambda: ["target-postgres"])
    assert generate.main([]) == 0
    return tmp_path / "reference"


def test_a_page_holds_help_capabilities_and_keys(pages: Path) -> None:
    text = (pages / "target-postgres.md").read_text()
    assert "--state-file PATH" in text
    assert "Capabilities: `about`" in text
    assert "| `default_target_schema` | string | `public` |" in text


def test_fresh_pages_pass_the_check(pages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fault", ["changed", "missing", "left over"])
def test_a_stale_page_is_named(pages: Path, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = pages / "target-postgres.md"
    match fault:
        case "changed":
            page.write_text(page.read_text() + "\n")
        case "missing":
            page.unlink()
        case "left over":
            page = pages / "tap-gone.md"
            page.write_text("")
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert (
        said
        == f"docs: docs/reference/{page.name} differ from what the executables say of themselves; "
        + ("run: make docs\n")
    )
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_an_executable_that_fails_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "executables", lambda: ["tap-that-is-not-there"])
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.startswith("docs: tap-that-is-not-there is not installed beside ")


def test_nested_keys_are_found_wherever_a_schema_can_hide_them() -> None:
    page = {"type": "object", "properties": {"size": {"type": ["integer", "null"], "default": 10}}}
    schema = {
        "required": ["streams"],
        "properties": {
            "streams": {
                "type": "array",
                "items": {"type": "object", "required": ["page"], "properties": {"page": page}},
            },
            "page": page | {"description": "As there."},
            "by_name": {"additionalProperties": {"properties": {"x": {"enum": ["a", "b", None]}}}},
            "either": {
                "anyOf": [{"type": "string"}, {"properties": {"y": {"type": "boolean"}}}, {"type": "null"}]
            },
            "when": {"type": ["string", "null"], "format": "date-time", "description": "a | b"},
        },
    }
    keys = {key.path: key for key in generate.config_keys(schema)}
    assert list(keys) == [
        "streams",
        "streams[].page",
        "streams[].page.size",
        "page",
        "by_name",
        "by_name.*.x",
        "either",
        "either.y",
        "when",
    ]
    assert keys["streams"].is_required
    assert keys["streams[].page"].is_required
    assert (keys["streams[].page.size"].type, keys["streams[].page.size"].default) == ("integer", "`10`")
    assert keys["page"].description == "As there. The same keys as in `streams[].page`."
    assert keys["by_name.*.x"].type == "one of `a`, `b`"
    assert keys["when"].type == "date-time"
    assert generate.table(schema)[-1] == "| `when` | date-time |  |  | a \\| b |"
