"""``make test-servers``: against the API of JupyterHub, whose pages are asked for by a header and have their next URL inside the answer.

Users are made, renamed and deleted, in the end while they are read; the tables are what stands in the hub's own database.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import canary

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # whose environments these are
sys.path.insert(0, str(Path(__file__).parent))

from others import environment  # noqa: E402  needs the path above
from processes import Pipeline, call, free_ports, meanwhile, running  # noqa: E402  needs it, too

JUPYTERHUB = "jupyterhub==6.1.1"
TOKEN = canary("token of a service of JupyterHub")
CONFIG = """
from jupyterhub.proxy import Proxy
class Nowhere(Proxy):
    routes = {{}}
    async def start(self): pass
    async def stop(self): pass
    async def get_all_routes(self): return self.routes
    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}
    async def delete_route(self, routespec): self.routes.pop(routespec, None)
c = get_config()
c.JupyterHub.proxy_class = Nowhere
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_ip, c.JupyterHub.hub_port = "127.0.0.1", {port}
c.JupyterHub.db_url = "sqlite:///hub.db"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "tap", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "tap", "services": ["tap"], "scopes": ["admin:users", "admin:groups"]}}]
c.JupyterHub.api_page_default_limit = 7
"""


class Hub:
    """A running JupyterHub, and what somebody else does there."""

    def __init__(self, url: str, database: Path) -> None:
        self.url, self._database = url, database

    def call(self, method: str, path: str, body: Any = None) -> None:
        with contextlib.suppress(urllib.error.HTTPError):  # somebody else was first
            call(method, f"{self.url}{path}", body, {"Authorization": f"token {TOKEN}"})

    def names(self) -> list[str]:
        return [name for (name,) in self._select("SELECT name FROM users ORDER BY name")]

    def users(self) -> list[tuple[str, bool, list[str]]]:
        """Name, whether an administrator, groups."""
        members = self._select(
            "SELECT u.name, g.name FROM users u JOIN user_group_map m ON m.user_id = u.id JOIN groups g ON g.id = m.group_id ORDER BY g.name"
        )
        found = self._select("SELECT name, admin FROM users ORDER BY name")
        return [
            (name, bool(admin), [group for user, group in members if user == name]) for name, admin in found
        ]

    def groups(self) -> list[str]:
        return [name for (name,) in self._select("SELECT name FROM groups ORDER BY name")]

    def _select(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    program, folder = environment(JUPYTERHUB) / "jupyterhub", tmp_path_factory.mktemp("jupyterhub")
    port, public = free_ports(2)
    (folder / "config.py").write_text(CONFIG.format(port=port, public=public, token=TOKEN))
    url = f"http://127.0.0.1:{port}/hub/api"
    with running([program, "-f", "config.py"], f"{url}/", folder / "log", cwd=folder):
        yield Hub(url, folder / "hub.db")


def stream(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "path": f"/{name}",
        "headers": {"Accept": "application/jupyterhub-pagination+json"},
        "records": "$.items[*]",
        "primary_keys": ["name"],
        "activate_version": True,
        "pagination": {"type": "next_url", "next": "$._pagination.next.url"},
        **more,
    }


def config(hub: Hub, *streams: dict[str, Any], token: str = TOKEN) -> dict[str, Any]:
    auth = {"type": "api_key", "in": "header", "name": "Authorization", "prefix": "token ", "api_key": token}
    return {"base_url": hub.url, "auth": auth, "streams": streams}


def test_the_tables_are_what_stands_in_the_database_of_the_hub(
    hub: Hub, database: str, tmp_path: Path
) -> None:
    chance = random.Random(11)
    for number in range(25):
        hub.call("POST", f"/users/u{number:02d}", {"admin": number % 5 == 0})
    for number in range(9):
        hub.call("POST", f"/groups/g{number}")
        hub.call("POST", f"/groups/g{number}/users", {"users": [f"u{number:02d}", f"u{number + 3:02d}"]})
    pipeline = Pipeline(config(hub, stream("users"), stream("groups")), database, tmp_path)

    def check() -> None:
        users = [(row["name"], row["admin"], sorted(row["groups"])) for row in pipeline.rows("users")]
        assert sorted(users) == hub.users()
        assert sorted(row["name"] for row in pipeline.rows("groups")) == hub.groups()

    def change() -> None:
        for name in chance.sample(hub.names(), 5):
            if chance.random() < 0.5:
                hub.call("DELETE", f"/users/{name}")
            else:
                hub.call("PATCH", f"/users/{name}", {"name": f"{name}x"})
        for _ in range(3):
            hub.call("POST", f"/users/n{chance.randrange(100):02d}")

    for _ in range(3):
        pipeline.run()
        check()
        change()
    hub.call("DELETE", "/groups/g3")
    for _ in range(2):
        with meanwhile(change):
            pipeline.run()
        pipeline.run()
        check()


def test_a_list_that_is_cut_without_a_word_is_asked_for_by_offset(
    hub: Hub, database: str, tmp_path: Path
) -> None:
    """Without the header the hub answers with a bare list of its first seven."""
    for number in range(20):
        hub.call("POST", f"/users/v{number:02d}")
    users = stream(
        "users", headers={}, records="$[*]", pagination={"type": "offset", "size": 100, "size_param": "limit"}
    )
    pipeline = Pipeline(config(hub, users), database, tmp_path)
    pipeline.run()
    assert sorted(row["name"] for row in pipeline.rows("users")) == hub.names()


def test_a_token_that_the_hub_does_not_know(hub: Hub, tmp_path: Path) -> None:
    wrong = config(hub, stream("users"), token=canary("another token for JupyterHub"))
    (tmp_path / "tap.json").write_text(json.dumps(wrong | {"infer": {"keep_in": "state"}}))
    command = [Path(sys.executable).with_name("tap-rest"), "--config", tmp_path / "tap.json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 77
    assert "Missing or invalid credentials" in ended.stderr.splitlines()[-1]
