"""The example configs are files that run: against a local server that answers as the real one does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from singerkit_shell import errors
from singerkit_shell.validate import config_problems
from target_postgres.target import TargetPostgres

PROJECT = Path(__file__).parents[2]
EXAMPLES = sorted((PROJECT / "examples").glob("*.json"))
SECONDS = 60


class Api(BaseHTTPRequestHandler):
    """Three GitHub issues, two a page, and two Pokemon, one of them without a species."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.server.seen.append((address.path, query, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        here = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        match address.path:
            case "/repos/simonw/datasette/issues":
                issues = [
                    {"id": number, "title": "…", "updated_at": f"2026-01-0{number}T00:00:00Z"}
                    for number in (1, 2, 3)
                ]
                issues = [issue for issue in issues if issue["updated_at"] >= query.get("since", "")]
                page = int(query.get("page", 1))
                link = f'<{here}{address.path}?{address.query}&page={page + 1}>; rel="next"'
                self.answer(issues[2 * page - 2 : 2 * page], {"Link": link} if issues[2 * page :] else {})
            case "/pokemon":
                names = ["bulbasaur", "missingno"]
                page = int(query.get("offset", 0))
                more = f"{here}/pokemon?offset={page + 1}" if names[page + 1 :] else None
                self.answer(
                    {"count": 2, "next": more, "results": [{"name": names[page], "url": f"{here}/x"}]}
                )
            case "/pokemon-species/bulbasaur":
                self.answer({"id": 1, "name": "bulbasaur", "is_baby": False, "color": {"name": "green"}})
            case _:
                self.send_error(404)

    def answer(self, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.seen = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run_tap(example: str, api: ThreadingHTTPServer, folder: Path, *options: str) -> list[dict[str, Any]]:
    changes = {"base_url": f"http://127.0.0.1:{api.server_port}", "schema_cache": str(folder / "schemas")}
    (folder / "local.json").write_text(json.dumps(changes))
    command = [
        str(Path(sys.executable).with_name("tap-rest")),
        "--config",
        str(PROJECT / "examples" / example),
    ]
    done = subprocess.run(
        [*command, "--config", str(folder / "local.json"), *options],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | {"GITHUB_TOKEN": "canary-token"},
    )
    assert done.returncode == 0, done.stderr
    assert "canary-token" not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == stream]


def test_github_is_read_page_by_page_and_continued(api: ThreadingHTTPServer, tmp_path: Path) -> None:
    messages = run_tap("github.json", api, tmp_path)
    assert [issue["id"] for issue in records(messages, "issues")] == [1, 2, 3]
    assert {authorization for *_, authorization in api.seen} == {"Bearer canary-token"}  # type: ignore[attr-defined]
    (tmp_path / "state.json").write_text(json.dumps(messages[-1]["value"]))

    api.seen.clear()  # type: ignore[attr-defined]
    messages = run_tap("github.json", api, tmp_path, "--state", str(tmp_path / "state.json"))
    assert records(messages, "issues") == []
    # The greatest value of the first page: what changes behind a later one is not below it.
    assert [query["since"] for _, query, _ in api.seen] == ["2026-01-02T00:00:00Z"]  # type: ignore[attr-defined]


def test_pokemon_have_species_or_are_skipped(api: ThreadingHTTPServer, tmp_path: Path) -> None:
    messages = run_tap("pokeapi.json", api, tmp_path)
    assert [pokemon["name"] for pokemon in records(messages, "pokemon")] == ["bulbasaur", "missingno"]
    species = records(messages, "species")
    assert [(one["id"], one["is_baby"], one["pokemon_name"]) for one in species] == [(1, False, "bulbasaur")]


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    names = [path.name for path in EXAMPLES if f'run_tap("{path.name}"' not in text]
    assert names == ["warehouse.json"]  # of the target: see the pipe below


def readme() -> str:
    return (PROJECT / "README.md").read_text()


def test_the_pipe_in_the_readme_names_files_that_are_there() -> None:
    """Copied and pasted in a clone, it runs; what the README shows of its files is what they hold."""
    pipe = next(line for line in readme().splitlines() if line.startswith("    tap-rest --config"))
    configs = re.findall(r"--config (\S+)", pipe)
    assert configs == ["examples/github.json", "examples/warehouse.json"]
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", readme(), re.DOTALL)]
    assert [config for config in configs if json.loads((PROJECT / config).read_text()) not in shown] == []
    warehouse = json.loads((PROJECT / "examples" / "warehouse.json").read_text())
    assert config_problems(warehouse | {"dsn": "postgresql://x/y"}, TargetPostgres.config_jsonschema) == []


WRITTEN_BY_VERBS = {"docs/benchmarks.md", "docs/interop.md"}


def test_the_readme_names_files_verbs_and_exit_codes_that_exist() -> None:
    links = {link for link in re.findall(r"\]\(([^)#]+)", readme()) if "://" not in link}
    assert len(links) > 10
    assert [link for link in links - WRITTEN_BY_VERBS if not (PROJECT / link).exists()] == []
    verbs = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^ +|`)make ([a-z]+)", readme(), re.MULTILINE))
    assert {"demo", "test", "bench"} <= named <= verbs
    codes = re.search(r"^Exit codes: (.*?)\n\n", readme(), re.MULTILINE | re.DOTALL)
    assert codes is not None
    classes = [getattr(errors, name) for name in errors.__all__ if name != "Stopped"]
    assert {error.exit_code for error in classes} | {0, 130, 143} == set(
        map(int, re.findall(r"\d+", codes[1]))
    )
