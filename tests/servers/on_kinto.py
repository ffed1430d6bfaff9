"""``make test-servers``: against Kinto, which tells deletions, the time of a list as its ETag, and 304.

What arrives in PostgreSQL is compared with what Kinto itself lists, while somebody changes and deletes records.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # whose environments these are

sys.path.insert(0, str(Path(__file__).parent))

from others import environment  # noqa: E402  needs the path above
from processes import Pipeline, call, free_port, meanwhile, running  # noqa: E402  needs it, too

KINTO = "kinto==26.5.0"
PASSWORD = "secret-of-bob"
RECORDS = "/buckets/default/collections/notes/records"


class Kinto:
    """A running Kinto, with its storage in memory, and what somebody else does to its records."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        login = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
        return call(method, self.url + path, body, {"Authorization": f"Basic {login}"})

    def put(self, name: str, **fields: Any) -> None:
        self.call("PUT", f"{RECORDS}/{name}", {"data": fields})

    def delete(self, name: str) -> None:
        with contextlib.suppress(urllib.error.HTTPError):  # somebody else was first
            self.call("DELETE", f"{RECORDS}/{name}")

    def listed(self) -> dict[str, Any]:
        return {row["id"]: row for row in self.call("GET", RECORDS)["data"]}


@pytest.fixture(scope="module")
def kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    programs, folder = environment(KINTO), tmp_path_factory.mktemp("kinto")
    ini = folder / "kinto.ini"
    command = [programs / "kinto", "init", "--ini", ini, "--host", "127.0.0.1"]
    command += ["--backend", "memory", "--cache-backend", "memory"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    port = free_port()
    server = Kinto(f"http://127.0.0.1:{port}/v1")
    command = [programs / "kinto", "start", "--ini", ini, "--port", str(port)]
    with running(command, f"{server.url}/", folder / "log"):
        server.call("PUT", "/accounts/bob", {"data": {"password": PASSWORD}})
        yield server


BY_ETAG: dict[str, Any] = {"incremental": {"token": "header:ETag", "token_of": "first", "param": "_since"}}
BY_TIME: dict[str, Any] = {
    "replication_key": "last_modified",
    "replication_key_format": "epoch_ms",
    "params": {"_sort": "last_modified"},
    # Deleted ones come with `_since` alone. It is exclusive, but no two records have one time.
    "incremental": {"param": "_since"},
}


def config_of(server: Kinto, **stream: Any) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "name": "notes",
        "path": RECORDS,
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "deletes": {"field": "deleted", "equals": True},
        "pagination": {"type": "next_url", "next": "header:Next-Page"},
        **stream,
    }
    notes["params"] = {"_limit": 7, **stream.get("params", {})}
    auth = {"type": "basic", "username": "bob", "password": PASSWORD}
    return {
        "base_url": server.url,
        "auth": auth,
        "streams": [notes],
        "infer": {"keep_in": "state"},
    }


def stored(pipeline: Pipeline) -> dict[str, Any]:
    return {
        row["id"]: {name: value for name, value in row.items() if value is not None and name != "deleted"}
        for row in pipeline.rows("notes")
    }


@pytest.mark.parametrize(
    "stream", [BY_ETAG, BY_TIME], ids=["by the ETag of the list", "by the time of records"]
)
def test_the_table_is_what_kinto_lists(
    stream: dict[str, Any], kinto: Kinto, database: str, tmp_path: Path
) -> None:
    chance = random.Random(5)
    for name in kinto.listed():
        kinto.delete(name)
    for number in range(30):
        kinto.put(f"n{number}", text="a", number=number)
    pipeline = Pipeline(config_of(kinto, **stream), database, tmp_path)

    def change() -> None:
        name = f"n{chance.randrange(40)}"
        if chance.random() < 0.3:
            kinto.delete(name)
        else:
            kinto.put(name, text=chance.choice("abc"), number=chance.randrange(100))

    for _ in range(4):
        with meanwhile(change):
            pipeline.run()
        # Whatever came meanwhile, the next run has all of it.
        pipeline.run()
        assert stored(pipeline) == kinto.listed()


def test_a_list_that_has_not_changed(kinto: Kinto, database: str, tmp_path: Path) -> None:
    """304, once the last change is a minute old: before that two changes may have one Last-Modified."""
    for name in kinto.listed():
        kinto.delete(name)
    kinto.put("only", text="a")
    whole = {"conditional": True, "params": {"_limit": 50}, "pagination": {"type": "single"}}
    pipeline = Pipeline(config_of(kinto, **whole), database, tmp_path)
    pipeline.run()
    assert "_singerkit_continuation" not in pipeline.state.read_text()
    assert stored(pipeline) == kinto.listed()


def test_a_recording_is_replayed_without_kinto(kinto: Kinto, tmp_path: Path) -> None:
    """A first run and one that goes on from its state, with pages, deletions and a password."""
    for name in kinto.listed():
        kinto.delete(name)
    for number in range(30):
        kinto.put(f"n{number}", text="ü", number=number)
    config, state = tmp_path / "tap.json", tmp_path / "former.json"
    config.write_text(json.dumps(config_of(kinto, **BY_ETAG)))
    first = tap_rest("record", "--config", config, "--to", tmp_path / "first")
    state.write_text(json.dumps(json.loads(first.splitlines()[-1])["value"]))
    kinto.delete("n7")
    kinto.put("n8", text="changed")
    second = tap_rest("record", "--config", config, "--to", tmp_path / "second", "--state", state)
    assert first.count('"RECORD"') == 30
    assert second.count('"RECORD"') == 2
    without = json.loads(config.read_text())
    without["auth"]["password"] = {"env": "PASSWORD_OF_NOBODY"}
    config.write_text(json.dumps(without))
    for name, said in (("first", first), ("second", second)):
        assert tap_rest("replay", "--config", config, "--from", tmp_path / name) == said
        for file in (tmp_path / name).rglob("*.*"):
            text = file.read_bytes()
            assert PASSWORD.encode() not in text
            assert base64.b64encode(f"bob:{PASSWORD}".encode()) not in text


def tap_rest(*words: object) -> str:
    """Return the messages of a run without the time at which each record was read."""
    program = Path(sys.executable).with_name("tap-rest")
    run = subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    return re.sub(r'"time_extracted":"[^"]*"', "", run.stdout)
