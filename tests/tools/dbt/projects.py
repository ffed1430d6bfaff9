"""A pipeline whose names, descriptions and values are as bad as they come, with a dbt project beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["BAD", "GONE", "STREAMS", "Project"]

BIN = Path(sys.executable).parent
BAD = 'say "hi" {{ 1/0 }} {% raw %} {# '
"""What is SQL, YAML and Jinja of its own."""
GONE = "2026-11-28T00:00:00Z"
_TIME = {"type": ["string", "null"], "format": "date-time"}

STREAMS: dict[str, dict[str, Any]] = {
    "Orders": {
        "key": ["id"],
        "properties": {
            "id": {"type": "integer", "description": f"{BAD}\nIt's: - \\ \x07 #"},
            "select": {"type": ["string", "null"], "enum": ["new", "it's {{ 1/0 }}", "ref('x')", None]},
            "priority": {"type": ["integer", "null"], "enum": [1, 2]},
            "orderId": {"type": ["string", "null"]},
            BAD: {"type": ["string", "null"], "description": "😀", "enum": ["a", None]},
            "_sdc_deleted_at": _TIME,
        },
        "records": [
            {
                "id": 1,
                "select": "it's {{ 1/0 }}",
                "priority": 1,
                "orderId": "x",
                BAD: "a",
                "_sdc_deleted_at": None,
            },
            {
                "id": 2,
                "select": "ref('x')",
                "priority": 2,
                "orderId": None,
                BAD: None,
                "_sdc_deleted_at": GONE,
            },
        ],
    },
    f"lines {BAD}": {
        "key": [BAD, "no"],
        "properties": {BAD: {"type": "string"}, "no": {"type": "integer"}},
        "records": [{BAD: "a", "no": 1}, {BAD: "a", "no": 2}],
    },
    "log": {
        "key": ["id"],
        "properties": {"id": {"type": "integer"}, "at": {"type": "string"}},
        "records": [{"id": 1, "at": "x"}],
    },
    "日本": {"key": [], "properties": {"名": {"type": ["string", "null"]}}, "records": [{"名": "a"}]},
}
"""Of each stream the key, the properties and the records; `log` is kept as a history."""

_TAP = """\
#!{python}
import json, sys
streams = json.load(open({streams!r}))
if "--discover" in sys.argv:
    print(json.dumps({{"streams": [
        {{"tap_stream_id": name, "stream": name, "key_properties": one["key"],
          "schema": {{"type": "object", "description": one.get("description", ""), "properties": one["properties"]}},
          "metadata": [{{"breadcrumb": [], "metadata": {{"selected": True, **one.get("metadata", {{}})}}}}]}}
        for name, one in streams.items()]}}))
    sys.exit()
for name, one in streams.items():
    print(json.dumps({{"type": "SCHEMA", "stream": name, "key_properties": one["key"],
                       "schema": {{"type": "object", "properties": one["properties"]}}}}))
    for record in one["records"]:
        print(json.dumps({{"type": "RECORD", "stream": name, "record": record}}))
print(json.dumps({{"type": "STATE", "value": {{"records": [one["records"] for one in streams.values()]}}}}))
"""


class Project:
    """A folder with `singerkit.json`, a tap of others, a config of target-duckdb, and a dbt project."""

    def __init__(self, folder: Path, streams: Mapping[str, Any] = STREAMS, **config: Any) -> None:
        self.folder = folder
        self.models = folder / "models" / "staging" / "singerkit"
        tap = folder / "tap.py"
        tap.write_text(_TAP.format(python=sys.executable, streams=str(folder / "streams.json")))
        tap.chmod(0o755)
        self.declare(streams)
        (folder / "dbt_project.yml").write_text(
            'name: shop\nversion: "1.0"\nprofile: shop\nflags: {send_anonymous_usage_stats: false}\n'
        )
        (folder / "profiles.yml").write_text(
            "shop: {target: dev, outputs: {dev: {type: duckdb, path: warehouse.duckdb}}}\n"
        )
        self.configure(database="warehouse.duckdb", default_target_schema="raw", **config)
        self.pipelines: dict[str, Any] = {
            "shop": {
                "tap": {"exec": "./tap.py"},
                "target": {"exec": "target-duckdb", "config": "target.json"},
            }
        }

    def declare(self, streams: Mapping[str, Any]) -> None:
        (self.folder / "streams.json").write_text(json.dumps(streams))

    def configure(self, **config: Any) -> None:
        (self.folder / "target.json").write_text(json.dumps(config))

    def singerkit(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Return the exit code and all that was said."""
        (self.folder / "singerkit.json").write_text(json.dumps({"pipelines": self.pipelines}))
        done = subprocess.run(
            [str(BIN / "singerkit"), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, **environment},
        )
        return done.returncode, done.stdout + done.stderr

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.models.iterdir())}
