"""``make test-servers``: against pouchdb-server, which is CouchDB's API: a feed of changes with deletions, and all documents by their ids.

Documents are made, changed and deleted while they are read; after a quiet run the tables are what the server lists.
"""

from __future__ import annotations

import contextlib
import random
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from npm import packages
from processes import Pipeline, call, free_port, meanwhile, running, sent

POUCHDB = "pouchdb-server@4.2.0"


class Documents:
    """A database of a running server, and what somebody else does to it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, name: str, **fields: Any) -> None:
        there = self.get(name)
        revision = {} if there is None else {"_rev": there["_rev"]}
        with contextlib.suppress(urllib.error.HTTPError):  # somebody else was first
            call("PUT", f"{self.url}/{name}", {**fields, **revision})

    def get(self, name: str) -> Any:
        try:
            return call("GET", f"{self.url}/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def delete(self, name: str) -> None:
        if (there := self.get(name)) is not None:
            call("DELETE", f"{self.url}/{name}?rev={there['_rev']}")

    def listed(self) -> dict[str, Any]:
        rows = call("GET", f"{self.url}/_all_docs?include_docs=true")["rows"]
        return {row["id"]: row["doc"] for row in rows}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = packages(POUCHDB) / "node_modules/.bin/pouchdb-server"
    folder, url = tmp_path_factory.mktemp("pouchdb"), f"http://127.0.0.1:{(port := free_port())}"
    command = [program, "--in-memory", "--no-stdout-logs", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, url, folder / "log", cwd=folder):
        yield url


@pytest.fixture
def documents(server: str, request: pytest.FixtureRequest) -> Documents:
    url = f"{server}/{request.node.name.split('[')[0]}"
    call("PUT", url)
    return Documents(url)


CHANGES: dict[str, Any] = {
    "name": "changes",
    "path": "/_changes",
    "params": {"include_docs": True},
    "records": "$.results[*]",
    "primary_keys": ["id"],
    "incremental": {"token": "$.last_seq", "param": "since"},
    "pagination": {
        "type": "cursor",
        "cursor": "$.last_seq",
        "param": "since",
        "size": 7,
        "size_param": "limit",
        "empty_page": "stop",
    },
    "deletes": {"field": "deleted", "equals": True},
}
ALL: dict[str, Any] = {
    "name": "documents",
    "path": "/_all_docs",
    "params": {"include_docs": True},
    "records": "$.rows[*]",
    "primary_keys": ["id"],
    "activate_version": True,
    # The text after the last id, as JSON: `startkey` is inclusive.
    "pagination": {
        "type": "keyset",
        "field": "id",
        "param": "startkey",
        "template": '"{value}\\u0000"',
        "size": 7,
        "size_param": "limit",
    },
}


def test_the_tables_are_what_the_server_lists(documents: Documents, database: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(30):
        documents.put(f"d{number:02d}", number=number, nested={"list": [number, None, "ü"]})
    pipeline = Pipeline({"base_url": documents.url, "streams": [CHANGES, ALL]}, database, tmp_path)

    def change() -> None:
        name = f"d{chance.randrange(40):02d}"
        if chance.random() < 0.3:
            documents.delete(name)
        else:
            documents.put(name, number=chance.randrange(100))

    def stored(table: str) -> dict[str, Any]:
        return {row["id"]: row["doc"] for row in pipeline.rows(table)}

    for _ in range(3):
        with meanwhile(change):
            pipeline.run()
        # Whatever came meanwhile, the next run has all of it.
        pipeline.run()
        assert stored("changes") == documents.listed()
        assert stored("documents") == documents.listed()


def test_a_run_reads_what_has_changed_since_the_one_before(
    documents: Documents, database: str, tmp_path: Path
) -> None:
    for number in range(20):
        documents.put(f"d{number:02d}", number=number)
    pipeline = Pipeline({"base_url": documents.url, "streams": [CHANGES]}, database, tmp_path)
    assert sent(pipeline.run()) == {"changes": 20}
    documents.put("d03", number=-1)
    documents.delete("d04")
    assert sent(pipeline.run()) == {"changes": 2}
    assert sent(pipeline.run()) == {"changes": 0}
    assert len(pipeline.rows("changes")) == 19
