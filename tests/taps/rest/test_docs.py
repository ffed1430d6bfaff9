"""Every example in docs/tap-rest.md and the pages below it is a config that tap-rest accepts, and every kind has one."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import json_reply, serving

from singerkit_shell.validate import config_problems
from tap_rest.config import CONFIG_SCHEMA, config_conflicts
from tap_rest.settings.auth.keys import AUTH, TYPES
from tap_rest.settings.pagination import PAGINATION_TYPES
from tap_rest.tap import TapRest

PAGE = Path(__file__).parents[3] / "docs" / "tap-rest.md"
PAGES = [PAGE, *sorted((PAGE.parent / "tap-rest").glob("*.md"))]


def examples() -> list[dict[str, Any]]:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    found = [json.loads(block) for block in blocks]
    return [one if "streams" in one else {"base_url": "https://x.example", "streams": [one]} for one in found]


def test_the_examples_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_hook.py").write_text(the_hook(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    schema = copy.deepcopy(CONFIG_SCHEMA)
    TapRest.append_builtin_config(schema)
    for config in examples():
        text = re.sub(r'\{"(?:env|file)": "[^"]*"\}', '"value"', json.dumps(config))
        resolved = json.loads(text.replace('"account_key": "value"', '"account_key": {}'))
        assert config_problems(resolved, schema) == []
        assert config_conflicts(resolved) == []


def the_hook() -> str:
    text = (PAGE.parent / "tap-rest" / "hook.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    return str(block)


def test_every_kind_of_pagination_is_shown() -> None:
    shown = {
        part["pagination"]["type"]
        for one in examples()
        for part in (one, *one["streams"])
        if "pagination" in part
    }
    assert shown == set(PAGINATION_TYPES)


def test_every_kind_of_credentials_is_shown() -> None:
    shown = [one["auth"] for one in examples() if "auth" in one]
    assert {auth["type"] for auth in shown} == set(TYPES) - {"none"}
    grants = AUTH["properties"]["grant"]["enum"]
    assert {auth.get("grant", grants[0]) for auth in shown if auth["type"] == "oauth2"} == set(grants)


def test_the_configs_of_the_log(run_tap: Any, tmp_path: Path) -> None:
    """What leaves the metrics out, and what gives them a file of their own, as printed."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    metrics = tmp_path / "metrics.log"
    with serving({"/x": lambda _: json_reply([{"id": 1}])}) as api:
        stream = {"name": "x", "path": "/x"}
        assert "METRIC" in run_tap(api.url, stream).ended(0).stderr
        for block in blocks:
            config = tmp_path / "log.yaml"
            config.write_text(block.replace("metrics.log", str(metrics)))
            run = run_tap(api.url, stream, env={"SINGER_SDK_LOG_CONFIG": str(config)}).ended(0)
            assert "x: 1 row in" in run.stderr
            assert "METRIC" not in run.stderr
            assert metrics.exists() == ("metrics.log" in block)
    assert '"metric":"record_count","value":1' in metrics.read_text(encoding="utf-8")


def test_every_key_has_a_description() -> None:
    def missing(node: Any, path: str) -> list[str]:
        found = []
        for name, one in node.get("properties", {}).items():
            found += [] if one.get("description") else [f"{path}.{name}"]
            found += missing(one, f"{path}.{name}")
            found += missing(one.get("items", {}), f"{path}.{name}[]")
        return found

    assert missing(CONFIG_SCHEMA, "") == []


def test_every_capability_has_tests_that_are_there() -> None:
    rows = [
        line
        for line in (PAGE.parent / "tap-rest" / "capabilities.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| |")
    ]
    sources = "".join(path.read_text(encoding="utf-8") for path in PAGE.parents[1].glob("tests/**/test_*.py"))
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        assert [name for name in names if f"def {name}(" not in sources] == [], row
