"""What `tap-sqlite --about` promises about delivery is what a second run sends."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from conformance.processes import run
from taps.sqlite.conftest import TAP

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "incremental streams, with a key": ("PRIMARY KEY", {"replication_key": "at"}),
    "incremental streams, without a key": ("", {"replication_key": "at"}),
    "incremental with lookback, with a key": ("PRIMARY KEY", {"replication_key": "at", "lookback": 86400}),
    "full-table streams with a key": ("PRIMARY KEY", {}),
    "full-table streams without a key": ("", {}),
}
OFTEN = {"exactly_once": 1, "effectively_once": 1, "at_least_once": 2}


def promises() -> dict[str, str]:
    about = json.loads(run([TAP, "--about", "--format", "json"]).expect(0).stdout)
    return {each["configuration"]: each["guarantee"] for each in about["delivery"]}


def test_every_promise_is_tried() -> None:
    assert promises().keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_leave_what_is_promised(shop, kind: str) -> None:
    key, settings = KINDS[kind]
    shop.config["streams"] = [{"name": "t", **settings}]
    shop.execute(
        f"CREATE TABLE t (id INTEGER {key}, at TEXT)",
        "INSERT INTO t VALUES (?, '2024-01-01T00:00:00Z')",
        rows=[(n,) for n in range(3)],
    )
    first = shop.sync()
    second = shop.sync(first.state)
    sent = [*first.column("id"), *second.column("id")]
    stored = Counter(set(sent) if key else sent)
    assert set(stored.values()) == {OFTEN[promises()[kind]]}
